"""The visit in the chart: opened, followed up, discharged, and the hook that each step fires.

Source: CDS Hooks Library 1.0.1 (encounter-start, encounter-discharge, appointment-book).
"""

from datetime import timedelta

from flask import Blueprint, Response

from cds_service.sandbox import ehr_client, orders, visits
from cds_service.sandbox.chart_answer import answer, json_body
from cds_service.sandbox.outcomes import BusinessRule, Resource
from cds_service.sandbox.parts import sandbox_parts
from cds_service.sandbox.record_view import day

FOLLOW_UP = timedelta(days=7)

blueprint = Blueprint("visit", __name__, url_prefix="/chart/<patient_id>")


@blueprint.post("/visit/start")
def start_visit(patient_id: str) -> Response:
    """Open a visit and fire encounter-start."""
    json_body()
    visits.start_visit(sandbox_parts(), patient_id)
    hook = ehr_client.ENCOUNTER_START
    fired = ehr_client.fire(sandbox_parts(), patient_id, hook)
    return answer(patient_id, fired, note=f"Visit opened ({hook})")


@blueprint.post("/visit/discharge")
def begin_discharge(patient_id: str) -> Response:
    """Fire encounter-discharge; the visit goes on until the discharge is completed."""
    json_body()
    if visits.open_visit(sandbox_parts(), patient_id) is None:
        raise BusinessRule("no visit is in progress")
    hook = ehr_client.ENCOUNTER_DISCHARGE
    fired = ehr_client.fire(sandbox_parts(), patient_id, hook)
    return answer(patient_id, fired, note=f"Before discharge ({hook})", is_leaving=True)


@blueprint.post("/visit/resume")
def resume_visit(patient_id: str) -> Response:
    """Give the discharge up."""
    json_body()
    return answer(patient_id, note="The visit goes on")


@blueprint.post("/visit/end")
def end_visit(patient_id: str) -> Response:
    """Complete the discharge."""
    json_body()
    visit = visits.open_visit(sandbox_parts(), patient_id)
    if visit is not None:
        visits.end_visit(sandbox_parts(), visit)
    return answer(patient_id, note="Discharged")


@blueprint.post("/appointments")
def propose_appointment(patient_id: str) -> Response:
    """Propose a follow-up and fire appointment-book; this EHR keeps no calendar."""
    json_body()
    start = sandbox_parts().config.now().replace(hour=9, minute=0, second=0, microsecond=0)
    start += FOLLOW_UP
    participants = (f"Patient/{patient_id}", sandbox_parts().config.clinician)
    appointment: Resource = {
        "resourceType": "Appointment",
        "id": "follow-up",
        "status": "proposed",
        "start": start.isoformat(),
        "end": (start + timedelta(minutes=20)).isoformat(),
        "participant": [
            {"actor": {"reference": reference}, "status": "needs-action"}
            for reference in participants
        ],
    }
    hook = ehr_client.APPOINTMENT_BOOK
    proposed = {"appointments": orders.as_bundle(sandbox_parts(), [appointment])}
    fired = ehr_client.fire(sandbox_parts(), patient_id, hook, proposed)
    when = day(start.date().isoformat())
    return answer(patient_id, fired, note=f"Follow-up on {when} proposed ({hook})")
