"""Every public CDS Hooks file, as the request, the feedback, the context and the prefetch."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.installed import FHIR_BASE, Installed, fault
from tests.unit.cards.builders import SERVICE_ID
from tests.web.ehr_client import a_hook_body

FEEDBACK = f"/cds-services/{SERVICE_ID}/feedback"


@pytest.fixture(scope="module")
def files(shared_data: Path) -> dict[str, Any]:
    folder = shared_data / "cds-hooks"
    return {
        path.relative_to(folder).as_posix(): json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.json"))
    }


def requests_in(files: dict[str, Any]) -> dict[str, Any]:
    """The files that are hook requests."""
    return {
        name: document
        for name, document in files.items()
        if isinstance(document, dict) and "hookInstance" in document
    }


def test_all_28_files_are_there(files: dict[str, Any]) -> None:
    assert len(files) == 28 and len(requests_in(files)) == 10


def test_every_request_is_answered_as_it_is(files: dict[str, Any], service: Installed) -> None:
    """They name FHIR servers of their own, so most are refused, in a sentence."""
    faults = {name: fault(service.post(body)) for name, body in requests_in(files).items()}

    assert set(faults.values()) == {None}, faults


def test_every_request_from_our_ehr_is_answered(files: dict[str, Any], service: Installed) -> None:
    answers = {
        name: service.post({**body, "fhirServer": FHIR_BASE})
        for name, body in requests_in(files).items()
    }

    faults = {name: fault(answer) for name, answer in answers.items()}
    assert set(faults.values()) == {None}, faults
    assert answers["fhir-tools-ig/Binary-CDSHooksRequestPV.json"].status_code == 200


@pytest.mark.parametrize("key", ["patient", "studies"])
def test_every_file_as_a_prefetched_value_is_answered(
    files: dict[str, Any], service: Installed, key: str
) -> None:
    faults = {
        name: fault(service.post(a_hook_body(prefetch={key: document})))
        for name, document in files.items()
    }

    assert set(faults.values()) == {None}, faults


def test_every_file_as_a_context_body_or_feedback_is_answered(
    files: dict[str, Any], service: Installed
) -> None:
    def sent(document: Any) -> list[str | None]:
        context = document if isinstance(document, dict) else {"x": document}
        context = {"patientId": "p-1", "userId": "Practitioner/1"} | context
        return [
            fault(service.post(document)),
            fault(service.post(a_hook_body(context=context))),
            fault(service.post(document, FEEDBACK)),
            fault(service.post({"feedback": [document]}, FEEDBACK)),
        ]

    faults = {name: sent(document) for name, document in files.items()}

    assert all(one == [None] * 4 for one in faults.values()), faults


def test_the_real_feedback_is_taken(files: dict[str, Any], service: Installed) -> None:
    assert service.post(files["ahrq/feedback.json"], FEEDBACK).status_code == 200
