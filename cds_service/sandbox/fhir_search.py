"""A FHIR search request, read strictly and turned into SQL over the search index.

Source: FHIR R4 search.html. Repeated parameters narrow, commas widen. What we do not know is
refused: a server that ignores a parameter answers with other patients' resources.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from cds_service.sandbox.fhir_dates import as_range
from cds_service.sandbox.outcomes import UnsupportedParameter
from cds_service.sandbox.search_parameters import PARAMETERS, SearchParameter

COUNT_LIMIT = 200  # entries of one page; more are never sent at once
DEFAULT_COUNT = 100
_PREFIXED_DATE = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb)?(\d.*)")
_DATE_CONDITIONS = {  # the resource's range against the query's: SQL, and which ends it needs
    "eq": ("(low >= ? AND high <= ?)", slice(0, 2)),
    "ne": ("NOT (low >= ? AND high <= ?)", slice(0, 2)),
    "gt": ("high > ?", slice(1, 2)),
    "ge": ("high > ?", slice(0, 1)),
    "lt": ("low < ?", slice(0, 1)),
    "le": ("low < ?", slice(1, 2)),
    "sa": ("low >= ?", slice(1, 2)),
    "eb": ("high <= ?", slice(0, 1)),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on one index name: any of the alternatives may hold."""

    name: str
    sql: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A search that this server can answer.

    order   pairs of (index name, descending)
    count   entries per page; None means all
    """

    type: str
    conditions: tuple[Condition, ...] = ()
    order: tuple[tuple[str, bool], ...] = ()
    count: int | None = None
    offset: int = 0


def parse_query(type_: str, pairs: Iterable[tuple[str, str]]) -> Query:
    """Return the query these parameters mean; raise UnsupportedParameter for any other."""
    conditions: list[Condition] = []
    order: tuple[tuple[str, bool], ...] = ()
    count: int | None = None
    offset = 0
    for name, value in pairs:
        if name == "_sort":
            order = tuple(_sort_key(type_, key) for key in value.split(","))
        elif name == "_count":
            count = min(_number(name, value), COUNT_LIMIT)
        elif name == "_offset":
            offset = _number(name, value)
        elif name != "_format":  # negotiated by the server
            conditions.append(_condition(_parameter(type_, name), value))
    return Query(type_, tuple(conditions), order, count, offset)


def _parameter(type_: str, name: str) -> SearchParameter:
    if ":" in name:
        raise UnsupportedParameter("this server supports no search modifiers or chains")
    if name not in PARAMETERS[type_]:
        known = ", ".join(sorted(PARAMETERS[type_]))
        raise UnsupportedParameter(f"unknown search parameter {name!r} on {type_}; known: {known}")
    return PARAMETERS[type_][name]


def _number(name: str, value: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise UnsupportedParameter(f"{name} must be a whole number")
    return int(value)


def _sort_key(type_: str, key: str) -> tuple[str, bool]:
    name = key.removeprefix("-")
    if name not in PARAMETERS[type_] or PARAMETERS[type_][name].kind != "date":
        raise UnsupportedParameter(f"{type_} cannot be sorted by {name!r}, only by dates")
    return name, key.startswith("-")


def _condition(parameter: SearchParameter, text: str) -> Condition:
    alternatives = [part.replace(r"\,", ",") for part in re.split(r"(?<!\\),", text)]
    if not all(alternatives):
        raise UnsupportedParameter(f"{parameter.name} has an empty value")
    parts = [_alternative(parameter, value) for value in alternatives]
    sql = "(" + " OR ".join(part for part, _ in parts) + ")"
    return Condition(parameter.name, sql, tuple(value for _, values in parts for value in values))


def _alternative(parameter: SearchParameter, value: str) -> tuple[str, tuple[str, ...]]:
    if parameter.kind == "date":
        return _date_alternative(parameter.name, value)
    if parameter.kind == "string":
        # substr, not LIKE: a % in the query is a letter like any other.
        return "substr(low, 1, length(?)) = ?", (value.casefold(), value.casefold())
    if parameter.only_type and "/" not in value:
        value = f"{parameter.only_type}/{value}"
    return "low = ?", (value,)


def _date_alternative(name: str, value: str) -> tuple[str, tuple[str, ...]]:
    match = _PREFIXED_DATE.fullmatch(value)
    try:
        if match is None:
            raise ValueError
        sql, ends = _DATE_CONDITIONS[match[1] or "eq"]
        return sql, tuple(as_range(match[2])[ends])
    except ValueError:
        raise UnsupportedParameter(f"{name} is not a date with an optional prefix") from None
