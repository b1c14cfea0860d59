"""The dialect of the EHR that calls, at the door: its cards, its discovery, its errors."""

import logging
from typing import Any, cast

import pytest

from cds_service.domain.dialect import DialectName
from cds_service.domain.tenant import Tenant
from cds_service.errors import LedgerUnavailable
from cds_service.usecases.seal_context import open_context
from cds_service.web.services import EXTENSION, Services
from tests.unit.cards.builders import PUBLIC_URL, SERVICE_ID
from tests.web.conftest import VAULT, FrontDoor
from tests.web.ehr_client import SERVICE_URL, a_hook_body

DISCOVERY = f"{PUBLIC_URL}/cds-services"


def becomes(door: FrontDoor, **changes: Any) -> None:
    """Register the door's EHR anew."""
    door.tenants.remove("t-1")
    door.tenants.add(door.ehr.tenant(**changes))


def services(door: FrontDoor) -> Services:
    return cast(Services, door.app.extensions[EXTENSION])


def discovered(door: FrontDoor, token: str | None = None) -> Any:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return door.client.get("/cds-services", headers=headers)


@pytest.mark.parametrize("dialect", DialectName)
def test_every_dialect_is_answered_with_a_card(door: FrontDoor, dialect: DialectName) -> None:
    becomes(door, dialect=dialect)

    answer = door.post()  # the client lints what comes

    assert answer.status_code == 200 and len(answer.json["cards"]) == 1


def test_oracle_s_card_leads_to_the_app_with_a_context_that_only_its_site_opens(
    door: FrontDoor,
) -> None:
    becomes(door, dialect=DialectName.ORACLE)

    (card,) = door.post().json["cards"]
    address, _, sealed = card["links"][0]["url"].partition("?ctx=")

    assert address == f"{PUBLIC_URL}/app/launch" and "uuid" not in card
    assert '"study":"1.2.840.99999.1"' in (open_context("t-1", sealed, vault=VAULT) or "")
    assert open_context("t-2", sealed, vault=VAULT) is None
    assert "1.2.840" not in card["links"][0]["url"]


def test_a_3_0_client_reads_an_operation_outcome_in_every_error_but_401(door: FrontDoor) -> None:
    becomes(door, dialect=DialectName.BALLOT_3_0)

    wrong = door.post(a_hook_body(context=[]))
    untrusted = door.post(headers={})

    assert wrong.status_code == 400 and wrong.json["resourceType"] == "OperationOutcome"
    assert untrusted.status_code == 401 and untrusted.data == b""


# --- discovery -------------------------------------------------------------------------------


def test_discovery_is_written_in_the_dialect_that_all_registered_ehrs_share(
    door: FrontDoor,
) -> None:
    becomes(door, dialect=DialectName.BALLOT_3_0)
    (service, *_) = discovered(door).json["services"]
    assert service["version"] == "3.0.0" and service["hookVersion"] == "1.0"

    door.tenants.add(
        door.ehr.tenant(id="t-2", name="B", fhir_base="http://b/", hook_issuer="https://b.example")
    )
    (service, *_) = discovered(door).json["services"]
    assert "version" not in service and "hookVersion" not in service


def test_ch2_178_discovery_with_a_token_is_for_registered_ehrs_only(door: FrontDoor) -> None:
    becomes(door, discovery_needs_token=True)

    assert discovered(door).status_code == 401
    assert discovered(door, door.ehr.token()).status_code == 401  # aud of the service
    assert discovered(door, door.ehr.token(aud=DISCOVERY)).status_code == 200


