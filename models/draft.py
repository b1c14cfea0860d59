"""Draft a card for a foreign model: what its file says is filled in, what people know is not.

A drafted card is refused until nothing in it is left to fill in. A MONAI bundle's metadata fill
in more: title, developer, channels, and a finding for each output channel.

Source: docs/reference/models.md, "The card"; MONAI Bundle specification, metadata.json.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from models.card_entries import TO_FILL_IN
from models.onnx_file import OnnxFile, read_onnx, unsafe_in
from models.registry import digest_of

__all__ = ["draft_package"]

_HEADER = """\
# A draft. Fill in every entry that says so, and check the others: `sightline models import`
# refuses the card until nothing is left. docs/reference/models.md explains each entry.
"""
_BUNDLE_WEIGHTS = ("models/model.onnx", "models/model_onnx.onnx")
_DEFAULT_SIZE = 224


def draft_package(source: Path, folder: Path) -> Path:
    """Write card.yaml, and the weights beside it, into `folder`; return the card's path.

    source   an ONNX file, or the folder of a MONAI bundle that was exported to ONNX

    Raises ValueError when it is neither, when the file may not be opened, or when `folder` has
    a card already; OSError.
    """
    metadata: dict[str, Any] = {}
    file = source
    if source.is_dir():
        metadata, file = _bundle(source)
    weights = file.read_bytes()
    if problem := unsafe_in(weights):
        raise ValueError(f"{file.name} cannot be used: {problem}")
    card = folder / "card.yaml"
    if card.exists():
        raise ValueError(f"{card} is there already")
    name = re.sub(r"[^a-z0-9]+", "_", folder.resolve().name.lower()).strip("_") or "model"
    entries = _card(name, digest_of(weights), read_onnx(weights), metadata)
    text = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=100)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(weights)
    card.write_text(_HEADER + text, encoding="utf-8")
    return card


def _bundle(folder: Path) -> tuple[dict[str, Any], Path]:
    path = folder / "configs" / "metadata.json"
    if not path.is_file():
        raise ValueError(f"{folder} is no MONAI bundle: it has no configs/metadata.json")
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as broken:
        raise ValueError(f"{path} is not JSON") from broken
    if not isinstance(metadata, dict):
        raise ValueError(f"{path} is no JSON object")
    for name in _BUNDLE_WEIGHTS:
        if (folder / name).is_file():
            return metadata, folder / name
    raise ValueError(f"{folder} has no models/model.onnx: export the bundle to ONNX first")


def _card(name: str, digest: str, found: OnnxFile, metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the entries in the order in which people read them."""
    return {
        "id": name[:64],
        "version": str(metadata.get("version") or "1.0.0"),
        "title": str(metadata.get("name") or f"{TO_FILL_IN}: what it finds, on which images"),
        "developer": str(metadata.get("authors") or f"{TO_FILL_IN}: who made it"),
        "label": f"{TO_FILL_IN}: what every card says about its status, such as "
        "'Not a medical device.'",
        "licence": str(metadata.get("copyright") or f"{TO_FILL_IN}: of the weights"),
        "weights": {"file": "model.onnx", "digest": digest, "opset": found.opset},
        "input": _input(found, metadata),
        "output": _output(found, metadata),
        "intended_use": {
            "modalities": [f"{TO_FILL_IN}: DICOM, such as DX"],
            "body_parts": [f"{TO_FILL_IN}: DICOM, such as CHEST; leave it out for any"],
            "views": [f"{TO_FILL_IN}: DICOM, such as PA; leave it out for any"],
            "age_years": {"min": 0, "max": 129},
            "population": f"{TO_FILL_IN}: in words, such as adults",
            "projection": f"{TO_FILL_IN}: in words, such as frontal chest X-rays",
            "users": str(metadata.get("intended_use") or f"{TO_FILL_IN}: who"),
        },
        "does_not_look_for": [f"{TO_FILL_IN}: what people might expect of it"],
        "limits": [f"{TO_FILL_IN}: where it fails"],
        "performance": {"method": "unknown", "external_validation": "none"},
    }


def _input(found: OnnxFile, metadata: dict[str, Any]) -> dict[str, Any]:
    """Read the input's name, layout and size from its shape, and its range from a bundle."""
    name, shape = next(iter(found.inputs.items()), ("image", ()))
    is_last = len(shape) == 4 and shape[3] in (1, 3) and shape[1] not in (1, 3)
    channels = shape[3] if is_last else shape[1] if len(shape) == 4 else 1
    side = shape[1] if is_last else shape[2] if len(shape) == 4 else None
    image = _at(metadata, "network_data_format", "inputs", "image")
    stated = image.get("spatial_shape")
    if not isinstance(side, int) and isinstance(stated, list) and stated:
        side = stated[0]
    stated = image.get("value_range")
    limits = stated if isinstance(stated, list) else []
    are_two_numbers = [type(one) in (int, float) for one in limits] == [True, True]
    values = limits if are_two_numbers else [0.0, 1.0]
    return {
        "name": name,
        "size": side if isinstance(side, int) else _DEFAULT_SIZE,
        "channels": channels if channels in (1, 3) else 1,
        "layout": "NHWC" if is_last else "NCHW",
        "recipe": {"fit": "stretch", "grey": "full", "values": [float(one) for one in values]},
    }


def _output(found: OnnxFile, metadata: dict[str, Any]) -> dict[str, Any]:
    """List a finding for each column of the first output; a bundle names its channels."""
    name, shape = next(iter(found.outputs.items()))
    width = shape[1] if len(shape) == 2 and isinstance(shape[1], int) else 1
    pred = _at(metadata, "network_data_format", "outputs", "pred")
    names = pred.get("channel_def")
    names = names if isinstance(names, dict) else {}
    kind = "probability" if pred.get("type") == "probabilities" else "logit"
    return {
        "scores": {"name": name, "kind": kind},
        "findings": [
            {
                "column": column,
                "system": "http://snomed.info/sct",
                "code": f"{TO_FILL_IN}: the code",
                "display": str(names.get(str(column)) or f"{TO_FILL_IN}: its name"),
                "critical": False,
                "operating_point": {
                    "calibration": {"slope": 1.0, "intercept": 0.0},
                    "threshold": 0.5,
                    "abstain": {"low": 0.5, "high": 0.5},
                },
            }
            for column in range(width)
        ],
    }


def _at(document: dict[str, Any], *steps: str) -> dict[str, Any]:
    """Return the mapping at a path; an empty one where there is none."""
    found: Any = document
    for step in steps:
        found = found.get(step) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
