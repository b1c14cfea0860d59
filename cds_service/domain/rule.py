"""Rules about images: tests of single DICOM elements, joined by and, or and not.

A test of something that is not stated is unknown, and unknown stays unknown through `not`. Who
asks decides what that means: before the images are read it excludes nothing, after that it does.

Source: docs/reference/routing.md; DICOM PS3.6 (keywords).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# What a rule may name. Ages are years, completed or not: PatientAge 1.5 is eighteen months.
TEXT_ELEMENTS = (
    "Modality",
    "BodyPartExamined",
    "ViewPosition",
    "Laterality",
    "PatientOrientation",
    "PatientSex",
    "Manufacturer",
    "ManufacturerModelName",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "ImageType",
    "PresentationIntentType",
    "SOPClassUID",
    "ConvolutionKernel",
    "ContrastBolusAgent",
)
NUMBER_ELEMENTS = (
    "PatientAge",
    "KVP",
    "SliceThickness",
    "Rows",
    "Columns",
    "BitsStored",
    "NumberOfFrames",
    "SeriesNumber",
)
LONGEST_TEXT = 64  # characters that a pattern looks at: the longest value of a DICOM LO

Facts = Mapping[str, str | float]  # by keyword; what is not stated is not there


@dataclass(frozen=True, slots=True)
class Comparison:
    """One element compared with a list, a pattern or a range; ends of a range are included."""

    element: str
    one_of: tuple[str, ...] = ()  # compared without regard to case
    matches: str = ""  # a regular expression, searched for anywhere in the text
    least: float | None = None
    most: float | None = None

    def judge(self, facts: Facts) -> bool | None:
        """Tell whether it holds; None: the element is not stated."""
        value = facts.get(self.element)
        if value is None or value == "":
            return None
        if isinstance(value, str):
            if self.matches:
                return re.search(self.matches, value[:LONGEST_TEXT]) is not None
            return value.casefold() in {one.casefold() for one in self.one_of}
        is_high_enough = self.least is None or value >= self.least
        return is_high_enough and (self.most is None or value <= self.most)

    def __str__(self) -> str:
        """Say what is asked."""
        if self.matches:
            return f"{self.element} matches {self.matches}"
        if self.one_of:
            return f"{self.element} is {' or '.join(self.one_of)}"
        ends = [
            f"at {word} {end:g}"
            for word, end in (("least", self.least), ("most", self.most))
            if end is not None
        ]
        return f"{self.element} is {' and '.join(ends)}"


@dataclass(frozen=True, slots=True)
class All:
    """Holds when each part holds."""

    parts: "tuple[Rule, ...]"

    def judge(self, facts: Facts) -> bool | None:
        """Tell whether it holds; None: one part is unknown and none is false."""
        said = {part.judge(facts) for part in self.parts}
        return False if False in said else None if None in said else True


@dataclass(frozen=True, slots=True)
class Either:
    """Holds when one part holds."""

    parts: "tuple[Rule, ...]"

    def judge(self, facts: Facts) -> bool | None:
        """Tell whether it holds; None: one part is unknown and none is true."""
        said = {part.judge(facts) for part in self.parts}
        return True if True in said else None if None in said else False


@dataclass(frozen=True, slots=True)
class Not:
    """Holds when its part does not."""

    part: "Rule"

    def judge(self, facts: Facts) -> bool | None:
        """Tell whether it holds; None: its part is unknown."""
        said = self.part.judge(facts)
        return None if said is None else not said


Rule = Comparison | All | Either | Not


@dataclass(frozen=True, slots=True)
class Line:
    """One part of a rule and what it said, indented as it is nested."""

    depth: int
    asked: str
    said: bool | None
    stated: str | float | None = None  # the value that a test looked at


def explain(rule: Rule, facts: Facts, depth: int = 0) -> Iterator[Line]:
    """Yield every part of the rule in the order of the card, each before its own parts."""
    said = rule.judge(facts)
    match rule:
        case Comparison():
            yield Line(depth, str(rule), said, facts.get(rule.element))
        case Not():
            yield Line(depth, "not", said)
            yield from explain(rule.part, facts, depth + 1)
        case All() | Either():
            yield Line(depth, "all of" if isinstance(rule, All) else "any of", said)
            for part in rule.parts:
                yield from explain(part, facts, depth + 1)
