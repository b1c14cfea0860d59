"""The user's own record: which languages they speak, and which roles they have.

Source: FHIR R4 Practitioner.communication (a CodeableConcept each), Patient.communication and
FHIR R5 Practitioner.communication (a language, and whether it is preferred); FHIR R4
PractitionerRole; BCP 47.
"""

from collections.abc import Iterator
from datetime import date

from cds_service.fhir.elements import Json, objects_in
from cds_service.fhir.imaging_study import logical_id, resources

MAX_LANGUAGES = 8
TAG_LIMIT = 35  # characters of a BCP 47 tag (RFC 5646 4.4.1)
MAX_ROLES = 40
# R4 has no element for it: this is how R5's is written there.
_PREFERRED = "extension-Practitioner.communication.preferred"


def languages_in(resource: Json) -> tuple[str, ...]:
    """Return the BCP 47 tags of a person's languages: the preferred first, then as listed."""
    spoken = objects_in(resource.get("communication"))
    spoken.sort(key=lambda one: not _is_preferred(one))
    tags = (tag for one in spoken for tag in _tags(one))
    return tuple(dict.fromkeys(tags))[:MAX_LANGUAGES]


def practitioner_of(role: Json) -> str | None:
    """Return the "Practitioner/<id>" whose role this PractitionerRole is."""
    practitioner = logical_id(role.get("practitioner"), "Practitioner")
    return f"Practitioner/{practitioner}" if practitioner else None


def roles_in(document: Json, practitioner: str, today: date) -> tuple[str, ...]:
    """Return the "PractitionerRole/<id>"s that this "Practitioner/<id>" has today.

    document   the Bundle of a search; a role of somebody else, one that is not active and one
               outside its period are left out
    """
    found = (
        f"PractitionerRole/{role.get('id')}"
        for role in resources(document)
        if role.get("resourceType") == "PractitionerRole"
        and practitioner_of(role) == practitioner
        and role.get("active") is not False
        and _is_within(role.get("period"), today)
    )
    return tuple(found)[:MAX_ROLES]


def _is_preferred(spoken: Json) -> bool:
    return spoken.get("preferred") is True or any(
        str(one.get("url", "")).endswith(_PREFERRED) and one.get("valueBoolean") is True
        for one in objects_in(spoken.get("extension"))
    )


def _tags(spoken: Json) -> Iterator[str]:
    concept = spoken.get("language")
    codings = objects_in((concept if isinstance(concept, dict) else spoken).get("coding"))
    for coding in codings:
        code = coding.get("code")
        if isinstance(code, str) and 0 < len(code) <= TAG_LIMIT:
            yield code


def _is_within(period: object, today: date) -> bool:
    """Compare as far as both ends are stated: a partial date is a whole month or year."""
    stated = period if isinstance(period, dict) else {}
    start, end = (str(stated.get(name) or "")[:10] for name in ("start", "end"))
    day = today.isoformat()
    return day[: len(start)] >= start and (not end or day[: len(end)] <= end)
