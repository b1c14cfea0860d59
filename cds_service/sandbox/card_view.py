"""CDS Hooks cards as the chart shows them: markdown made safe, links sorted by what they may do.

Source: CDS Hooks 2.0 "Card Attributes", "Link", "Overriding Reasons".
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from markupsafe import Markup

WORDS = {"info": "Information", "warning": "Warning", "critical": "Critical"}


@dataclass(frozen=True, slots=True)
class Choice:
    """Something to pick: a suggestion, or an override reason with its Coding as JSON."""

    value: str
    label: str


@dataclass(frozen=True, slots=True)
class LinkView:
    """A way out of the card: a launch of the registered app, or an address for a new tab."""

    label: str
    url: str | None  # None for a launch
    app_context: str | None = None


@dataclass(frozen=True, slots=True)
class CardView:
    """One card, ready for the template."""

    uuid: str | None  # None: no feedback is possible
    indicator: str
    word: str
    summary: str
    detail: Markup
    source: str
    source_url: str | None
    links: tuple[LinkView, ...]
    suggestions: tuple[Choice, ...]
    reasons: tuple[Choice, ...]
    about: tuple[str, ...] = ()  # what its suggestions would remove, "ServiceRequest/<id>"


def card_view(card: dict[str, Any], app_launch_url: str) -> CardView:
    """Read a card that `ehr_client.problem_of` found nothing wrong with."""
    source = card["source"]
    return CardView(
        uuid=card.get("uuid"),
        indicator=card["indicator"],
        word=WORDS[card["indicator"]],
        summary=card["summary"],
        detail=render_markdown(card.get("detail") or ""),
        source=source["label"],
        source_url=_web_address(source.get("url")),
        links=tuple(_links(card.get("links") or [], app_launch_url)),
        suggestions=tuple(
            Choice(item["uuid"], item["label"])
            for item in card.get("suggestions") or []
            if item.get("uuid") and item.get("label")
        ),
        reasons=tuple(
            Choice(json.dumps(reason), reason["display"])
            for reason in card.get("overrideReasons") or []
            if reason.get("code") and reason.get("display")
        ),
        about=tuple(references_of(card)),
    )


def references_of(card: dict[str, Any]) -> Iterator[str]:
    """Yield the name of each resource that a suggestion of the card would remove."""
    for suggestion in card.get("suggestions") or []:
        for action in suggestion.get("actions") or []:
            if isinstance(reference := action.get("resourceId"), str):
                yield reference


def says_running(cards: Sequence[dict[str, Any]]) -> bool:
    """Tell whether a card announces a result that is still to come, so that asking again helps."""
    words = ("analysis running", "analysis queued")
    return any(word in card["summary"].lower() for card in cards for word in words)


def render_markdown(text: str) -> Markup:
    """Render GitHub-flavoured markdown; raw HTML is shown as text, images and scripts never load.

    Source: CDS Hooks 2.0 "Card Attributes", detail ("avoid HTML").
    """
    markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    markdown.disable(["image"])
    markdown.add_render_rule("link_open", _link_open)
    return Markup(markdown.render(text))  # noqa: S704  the renderer escapes, raw HTML is off


def _link_open(
    renderer: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    env: dict[str, Any],
) -> str:
    """Open links beside the chart: a page of the service must not replace it."""
    tokens[index].attrSet("target", "_blank")
    tokens[index].attrSet("rel", "noopener noreferrer")
    return renderer.renderToken(tokens, index, options, env)


def _links(links: Sequence[dict[str, Any]], app_launch_url: str) -> list[LinkView]:
    """Keep the links an EHR would follow: web addresses, and launches of the registered app."""
    kept = []
    for link in links:
        if link.get("type") == "smart" and link.get("url") == app_launch_url:
            kept.append(LinkView(str(link.get("label")), None, link.get("appContext")))
        elif link.get("type") == "absolute" and _web_address(link.get("url")):
            kept.append(LinkView(str(link.get("label")), link["url"]))
    return kept


def _web_address(url: object) -> str | None:
    return url if isinstance(url, str) and urlsplit(url).scheme in ("http", "https") else None
