"""The objects of CDS Hooks and their fields, as one table: type, obligation, first version.

Source: CDS Hooks 2.0 "Response" of discovery, "CDS Service Response", "Feedback"; what is new in
3.0 from the logical models of the ballot. Each field names the row that asks for its type.
"""

from dataclasses import dataclass
from enum import StrEnum

from cds_service.lint.target import Dialect, Kind, Level, Version


class Element(StrEnum):
    """An object of the standard, by the name that people know."""

    DISCOVERY = "discovery response"
    SERVICE = "service"
    RESPONSE = "hook response"
    CARD = "card"
    SOURCE = "source"
    SUGGESTION = "suggestion"
    ACTION = "action"
    SYSTEM_ACTION = "system action"
    LINK = "link"
    CODING = "coding"
    OVERRIDE_REASON = "override reason"
    FEEDBACK_REQUEST = "feedback request"
    FEEDBACK = "feedback"
    ACCEPTED_SUGGESTION = "accepted suggestion"
    GIVEN_REASON = "given reason"


class Shape(StrEnum):
    """The JSON type of a field that holds no element."""

    TEXT = "a string"
    BOOLEAN = "true or false"
    OBJECT = "an object"
    TEXTS = "an object of strings"
    ANY = "any value"  # a rule looks at it


ROOTS = {
    Kind.DISCOVERY: Element.DISCOVERY,
    Kind.RESPONSE: Element.RESPONSE,
    Kind.FEEDBACK: Element.FEEDBACK_REQUEST,
}
SHALL, SHOULD, MAY = Level.BREACH, Level.ADVICE, None


@dataclass(frozen=True, slots=True)
class Field:
    """One field: `need` is what its absence is, None if it may be absent."""

    name: str
    holds: Shape | Element
    requirement: str
    need: Level | None = MAY
    many: bool = False
    since: Version = Version.V1
    dialect: Dialect | None = None  # only this vendor knows it


EXTENSION = Field("extension", Shape.OBJECT, "ch2:214")
_ACTION = (
    Field("type", Shape.TEXT, "ch2:127", SHALL),
    Field("resource", Shape.ANY, "ch2:130"),
    Field("resourceId", Shape.TEXT, "ch2:135", since=Version.V2),
)
_CODING = (
    Field("code", Shape.TEXT, "ch2:216", SHALL),
    Field("system", Shape.TEXT, "ch2:217", SHALL),
)

FIELDS: dict[Element, tuple[Field, ...]] = {
    Element.DISCOVERY: (Field("services", Element.SERVICE, "ch2:6", SHALL, many=True),),
    Element.SERVICE: (
        Field("hook", Shape.TEXT, "ch2:7", SHALL),
        Field("title", Shape.TEXT, "ch2:8", SHOULD),
        Field("description", Shape.TEXT, "ch2:9", SHALL),
        Field("id", Shape.TEXT, "ch2:10", SHALL),
        Field("prefetch", Shape.TEXTS, "ch2:11"),
        Field("usageRequirements", Shape.TEXT, "ch2:12"),
        Field("version", Shape.TEXT, "3.0", SHOULD, since=Version.V3),
        Field("hookVersion", Shape.TEXT, "3.0", since=Version.V3),
    ),
    Element.RESPONSE: (
        Field("cards", Element.CARD, "ch2:74", SHALL, many=True),
        Field("systemActions", Element.SYSTEM_ACTION, "ch2:75", many=True, since=Version.V2),
    ),
    Element.CARD: (
        Field("uuid", Shape.TEXT, "ch2:80", since=Version.V2),
        Field("summary", Shape.TEXT, "ch2:83", SHALL),
        Field("detail", Shape.TEXT, "ch2:84"),
        Field("indicator", Shape.TEXT, "ch2:87", SHALL),
        Field("source", Element.SOURCE, "ch2:90", SHALL),
        Field("suggestions", Element.SUGGESTION, "ch2:92", many=True),
        Field("selectionBehavior", Shape.TEXT, "ch2:96"),
        Field("overrideReasons", Element.OVERRIDE_REASON, "ch2:98", many=True, since=Version.V2),
        Field("links", Element.LINK, "ch2:103", many=True),
    ),
    Element.SOURCE: (
        Field("label", Shape.TEXT, "ch2:105", SHALL),
        Field("url", Shape.TEXT, "ch2:107"),
        Field("icon", Shape.TEXT, "ch2:111"),
        Field("topic", Element.CODING, "ch2:115", since=Version.V2),
    ),
    Element.SUGGESTION: (
        Field("label", Shape.TEXT, "ch2:117", SHALL),
        Field("uuid", Shape.TEXT, "ch2:119"),
        Field("isRecommended", Shape.BOOLEAN, "ch2:121", since=Version.V2),
        Field("actions", Element.ACTION, "ch2:124", many=True),
        Field("actionSelectionBehavior", Shape.TEXT, "cds-resp-7", since=Version.V3),
    ),
    Element.ACTION: (*_ACTION, Field("description", Shape.TEXT, "ch2:128", SHALL)),
    # 3.0 no longer asks for its description; a rule does so for 2.0.
    Element.SYSTEM_ACTION: (*_ACTION, Field("description", Shape.TEXT, "ch2:128")),
    Element.LINK: (
        Field("label", Shape.TEXT, "ch2:138", SHALL),
        Field("url", Shape.TEXT, "ch2:139", SHALL),
        Field("type", Shape.TEXT, "ch2:141", SHALL),
        Field("appContext", Shape.TEXT, "ch2:144"),
        Field("autolaunchable", Shape.BOOLEAN, "3.0", since=Version.V3),
    ),
    Element.CODING: (*_CODING, Field("display", Shape.TEXT, "ch2:220")),
    Element.OVERRIDE_REASON: (*_CODING, Field("display", Shape.TEXT, "ch2:100", SHALL)),
    Element.FEEDBACK_REQUEST: (
        Field("feedback", Element.FEEDBACK, "ch2:154", SHALL, many=True, since=Version.V2),
    ),
    Element.FEEDBACK: (
        Field("card", Shape.TEXT, "ch2:155", SHALL),
        Field("outcome", Shape.TEXT, "ch2:156", SHALL),
        Field("outcomeTimestamp", Shape.TEXT, "ch2:161", SHALL),
        Field("acceptedSuggestions", Element.ACCEPTED_SUGGESTION, "ch2:158", many=True),
        Field("overrideReason", Element.GIVEN_REASON, "ch2:159"),
        Field("overrideReasons", Element.GIVEN_REASON, "ch2:159", dialect=Dialect.EPIC),
    ),
    Element.ACCEPTED_SUGGESTION: (Field("id", Shape.TEXT, "ch2:162", SHALL),),
    Element.GIVEN_REASON: (
        Field("reason", Element.CODING, "ch2:165"),
        Field("userComment", Shape.TEXT, "ch2:166"),
    ),
}
