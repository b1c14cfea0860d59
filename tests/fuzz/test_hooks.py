"""Generated hooks and feedback: no 5xx, and every refusal says why in an OperationOutcome."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cds_service.domain.hook import ORDER_SERVICE
from tests.fuzz.hooks import CALLS, CLEAN_CALLS, FEEDBACK, with_one_fault
from tests.fuzz.installed import Installed, fault
from tests.unit.cards.builders import SERVICE_ID, a_bundle
from tests.web.ehr_client import a_hook_body

pytestmark = pytest.mark.slow
PATH = f"/cds-services/{SERVICE_ID}"
A_CALL = a_hook_body(
    fhirAuthorization={
        "access_token": "token-1",
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": "patient/*.rs",
        "subject": "client",
    },
    extension={"com.epic.cdshooks.request.bpa-trigger-action": "60"},
)
REASON = {"system": "http://example.org/r", "code": "r1", "display": "Known"}
A_FEEDBACK = {
    "feedback": [
        {
            "card": "c-1",
            "outcome": "overridden",
            "outcomeTimestamp": "2026-01-05T09:00:00Z",
            "overrideReason": {"reason": REASON, "userComment": "seen"},
        }
    ]
}

fuzzing = settings(
    max_examples=250,
    deadline=None,
    derandomize=True,  # the same in every run; a longer search is a matter of --hypothesis-seed
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@fuzzing
@given(body=CALLS)
def test_a_generated_hook_is_answered_or_refused_in_words(service: Installed, body: Any) -> None:
    assert fault(service.post(body)) is None


@fuzzing
@given(body=CLEAN_CALLS)
def test_a_hook_with_a_good_head_and_any_data_is_answered(service: Installed, body: Any) -> None:
    assert fault(service.post(body)) is None
    assert fault(service.post(body, f"/cds-services/{ORDER_SERVICE}")) is None


def test_the_ledger_that_is_fuzzed_has_a_finding_to_show(service: Installed) -> None:
    order = {"resourceType": "ServiceRequest", "id": "o-1", "code": {"text": "Chest X-ray"}}
    context = {"patientId": "p-1", "draftOrders": a_bundle(order)}
    body = a_hook_body(hook="order-sign", context=context)

    (found,) = service.post(a_hook_body()).json["cards"]
    (repeated,) = service.post(body, f"/cds-services/{ORDER_SERVICE}").json["cards"]

    assert "signs of pneumonia" in found["summary"] and found["suggestions"]
    assert repeated["suggestions"]


@fuzzing
@given(document=FEEDBACK)
def test_generated_feedback_is_taken_or_refused_in_words(service: Installed, document: Any) -> None:
    assert fault(service.post(document, f"{PATH}/feedback")) is None


@fuzzing
@given(body=with_one_fault(A_CALL))
def test_a_good_hook_with_anything_at_one_place(service: Installed, body: Any) -> None:
    assert fault(service.post(body)) is None


@fuzzing
@given(document=with_one_fault(A_FEEDBACK))
def test_good_feedback_with_anything_at_one_place(service: Installed, document: Any) -> None:
    assert fault(service.post(document, f"{PATH}/feedback")) is None


@fuzzing
@given(
    body=st.binary(max_size=200)
    | st.builds(
        lambda text, at, byte: text[:at] + bytes([byte]) + text[at + 1 :],
        st.just(json.dumps(a_hook_body()).encode()),
        st.integers(0, 400),
        st.integers(0, 255),
    )
)
def test_any_bytes_and_any_wrong_byte_of_a_good_hook(service: Installed, body: bytes) -> None:
    assert fault(service.post(body)) is None
    assert fault(service.post(body, f"{PATH}/feedback")) is None


@settings(fuzzing, max_examples=100)
@given(
    authorization=st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=80),
    path=st.sampled_from([PATH, f"{PATH}/feedback", "/cds-services"]),
    content_type=st.sampled_from(["application/json", "text/html", "", "application/json; x=\xe9"]),
)
def test_any_token_and_content_type(
    service: Installed, authorization: str, path: str, content_type: str
) -> None:
    headers = {"Authorization": authorization, "Content-Type": content_type}

    assert fault(service.client.post(path, data=b"{}", headers=headers)) is None


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete", "options", "head"])
@pytest.mark.parametrize("path", ["/cds-services", PATH, f"{PATH}/feedback", f"{PATH}/x", "/%00"])
def test_any_method_at_any_address(service: Installed, method: str, path: str) -> None:
    answer = service.client.open(path, method=method.upper())

    if method == "head":
        assert answer.status_code < 500 and not answer.data
    else:
        assert fault(answer) is None
