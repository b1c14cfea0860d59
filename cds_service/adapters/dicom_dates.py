"""Read DICOM dates and times as archives and files state them, or say that they are none.

Source: DICOM PS3.5 6.2 (DA and TM).
"""

from datetime import UTC, date, datetime


def day_in(text: str) -> date | None:
    """Return the date; None when it is none."""
    try:
        return datetime.strptime(text, "%Y%m%d").date() if len(text) == 8 else None
    except ValueError:
        return None


def moment_in(day: str, time: str) -> datetime | None:
    """Return the date and, where it is one, the time of it; as UTC, for want of a zone."""
    if day_in(day) is None:
        return None
    # "08" and "0830" are times too: unfilled, they would be read as others.
    for text in (time[:6].ljust(6, "0"), "000000"):
        try:
            return datetime.strptime(day + text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            continue
    return None
