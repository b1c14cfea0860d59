"""The hooks' house with the doors' desk beside the hooks' own: one ledger behind both."""

from typing import Any

from cds_service.intake.receive import IntakeDesk
from tests.unit.cards.builders import House


def a_desk(house: House) -> IntakeDesk:
    """Return the desk of the doors of this house."""
    return IntakeDesk(
        record=house.record,
        jobs=house.jobs,
        results=house.results,
        audit=house.audit,
        dispatch=house.dispatch,
        routes=house.routes,
        index=house.index,
        clock=house.clock,
    )


def accession(value: str) -> dict[str, Any]:
    """Return an identifier that is an accession number."""
    return {"type": {"coding": [{"code": "ACSN"}]}, "value": value}
