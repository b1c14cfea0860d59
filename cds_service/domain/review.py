"""A review: what a clinician said about one finding after looking at the image.

Reviews are a history that only grows: who changes their mind says something new, and the newest
verdict that nobody took back is the one that stands.

Source: architecture "two buttons: agree, disagree"; HL7 AI
Transparency on FHIR 1.0.0-ballot (a human `verifier`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from cds_service.domain.finding import Box

REASON_SYSTEM = "urn:sightline:review-reason"
COMMENT_LIMIT = 1000  # characters
RING_PREFIX = "review:"  # of what wakes a worker, before the id of a result
SMALLEST_SHARE = 0.005  # of an image's longer side: less is a slip of the hand
SIDE_LIMIT = 65535  # pixels; DICOM Rows and Columns are 16 bit (PS3.3 C.7.6.3.1)


class Verdict(StrEnum):
    """What was said about the finding; the value is stable, the history is read for years."""

    AGREE = "agree"
    DISAGREE = "disagree"
    WRONG_PLACE = "wrong-place"  # it is there, but elsewhere in the image
    COMMENT = "comment"  # something to add, no verdict
    WITHDRAWN = "withdrawn"  # this reviewer's verdict and comment are taken back

    @property
    def is_judgement(self) -> bool:
        """Whether it says if the finding is right."""
        return self in (Verdict.AGREE, Verdict.DISAGREE, Verdict.WRONG_PLACE)


class Reason(StrEnum):
    """Why a clinician disagrees: codes of `REASON_SYSTEM`."""

    ABSENT = "finding-absent"
    PRESENT = "finding-present"
    OTHER_FINDING = "other-finding"
    ARTEFACT = "artefact"
    QUALITY = "image-quality"
    WRONG_STUDY = "wrong-study"
    OTHER = "other"

    @property
    def display(self) -> str:
        """The reason as a person reads it."""
        return _DISPLAYS[self]


_DISPLAYS = {
    Reason.ABSENT: "The finding is not there",
    Reason.PRESENT: "The finding is there",
    Reason.OTHER_FINDING: "Another finding explains the image",
    Reason.ARTEFACT: "Artefact, device or overlying structure",
    Reason.QUALITY: "The image does not allow a statement",
    Reason.WRONG_STUDY: "Wrong patient, study or image",
    Reason.OTHER: "Other",
}


@dataclass(frozen=True, slots=True)
class Review:
    """One thing that one clinician said about one finding of one result."""

    tenant_id: str
    result_id: str
    finding_code: str
    verdict: Verdict
    reviewer: str  # fhirUser, "Practitioner/1"
    at: datetime
    reason: Reason | None = None  # of a disagreement; the first versions asked for none
    region: Box | None = None  # of a wrong place: where it is, in pixels of the finding's image
    comment: str | None = field(default=None, repr=False)  # may hold patient data

    def __post_init__(self) -> None:
        if self.reason is not None and self.verdict is not Verdict.DISAGREE:
            raise ValueError("only a disagreement has a reason")
        if (self.region is not None) != (self.verdict is Verdict.WRONG_PLACE):
            raise ValueError("a wrong place, and nothing else, says where the finding is")
        if self.region is not None and not is_in_an_image(self.region):
            raise ValueError("a region lies inside an image")
        if self.comment is not None and not 0 < len(self.comment) <= COMMENT_LIMIT:
            raise ValueError(f"a comment has 1 to {COMMENT_LIMIT} characters")

    def says_the_same(self, other: "Review") -> bool:
        """Tell whether the same person says the same again, such as by a second click."""
        return (self.reviewer, self.finding_code, self.result_id, *self._content) == (
            other.reviewer,
            other.finding_code,
            other.result_id,
            *other._content,
        )

    @property
    def _content(self) -> tuple[object, ...]:
        return self.verdict, self.reason, self.region, self.comment


def is_in_an_image(region: Box) -> bool:
    """Tell whether a region has an area and could lie inside some DICOM image."""
    return (
        region.left >= 0
        and region.top >= 0
        and region.width > 0
        and region.height > 0
        and region.left + region.width <= SIDE_LIMIT
        and region.top + region.height <= SIDE_LIMIT
    )


def smallest_side(rows: int, columns: int) -> int:
    """Return how many pixels wide and high a marked place in an image of this size must be."""
    return max(2, round(max(rows, columns) * SMALLEST_SHARE))


def standing(reviews: Iterable[Review]) -> dict[str, Review]:
    """Return the verdict that counts for each finding that has one, by finding code.

    reviews   of one result, by anybody, the oldest first

    Each reviewer's newest verdict counts until that reviewer takes it back; among several
    reviewers the newest verdict stands. A comment judges nothing.
    """
    newest: dict[tuple[str, str], Review] = {}
    for review in reviews:
        if review.verdict is not Verdict.COMMENT:
            key = review.finding_code, review.reviewer
            newest.pop(key, None)  # so that the order is the order of what counts
            newest[key] = review
    return {one.finding_code: one for one in newest.values() if one.verdict.is_judgement}


def ring_of(result_id: str) -> str:
    """Return what the doorbell carries when this result's reviews wait."""
    return RING_PREFIX + result_id


def reviewed_result(ring: str) -> str | None:
    """Return the result that `ring_of` named; None for the id of a job."""
    return ring.removeprefix(RING_PREFIX) if ring.startswith(RING_PREFIX) else None


class WriteState(StrEnum):
    """How far a result's reviews are on their way into the chart."""

    WAITING = "waiting"
    DONE = "done"
    NOT_WANTED = "not-wanted"  # that EHR takes none
    FAILED = "failed"  # tried and refused; the review is kept here


@dataclass(frozen=True, slots=True)
class ReviewWrite:
    """What became of writing one result's reviews into the chart."""

    result_id: str
    state: WriteState
    references: tuple[str, ...] = ()  # what was written, "Observation/1"
    lost: tuple[str, ...] = ()  # why not, in our words
    error: str | None = None  # class of the last error, while it waits


@dataclass(frozen=True, slots=True)
class WriteLease:
    """The right to write one result's reviews; a lower token than the ledger's is void."""

    result_id: str
    changes: int  # how many reviews had asked to be written when it was taken
    token: int
    waiting_since: datetime
