"""What a model package says about itself beside its card: answers to questions that people ask.

`transparency.yaml` is optional. It names the weights that it was written for, so that answers do
not outlive them.

Source: docs/reference/model-page.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.card_entries import Entries
from models.card_yaml import parse_card

__all__ = ["Transparency"]


@dataclass(frozen=True, slots=True)
class Transparency:
    """Texts by name; which names are known is the reader's affair."""

    digest: str  # of the weights, as the card states it
    answers: dict[str, str]  # to the source attributes
    facts: dict[str, str]  # what other model card formats ask for
    keywords: tuple[str, ...]

    @classmethod
    def from_yaml(cls, text: str) -> Transparency:
        """Read the file; raise ValueError that names what is missing or of the wrong kind."""
        entries = Entries(parse_card(text, "transparency.yaml"))
        return cls(
            digest=entries.get("digest", str),
            answers=_texts(entries.under("answers")),
            facts=_texts(entries.under("facts")) if entries.has("facts") else {},
            keywords=entries.texts("keywords") if entries.has("keywords") else (),
        )


def _texts(entries: Entries) -> dict[str, str]:
    return {name: entries.get(name, str).strip() for name in entries.entries}
