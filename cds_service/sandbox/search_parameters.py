"""The search parameters of each resource type, and the values a resource has for them.

Source: FHIR R4 search.html and the search parameter table of each resource page.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from cds_service.sandbox.fhir_dates import BEGINNING, END, as_range
from cds_service.sandbox.fhir_types import values_at
from cds_service.sandbox.outcomes import InvalidResource, Resource

Kind = Literal["token", "reference", "date", "string"]


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """One search parameter: its name, kind and the paths it looks at.

    only_type   for references: the one target type that counts ("" = any)
    """

    name: str
    kind: Kind
    paths: tuple[str, ...]
    only_type: str = ""


@dataclass(frozen=True, slots=True)
class IndexedValue:
    """One searchable value; `high` is only used by dates (first instant after)."""

    name: str
    low: str
    high: str = ""


def _token(name: str, *paths: str) -> SearchParameter:
    return SearchParameter(name, "token", paths or (name,))


def _reference(name: str, *paths: str, only_type: str = "") -> SearchParameter:
    return SearchParameter(name, "reference", paths or (name,), only_type)


def _date(name: str, *paths: str) -> SearchParameter:
    return SearchParameter(name, "date", paths or (name,))


def _about(path: str = "subject") -> tuple[SearchParameter, SearchParameter]:
    """Return `patient` and `subject`, which read the same element."""
    return _reference("patient", path, only_type="Patient"), _reference("subject", path)


_ID = _token("_id", "id")
_LAST_UPDATED = _date("_lastUpdated", "meta.lastUpdated")
_IDENTIFIER = _token("identifier")
_STATUS = _token("status")
_CATEGORY = _token("category")
_CODE = _token("code")
_OF_PATIENT = _reference("patient", only_type="Patient")
_NAME = SearchParameter("name", "string", ("name.family", "name.given", "name.text"))
_EFFECTIVE = _date("date", "effectiveDateTime", "effectivePeriod", "effectiveInstant")

_BY_TYPE: dict[str, tuple[SearchParameter, ...]] = {
    "AuditEvent": (
        _reference("patient", "agent.who", "entity.what", only_type="Patient"),
        _reference("entity", "entity.what"),
        _date("date", "recorded"),
        _token("type"),
        _token("action"),
    ),
    "Device": (_IDENTIFIER, _OF_PATIENT, _STATUS, _token("type")),
    "DiagnosticReport": (
        _IDENTIFIER,
        *_about(),
        _STATUS,
        _CATEGORY,
        _CODE,
        _EFFECTIVE,
        _reference("result"),
    ),
    "DocumentReference": (
        _IDENTIFIER,
        *_about(),
        _STATUS,
        _CATEGORY,
        _token("type"),
        _date("date"),
    ),
    "Encounter": (_IDENTIFIER, *_about(), _STATUS, _date("date", "period")),
    "Endpoint": (_IDENTIFIER, _STATUS),
    "ImagingStudy": (
        _IDENTIFIER,
        *_about(),
        _STATUS,
        _date("started"),
        _token("modality", "series.modality"),
        _reference("endpoint", "endpoint", "series.endpoint"),
        _reference("basedon", "basedOn"),
    ),
    "Media": (_IDENTIFIER, *_about(), _STATUS),
    "Observation": (
        _IDENTIFIER,
        *_about(),
        _STATUS,
        _CATEGORY,
        _CODE,
        _EFFECTIVE,
        _reference("derived-from", "derivedFrom"),
        _reference("part-of", "partOf"),
        _reference("device"),
    ),
    "Patient": (_IDENTIFIER, _NAME, _date("birthdate", "birthDate"), _token("gender")),
    "Practitioner": (_IDENTIFIER, _NAME),
    "PractitionerRole": (_IDENTIFIER, _reference("practitioner")),
    "Provenance": (
        _reference("target"),
        _reference("patient", "target", only_type="Patient"),
        _date("recorded"),
        _reference("agent", "agent.who"),
    ),
    "ServiceRequest": (
        _IDENTIFIER,
        *_about(),
        _STATUS,
        _CATEGORY,
        _CODE,
        _date("authored", "authoredOn"),
    ),
    "Task": (
        _IDENTIFIER,
        _reference("patient", "for", only_type="Patient"),
        _reference("subject", "for"),
        _STATUS,
        _CODE,
        _reference("focus"),
        _date("authored-on", "authoredOn"),
    ),
}

PARAMETERS: dict[str, dict[str, SearchParameter]] = {
    type_: {parameter.name: parameter for parameter in (_ID, _LAST_UPDATED, *own)}
    for type_, own in _BY_TYPE.items()
}


def indexed_values(resource: Resource) -> Iterator[IndexedValue]:
    """Yield every value under which this (valid) resource can be found."""
    for parameter in PARAMETERS[resource["resourceType"]].values():
        for path in parameter.paths:
            for element in values_at(resource, path):
                yield from _INDEXERS[parameter.kind](parameter, element)


def _tokens(parameter: SearchParameter, element: Any) -> Iterator[IndexedValue]:  # noqa: ANN401
    """Index a token by code, by system|code, by |code (no system) and by system|."""
    if isinstance(element, dict) and "coding" in element:
        for coding in element["coding"]:
            yield from _tokens(parameter, coding)
    elif isinstance(element, dict):
        system, code = element.get("system", ""), element.get("code", element.get("value", ""))
        if code:
            yield IndexedValue(parameter.name, code)
            yield IndexedValue(parameter.name, f"{system}|{code}")
        if system:
            yield IndexedValue(parameter.name, f"{system}|")
    elif isinstance(element, str):
        yield IndexedValue(parameter.name, element)
        yield IndexedValue(parameter.name, f"|{element}")


def _references(parameter: SearchParameter, element: Any) -> Iterator[IndexedValue]:  # noqa: ANN401
    """Index a reference as written, and by its bare id."""
    reference = element.get("reference", "") if isinstance(element, dict) else ""
    type_, _, id_ = reference.partition("/")
    if reference and parameter.only_type in ("", type_):
        yield IndexedValue(parameter.name, reference)
        if id_ and "/" not in id_:
            yield IndexedValue(parameter.name, id_)


def _dates(parameter: SearchParameter, element: Any) -> Iterator[IndexedValue]:  # noqa: ANN401
    try:
        if isinstance(element, str):
            yield IndexedValue(parameter.name, *as_range(element))
        elif isinstance(element, dict):
            low = as_range(element["start"])[0] if "start" in element else BEGINNING
            high = as_range(element["end"])[1] if "end" in element else END
            yield IndexedValue(parameter.name, low, high)
    except ValueError:
        raise InvalidResource(f"{parameter.paths[0]} is no moment in time") from None


def _strings(parameter: SearchParameter, element: Any) -> Iterator[IndexedValue]:  # noqa: ANN401
    if isinstance(element, str):
        yield IndexedValue(parameter.name, element.casefold())


_INDEXERS = {
    "token": _tokens,
    "reference": _references,
    "date": _dates,
    "string": _strings,
}
