"""Builders: domain values with sensible defaults, so that a test states only what matters."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from cds_service.adapters.client_assertion import ClientAssertion
from cds_service.adapters.signing_keys import fresh_keys
from cds_service.domain.finding import (
    Analysis,
    AnalysisStatus,
    Coding,
    Finding,
    ModelIdentity,
    Reason,
    Result,
    Timings,
)
from cds_service.domain.study import PatientFacts, SeriesReference, StudyReference
from cds_service.domain.tenant import Tenant

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
PNEUMONIA = Coding("http://snomed.info/sct", "233604007", "Pneumonia")


def a_tenant(**changes: Any) -> Tenant:
    values: dict[str, Any] = {
        "id": "t-1",
        "name": "General Hospital",
        "fhir_base": "http://127.0.0.1:9/fhir",
        "hook_issuer": "https://ehr.example.org",
        "jwks": '{"keys": []}',
        "client_id": "sightline",
        "archive_base": "http://127.0.0.1:9/dicom-web",
        "origins": ("https://ehr.example.org",),
    }
    return Tenant(**(values | changes))


def a_study(**changes: Any) -> StudyReference:
    values: dict[str, Any] = {
        "tenant_id": "t-1",
        "study_uid": "1.2.840.99999.1",
        "patient_id": "p-1",
        "imaging_study_id": "s-1",
        "started": datetime(2026, 1, 2, 8, 30, tzinfo=UTC),
        "description": "Chest X-ray",
        "modalities": ("DX",),
        "series": (SeriesReference("1.2.840.99999.1.1", "DX", ("51185008",), 1),),
        "series_count": 1,
        "instance_count": 1,
    }
    return StudyReference(**(values | changes))


def a_patient(**changes: Any) -> PatientFacts:
    values: dict[str, Any] = {
        "patient_id": "p-1",
        "identifiers": ("MRN-1",),
        "birth_date": date(2022, 6, 1),
        "sex": "male",
    }
    return PatientFacts(**(values | changes))


def a_model(**changes: Any) -> ModelIdentity:
    values: dict[str, Any] = {
        "id": "cxr_pneumonia_peds",
        "version": "0.1.0",
        "digest": "sha256:" + "0" * 64,
        "title": "Sightline paediatric pneumonia",
        "label": "Reference model. Not a medical device.",
    }
    return ModelIdentity(**(values | changes))


def a_finding(**changes: Any) -> Finding:
    values: dict[str, Any] = {
        "coding": PNEUMONIA,
        "probability": 0.93,
        "threshold": 0.62,
        "present": True,
        "series_uid": "1.2.840.99999.1.1",
        "sop_uid": "1.2.840.99999.1.1.1",
    }
    return Finding(**(values | changes))


def an_analysis(**changes: Any) -> Analysis:
    values: dict[str, Any] = {
        "study_uid": "1.2.840.99999.1",
        "status": AnalysisStatus.ANALYSED,
        "reason": None,
        "model": a_model(),
        "findings": (a_finding(),),
        "instances": (),
        "instance_digests": ("d" * 64,),
        "timings": Timings(read=10.0, prepare=5.0, infer=20.0, total=36.0),
    }
    return Analysis(**(values | changes))


def not_analysed(code: str, text: str, **changes: Any) -> Analysis:
    return an_analysis(
        status=AnalysisStatus.NOT_ANALYSED, reason=Reason(code, text), findings=(), **changes
    )


def a_result(**changes: Any) -> Result:
    values: dict[str, Any] = {
        "id": "r-1",
        "key": "k-1",
        "tenant_id": "t-1",
        "patient_id": "p-1",
        "study_uid": "1.2.840.99999.1",
        "imaging_study_id": "s-1",
        "study_started": datetime(2026, 1, 2, 8, 30, tzinfo=UTC),
        "study_description": "Chest X-ray",
        "analysis": an_analysis(),
        "computed_at": NOW,
    }
    return Result(**(values | changes))


def a_signer(clock: Callable[[], datetime] | None = None) -> ClientAssertion:
    """Our client assertions, with keys of their own: ES384 and RS384, current and next."""
    keys = fresh_keys(datetime.now(UTC) if clock is None else clock())
    return ClientAssertion(lambda: keys) if clock is None else ClientAssertion(lambda: keys, clock)
