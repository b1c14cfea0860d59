"""FHIR resources as the chart shows them: people, studies and results in a line each.

Source: FHIR R4 Patient, ImagingStudy, Observation, DiagnosticReport; HL7 AI Transparency on FHIR
1.0.0 (meta.security AIAST).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from cds_service.sandbox.outcomes import Resource
from cds_service.sandbox.patients import PATIENTS

_SHOWS = {row.id: row.shows for row in PATIENTS}


@dataclass(frozen=True, slots=True)
class PatientView:
    """Who the chart belongs to."""

    id: str
    name: str
    sex: str
    age: str
    born: str
    mrn: str
    reason: str
    shows: str  # what this demonstration patient is there for


@dataclass(frozen=True, slots=True)
class StudyView:
    """One imaging study."""

    id: str
    started: str
    modality: str
    description: str
    images: int
    accession: str


@dataclass(frozen=True, slots=True)
class ResultView:
    """One Observation or DiagnosticReport."""

    name: str
    value: str
    details: tuple[str, ...]
    status: str
    issued: str
    is_from_ai: bool
    is_member: bool  # of the report above it


def patient_view(patient: Resource, encounters: Sequence[Resource], today: date) -> PatientView:
    """Read a Patient; what it does not state stays empty."""
    name = (patient.get("name") or [{}])[0]
    born = patient.get("birthDate", "")
    reasons = [reason.get("text", "") for e in encounters for reason in e.get("reasonCode", [])]
    return PatientView(
        id=patient["id"],
        name=", ".join(filter(None, [name.get("family"), " ".join(name.get("given", []))])),
        sex=patient.get("gender", "unknown").capitalize(),
        age=age(date.fromisoformat(born), today) if len(born) == 10 else "",
        born=day(born),
        mrn=next((item.get("value", "") for item in patient.get("identifier", [])), ""),
        reason=reasons[0] if reasons else "",
        shows=_SHOWS.get(patient["id"], ""),
    )


def study_views(studies: Sequence[Resource]) -> list[StudyView]:
    """Read the studies, newest first."""
    newest_first = sorted(studies, key=lambda study: study.get("started", ""), reverse=True)
    return [
        StudyView(
            id=study["id"],
            started=moment(study.get("started", "")),
            modality=" ".join(item.get("code", "") for item in study.get("modality", [])),
            description=study.get("description", ""),
            images=study.get("numberOfInstances", 0),
            accession=_accession(study),
        )
        for study in newest_first
    ]


def result_views(reports: Sequence[Resource], observations: Sequence[Resource]) -> list[ResultView]:
    """Read the results: each report with its observations under it, then the others."""
    by_reference = {f"Observation/{item['id']}": item for item in observations}
    views: list[ResultView] = []
    for report in _newest_first(reports):
        views.append(_report(report))
        for reference in report.get("result", []):
            if member := by_reference.pop(reference.get("reference"), None):
                views.append(_observation(member, is_member=True))
    return views + [_observation(item) for item in _newest_first(list(by_reference.values()))]


def age(born: date, today: date) -> str:
    """Say how old: months under two years, as paediatric charts do."""
    months = (today.year - born.year) * 12 + today.month - born.month - (today.day < born.day)
    return f"{months} mo" if months < 24 else f"{months // 12} y"


def day(text: str) -> str:
    """Show a FHIR date as `2 Jan 2026`, or as it is where it is not a whole day."""
    return f"{date.fromisoformat(text):%-d %b %Y}" if len(text) == 10 else text


def moment(text: str) -> str:
    """Show a FHIR dateTime as `2 Jan 2026, 09:12`, in the time zone it was written in."""
    return f"{datetime.fromisoformat(text):%-d %b %Y, %H:%M}" if "T" in text else day(text)


def _newest_first(resources: Sequence[Resource]) -> list[Resource]:
    return sorted(resources, key=_issued, reverse=True)


def _issued(resource: Resource) -> str:
    return str(resource.get("issued") or resource.get("effectiveDateTime") or "")


def _report(report: Resource) -> ResultView:
    return ResultView(
        name=words(report.get("code")) or "Report",
        value=report.get("conclusion", ""),
        details=(),
        status=report.get("status", "unknown"),
        issued=moment(_issued(report)),
        is_from_ai=_is_from_ai(report),
        is_member=False,
    )


def _observation(observation: Resource, *, is_member: bool = False) -> ResultView:
    return ResultView(
        name=words(observation.get("code")) or "Observation",
        value=_value(observation),
        details=tuple(_components(observation)),
        status=observation.get("status", "unknown"),
        issued=moment(_issued(observation)),
        is_from_ai=_is_from_ai(observation),
        is_member=is_member,
    )


def _components(observation: Resource) -> Iterator[str]:
    for component in observation.get("component", []):
        if value := _value(component):
            yield f"{words(component.get('code'))} {value}"


def _value(element: Resource) -> str:
    if "valueQuantity" in element:
        quantity = element["valueQuantity"]
        number, unit = quantity.get("value", ""), quantity.get("unit", "")
        return _ratio(number) if quantity.get("code") == "1" else f"{number} {unit}".strip()
    if "dataAbsentReason" in element:
        return words(element["dataAbsentReason"])
    return words(element.get("valueCodeableConcept")) or str(element.get("valueString", ""))


def _ratio(number: float) -> str:
    """Write a number without a unit in two digits; what is not quite 0 or 1 does not look so."""
    if 0 < number < 0.005:
        return "<0.01"
    return ">0.99" if 0.995 <= number < 1 else f"{number:.2f}"


def words(concept: Resource | None) -> str:
    """Return what a CodeableConcept says to people."""
    if not concept:
        return ""
    displays = [
        coding.get("display") or coding.get("code", "") for coding in concept.get("coding", [])
    ]
    return concept.get("text") or next(iter(displays), "")


def _accession(study: Resource) -> str:
    for identifier in study.get("identifier", []):
        kinds = [coding.get("code") for coding in identifier.get("type", {}).get("coding", [])]
        if "ACSN" in kinds:
            return str(identifier.get("value", ""))
    return ""


def _is_from_ai(resource: Resource) -> bool:
    labels = resource.get("meta", {}).get("security", [])
    return any(label.get("code") == "AIAST" for label in labels)
