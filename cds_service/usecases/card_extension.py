"""What a card says to machines: by which model about which study, and when.

A client can tell a stale card by it. No study UID is in it, and no text of the EHR.

Source: CDS Hooks 2.0 "Extensions" (ch2:214-215: objects under reverse-DNS names).
"""

from datetime import UTC, datetime
from typing import Any

from cds_service.domain.finding import ModelIdentity, Result
from cds_service.domain.imaging_terms import KINDS
from cds_service.domain.study import StudyReference

RESULT_EXTENSION = "org.example.sightline.ai-result"
HELD_BACK_EXTENSION = "org.example.sightline.held-back"

Extension = dict[str, dict[str, Any]]


def of_analysis(
    model: ModelIdentity, started: datetime | None, study: StudyReference | None
) -> Extension:
    """Describe an analysis that has no result yet."""
    modality = next((one for one in study.modalities if one in KINDS), None) if study else None
    stated = {
        "studyDate": started.date().isoformat() if started else None,
        "modality": modality,
        "modelId": model.id,
        "modelVersion": model.version,
        "modelDigest": model.digest,
    }
    return {RESULT_EXTENSION: {name: value for name, value in stated.items() if value}}


def of_result(result: Result, study: StudyReference | None) -> Extension:
    """Describe a result; its id is opaque."""
    extension = of_analysis(result.analysis.model, result.study_started, study)
    moment = result.computed_at.astimezone(UTC).isoformat(timespec="seconds")
    extension[RESULT_EXTENSION] |= {
        "resultId": result.id,
        "computedAt": moment.replace("+00:00", "Z"),
    }
    return extension


def of_held_back(count: int) -> Extension:
    """Say how many notices a site's limit holds back."""
    return {HELD_BACK_EXTENSION: {"count": count}}
