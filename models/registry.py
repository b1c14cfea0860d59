"""Find the model packages that are installed, and give their weights only when the digest fits.

A package is a folder of `models` with `card.yaml` and `model.onnx`; adding one is adding a folder.

Source: FIPS 180-4 (SHA-256).
"""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from models.contract import ModelCard, ModelPackage, WeightsChanged

__all__ = ["card_of", "model_ids", "package_of"]


def model_ids(root: Traversable | None = None) -> tuple[str, ...]:
    """Return the ids of the installed models, sorted."""
    folders = (root or files("models")).iterdir()
    return tuple(sorted(folder.name for folder in folders if (folder / "card.yaml").is_file()))


def card_of(model_id: str, root: Traversable | None = None) -> ModelCard:
    """Return one model's card.

    Raises LookupError when no such model is installed, ValueError when its card is not valid.
    """
    if model_id not in model_ids(root):
        raise LookupError(f"no model {model_id} is installed")
    folder = (root or files("models")) / model_id
    card = ModelCard.from_yaml((folder / "card.yaml").read_text(encoding="utf-8"))
    if card.id != model_id:
        raise ValueError(f"the model card in the folder {model_id} is for {card.id}")
    return card


def package_of(model_id: str, root: Traversable | None = None) -> ModelPackage:
    """Return one model with its weights.

    Raises as `card_of` does; LookupError too when the weights are not there, and WeightsChanged
    when they are not the bytes that the card names.
    """
    card = card_of(model_id, root)
    path = (root or files("models")) / model_id / "model.onnx"
    if not path.is_file():
        raise LookupError(f"the weights of the model {model_id} are not installed")
    weights = path.read_bytes()
    if digest_of(weights) != card.digest:
        raise WeightsChanged(f"the weights of the model {model_id} are not those of its card")
    return ModelPackage(card, weights)


def digest_of(weights: bytes) -> str:
    """Return the digest as a card states it."""
    return f"sha256:{sha256(weights).hexdigest()}"
