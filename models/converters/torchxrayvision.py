"""Turn a TorchXRayVision DenseNet into a package: ONNX, card, and golden answers.

The network is exported with its class activation maps as a second output: pooling and the linear
layer commute, so the mean of a map is its logit.

    python -m models.converters.torchxrayvision --weights densenet121-res224-all FOLDER

The library downloads the weights; `--state FILE` reads a state dictionary instead.

Source: Cohen et al. 2022, "TorchXRayVision: A library of chest X-ray datasets and models"
(github.com/mlmed/torchxrayvision, Apache-2.0); SNOMED CT where the library's label is one concept.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from models.registry import digest_of

__all__ = ["OPSET", "SIZE", "a_network", "convert"]

OPSET = 17
SIZE = 224
GOLDEN_INPUTS = 4
Torch = Any  # modules and tensors of a library that is not there at run time
SNOMED = "http://snomed.info/sct"
LABELS = "https://github.com/mlmed/torchxrayvision"  # codes of labels that are no single concept
CHEST = {"system": SNOMED, "code": "51185008", "display": "Thoracic structure"}
UNCODED = "uncoded: no single SNOMED CT concept is known to mean what the library's label means"
# Where each was found: docs/reference/models.md, "Bringing a model".
CODES = {
    "Atelectasis": ("46621007", "Atelectasis"),
    "Cardiomegaly": ("8186001", "Cardiomegaly"),
    "Consolidation": ("95436008", "Lung consolidation"),
    "Edema": ("19242006", "Pulmonary edema"),
    "Effusion": ("60046008", "Pleural effusion"),
    "Emphysema": ("87433001", "Pulmonary emphysema"),
    "Fibrosis": ("51615001", "Pulmonary fibrosis"),
    "Fracture": ("125605004", "Fracture of bone"),
    "Infiltration": ("409609008", "Radiologic infiltrate of lung"),
    "Mass": ("309529002", "Lung mass"),
    "Nodule": ("427359005", "Solitary nodule of lung"),
    "Pneumonia": ("233604007", "Pneumonia"),
    "Pneumothorax": ("36118008", "Pneumothorax"),
}


def a_network(weights: str | None, state: Path | None = None) -> Torch:
    """Build the library's DenseNet, in evaluation mode; with neither, seeded and random."""
    torch: Any = importlib.import_module("torch")
    library: Any = importlib.import_module("torchxrayvision")
    torch.manual_seed(0)
    network = library.models.DenseNet(weights=weights)
    if state is not None:
        network.load_state_dict(torch.load(state, map_location="cpu", weights_only=True))
    return network.eval()


def convert(network: Torch, name: str, folder: Path) -> Path:
    """Write model.onnx, golden.npz and card.yaml into a new folder; return the folder.

    The thresholds are the library's operating points where it has them, else 0.5.
    """
    torch: Any = importlib.import_module("torch")
    folder.mkdir(parents=True)
    shown = _with_maps(network)
    seeded = np.random.default_rng(0)
    shape = (GOLDEN_INPUTS, 1, SIZE, SIZE)
    images = seeded.uniform(-1024, 1024, shape).astype(np.float32)
    path = folder / "model.onnx"
    torch.onnx.export(
        shown,
        (torch.from_numpy(images[:1]),),
        str(path),
        input_names=["image"],
        output_names=["logit", "activation"],
        dynamic_axes={one: {0: "N"} for one in ("image", "logit", "activation")},
        opset_version=OPSET,
        dynamo=False,  # the newer exporter keeps weights beside the file
    )
    with torch.no_grad():
        logit, activation = (one.numpy() for one in shown(torch.from_numpy(images)))
    np.savez_compressed(folder / "golden.npz", input=images, logit=logit, activation=activation)
    card = _card(network, name, path.read_bytes())
    text = yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=100)
    (folder / "card.yaml").write_text(text, encoding="utf-8")
    return folder


