"""Carry out the actions of a suggestion that the clinician accepted, by this EHR's own rules.

A card may ask for an order or a task about the chart's own patient, and may take a draft order
away. Anything else is refused, and then nothing of the suggestion is done.

Source: CDS Hooks 2.0 "Action" (create, update, delete; all actions of a suggestion together).
"""

from collections.abc import Sequence

from cds_service.sandbox import fhir_writes, orders
from cds_service.sandbox.compartment import guard_of
from cds_service.sandbox.outcomes import BusinessRule, Resource
from cds_service.sandbox.parts import Sandbox
from cds_service.sandbox.scopes import Access

# What a clinician's acceptance stands for, in the words of scopes.
_ALLOWED = "patient/ServiceRequest.cu patient/Task.cu"


def carry_out(parts: Sandbox, patient_id: str, actions: Sequence[Resource]) -> None:
    """Do all of these actions or none; raise SandboxRefusal."""
    with parts.fhir.all_or_nothing():
        for action in actions:
            _carry_out(parts, patient_id, action)


def _carry_out(parts: Sandbox, patient_id: str, action: Resource) -> None:
    guard = guard_of(Access(_ALLOWED, patient_id))
    resource = action.get("resource")
    match action.get("type"):
        case "create" if isinstance(resource, dict):
            own = {"authoredOn": parts.config.now().isoformat(timespec="seconds"), **resource}
            own.pop("id", None)  # the EHR names what it keeps
            fhir_writes.create(parts.fhir, own, guard)
        case "update" if isinstance(resource, dict):
            fhir_writes.update(parts.fhir, resource, guard)
        case "delete":
            orders.remove(parts, _draft_named(parts, patient_id, action.get("resourceId")))
        case _:
            raise BusinessRule("this EHR does not know such an action")


def _draft_named(parts: Sandbox, patient_id: str, reference: object) -> Resource:
    for order in orders.drafts(parts, patient_id):
        if reference == f"ServiceRequest/{order['id']}":
            return order
    raise BusinessRule("there is no such draft order in this chart")
