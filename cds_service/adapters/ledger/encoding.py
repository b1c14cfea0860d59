"""Domain values to and from the JSON columns of the ledger.

Readers name every field, so that a column written by a newer Sightline with more fields still
reads, and give those that older ones did not write their defaults.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from cds_service.domain.archive_credential import AccessKind, ArchiveCredential
from cds_service.domain.finding import (
    Activation,
    Analysis,
    AnalysisStatus,
    Box,
    Coding,
    Finding,
    InstanceReason,
    MapMethod,
    ModelIdentity,
    PixelDigest,
    Reason,
    Timings,
)
from cds_service.domain.study import PatientFacts, SeriesReference, StudyReference

Document = dict[str, Any]


def time_text(value: datetime | None) -> str | None:
    """Write a time as ISO 8601 with the offset that it came with."""
    return None if value is None else value.isoformat()


def time_from(text: str | None) -> datetime | None:
    """Read what `time_text` wrote."""
    return None if text is None else datetime.fromisoformat(text)


def study_document(study: StudyReference) -> Document:
    """Write a study reference."""
    return asdict(study) | {"started": time_text(study.started)}


def study_from(document: Document) -> StudyReference:
    """Read a study reference."""
    return StudyReference(
        tenant_id=document["tenant_id"],
        study_uid=document["study_uid"],
        patient_id=document["patient_id"],
        imaging_study_id=document["imaging_study_id"],
        started=time_from(document["started"]),
        description=document["description"],
        modalities=tuple(document["modalities"]),
        series=tuple(
            SeriesReference(
                uid=series["uid"],
                modality=series["modality"],
                body_sites=tuple(series["body_sites"]),
                instance_count=series["instance_count"],
            )
            for series in document["series"]
        ),
        series_count=document["series_count"],
        instance_count=document["instance_count"],
        archive_url=document["archive_url"],
        accession=document["accession"],
        service_request_id=document["service_request_id"],
        other_accessions=tuple(document.get("other_accessions", ())),
    )


def credentials_document(credentials: Iterable[ArchiveCredential]) -> list[Document]:
    """Write archive credentials, their secrets sealed as they are."""
    return [asdict(one) | {"sealed": b64encode(one.sealed).decode()} for one in credentials]


def credentials_from(documents: Iterable[Document]) -> tuple[ArchiveCredential, ...]:
    """Read archive credentials."""
    return tuple(
        ArchiveCredential(
            base=one["base"],
            kind=AccessKind(one["kind"]),
            sealed=b64decode(one["sealed"]),
            name=one["name"],
            token_url=one["token_url"],
            scope=one["scope"],
        )
        for one in documents
    )


def patient_bytes(patient: PatientFacts) -> bytes:
    """Write the patient's facts, to be sealed."""
    birth_date = None if patient.birth_date is None else patient.birth_date.isoformat()
    return json.dumps(asdict(patient) | {"birth_date": birth_date}).encode()


def patient_from(data: bytes) -> PatientFacts:
    """Read the patient's facts."""
    document = json.loads(data)
    birth_date = document["birth_date"]
    return PatientFacts(
        patient_id=document["patient_id"],
        identifiers=tuple(document["identifiers"]),
        birth_date=None if birth_date is None else date.fromisoformat(birth_date),
        sex=document["sex"],
        names=tuple(document.get("names", ())),
        issuers=tuple(document.get("issuers", ())),
        born_in=document.get("born_in", ""),
    )


def analysis_document(analysis: Analysis) -> Document:
    """Write an analysis with its findings and activations."""
    return asdict(analysis)


def analysis_from(document: Document) -> Analysis:
    """Read an analysis."""
    reason, timings = document["reason"], document["timings"]
    return Analysis(
        study_uid=document["study_uid"],
        status=AnalysisStatus(document["status"]),
        reason=None if reason is None else Reason(reason["code"], reason["text"]),
        model=_model_from(document["model"]),
        findings=tuple(_finding_from(finding) for finding in document["findings"]),
        instances=tuple(
            InstanceReason(item["code"], item["text"], item["sop_uid"], item["path"])
            for item in document["instances"]
        ),
        instance_digests=tuple(document["instance_digests"]),
        timings=Timings(timings["read"], timings["prepare"], timings["infer"], timings["total"]),
        notes=tuple(document.get("notes", ())),
        pixel_digests=tuple(
            PixelDigest(item["instance"], item["frame"], item["sha256"], item["decoder"])
            for item in document.get("pixel_digests", ())
        ),
    )


def coding_from(document: Document) -> Coding:
    """Read a coding."""
    return Coding(document["system"], document["code"], document["display"])


def _model_from(document: Document) -> ModelIdentity:
    return ModelIdentity(
        id=document["id"],
        version=document["version"],
        digest=document["digest"],
        title=document["title"],
        label=document["label"],
    )


def _activation_from(document: Document) -> Activation:
    return Activation(
        rows=document["rows"],
        columns=document["columns"],
        values=tuple(document["values"]),
        method=MapMethod(document.get("method", MapMethod.ACTIVATION)),
    )


def _finding_from(document: Document) -> Finding:
    region, activation = document["region"], document["activation"]
    site = document.get("body_site")
    return Finding(
        coding=coding_from(document["coding"]),
        probability=document["probability"],
        threshold=document["threshold"],
        present=document["present"],
        series_uid=document["series_uid"],
        sop_uid=document["sop_uid"],
        critical=document["critical"],
        region=None
        if region is None
        else Box(region["left"], region["top"], region["width"], region["height"]),
        activation=None if activation is None else _activation_from(activation),
        guards=tuple(document.get("guards", ())),
        body_site=None if site is None else coding_from(site),
        frame=document.get("frame", 1),
    )
