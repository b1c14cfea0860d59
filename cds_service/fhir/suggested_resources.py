"""The resources that a card suggests to create: a request for a second read, a note of having seen.

Neither says that the patient has anything: the model's words stay the model's words. References
go only to what the hook or the ledger named.

Source: FHIR R4 ServiceRequest, Task; CDS Hooks 2.0 "Action" (a create holds a whole resource).
"""

from typing import Any

from cds_service.domain.finding import Result
from cds_service.fhir.imaging_study import SNOMED

Json = dict[str, Any]

# A second read, not a second exposure: nobody should be X-rayed again because a model said so.
_CONSULTATION = {"system": SNOMED, "code": "11429006", "display": "Consultation"}
_IMAGING = {"system": SNOMED, "code": "363679005", "display": "Imaging"}
_CLINICIANS = ("Practitioner/", "PractitionerRole/")


def radiology_review(
    result: Result, what: str, *, user: str | None, encounter: str | None, is_urgent: bool
) -> Json:
    """Ask radiology to read the study; `what` is our own sentence about study and finding."""
    return _without_gaps(
        resourceType="ServiceRequest",
        status="draft",
        intent="proposal",
        category=[{"coding": [_IMAGING]}],
        priority="urgent" if is_urgent else "routine",
        code={"coding": [_CONSULTATION], "text": "Radiology review of an AI finding"},
        subject={"reference": f"Patient/{result.patient_id}"},
        encounter=_encounter(encounter),
        requester=_clinician(user),
        reasonCode=[{"text": what}],
        supportingInfo=_study(result) and [_study(result)],
    )


def acknowledgement(result: Result, what: str, *, user: str | None, encounter: str | None) -> Json:
    """Note that the clinician has seen the finding and takes care of it."""
    return _without_gaps(
        resourceType="Task",
        status="completed",
        intent="order",
        code={"text": "AI finding seen"},
        description=what,
        focus=_study(result),
        **{"for": {"reference": f"Patient/{result.patient_id}"}},
        encounter=_encounter(encounter),
        owner=_clinician(user),
    )


def _study(result: Result) -> Json | None:
    named = result.imaging_study_id
    return {"reference": f"ImagingStudy/{named}"} if named else None


def _encounter(encounter: str | None) -> Json | None:
    return {"reference": f"Encounter/{encounter}"} if encounter else None


def _clinician(user: str | None) -> Json | None:
    return {"reference": user} if user and user.startswith(_CLINICIANS) else None


def _without_gaps(**fields: object) -> Json:
    return {name: value for name, value in fields.items() if value is not None}
