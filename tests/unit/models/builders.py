"""Synthetic frames, cards and heat maps for the tests of the models."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import yaml
from numpy.typing import NDArray
from PIL import Image

from models.contract import ModelCard
from models.registry import card_of, digest_of, package_of

PNEUMONIA = card_of("cxr_pneumonia_peds")


def a_frame(*, rows: int, columns: int) -> NDArray[np.float32]:
    """Two dark lungs, a bright spine and ribs: nobody's picture, 0..1."""
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    body = np.exp(-((x / 0.9) ** 8))
    lungs = sum(np.exp(-(((x - side) / 0.3) ** 4) - ((y / 0.7) ** 4)) for side in (-0.45, 0.45))
    ribs = 0.08 * np.sin(18 * (y + 0.4 * x**2))
    return np.clip(0.75 * body - 0.45 * lungs + ribs * lungs + 0.1, 0, 1).astype(np.float32)


def a_heat(*, size: int = 16, row: float = 4.0, column: float = 11.0) -> NDArray[np.float32]:
    """One smooth hot spot."""
    y, x = np.mgrid[0:size, 0:size]
    return np.exp(-((y - row) ** 2 + (x - column) ** 2) / 8).astype(np.float32)


def a_card(**changes: Any) -> str:
    """The bundled card as YAML, with entries replaced by dotted path ('weights__digest')."""
    entries: dict[str, Any] = yaml.safe_load(yaml.safe_dump(PNEUMONIA.details))
    for path, value in changes.items():
        *steps, last = path.split("__")
        place = entries
        for step in steps:
            place = place[step]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return yaml.safe_dump(entries)


def a_parsed_card(**changes: Any) -> ModelCard:
    return ModelCard.from_yaml(a_card(**changes))


def a_package(root: Path, model_id: str, weights: bytes, **changes: Any) -> Path:
    """A model package in a folder, its digest right unless changed."""
    folder = root / model_id
    folder.mkdir()
    (folder / "model.onnx").write_bytes(weights)
    card = a_card(**{"id": model_id, "weights__digest": digest_of(weights)} | changes)
    (folder / "card.yaml").write_text(card, encoding="utf-8")
    return folder


@cache
def composites() -> dict[str, NDArray[np.float32]]:
    """The demo's pictures, 0..255, by file name."""
    pictures = {}
    for path in (files("cds_service") / "sandbox" / "pictures").iterdir():
        if path.name.endswith(".png"):
            with path.open("rb") as stream, Image.open(stream) as image:
                pictures[path.name] = np.asarray(image, dtype=np.float32)
    return pictures


@cache
def the_session() -> onnxruntime.InferenceSession:
    """The bundled model, loaded once for all tests."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    weights = package_of("cxr_pneumonia_peds").weights
    return onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
