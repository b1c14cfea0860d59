"""What the signed-in user's own token can read, asked of the EHR and kept for a minute at most.

Nothing is shown because our ledger knows it: a study is readable when the EHR, under this user's
token, answers its ImagingStudy with the same patient and study UID, and that Patient. Where an EHR
has no ImagingStudy it answers instead the order, or else a report, of this patient that has the
accession number by which the study was found.

Source: FHIR R4 "search" (`_id` with several values); SMART App Launch 2.2 user scopes; threat T9.
"""

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from cds_service.domain.tenant import Tenant
from cds_service.domain.worklist import ChartStudy
from cds_service.errors import EhrAnswerInvalid, EhrRefused, EhrTokenRefused
from cds_service.fhir.accession_numbers import accessions_in
from cds_service.fhir.imaging_study import logical_id, resources, studies_in
from cds_service.usecases.gather_prefetch import REPORTS, path_of
from cds_service.usecases.ports import Resource
from smart_app.services import AppServices
from smart_app.session import LaunchSession, SealedStore

log = logging.getLogger(__name__)

KEPT_S = 60
IDS_PER_SEARCH = 40
# Searches that the EHR may refuse in one request of ours, before the rest counts as refused.
REFUSALS = 60
# Patients whose reports are read for one request of ours: an EHR has no search for several.
REPORT_READS = 20
READ_TIMEOUT_S = 3.0
KIND = "readable"  # in the sealed store
ORDER = "ServiceRequest"
_SHOWN = ("name", "gender", "birthDate")  # what is kept of a Patient

Json = Mapping[str, Any]


class ReadableSet:
    """The ReadableStudies port for one session.

    handle   of the session, without the part that names one of its charts
    """

    def __init__(
        self, handle: str, session: LaunchSession, tenant: Tenant, house: AppServices
    ) -> None:
        self._handle, self._session, self._tenant, self._house = handle, session, tenant, house
        self._store = SealedStore(house.redis, house.vault)
        self._refused, self._reports_read, self._gave_up = 0, 0, False
        now = house.clock().timestamp()
        kept = self._store.get(KIND, handle) or {}
        # "Patient/1": [when it was asked, what it says; None where it cannot be read]
        self._kept = {name: one for name, one in kept.items() if 0 <= now - one[0] < KEPT_S}

    @property
    def gave_up(self) -> bool:
        """Whether the EHR refused so often that it was not asked about all of them."""
        return self._gave_up

    def among(self, studies: Iterable[ChartStudy]) -> set[ChartStudy]:
        """Return those whose Patient can be read, and what leads to them; raise UpstreamFailed."""
        wanted = set(studies)
        has_studies = self._tenant.has_imaging_studies
        found = self._stated(wanted) if has_studies else self._numbered(wanted)
        self._ask("Patient", {one.patient_id for one in found})
        return {one for one in found if self._said("Patient", one.patient_id) is not None}

    def patient(self, patient_id: str) -> Json:
        """Return what a patient whose study is `among` them is called."""
        return self._said("Patient", patient_id) or {}

    def _stated(self, wanted: set[ChartStudy]) -> set[ChartStudy]:
        """Return those that their ImagingStudy states as we know them."""
        self._ask("ImagingStudy", {one.imaging_study_id for one in wanted})
        return {
            one
            for one in wanted
            if self._said("ImagingStudy", one.imaging_study_id) == [one.patient_id, one.study_uid]
        }

    def _numbered(self, wanted: set[ChartStudy]) -> set[ChartStudy]:
        """Return those whose number their order has, or else a report of their patient."""
        if self._session.may(ORDER, "s"):
            self._ask(ORDER, {one.service_request_id for one in wanted if one.accessions})
        ordered = {one for one in wanted if self._named(ORDER, one, one.service_request_id)}
        others = {one for one in wanted - ordered if one.accessions}
        if self._session.may("DiagnosticReport", "s"):
            self._ask_reports({one.patient_id for one in others})
        return ordered | {one for one in others if self._named(REPORTS, one, one.patient_id)}

    def _named(self, kind: str, study: ChartStudy, key: str | None) -> bool:
        """Tell whether what was read has a number of this study, and is of its patient."""
        patient_id, *numbers = self._said(kind, key) or [None]
        return patient_id == study.patient_id and not set(numbers).isdisjoint(study.accessions)

    def _said(self, kind: str, key: str | None) -> Any:  # noqa: ANN401  as JSON gives it
        return self._kept.get(f"{kind}/{key}", (0, None))[1]

    def _ask_reports(self, patient_ids: Collection[str]) -> None:
        missing = sorted(one for one in patient_ids if f"{REPORTS}/{one}" not in self._kept)
        for patient_id in missing:
            if self._reports_read >= REPORT_READS:
                self._gave_up = True
                break
            self._reports_read += 1
            now = self._house.clock().timestamp()
            self._kept[f"{REPORTS}/{patient_id}"] = [now, self._reports(patient_id)]
        if missing:
            self._store.put(KIND, self._handle, self._kept, KEPT_S)

    def _reports(self, patient_id: str) -> list[str] | None:
        """Return the patient and the numbers of their reports; None where none can be read."""
        try:
            answer = self._read(path_of(REPORTS, patient_id))
        except EhrTokenRefused:
            raise
        except (EhrRefused, EhrAnswerInvalid):  # not for this user, or no such type
            return None
        named = [one.number for one in accessions_in(answer) if one.patient_id == patient_id]
        return [patient_id, *named]

    def _ask(self, kind: str, ids: Iterable[str | None]) -> None:
        missing = sorted(one for one in set(ids) if one and f"{kind}/{one}" not in self._kept)
        if not missing:
            return
        now = self._house.clock().timestamp()
        for start in range(0, len(missing), IDS_PER_SEARCH):
            chunk = missing[start : start + IDS_PER_SEARCH]
            self._kept |= {
                f"{kind}/{one}": [now, known] for one, known in self._search(kind, chunk).items()
            }
        self._store.put(KIND, self._handle, self._kept, KEPT_S)

    def _search(self, kind: str, ids: list[str]) -> dict[str, Any]:
        """Return what is known of those that were asked about, by id; None: cannot be read."""
        if self._refused >= REFUSALS:
            self._gave_up = True
            return {}
        try:
            answer = self._read(f"{kind}?_id={','.join(ids)}&_count={len(ids)}")
        except EhrTokenRefused:
            raise
        except EhrRefused:
            # Some servers, such as HAPI FHIR with its AuthorizationInterceptor, refuse a whole
            # search when one resource in it is not for this user.
            self._refused += 1
            half = len(ids) // 2
            if not half:
                return {ids[0]: None}
            return self._search(kind, ids[:half]) | self._search(kind, ids[half:])
        found = {
            str(one["id"]): self._known(one)
            for one in resources(answer)
            if one.get("resourceType") == kind
        }
        return {one: found.get(one) for one in ids}

    def _read(self, path: str) -> Resource:
        return self._house.ehr.read(
            self._tenant,
            path,
            authorization=self._session.authorization(self._house.clock().timestamp()),
            timeout_s=READ_TIMEOUT_S,
        )

    def _known(self, resource: Json) -> dict[str, Any] | list[str] | None:
        if resource["resourceType"] == "Patient":
            return {name: resource[name] for name in _SHOWN if name in resource}
        if resource["resourceType"] == ORDER:
            named = accessions_in(resource)
            return [named[0].patient_id, *(one.number for one in named)] if named else None
        patient_id = logical_id(resource.get("subject"), "Patient") or ""
        studies = studies_in(resource, self._tenant.id, patient_id)
        return [patient_id, studies[0].study_uid] if studies else None
