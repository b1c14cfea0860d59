"""The installed models, as cards and pages speak of them."""

from dataclasses import astuple

from cds_service.adapters.model_sheets import sheet_of
from cds_service.adapters.model_shelf import ModelShelf, identity_of
from cds_service.domain.finding import Coding, ModelIdentity
from cds_service.domain.model_sheet import ModelSheet
from cds_service.errors import ModelMissing
from cds_service.fhir.model_card import logical_id
from cds_service.usecases.compose_card import CardModel
from models.contract import ModelCard
from smart_app import Measured, ModelFacts, Share


def enabled_everywhere(shelf: ModelShelf) -> list[CardModel]:
    """Return the models that are enabled for every EHR, less those that cannot be read."""
    found = (card_model_of(shelf, model_id) for model_id in shelf.enabled().everywhere)
    return [one for one in found if one is not None]


def card_model_of(shelf: ModelShelf, model_id: str) -> CardModel | None:
    """Return what cards say about a model; None when it is not installed."""
    try:
        return card_model(shelf.card(model_id))
    except ModelMissing:
        return None


def sheet_of_model(shelf: ModelShelf, model_id: str) -> ModelSheet | None:
    """Return what its page says about a model; None when it is not installed."""
    try:
        return sheet_of(shelf, model_id) if model_id in shelf.ids() else None
    except ModelMissing:
        return None


def sheet_by_fhir_id(shelf: ModelShelf, fhir_id: str) -> ModelSheet | None:
    """Return the sheet of the model whose resources have this id."""
    for model_id in shelf.ids():
        found = card_model_of(shelf, model_id)
        if found is not None and logical_id(found.identity) == fhir_id:
            return sheet_of_model(shelf, model_id)
    return None


def codings(card: ModelCard) -> tuple[Coding, ...]:
    """Return what a model looks for."""
    return tuple(Coding(*astuple(one.coding)) for one in card.findings)


def card_model(card: ModelCard) -> CardModel:
    """Return what cards say about the model of this card."""
    return CardModel(
        identity=identity_of(card),
        findings=codings(card),
        scope=_scope(card),
        does_not_look_for=card.does_not_look_for,
    )


def model_facts(shelf: ModelShelf, model: ModelIdentity) -> ModelFacts | None:
    """Return what the app says about these very weights; None when they are not installed."""
    try:
        card = shelf.card(model.id)
    except ModelMissing:
        return None
    if card.digest != model.digest:
        return None
    return ModelFacts(
        looks_for=f"signs of {', '.join(one.coding.display.lower() for one in card.findings)}",
        intended_use=_scope(card),
        does_not_look_for=card.does_not_look_for,
        limits=card.limits,
        measured=_measured(card),
    )


def _measured(card: ModelCard) -> Measured | None:
    """Read the figures of the one operating point; None where they are not all there."""
    if len(card.findings) > 1:
        return None
    performance = card.details.get("performance", {})
    try:
        figures = performance["figures"]
        return Measured(
            sensitivity=Share(**figures["sensitivity"]),
            specificity=Share(**figures["specificity"]),
            images=figures["images"],
            with_finding=figures["with_finding"],
            is_external=performance["external_validation"] != "none",
        )
    except (KeyError, TypeError):
        return None


def _scope(card: ModelCard) -> str:
    return f"{card.intended_use.projection} of {card.intended_use.population}"
