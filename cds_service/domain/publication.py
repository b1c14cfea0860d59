"""A publication: what of a result the EHR has accepted, and what was lost on the way.

Source: architecture "Write-back is negotiated per tenant".
"""

from dataclasses import dataclass
from enum import StrEnum


class PublicationState(StrEnum):
    """How far the write-back went."""

    DONE = "done"
    NOT_WANTED = "not-wanted"  # the EHR takes nothing, or there is nothing to say
    FAILED = "failed"  # tried and refused; the card and the app still have the result


@dataclass(frozen=True, slots=True)
class Publication:
    """What became of one result's write-back. References are relative, "Observation/1"."""

    result_id: str
    state: PublicationState
    references: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()  # what that EHR could not take, in our words
