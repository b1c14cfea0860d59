"""A call: transport, data from prefetch or from the EHR, time, trust, feedback."""

import pytest

from cds_service.domain.tenant import ALGORITHM_KEYS
from tests.conformance.answers import services
from tests.fakes.neighbours import GOOD_TOKEN, hanging
from tests.unit.cards.builders import PUBLIC_URL, SERVICE_ID
from tests.web.conftest import FrontDoor
from tests.web.ehr_client import SERVICE_URL, AnEhr, a_hook_body

LENT = {
    "access_token": GOOD_TOKEN,
    "token_type": "Bearer",
    "expires_in": 300,
    "scope": "patient/Patient.read patient/ImagingStudy.read",
    "subject": "client",
}
# RFC 7518, 3.1: what is signed with a private key.
JWA = {"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"}


@pytest.mark.requirement("ch2:1")
def test_a_call_and_its_answer_are_json(door: FrontDoor) -> None:
    answer = door.post()
    other = door.post(b"<hook/>", content_type="application/xml")

    assert answer.content_type == "application/json" and "cards" in answer.json
    assert other.status_code == 415 and other.json["resourceType"] == "OperationOutcome"


@pytest.mark.requirement("ch2:27")
def test_an_ehr_that_hangs_does_not_hold_the_answer(door: FrontDoor) -> None:
    door.swap(hook_deadline_s=0.45)

    with hanging(door.house.record):
        answer = door.post(a_hook_body(prefetch=...))

    assert answer.status_code == 200


@pytest.mark.requirement("ch2:34", "ch2:60", "ch2:61")
def test_what_was_not_sent_is_read_with_the_token_that_came_along(door: FrontDoor) -> None:
    sent = door.post().json
    read = door.post(a_hook_body(prefetch=..., fhirAuthorization=LENT)).json

    assert [card["uuid"] for card in read["cards"]] == [card["uuid"] for card in sent["cards"]]
    paths = {path.partition("?")[0] for path, _ in door.house.record.reads}
    assert paths == {"Patient/p-1", "ImagingStudy"}
    assert {bearer for _, bearer in door.house.record.reads} == {GOOD_TOKEN}


@pytest.mark.requirement("ch2:52")
def test_an_outcome_in_the_place_of_data_is_not_taken_for_data(door: FrontDoor) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error"}]}

    answer = door.post(a_hook_body(prefetch={"patient": outcome, "studies": outcome}))

    assert answer.status_code == 200 and len(answer.json["cards"]) == 1  # from our own reading
    assert all(bearer is None for _, bearer in door.house.record.reads)


@pytest.mark.requirement("ch2:176", "ch2:177")
def test_nothing_about_a_patient_is_answered_without_a_signed_token(door: FrontDoor) -> None:
    for one in services(door):
        for path in (f"/cds-services/{one['id']}", f"/cds-services/{one['id']}/feedback"):
            answer = door.client.post(path, json=a_hook_body(hook=one["hook"]))
            assert answer.status_code == 401 and answer.data == b""

    forged = AnEhr().token()
    assert door.post(headers={"Authorization": f"Bearer {forged}"}).status_code == 401


@pytest.mark.requirement("ch2:195")
def test_an_issuer_or_key_address_that_is_not_listed_is_refused(door: FrontDoor) -> None:
    door.tenants.remove("t-1")
    door.tenants.add(door.ehr.tenant(jkus=("https://ehr.example.org/jwks.json",)))
    tokens = {
        "listed": door.ehr.token(header={"jku": "https://ehr.example.org/jwks.json"}),
        "other issuer": door.ehr.token(iss="https://other.example"),
        "other jku": door.ehr.token(header={"jku": "https://evil.example/jwks.json"}),
    }

    answers = {
        name: door.post(headers={"Authorization": f"Bearer {token}"}).status_code
        for name, token in tokens.items()
    }

    assert answers == {"listed": 200, "other issuer": 401, "other jku": 401}


@pytest.mark.requirement("ch2:200")
def test_an_ehr_may_be_registered_with_the_asymmetric_algorithms_of_rfc_7518() -> None:
    assert set(ALGORITHM_KEYS) == JWA | {"Ed25519"}  # RFC 8037


@pytest.mark.requirement("ch2:148", "ch2:152", "ch2:154")
def test_every_service_takes_feedback_below_its_address(door: FrontDoor) -> None:
    for service_id in {one["id"] for one in services(door)}:
        path = f"/cds-services/{service_id}/feedback"
        token = door.ehr.token(aud=PUBLIC_URL + path)
        report = {"card": "c", "outcome": "accepted", "outcomeTimestamp": "2026-01-05T09:00:00Z"}

        answer = door.client.post(
            path, json={"feedback": [report]}, headers={"Authorization": f"Bearer {token}"}
        )

        assert answer.status_code == 200

    assert f"{PUBLIC_URL}/cds-services/{SERVICE_ID}" == SERVICE_URL
