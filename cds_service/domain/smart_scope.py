"""SMART scopes: whether a granted scope string lets us read a resource type.

Source: SMART App Launch 2.2 "Scopes for requesting FHIR Resources" (v2 `.cruds`, v1 `.read`);
Epic's CDS Hooks requests carry names of their own, such as "Patient.Read (R4)".
"""

import re

_SMART = re.compile(
    r"(?P<context>patient|user|system)/(?P<type>\*|[A-Za-z]+)"
    r"\.(?P<rights>read|write|\*|c?r?u?d?s?)(?:\?\S*)?"
)
# From the start of a word only: begun anew at each letter of one long word it took minutes.
_EPIC = re.compile(r"(?<![a-z])(?P<type>[a-z]+)\.(?P<verb>read|search)\b", re.IGNORECASE)
_V1_RIGHTS = {"read": "rs", "write": "cud", "*": "cruds"}


def allows(scope: str, resource_type: str, right: str) -> bool:
    """Tell whether `scope` grants `right` ("r" to read one, "s" to search) on this type."""
    for word in scope.split():
        match = _SMART.fullmatch(word)
        if match is None or match["type"] not in {"*", resource_type}:
            continue
        if right in _V1_RIGHTS.get(match["rights"], match["rights"]):
            return True
    # A SMART scope never has a bare "Type.read", so this cannot widen one.
    return any(
        match["type"].lower() == resource_type.lower()
        and ("rs" if match["verb"].lower() == "read" else "s").find(right) >= 0
        for match in _EPIC.finditer(_SMART.sub(" ", scope))
    )