def test_ch2_196_a_token_for_discovery_opens_nothing_else(door: FrontDoor) -> None:
    token = door.ehr.token(aud=DISCOVERY)

    assert door.post(headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_ch2_4_while_discovery_is_public_a_token_is_not_looked_at(door: FrontDoor) -> None:
    token = door.ehr.token(aud=DISCOVERY)

    assert discovered(door, token).status_code == discovered(door, token).status_code == 200


def ledger_goes_away(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> list[Tenant]:
        raise LedgerUnavailable("The ledger is away.")

    monkeypatch.setattr(door.tenants, "all", away)


@pytest.mark.requirement("ch2:5")
def test_discovery_stays_as_it_was_while_the_ledger_is_away(
    door: FrontDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = "https://ehr.example.org"
    becomes(door, origins=(origin,))
    before = discovered(door)
    ledger_goes_away(door, monkeypatch)

    after = door.client.get("/cds-services", headers={"Origin": origin})

    assert before.status_code == after.status_code == 200 and after.json == before.json
    assert after.headers["Access-Control-Allow-Origin"] == origin
    assert door.post().status_code == 503  # but nobody is let in


def test_ch2_178_discovery_that_needs_a_token_stays_closed_while_the_ledger_is_away(
    door: FrontDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    becomes(door, discovery_needs_token=True)
    assert discovered(door).status_code == 401
    ledger_goes_away(door, monkeypatch)

    assert discovered(door).status_code == 401
    assert discovered(door, door.ehr.token(aud=DISCOVERY)).status_code == 503


def test_a_process_that_was_warmed_up_knows_what_is_public(
    door: FrontDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    services(door).client_trust.warm_up()
    ledger_goes_away(door, monkeypatch)

    assert discovered(door).status_code == 200


def test_while_nobody_can_tell_whether_discovery_needs_a_token_it_is_503(
    door: FrontDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger_goes_away(door, monkeypatch)

    assert discovered(door).status_code == 503


@pytest.mark.parametrize(
    "path", ["/imaging-ai-findings", "/imaging-order-check", "/imaging-ai-findings/feedback"]
)
def test_the_log_names_the_audience_that_was_expected_in_full(
    door: FrontDoor, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    token = door.ehr.token(aud=PUBLIC_URL)
    headers = {"Authorization": f"Bearer {token}", "Host": "evil.example"}

    refused = door.client.post(f"/cds-services{path}", json={}, headers=headers)

    assert refused.status_code == 401 and refused.data == b""
    assert f"expected_aud={DISCOVERY}{path} " in caplog.text


# --- what Epic says about its request --------------------------------------------------------

EPIC_EXTENSION = {
    "com.epic.cdshooks.request.bpa-trigger-action": "60",
    "com.epic.cdshooks.request.criteria-id": "12345",
    "internal.epic.cdshooks.request.epic-emp-id": "EMP-SECRET",
}


def test_epic_s_trigger_and_criteria_are_logged_as_numbers_and_its_user_id_is_not(
    door: FrontDoor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    becomes(door, dialect=DialectName.EPIC)

    assert door.post(a_hook_body(extension=EPIC_EXTENSION)).status_code == 200

    (line,) = [text for text in caplog.messages if text.startswith("epic request")]
    assert "trigger_action=60" in line and "criteria=12345" in line and "General Hospital" in line
    assert "EMP-SECRET" not in caplog.text


@pytest.mark.parametrize(
    "extension",
    [
        None,
        [],
        "60",
        {"com.epic.cdshooks.request.bpa-trigger-action": ["60"]},
        {"com.epic.cdshooks.request.bpa-trigger-action": "60\nforged line"},
        {"com.epic.cdshooks.request.bpa-trigger-action": "٣"},
        {"com.epic.cdshooks.request.bpa-trigger-action": "9" * 50},
    ],
)
def test_what_is_no_number_there_is_not_logged(
    door: FrontDoor, caplog: pytest.LogCaptureFixture, extension: Any
) -> None:
    caplog.set_level(logging.INFO)
    becomes(door, dialect=DialectName.EPIC)

    assert door.post(a_hook_body(extension=extension)).status_code == 200

    assert "trigger_action=- criteria=-" in caplog.text and "forged" not in caplog.text


def test_a_stripped_epic_request_asks_the_administrator_about_the_endpoint(
    door: FrontDoor, caplog: pytest.LogCaptureFixture
) -> None:
    becomes(door, dialect=DialectName.EPIC)
    stripped = a_hook_body(fhirServer=..., prefetch=..., context={})

    answer = door.post(stripped)

    (line,) = [text for text in caplog.messages if "endpoint URI not registered?" in text]
    assert answer.status_code == 400
    assert "General Hospital" in line and SERVICE_URL in line


def test_a_body_that_is_no_object_is_400_for_epic_too(
    door: FrontDoor, caplog: pytest.LogCaptureFixture
) -> None:
    becomes(door, dialect=DialectName.EPIC)

    assert door.post(b"[]", content_type="application/json").status_code == 400
    assert "epic request" not in caplog.text


def test_a_whole_epic_request_and_one_of_another_client_raise_no_such_question(
    door: FrontDoor, caplog: pytest.LogCaptureFixture
) -> None:
    door.post(a_hook_body(fhirServer=..., prefetch=...))
    becomes(door, dialect=DialectName.EPIC)
    door.post()

    assert "endpoint URI" not in caplog.text


def test_epic_calls_the_service_by_its_address_and_nothing_else(door: FrontDoor) -> None:
    becomes(door, dialect=DialectName.EPIC, audiences=("Sightline PROD",), subject="client-1")

    by_hand = door.ehr.token(aud="Sightline PROD", sub="client-1")
    answer = door.client.post(
        f"/cds-services/{SERVICE_ID}",
        json=a_hook_body(),
        headers={"Authorization": f"Bearer {by_hand}"},
    )

    assert answer.status_code == 200
