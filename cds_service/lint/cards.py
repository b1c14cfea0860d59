"""Rules about cards, their sources, links and extensions.

Source: CDS Hooks 2.0 "Card Attributes", "Source", "Link", "Extensions"; 1.0 where it differs.
"""

import re
from urllib.parse import urlsplit
from uuid import UUID

from cds_service.lint.fields import Element
from cds_service.lint.rule import FIRST, SINCE_SECOND, THIRD, Problems, Rule
from cds_service.lint.target import Level
from cds_service.lint.tree import Node

SUMMARY_LIMIT = 140  # characters, exclusive: ch2:83
INDICATORS = ("info", "warning", "critical")
_HTML = re.compile(r"</?[a-zA-Z][a-zA-Z0-9]*(\s[^<>]*)?/?>|<!--")


def _summary_too_long(card: Node) -> Problems:
    length = len(card.text("summary"))
    if length >= SUMMARY_LIMIT:
        yield ("summary",), f"The summary has {length} characters; 139 is the most."


def _detail_with_html(card: Node) -> Problems:
    if found := _HTML.search(card.text("detail")):
        yield ("detail",), f"The detail holds HTML at character {found.start()}."


def _indicator_unknown(card: Node) -> Problems:
    value = card.text("indicator")
    if value and value not in INDICATORS:
        yield ("indicator",), f"{value[:40]!r} is no indicator."


def _behaviour_missing(card: Node) -> Problems:
    if card.value.get("suggestions") and "selectionBehavior" not in card.value:
        yield (), "The card has suggestions and no 'selectionBehavior'."


def _behaviour_unknown(card: Node) -> Problems:
    value = card.text("selectionBehavior")
    if value and value not in ("at-most-one", "any"):
        yield ("selectionBehavior",), f"{value[:40]!r} is no selection behaviour."


def _behaviour_not_at_most_one(card: Node) -> Problems:
    value = card.text("selectionBehavior")
    if value and value != "at-most-one":
        yield ("selectionBehavior",), f"{value[:40]!r} is not known to 1.0."


def _several_recommended(card: Node) -> Problems:
    if card.text("selectionBehavior") == "any":
        return
    recommended = [n for n, one in card.objects("suggestions") if one.get("isRecommended") is True]
    for position in recommended[1:]:
        yield ("suggestions", position, "isRecommended"), "A second suggestion is recommended."


def _uuid_repeated(response: Node) -> Problems:
    seen: set[object] = set()
    for position, card in response.objects("cards"):
        uuid = card.get("uuid")
        if isinstance(uuid, str) and uuid in seen:
            yield ("cards", position, "uuid"), "Another card of this response has the same uuid."
        seen.add(uuid if isinstance(uuid, str) else None)


def _uuid_of_another_form(node: Node) -> Problems:
    value = node.text("uuid")
    if not value:
        return
    try:
        UUID(value)
    except ValueError:
        yield ("uuid",), "The uuid is not written as a UUID."


def _source_address_relative(source: Node) -> Problems:
    yield from _relative(source, "url")


def _icon_address_relative(source: Node) -> Problems:
    yield from _relative(source, "icon")


def _link_address_relative(link: Node) -> Problems:
    yield from _relative(link, "url")


def _link_type_unknown(link: Node) -> Problems:
    value = link.text("type")
    if value and value not in ("absolute", "smart"):
        yield ("type",), f"{value[:40]!r} is no type of link."


def _context_on_absolute_link(link: Node) -> Problems:
    if link.text("type") == "absolute" and "appContext" in link.value:
        yield ("appContext",), "A link of type 'absolute' carries an appContext."


def _extension_name_not_reversed(node: Node) -> Problems:
    extension = node.value.get("extension")
    for name in extension if isinstance(extension, dict) else ():
        if "." not in name:
            yield ("extension", name), f"The extension {name[:60]!r} could be anybody's."


def _relative(node: Node, name: str) -> Problems:
    value = node.text(name)
    if not value:
        return
    try:
        parts = urlsplit(value)
        is_absolute = bool(parts.scheme and (parts.netloc or parts.path))
    except ValueError:
        is_absolute = False
    if not is_absolute or any(one.isspace() for one in value):
        yield (name,), f"'{name}' is no absolute URL."


_CARD, _SOURCE, _LINK = (Element.CARD,), (Element.SOURCE,), (Element.LINK,)
_WITH_HOST = "Write scheme and host too."
_AT_MOST_ONE_OR_ANY = "Use at-most-one or any."

CARD_RULES = (
    Rule("ch2:80", (Element.RESPONSE,), _uuid_repeated, "Give each card a uuid of its own."),
    Rule(
        "3.0",
        (Element.CARD, Element.SUGGESTION),
        _uuid_of_another_form,
        "Use a UUID (RFC 4122).",
        Level.ADVICE,
        THIRD,
    ),
    Rule("ch2:83", _CARD, _summary_too_long, "Shorten it; the rest belongs into 'detail'."),
    Rule("ch2:85", _CARD, _detail_with_html, "Write GitHub-flavoured Markdown.", Level.ADVICE),
    Rule("ch2:88", _CARD, _indicator_unknown, "Use info, warning or critical."),
    Rule("ch2:93", _CARD, _behaviour_missing, _AT_MOST_ONE_OR_ANY, versions=SINCE_SECOND),
    Rule("ch2:95", _CARD, _behaviour_unknown, _AT_MOST_ONE_OR_ANY, versions=SINCE_SECOND),
    Rule("1.0", _CARD, _behaviour_not_at_most_one, "Use at-most-one.", versions=FIRST),
    Rule("ch2:107", _SOURCE, _source_address_relative, _WITH_HOST),
    Rule("ch2:111", _SOURCE, _icon_address_relative, _WITH_HOST),
    Rule(
        "ch2:122",
        _CARD,
        _several_recommended,
        "Recommend one, or let the user choose any (invariant cds-resp-1).",
        versions=SINCE_SECOND,
    ),
    Rule("ch2:139", _LINK, _link_address_relative, _WITH_HOST),
    Rule("ch2:142", _LINK, _link_type_unknown, "Use absolute or smart."),
    Rule(
        "ch2:147",
        _LINK,
        _context_on_absolute_link,
        "Make it a smart link, or put the context into the URL.",
    ),
    Rule(
        "ch2:215",
        tuple(Element),
        _extension_name_not_reversed,
        "Name it after a domain of yours, such as org.example.name.",
        Level.ADVICE,
    ),
)
