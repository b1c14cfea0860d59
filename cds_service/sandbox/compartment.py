"""The patient compartment: what a patient's token may see.

Source: FHIR R4 compartmentdefinition-patient.html, by the `patient` parameter of each type.
"""

from dataclasses import replace

from cds_service.sandbox.fhir_search import Condition, Query
from cds_service.sandbox.fhir_writes import Guard
from cds_service.sandbox.outcomes import Resource, ScopeDenied
from cds_service.sandbox.scopes import Access, Letter
from cds_service.sandbox.search_parameters import IndexedValue, indexed_values


def confined(query: Query, patient: str | None) -> Query:
    """Return the query, narrowed to one patient's compartment ("Patient/<id>"; None = not)."""
    if patient is None:
        return query
    name, value = _membership(query.type, patient)
    return replace(query, conditions=(*query.conditions, Condition(name, "low = ?", (value,))))


def guard_of(access: Access) -> Guard:
    """Return the guard that holds a token to its scopes and its patient's compartment."""

    def guard(letter: Letter, resource: Resource) -> None:
        patient = access.confinement(letter, resource["resourceType"])
        if patient is not None and not _is_member(resource, patient):
            raise ScopeDenied("this token is for another patient")

    return guard


def _is_member(resource: Resource, patient: str) -> bool:
    return IndexedValue(*_membership(resource["resourceType"], patient)) in indexed_values(resource)


def _membership(type_: str, patient: str) -> tuple[str, str]:
    """Return the index name and value that every member of the compartment has."""
    return ("_id", patient.partition("/")[2]) if type_ == "Patient" else ("patient", patient)
