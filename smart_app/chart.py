"""What the app reads from the EHR with the launch's own token: the patient, and their studies.

Source: FHIR R4 Patient, ImagingStudy; SMART App Launch 2.2 "need_patient_banner".
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlencode

from cds_service.domain.study import PatientFacts, StudyReference
from cds_service.domain.vocabulary import marked
from cds_service.errors import (
    EhrAnswerInvalid,
    EhrRefused,
    NotFound,
    ScopeDenied,
    UpstreamFailed,
)
from cds_service.fhir.imaging_study import has_identifier, patient_in, resources, studies_in
from smart_app.grant import BY_IDENTIFIER
from smart_app.language import _, day_text
from smart_app.open_launch import OpenLaunch

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 3.0  # a page waits no longer for its banner
Json = Mapping[str, Any]
_SEX = {
    "female": marked("female"),
    "male": marked("male"),
    "other": marked("other sex"),
    "unknown": marked("sex unknown"),
    "": marked("sex not stated"),
}


@dataclass(frozen=True, slots=True)
class Banner:
    """Who the patient is, as the chart says it."""

    name: str
    birth_date: str  # "1 Jun 2022"; a year or a month only stays as the EHR states it
    age: str
    sex: str


def banner_of(launch: OpenLaunch) -> Banner | None:
    """Read the patient; None when the EHR does not let us or does not answer."""
    try:
        patient = read(launch, f"Patient/{launch.session.patient_id}")
    except (UpstreamFailed, ScopeDenied) as error:
        log.warning("app: no banner, %s, tenant=%s", type(error).__name__, launch.tenant.id)
        return None
    return banner_in(patient, launch.house.clock().date())


def banner_in(patient: Json, today: date) -> Banner:
    """Return who the patient is, from a FHIR Patient."""
    born = patient.get("birthDate") if isinstance(patient.get("birthDate"), str) else ""
    return Banner(
        name=_name(patient),
        birth_date=birth_date_in_words(born or ""),
        age=age_in_words(born or "", today),
        sex=_(_SEX.get(str(patient.get("gender")), _SEX[""])),
    )


def patient_of(launch: OpenLaunch) -> PatientFacts | None:
    """Read who the patient is, to compare with the images; None when the EHR does not tell."""
    patient_id = launch.session.patient_id
    try:
        return patient_in(read(launch, f"Patient/{patient_id}"), patient_id)
    except (UpstreamFailed, ScopeDenied) as error:
        log.warning("app: no patient, %s, tenant=%s", type(error).__name__, launch.tenant.id)
        return None


def study_of(launch: OpenLaunch, imaging_study_id: str) -> StudyReference:
    """Read one ImagingStudy of the launch; raise NotFound, EhrBusy or EhrTimedOut.

    imaging_study_id   its logical id, or "identifier=<system>|<value>" from the launch's context

    One whose subject is another patient is not found: the launch's context is not believed.
    """
    unknown = NotFound("This study is not in this patient's chart.")
    try:
        document = _named_by_launch(launch, imaging_study_id)
    except (EhrRefused, EhrAnswerInvalid, ScopeDenied) as error:
        raise unknown from error
    studies = stated_studies(launch, document)
    if not studies:
        raise unknown
    return studies[0]


def _named_by_launch(launch: OpenLaunch, name: str) -> Json:
    if not name.startswith(BY_IDENTIFIER):
        return read(launch, f"ImagingStudy/{name}")
    token = name.removeprefix(BY_IDENTIFIER)
    system, _bar, value = token.partition("|")
    sought = token if system else value  # "|x" would be an identifier that has no system
    query = urlencode({"patient": launch.session.patient_id, "identifier": sought})
    found = read(launch, f"ImagingStudy?{query}")
    # A server that does not know the parameter answers with every study.
    named = [study for study in resources(found) if has_identifier(study, system, value)]
    return {"resourceType": "Bundle", "entry": [{"resource": study} for study in named]}


def stated_studies(launch: OpenLaunch, document: Json) -> list[StudyReference]:
    """Return the studies of this patient in an answer of the EHR."""
    return studies_in(document, launch.session.tenant_id, launch.session.patient_id)


def age_in_words(birth_date: str, today: date) -> str:
    """Return "4 y", "17 mo" or "9 d"; "" when the birth date is not a full date before today."""
    try:
        born = date.fromisoformat(birth_date)
    except ValueError:
        return ""
    if born > today:
        return ""
    months = (today.year - born.year) * 12 + today.month - born.month - (today.day < born.day)
    if months >= 24:
        return _("%(count)s y", count=months // 12)
    if months >= 1:
        return _("%(count)s mo", count=months)
    return _("%(count)s d", count=(today - born).days)


def birth_date_in_words(birth_date: str) -> str:
    """Return "1 Jun 2022"; a partial or odd date as it stands."""
    try:
        born = date.fromisoformat(birth_date)
    except ValueError:
        return birth_date
    return day_text(born)


def read(launch: OpenLaunch, path: str) -> Json:
    """Read with the launch's own token; raise ScopeDenied, UpstreamFailed, SessionEnded."""
    now = launch.house.clock().timestamp()
    return launch.house.ehr.read(
        launch.tenant,
        path,
        authorization=launch.session.authorization(now),
        timeout_s=READ_TIMEOUT_S,
    )


def _name(patient: Json) -> str:
    """Return "Family, Given" of the official name, else of the first one."""
    names = [name for name in patient.get("name") or () if isinstance(name, dict)]
    names.sort(key=lambda name: name.get("use") != "official")
    for name in names:
        given = " ".join(str(part) for part in name.get("given") or ())
        written = ", ".join(part for part in (str(name.get("family") or ""), given) if part)
        if written or name.get("text"):
            return written or str(name["text"])
    return _("Name not stated")
