"""What clinicians said, as FHIR: status, note, report and Provenance."""

from datetime import timedelta
from typing import Any

import pytest

from cds_service.domain.finding import Box, Coding
from cds_service.domain.review import Reason, Review, Verdict
from cds_service.fhir.finding_resources import Json, finding_bundle
from cds_service.fhir.verified_resources import review_uuid, verified_bundle
from tests.builders import NOW, PNEUMONIA, a_finding, a_result, an_analysis

EFFUSION = Coding("http://snomed.info/sct", "60046008", "Pleural effusion")
TWO = a_result(analysis=an_analysis(findings=(a_finding(), a_finding(coding=EFFUSION))))


def said(verdict: Verdict = Verdict.AGREE, minutes: int = 0, **changes: Any) -> Review:
    if verdict is Verdict.WRONG_PLACE:
        changes = {"region": Box(1, 2, 3, 4)} | changes
    values = {"finding_code": PNEUMONIA.code, "reviewer": "Practitioner/1"} | changes
    return Review("t-1", "r-1", verdict=verdict, at=NOW + timedelta(minutes=minutes), **values)


def resources(bundle: Json, kind: str) -> list[Json]:
    return [one["resource"] for one in bundle["entry"] if one["resource"]["resourceType"] == kind]


def test_without_a_review_nothing_differs_from_what_the_ai_says() -> None:
    assert verified_bundle(a_result(), []) == finding_bundle(a_result())


@pytest.mark.parametrize(
    ("verdict", "status"),
    [
        (Verdict.AGREE, "final"),
        (Verdict.WRONG_PLACE, "final"),
        (Verdict.DISAGREE, "entered-in-error"),
        (Verdict.WITHDRAWN, "preliminary"),
        (Verdict.COMMENT, "preliminary"),
    ],
)
def test_each_verdict_has_its_status(verdict: Verdict, status: str) -> None:
    bundle = verified_bundle(a_result(), [said(verdict)])

    [observation] = resources(bundle, "Observation")
    [report] = resources(bundle, "DiagnosticReport")
    assert observation["status"] == report["status"] == status


def test_a_verdict_is_signed_and_dated_in_a_note_beside_the_model_s() -> None:
    bundle = verified_bundle(a_result(), [said(Verdict.DISAGREE, reason=Reason.ARTEFACT)])

    [observation] = resources(bundle, "Observation")
    label, note = observation["note"]
    assert "Not a medical device" in label["text"]
    assert note["authorReference"] == {"reference": "Practitioner/1"}
    assert note["text"].endswith("Reason: artefact, device or overlying structure.")
    assert observation["issued"] == note["time"] == NOW.isoformat()


def test_a_role_has_no_place_in_an_r4_annotation_but_is_the_agent() -> None:
    bundle = verified_bundle(a_result(), [said(reviewer="PractitionerRole/7")])

    [observation] = resources(bundle, "Observation")
    assert "authorReference" not in observation["note"][-1]
    assert resources(bundle, "Provenance")[-1]["agent"][0]["who"] == {
        "reference": "PractitionerRole/7"
    }


@pytest.mark.parametrize(
    ("verdict", "part", "activity"),
    [
        (Verdict.AGREE, "verifier", "COMPLETE"),
        (Verdict.WRONG_PLACE, "verifier", "COMPLETE"),
        (Verdict.DISAGREE, "verifier", "NULLIFY"),
        (Verdict.WITHDRAWN, "enterer", "REACTIVATE"),
    ],
)
def test_the_clinician_is_in_a_provenance_of_the_observation_and_the_report(
    verdict: Verdict, part: str, activity: str
) -> None:
    review = said(verdict)
    bundle = verified_bundle(a_result(), [review])

    provenance = resources(bundle, "Provenance")[-1]
    urls = {one["resource"]["resourceType"]: one["fullUrl"] for one in bundle["entry"]}
    assert [target["reference"] for target in provenance["target"]] == [
        urls["Observation"],
        urls["DiagnosticReport"],
    ]
    assert provenance["agent"][0]["type"]["coding"][0]["code"] == part
    assert provenance["activity"]["coding"][0]["code"] == activity
    assert provenance["entity"][0]["what"]["identifier"]["value"] == (
        f"urn:uuid:{review_uuid(review)}"
    )


def test_the_reason_is_coded() -> None:
    bundle = verified_bundle(a_result(), [said(Verdict.DISAGREE, reason=Reason.OTHER_FINDING)])

    [reason] = resources(bundle, "Provenance")[-1]["reason"]
    assert reason["coding"][0]["code"] == "other-finding"


def test_comments_stay_with_us() -> None:
    reviews = [said(comment="Sampleton"), said(Verdict.COMMENT, comment="Sampleton")]

    assert "Sampleton" not in repr(verified_bundle(a_result(), reviews))


def test_a_report_is_final_only_when_everything_in_it_was_judged() -> None:
    effusion = {"finding_code": EFFUSION.code, "reviewer": "Practitioner/2"}

    [half] = resources(verified_bundle(TWO, [said()]), "DiagnosticReport")
    [whole] = resources(
        verified_bundle(TWO, [said(), said(Verdict.DISAGREE, **effusion)]), "DiagnosticReport"
    )
    [wrong] = resources(
        verified_bundle(TWO, [said(Verdict.DISAGREE), said(Verdict.DISAGREE, **effusion)]),
        "DiagnosticReport",
    )

    assert (half["status"], whole["status"], wrong["status"]) == (
        "preliminary",
        "final",
        "entered-in-error",
    )
    assert "pleural effusion" in half["conclusion"].lower()
    assert "not verified by a clinician" in half["conclusion"]
    assert "resultsInterpreter" not in half
    assert whole["resultsInterpreter"] == [{"reference": "Practitioner/1"}]
    assert "rejected by a clinician" in whole["conclusion"]


def test_the_newest_standing_verdict_counts_and_its_provenance_alone_is_new() -> None:
    reviews = [
        said(Verdict.DISAGREE),
        said(Verdict.AGREE, 1, reviewer="Practitioner/2"),
        said(Verdict.WITHDRAWN, 2, reviewer="Practitioner/2"),
    ]

    bundle = verified_bundle(a_result(), reviews)

    assert resources(bundle, "Observation")[0]["status"] == "entered-in-error"
    _, statement = resources(bundle, "Provenance")
    assert statement["agent"][0]["who"] == {"reference": "Practitioner/1"}


def test_every_review_has_a_name_of_its_own_that_stays() -> None:
    names = {review_uuid(one) for one in (said(), said(minutes=1), said(reviewer="Practitioner/2"))}

    assert len(names) == 3 and review_uuid(said()) == review_uuid(said())
