"""What a FHIR server says that it can do.

Source: FHIR R4 capabilitystatement.html (fhirVersion, rest.resource.interaction, rest.interaction).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]
_R4 = re.compile(r"4\.0\.\d{1,3}")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The part of a CapabilityStatement that Sightline needs."""

    is_r4: bool
    # Type -> what may be done with it: "read", "search-type", "create", ...; none where not stated.
    interactions: Mapping[str, frozenset[str]] = field(default_factory=dict)
    takes_transactions: bool = False

    def offers(self, kind: str, interaction: str) -> bool:
        """Tell whether this type is served so; a type that states no interaction may offer any."""
        stated = self.interactions.get(kind)
        return stated is not None and (not stated or interaction in stated)


def capabilities_in(statement: Json) -> Capabilities | None:
    """Return what a CapabilityStatement says; None when this is none."""
    if statement.get("resourceType") != "CapabilityStatement":
        return None
    interactions: dict[str, frozenset[str]] = {}
    for rest in _objects(statement.get("rest")):
        for resource in _objects(rest.get("resource")):
            interactions[str(resource.get("type"))] = _codes(resource)
    return Capabilities(
        is_r4=_R4.fullmatch(str(statement.get("fhirVersion"))) is not None,
        interactions=interactions,
        takes_transactions=takes_transactions(statement),
    )


def takes_transactions(statement: Json) -> bool:
    """Tell whether the statement lists the system interaction."""
    return any("transaction" in _codes(rest) for rest in _objects(statement.get("rest")))


def _codes(element: Json) -> frozenset[str]:
    return frozenset(str(one.get("code")) for one in _objects(element.get("interaction")))


def _objects(value: object) -> Iterator[Json]:
    """Yield the objects of what should be a list of them."""
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else iter(())