def _with_maps(network: Torch) -> Torch:
    """Wrap the network so that it gives logits (N, K) and their maps (N, K, 7, 7)."""
    torch: Any = importlib.import_module("torch")

    class WithMaps(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.features, self.classifier = network.features, network.classifier

        def forward(self, image: Torch) -> tuple[Torch, Torch]:
            features = torch.relu(self.features(image))
            weight = self.classifier.weight[:, :, None, None]
            maps = torch.nn.functional.conv2d(features, weight, self.classifier.bias)
            return maps.mean(dim=(2, 3)), maps

    return WithMaps().eval()


def _card(network: Torch, name: str, weights: bytes) -> dict[str, Any]:
    """Fill in what the library states; population and limits are those of its public data."""
    return {
        "id": name,
        "version": "1.0.0",
        "title": f"TorchXRayVision DenseNet-121 ({name})",
        "developer": "Cohen et al., TorchXRayVision",
        "label": "Research model. Not a medical device.",
        "licence": "Apache-2.0 (the library); the training data have terms of their own",
        "weights": {"file": "model.onnx", "digest": digest_of(weights), "opset": OPSET},
        "input": {
            "name": "image",
            "size": SIZE,
            "channels": 1,
            "layout": "NCHW",
            # The library spreads the stored range over -1024..1024 and cuts the middle square.
            "recipe": {"fit": "crop", "grey": "full", "values": [-1024.0, 1024.0]},
        },
        "output": {
            "logit": f"[N, {len(_labels(network))}], before the sigmoid",
            "activation": "[N, findings, 7, 7], local logits whose mean is the logit",
            "findings": _findings(network),
        },
        "intended_use": {
            "modalities": ["CR", "DX"],
            "body_parts": ["CHEST"],
            "views": ["AP", "PA"],
            "age_years": {"min": 18, "max": 120},
            "population": "adults",
            "projection": "frontal chest X-rays",
            "users": "researchers",
        },
        "does_not_look_for": ["tubes, lines and foreign bodies", "anything outside its labels"],
        "limits": [
            "Trained on labels that were read from reports by software.",
            "Its probabilities are not calibrated, and its operating points are the library's.",
            "It tells no image of another kind from a chest film.",
        ],
        "performance": {"method": "see the publication", "external_validation": "none"},
    }


def _labels(network: Torch) -> list[str]:
    """Return the labels of the outputs, "" where the weights were not trained for one."""
    return list(network.targets)


def _findings(network: Torch) -> list[dict[str, Any]]:
    points: NDArray[np.float32] | None = (
        None if network.op_threshs is None else network.op_threshs.numpy()
    )
    findings = []
    for column, label in enumerate(_labels(network)):
        if not label:
            continue
        system, (code, display) = (
            (SNOMED, CODES[label]) if label in CODES else (LABELS, (label,) * 2)
        )
        stated = float(points[column]) if points is not None else 0.5
        threshold = round(stated, 6) if 0 < stated < 1 else 0.5
        findings.append(
            {
                "column": column,
                "system": system,
                "code": code,
                "display": display.replace("_", " "),
                "critical": label == "Pneumothorax",
                "body_site": CHEST,
                **({} if label in CODES else {"note": UNCODED}),
                "operating_point": {
                    "calibration": {"slope": 1.0, "intercept": 0.0},
                    "threshold": threshold,
                    "abstain": {"low": threshold, "high": threshold},
                },
            }
        )
    return findings


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Convert a TorchXRayVision DenseNet.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", help="name in the library, such as densenet121-res224-all")
    parser.add_argument("--state", type=Path, help="file with a state dictionary")
    arguments = parser.parse_args()
    if (arguments.weights is None) == (arguments.state is None):
        parser.error("give --weights or --state")
    name = (arguments.weights or arguments.state.stem).lower().replace("-", "_")
    convert(a_network(arguments.weights, arguments.state), name, arguments.folder)


if __name__ == "__main__":
    main()
