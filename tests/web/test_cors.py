"""Pages of registered origins may call the service from a browser, and no others (ch2:208)."""

from typing import Any

import pytest

from tests.unit.cards.builders import SERVICE_ID
from tests.web.conftest import FrontDoor
from tests.web.ehr_client import a_hook_body

ORIGIN, OTHER = "https://ehr.example.org", "https://evil.example"
HOOK = f"/cds-services/{SERVICE_ID}"
ADDRESSES = ["/cds-services", HOOK, f"{HOOK}/feedback"]
every_address = pytest.mark.parametrize("address", ADDRESSES)


def preflight(door: FrontDoor, address: str, origin: str) -> Any:
    method = "GET" if address == "/cds-services" else "POST"
    return door.client.options(
        address,
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )


@every_address
def test_ch2_208_a_preflight_is_answered_without_a_token_also_where_discovery_needs_one(
    door: FrontDoor, address: str
) -> None:
    door.tenants.remove("t-1")
    door.tenants.add(door.ehr.tenant(discovery_needs_token=True))

    answer = preflight(door, address, ORIGIN)

    assert answer.status_code == 200 and answer.data == b""
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert {"GET", "POST"} <= set(answer.headers["Access-Control-Allow-Methods"].split(", "))
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization, content-type"


@every_address
@pytest.mark.parametrize(
    "origin", [OTHER, "null", "http://ehr.example.org", f"{ORIGIN}:8443", ORIGIN.upper(), "*", ""]
)
def test_ch2_208_an_origin_that_is_not_registered_is_allowed_nothing(
    door: FrontDoor, address: str, origin: str
) -> None:
    answer = preflight(door, address, origin)

    assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


@every_address
def test_no_answer_allows_credentials_or_every_origin(door: FrontDoor, address: str) -> None:
    answer = preflight(door, address, ORIGIN)

    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert answer.headers["Access-Control-Allow-Origin"] != "*"
    assert "Origin" in answer.headers["Vary"]


def test_a_page_reads_the_cards_and_a_cache_keeps_them_apart(door: FrontDoor) -> None:
    headers = {"Authorization": f"Bearer {door.ehr.token()}", "Origin": ORIGIN}

    answer = door.post(a_hook_body(), headers=headers)

    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Origin" in answer.headers["Vary"] and answer.headers["Cache-Control"] == "no-store"


def test_the_pages_of_every_registered_ehr_are_allowed_and_of_a_removed_one_no_more(
    door: FrontDoor,
) -> None:
    page = "https://second.example"
    door.tenants.add(
        door.ehr.tenant(
            id="t-2",
            name="Second",
            fhir_base="https://second.example/fhir",
            hook_issuer="https://second.example",
            origins=(page,),
        )
    )
    assert preflight(door, HOOK, page).headers["Access-Control-Allow-Origin"] == page

    door.tenants.remove("t-2")
    assert "Access-Control-Allow-Origin" not in preflight(door, HOOK, page).headers
