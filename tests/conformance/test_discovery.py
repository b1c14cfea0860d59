"""Discovery: address, services, prefetch templates and their tokens."""

import json
import re

import pytest
from click.testing import CliRunner

from cds_service.cli import main
from cds_service.lint.services import FORBIDDEN, TOKENS
from tests.conformance.answers import services
from tests.contract.fhir_server import serving
from tests.unit.cards.builders import PUBLIC_URL, SERVICE_ID, a_bundle, a_study_resource
from tests.web.conftest import FrontDoor
from tests.web.ehr_client import a_hook_body

USER_TOKENS = {
    "userPractitionerId",
    "userPractitionerRoleId",
    "userPatientId",
    "userRelatedPersonId",
}


def templates(door: FrontDoor) -> list[tuple[str, str]]:
    """Hook and template of every service."""
    found = [
        (one["hook"], template)
        for one in services(door)
        for template in one.get("prefetch", {}).values()
    ]
    assert found
    return found


def tokens(door: FrontDoor) -> set[tuple[str, str]]:
    """Hook and token of every template."""
    return {(hook, one) for hook, text in templates(door) for one in re.findall("{{(.*?)}}", text)}


@pytest.mark.requirement("ch2:1", "ch2:4", "ch2:5", "ch2:6", "ch2:13")
def test_discovery_is_an_object_with_an_array_at_the_base_and_cds_services(
    door: FrontDoor,
) -> None:
    answer = door.client.get("/cds-services")

    assert answer.status_code == 200 and answer.content_type == "application/json"
    assert set(answer.json) == {"services"} and isinstance(answer.json["services"], list)
    assert all(isinstance(one, dict) for one in answer.json["services"])
    door.is_queue_up = False
    assert door.client.get("/cds-services").json == answer.json


@pytest.mark.requirement("ch2:7", "ch2:8", "ch2:9", "ch2:10")
def test_every_service_has_hook_title_description_and_id(door: FrontDoor) -> None:
    for one in services(door):
        assert one["hook"] in TOKENS  # the hooks of the library
        assert re.fullmatch("[a-z-]+", one["id"])
        assert one["title"] and one["description"].endswith(".") and "AI" in one["description"]


@pytest.mark.requirement("ch2:14", "ch2:76")
def test_what_cannot_be_answered_has_a_status_of_its_own(door: FrontDoor) -> None:
    assert door.client.post("/cds-services").status_code == 405
    assert door.client.get("/cds-services/").status_code == 404
    assert door.post(b"{").status_code == 415
    assert door.post(a_hook_body(context=5)).status_code == 400


@pytest.mark.requirement("ch2:10", "ch2:16")
def test_every_service_is_called_at_the_address_with_its_id(door: FrontDoor) -> None:
    for one in services(door):
        path = f"/cds-services/{one['id']}"
        token = door.ehr.token(aud=PUBLIC_URL + path)
        body = a_hook_body(hook=one["hook"])

        answer = door.client.post(path, json=body, headers={"Authorization": f"Bearer {token}"})

        assert answer.status_code == 200, one

    assert door.client.post("/cds-services/nobody", json={}).status_code == 404


@pytest.mark.requirement("ch2:11", "ch2:28", "ch2:29", "ch2:36")
def test_what_is_sent_under_the_published_keys_is_not_read_again(door: FrontDoor) -> None:
    (listed,) = {json.dumps(one["prefetch"]) for one in services(door) if one["id"] == SERVICE_ID}
    published = json.loads(listed)

    sent = {"patient": door.house.record.resources[0], "studies": a_bundle(a_study_resource())}
    answer = door.post(a_hook_body(prefetch={key: sent[key] for key in published}))

    assert len(answer.json["cards"]) == 1 and door.house.record.reads == []


@pytest.mark.requirement("ch2:35", "ch2:55", "ch2:56", "ch2:57", "ch2:59")
def test_a_token_is_a_field_of_the_context_or_the_user_between_double_braces(
    door: FrontDoor,
) -> None:
    for _, template in templates(door):
        bare = re.sub(r"\{\{(context\.\w+|" + "|".join(USER_TOKENS) + r")\}\}", "", template)
        assert bare != template and not {"{", "}"} & set(bare)


@pytest.mark.requirement("ch2:58")
def test_a_template_is_a_read_or_a_plain_search(door: FrontDoor) -> None:
    for _, template in templates(door):
        path, _, query = template.partition("?")
        names = {one.partition("=")[0] for one in query.split("&") if one}
        assert re.fullmatch(r"[A-Z]\w+(/\{\{[\w.]+\}\})?", path)
        assert names <= {"patient", "_sort", "_count"}  # no include, chain or modifier


@pytest.mark.requirement("lib:8", "lib:24", "lib:40", "lib:52", "lib:60", "lib:81")
def test_every_template_asks_by_the_patient_of_the_context(door: FrontDoor) -> None:
    hooks = {
        *("order-sign", "appointment-book", "encounter-start", "encounter-discharge"),
        *("order-dispatch", "order-select"),
    }

    assert {(hook, "context.patientId") for hook in hooks} <= tokens(door)


@pytest.mark.requirement("lib:16", "lib:32", "lib:73", "lib:89", "lib:93")
def test_no_template_uses_a_field_that_its_hook_forbids(door: FrontDoor) -> None:
    used = tokens(door)

    assert {hook for hook, _ in used} >= {hook for hook, _ in FORBIDDEN}
    assert not {(hook, f"context.{field}") for hook, field in FORBIDDEN} & used
    for hook, token in used:
        assert token.removeprefix("context.") in TOKENS[hook]


def test_the_linter_finds_nothing_wrong_with_us_but_plain_http(door: FrontDoor) -> None:
    with serving(door.app) as base:
        result = CliRunner().invoke(main, ["lint-cds", base, "--json"])

    assert result.exit_code == 0
    assert [one["requirement"] for one in json.loads(result.stdout)["breaches"]] == ["ch2:2"]
