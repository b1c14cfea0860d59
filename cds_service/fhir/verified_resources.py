"""What clinicians said about a result, as FHIR R4: status, notes and who verified it.

Agreed findings are `final` and rejected ones `entered-in-error`; a verdict that was taken back
leaves the finding `preliminary` again. Each verdict has a Provenance of its own, which is found by
the logical identifier of its review.

Source: FHIR R4 Observation.status, Annotation, Provenance; HL7 AI Transparency on FHIR
1.0.0-ballot (AI-Provenance: a human agent is a `verifier`); v3-DataOperation.
"""

from collections.abc import Sequence
from uuid import UUID, uuid5

from fhir.resources.R4B.bundle import Bundle

from cds_service.domain.finding import SIGHTLINE_NAMESPACE, Finding, Result, score_text
from cds_service.domain.review import REASON_SYSTEM, Reason, Review, Verdict, standing
from cds_service.fhir.finding_resources import URI, Json, finding_bundle

PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
DATA_OPERATION = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
PRELIMINARY, FINAL, ERROR = "preliminary", "final", "entered-in-error"

_STATUS = {
    Verdict.AGREE: FINAL,
    Verdict.WRONG_PLACE: FINAL,
    Verdict.DISAGREE: ERROR,
}
# What the verdict did to the Observation, and as what the clinician took part in it.
_ACTIVITY = {
    Verdict.AGREE: ("COMPLETE", "verifier"),
    Verdict.WRONG_PLACE: ("COMPLETE", "verifier"),
    Verdict.DISAGREE: ("NULLIFY", "verifier"),
    Verdict.WITHDRAWN: ("REACTIVATE", "enterer"),
}
# Comments stay with us: they are free text, and nobody has asked for them in the chart.
_NOTE = {
    Verdict.AGREE: "A clinician agrees with the AI.",
    Verdict.WRONG_PLACE: "A clinician agrees with the finding, but sees it elsewhere in the image.",
    Verdict.DISAGREE: "A clinician does not agree with the AI.",
}


def verified_bundle(result: Result, reviews: Sequence[Review]) -> Json:
    """Build the transaction Bundle that brings a result's reviews to a FHIR R4 server.

    reviews   of this result, the oldest first

    It is the Bundle of `finding_bundle` as the standing verdicts leave it, and a Provenance for
    what counts of each finding. Raises ValueError when the result holds no finding.
    """
    bundle = finding_bundle(result)
    verdicts = standing(reviews)
    codes = [finding.coding.code for finding in result.analysis.findings]
    observations = bundle["entry"][1 : 1 + len(codes)]  # in the order of the findings
    report = bundle["entry"][1 + len(codes)]
    _verify_report(report["resource"], result, verdicts)
    for code, observation in zip(codes, observations, strict=True):
        _verify(observation["resource"], verdicts.get(code))
        said = verdicts.get(code) or _last_withdrawn(code, reviews)
        if said is not None:
            bundle["entry"].append(_statement(said, observation["fullUrl"], report["fullUrl"]))
    Bundle.model_validate(bundle)
    return bundle


def review_uuid(review: Review) -> UUID:
    """Name a review: nobody says two things about one finding at the same microsecond."""
    parts = (review.result_id, review.finding_code, review.reviewer, review.at.isoformat())
    return uuid5(SIGHTLINE_NAMESPACE, "review|" + "|".join(parts))


def _last_withdrawn(code: str, reviews: Sequence[Review]) -> Review | None:
    of_finding = (one for one in reversed(reviews) if one.finding_code == code)
    return next((one for one in of_finding if one.verdict is Verdict.WITHDRAWN), None)


def _verify(observation: Json, said: Review | None) -> None:
    if said is None:
        return
    observation["status"] = _STATUS[said.verdict]
    observation["issued"] = said.at.isoformat()
    note: Json = {"time": said.at.isoformat(), "text": _words(said)}
    if said.reviewer.startswith("Practitioner/"):  # an Annotation knows no PractitionerRole
        note["authorReference"] = {"reference": said.reviewer}
    observation["note"] = [*observation["note"], note]


def _words(said: Review) -> str:
    text = _NOTE[said.verdict]
    return f"{text} Reason: {said.reason.display.lower()}." if said.reason else text


def _verify_report(report: Json, result: Result, verdicts: dict[str, Review]) -> None:
    """Say in the report what was verified; it is final, or an error, when all of it is."""
    said = [verdicts.get(finding.coding.code) for finding in result.analysis.findings]
    if not verdicts:
        return
    statuses = {PRELIMINARY if one is None else _STATUS[one.verdict] for one in said}
    if PRELIMINARY not in statuses:
        report["status"] = FINAL if FINAL in statuses else ERROR
        report["issued"] = max(one.at for one in said if one is not None).isoformat()
    if report["status"] == FINAL:
        verifiers = {one.reviewer: None for one in said if one and _STATUS[one.verdict] == FINAL}
        report["resultsInterpreter"] = [{"reference": reviewer} for reviewer in verifiers]
    report["conclusion"] = _conclusion(result, verdicts)


def _conclusion(result: Result, verdicts: dict[str, Review]) -> str:
    parts = "; ".join(
        f"{_said_by_ai(finding)}: {_said_of_it(verdicts.get(finding.coding.code))}"
        for finding in result.analysis.findings
    )
    return f"AI: {parts}. {result.analysis.model.label}"


def _said_by_ai(finding: Finding) -> str:
    says = {True: "signs of {}", False: "no signs of {}", None: "uncertain about {}"}
    words = says[finding.present].format(finding.coding.display.lower())
    score = score_text(finding.probability)
    return f"{words} (AI score {score}, threshold {finding.threshold:.2f})"


def _said_of_it(said: Review | None) -> str:
    if said is None:
        return "not verified by a clinician"
    return "rejected by a clinician" if _STATUS[said.verdict] == ERROR else "a clinician agrees"


def _statement(said: Review, observation_url: str, report_url: str) -> Json:
    """Make the entry of a review's Provenance."""
    activity, part = _ACTIVITY[said.verdict]
    name = f"urn:uuid:{review_uuid(said)}"
    provenance: Json = {
        "resourceType": "Provenance",
        "target": [{"reference": observation_url}, {"reference": report_url}],
        "recorded": said.at.isoformat(),
        "activity": {"coding": [{"system": DATA_OPERATION, "code": activity}]},
        "agent": [
            {
                "type": {"coding": [{"system": PARTICIPANT, "code": part}]},
                "who": {"reference": said.reviewer},
            }
        ],
        "entity": [
            {
                "role": "source",
                "what": {
                    "identifier": {"system": URI, "value": name},
                    "display": "Review in Sightline",
                },
            }
        ],
    }
    if said.reason is not None:
        provenance["reason"] = [_reason(said.reason)]
    request = {"method": "POST", "url": "Provenance"}
    return {"fullUrl": name, "resource": provenance, "request": request}


def _reason(reason: Reason) -> Json:
    coding = {"system": REASON_SYSTEM, "code": reason.value, "display": reason.display}
    return {"coding": [coding], "text": reason.display}
