"""An audit event: who did what to which record, and how it ended.

Source: IHE BALP 1.1; FHIR R4 AuditEvent.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class AuditAction(StrEnum):
    """What was done; the value is stable, the log is read for years."""

    HOOK_ANSWERED = "hook-answered"
    EHR_READ = "ehr-read"
    STUDY_FETCHED = "study-fetched"
    RESULT_PUBLISHED = "result-published"
    APP_LAUNCHED = "app-launched"
    RESULT_VIEWED = "result-viewed"
    WORKLIST_VIEWED = "worklist-viewed"
    FINDING_REVIEWED = "finding-reviewed"
    REVIEW_PUBLISHED = "review-published"
    FEEDBACK_RECEIVED = "feedback-received"
    PATIENT_MISMATCH = "patient-mismatch"
    NAME_DIFFERS = "name-differs"
    PIXELS_DIFFER = "pixels-differ"
    ADDRESS_REFUSED = "address-refused"
    EHR_REGISTERED = "ehr-registered"
    EHR_CHANGED = "ehr-changed"
    EHR_REMOVED = "ehr-removed"
    ALERTS_SET = "alerts-set"
    JOB_RELEASED = "job-released"
    MODEL_IMPORTED = "model-imported"
    MODEL_ENABLED = "model-enabled"
    MODEL_REMOVED = "model-removed"
    INTAKE_OPENED = "intake-opened"
    INTAKE_CLOSED = "intake-closed"
    PUSH_ALLOWED = "push-allowed"
    PUSH_REVOKED = "push-revoked"
    ARCHIVE_CREDENTIAL_SET = "archive-credential-set"
    ARCHIVE_CREDENTIAL_REMOVED = "archive-credential-removed"
    IMAGES_PUSHED = "images-pushed"
    IMAGES_ERASED = "images-erased"
    CALL_REFUSED = "call-refused"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One line of the append-only audit log. Holds references, never clinical values."""

    action: AuditAction
    at: datetime
    tenant_id: str | None
    agent: str  # "worker", "cds-client", a FHIR reference such as "Practitioner/1"
    outcome: str  # "success" or the class of the error
    patient_id: str | None = None
    study_uid: str | None = None
    detail: str = ""  # our own words
