"""The elements of a resource that somebody else wrote: what is not of its type reads as empty.

Source: FHIR R4 2.6.2 (JSON representation), 2.24 (data types).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Json = Mapping[str, Any]


def objects_in(value: object) -> list[Json]:
    """Return the objects of a list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def object_in(value: object) -> Json:
    """Return an object."""
    return value if isinstance(value, dict) else {}


def text_in(value: object) -> str:
    """Return a text without the blanks around it."""
    return value.strip() if isinstance(value, str) else ""


def instant_in(value: object) -> datetime | None:
    """Return a dateTime; a date alone is midnight UTC, and a time without a zone is UTC too."""
    try:
        moment = datetime.fromisoformat(text_in(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
