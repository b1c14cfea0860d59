"""Which resource types the sandbox holds, and the codes they must use.

Source: FHIR R4 (4.0.1), required bindings of each resource page.
"""

import re
from collections.abc import Iterator, Set
from typing import Any

from cds_service.sandbox.outcomes import UnsupportedType

TYPES = (
    "AuditEvent",
    "Device",
    "DiagnosticReport",
    "DocumentReference",
    "Encounter",
    "Endpoint",
    "ImagingStudy",
    "Media",
    "Observation",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "Provenance",
    "ServiceRequest",
    "Task",
)

ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")  # FHIR R4 datatypes.html#id


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


_EVENT = _codes(
    "preparation in-progress not-done on-hold stopped completed entered-in-error unknown"
)
_PRIORITY = _codes("routine urgent asap stat")
_REQUEST_INTENT = _codes(
    "proposal plan directive order original-order reflex-order filler-order instance-order option"
)
_GENDER = _codes("male female other unknown")
_ANYWHERE = {
    "identifier.use": _codes("usual official temp secondary old"),
    "name.use": _codes("usual official temp nickname anonymous old maiden"),
    "text.status": _codes("generated extensions additional empty"),
}
_OWN: dict[str, dict[str, frozenset[str]]] = {
    "AuditEvent": {"action": _codes("C R U D E"), "outcome": _codes("0 4 8 12")},
    "Device": {"status": _codes("active inactive entered-in-error unknown")},
    "DiagnosticReport": {
        "status": _codes(
            "registered partial preliminary final amended corrected appended"
            " cancelled entered-in-error unknown"
        )
    },
    "DocumentReference": {
        "status": _codes("current superseded entered-in-error"),
        "docStatus": _codes("preliminary final amended entered-in-error"),
        "relatesTo.code": _codes("replaces transforms signs appends"),
    },
    "Encounter": {
        "status": _codes(
            "planned arrived triaged in-progress onleave finished cancelled"
            " entered-in-error unknown"
        )
    },
    "Endpoint": {"status": _codes("active suspended error off entered-in-error test")},
    "ImagingStudy": {"status": _codes("registered available cancelled entered-in-error unknown")},
    "Media": {"status": _EVENT},
    "Observation": {
        "status": _codes(
            "registered preliminary final amended corrected cancelled entered-in-error unknown"
        )
    },
    "Patient": {
        "gender": _GENDER,
        "link.type": _codes("replaced-by replaces refer seealso"),
    },
    "Practitioner": {"gender": _GENDER},
    "Provenance": {"entity.role": _codes("derivation revision quotation source removal")},
    "ServiceRequest": {
        "status": _codes("draft active on-hold revoked completed entered-in-error unknown"),
        "intent": _REQUEST_INTENT,
        "priority": _PRIORITY,
    },
    "Task": {
        "status": _codes(
            "draft requested received accepted rejected ready cancelled in-progress on-hold"
            " failed completed entered-in-error"
        ),
        "intent": _codes("unknown") | (_REQUEST_INTENT - _codes("directive")),
        "priority": _PRIORITY,
    },
}


REQUIRED_CODES = {type_: _ANYWHERE | _OWN.get(type_, {}) for type_ in TYPES}


def require_type(name: str, lacks: Set[str] = frozenset()) -> str:
    """Return `name`, or raise UnsupportedType; `lacks` are left out of the types."""
    if name not in TYPES or name in lacks:
        raise UnsupportedType(f"this server holds no resources of type {name!r}")
    return name


def values_at(element: Any, path: str) -> Iterator[Any]:  # noqa: ANN401  JSON of any shape
    """Yield every value at a dotted path, walking through lists."""
    if isinstance(element, list):
        for item in element:
            yield from values_at(item, path)
    elif not path:
        yield element
    elif isinstance(element, dict):
        step, _, rest = path.partition(".")
        if step in element:
            yield from values_at(element[step], rest)
