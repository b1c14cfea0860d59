"""FHIR dates as half-open ranges of time, ready to be compared as text.

Source: FHIR R4 search.html#date (a value stands for every instant its precision covers).
"""

import re
from datetime import UTC, datetime, timedelta

_DATE_TIME = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?"
)
BEGINNING = "0001-01-01T00:00:00.000000"
END = "9999-12-31T23:59:59.999999"


def as_range(value: str) -> tuple[str, str]:
    """Return (first instant, first instant after) of a FHIR date, dateTime or instant.

    Both as UTC text of one width, so that text order is time order; no zone means UTC.
    Raises ValueError when the text is no FHIR date.
    """
    match = _DATE_TIME.fullmatch(value)
    if match is None:
        raise ValueError("not a FHIR date")
    try:
        return _bounds(match)
    except OverflowError:
        raise ValueError("before the year 1 or after 9999") from None


def _bounds(match: re.Match[str]) -> tuple[str, str]:
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    whole = f"{year}-{month or '01'}-{day or '01'}T{hour or '00'}:{minute or '00'}:{second or '00'}"
    start = datetime.fromisoformat(whole + (zone or "+00:00").replace("Z", "+00:00"))
    start = start.astimezone(UTC)
    if fraction:
        start += timedelta(seconds=float(fraction))
    return _text(start), _text(_after(start, match))


def _after(start: datetime, match: re.Match[str]) -> datetime:
    _year, month, day, hour, _minute, second, fraction, _zone = match.groups()
    if fraction:
        return start + timedelta(milliseconds=1)
    if second:
        return start + timedelta(seconds=1)
    if hour:
        return start + timedelta(minutes=1)
    if day:
        return start + timedelta(days=1)
    if month:
        return (start + timedelta(days=31)).replace(day=1)
    return start.replace(year=start.year + 1)


def _text(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds")
