"""The patient's visit: the Encounter in progress, opened and ended by the chart.

Source: FHIR R4 Encounter; CDS Hooks Library 1.0.1, encounter-start and encounter-discharge.
"""

from typing import Any

from cds_service.sandbox import fhir_writes
from cds_service.sandbox.outcomes import Resource
from cds_service.sandbox.parts import Sandbox
from cds_service.sandbox.records import visit


def open_visit(parts: Sandbox, patient_id: str) -> Resource | None:
    """Return the newest Encounter in progress, or None."""
    going_on = {"patient": patient_id, "status": "in-progress", "_sort": "-date"}
    return next(iter(parts.fhir.search("Encounter", going_on)), None)


def start_visit(parts: Sandbox, patient_id: str) -> Resource:
    """Return the visit in progress, or open one for the reason of the last."""
    if going_on := open_visit(parts, patient_id):
        return going_on
    earlier = parts.fhir.search("Encounter", {"patient": patient_id, "_sort": "-date"})
    reasons: list[Any] = earlier[0].get("reasonCode", []) if earlier else []
    reason = reasons[0].get("text", "") if reasons else ""
    fresh = visit(patient_id, reason or "Follow-up", parts.config.clinician, _now(parts))
    return fhir_writes.create(parts.fhir, fresh, fhir_writes.unguarded).resource


def end_visit(parts: Sandbox, encounter: Resource) -> Resource:
    """Finish the visit now."""
    period = {**encounter.get("period", {}), "end": _now(parts)}
    finished = {**encounter, "status": "finished", "period": period}
    return fhir_writes.update(parts.fhir, finished, fhir_writes.unguarded).resource


def _now(parts: Sandbox) -> str:
    return parts.config.now().isoformat(timespec="seconds")
