"""Make the sheet of an installed model: its card, and the answers that its package brings.

Source: docs/reference/model-page.md.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import astuple
from typing import Any

from cds_service.adapters.model_shelf import ModelShelf, identity_of
from cds_service.domain.finding import Coding
from cds_service.domain.model_sheet import LOCAL, Figure, FigureTable, ModelSheet, OperatingPoint
from cds_service.domain.vocabulary import marked
from models.contract import ModelCard
from models.transparency import Transparency

log = logging.getLogger(__name__)

ANSWERS = "transparency.yaml"
_ABBREVIATED = {"auc": "AUC"}


def sheet_of(shelf: ModelShelf, model_id: str) -> ModelSheet:
    """Return the sheet; raise ModelMissing.

    Answers that were written for other weights, or cannot be read, are left out and logged.
    """
    card = shelf.card(model_id)
    said = _transparency(shelf, card)
    performance = _mapping(card.details.get("performance"))
    figures = _mapping(performance.get("figures"))
    overall = tuple(_figures(figures))
    return ModelSheet(
        identity=identity_of(card),
        developer=card.developer,
        scope=f"{card.intended_use.projection} of {card.intended_use.population}",
        does_not_look_for=card.does_not_look_for,
        limits=card.limits,
        points=tuple(
            OperatingPoint(
                Coding(*astuple(one.coding)), one.threshold, one.abstain_low, one.abstain_high
            )
            for one in card.findings
        ),
        point_method=_text(_mapping(card.details.get("operating_point")).get("how")),
        figures=overall,
        figures_method=_text(performance.get("method")),
        tables=tuple(_tables(performance, figures)),
        training_data=tuple(_training(card)),
        citations=tuple(map(_text, _training_of(card).get("citation", ()))),
        answers=_from_card(card, overall) | _answers(said),
        facts=said.facts if said else {},
        keywords=said.keywords if said else (),
    )


def _transparency(shelf: ModelShelf, card: ModelCard) -> Transparency | None:
    path = shelf.folder(card.id) / ANSWERS
    if not path.is_file():
        return None
    try:
        said = Transparency.from_yaml(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        log.error("%s of model %s left out: %s", ANSWERS, card.id, error)
        return None
    if said.digest != card.digest:
        log.error("%s of model %s left out: it is for other weights", ANSWERS, card.id)
        return None
    return said


def _answers(said: Transparency | None) -> dict[str, str]:
    """Return what the package answers, less what no package can know."""
    if said is None:
        return {}
    return {name: text for name, text in said.answers.items() if name not in LOCAL}


def _from_card(card: ModelCard, figures: tuple[Figure, ...]) -> dict[str, str]:
    """Return the answers that every card holds."""
    use = _mapping(card.details.get("intended_use"))
    scope = f"{card.intended_use.projection} of {card.intended_use.population}"
    found = {
        "developer": card.developer,
        "output_value": "A probability between 0 and 1 for each of: "
        + ", ".join(one.coding.display for one in card.findings),
        "intended_use": f"{scope[0].upper()}{scope[1:]}",
        "intended_population": card.intended_use.population,
        "intended_users": _text(use.get("users")),
        "role": _text(use.get("role")),
        "cautioned_uses": f"It does not look for: {', '.join(card.does_not_look_for)}.",
        "known_risks": " ".join(card.limits),
        "internal_validity": "; ".join(one.words for one in figures),
    }
    return {name: text for name, text in found.items() if text}


def _figures(figures: Mapping[str, Any]) -> Iterator[Figure]:
    for name, value in figures.items():
        if _is_number(value):
            yield Figure(_named(name), float(value))
        elif (interval := _interval(value)) is not None:
            yield Figure(_named(name), *interval)


def _tables(performance: Mapping[str, Any], figures: Mapping[str, Any]) -> Iterator[FigureTable]:
    """Yield a table for each group of figures that the card holds."""
    groups = (
        (marked("By subgroup"), figures.get("subgroups"), ""),
        (marked("What is refused"), figures.get("scope"), performance.get("scope_method")),
        (marked("What a change of the image does"), *_with_method(performance.get("robustness"))),
        (marked("Whether the map tells the truth"), *_with_method(performance.get("evidence"))),
    )
    for title, group, method in groups:
        rows = _mapping(group)
        if rows and all(isinstance(row, dict) for row in rows.values()):
            columns = list(dict.fromkeys(name for row in rows.values() for name in row))
            yield FigureTable(
                title=title,
                headings=("", *map(_named, columns)),
                rows=tuple(
                    (_named(name), *(_cell(row.get(column)) for column in columns))
                    for name, row in rows.items()
                ),
                method=_text(method),
            )
        elif rows:
            single = tuple((_named(name), _cell(value)) for name, value in rows.items())
            yield FigureTable(title, ("", marked("Value")), single, _text(method))


def _with_method(group: object) -> tuple[object, object]:
    found = _mapping(group)
    return found.get("figures"), found.get("method")


def _cell(value: object) -> str:
    if (interval := _interval(value)) is not None:
        figure, low, high = interval
        return f"{figure:.3f} ({low:.3f}-{high:.3f})"
    if isinstance(value, float):
        return f"{value:.4f}"
    return _text(value)


def _interval(value: object) -> tuple[float, float, float] | None:
    """Return a figure and its ends; None where the card has another thing there."""
    stated = [_mapping(value).get(key) for key in ("value", "low", "high")]
    figure, low, high = (float(one) if isinstance(one, int | float) else None for one in stated)
    return None if figure is None or low is None or high is None else (figure, low, high)


def _training_of(card: ModelCard) -> Mapping[str, Any]:
    return _mapping(card.details.get("training_data"))


def _training(card: ModelCard) -> Iterator[tuple[str, str]]:
    for name, value in _training_of(card).items():
        if isinstance(value, str):
            yield _named(name), value


def _named(key: object) -> str:
    words = str(key).replace("_", " ")
    first, _, rest = words.partition(" ")
    if first in _ABBREVIATED:
        return f"{_ABBREVIATED[first]} {rest}".strip()
    return f"{words[:1].upper()}{words[1:]}"


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
