"""Write the package: the folds' networks as one ONNX graph, golden answers, figures in the card.

Source: ONNX opset 20; the card's fixed text is kept by hand, its numbers are written here.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image

from models.cxr_pneumonia_peds.train.network import (
    INPUT_SIZE,
    Ensemble,
    ScopeHead,
    SmallResNet,
)
from models.prepare import standardise
from models.registry import digest_of

OPSET = 20
PACKAGE = Path(__file__).resolve().parents[1]
GOLDEN_SEED = 20261122
GOLDEN_IMAGES = 32


def main() -> None:
    """Export whatever folds are given; the card's figures need all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    arguments = parser.parse_args()
    ensemble = read_ensemble(arguments.work, arguments.folds)
    weights = graph_of(ensemble)
    (PACKAGE / "model.onnx").write_bytes(weights)
    _write_golden(ensemble)
    _update_card(weights, arguments.work)


def graph_of(ensemble: Ensemble) -> bytes:
    """Return the ONNX file: `image` in; `logit`, `activation` and `scope` out; any batch size."""
    example = torch.zeros(2, 1, INPUT_SIZE, INPUT_SIZE)
    program = torch.onnx.export(
        ensemble,
        (example,),
        input_names=["image"],
        output_names=["logit", "activation", "scope"],
        dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
    )
    model = program.model_proto
    # The exporter notes where on this machine the source code lies; the file must not tell.
    for part in [model, model.graph, *model.graph.node, *model.graph.value_info]:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for value in [*model.graph.input, *model.graph.output, *model.graph.initializer]:
        value.ClearField("metadata_props")
        value.ClearField("doc_string")
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def read_ensemble(work: Path, folds: list[int]) -> Ensemble:
    """Read the networks of the folds, each with its scope head, ready to answer."""
    members, scopes = [SmallResNet() for _ in folds], [ScopeHead() for _ in folds]
    for fold, member, scope in zip(folds, members, scopes, strict=True):
        member.load_state_dict(torch.load(work / f"fold-{fold}.pt", weights_only=True))
        scope.load_state_dict(torch.load(work / f"scope-{fold}.pt", weights_only=True))
    return Ensemble(members, scopes).eval()


def _write_golden(ensemble: Ensemble) -> None:
    """Keep synthetic inputs with torch's own answers, for the parity test without torch."""
    grey = synthetic(np.random.default_rng(GOLDEN_SEED))
    x = np.stack([standardise(g.astype(np.float32) / 255) for g in grey])[:, np.newaxis]
    with torch.no_grad():
        logit, activation, scope = ensemble(torch.from_numpy(x))
    np.savez_compressed(
        PACKAGE / "golden.npz",
        grey=grey,
        logit=logit.numpy(),
        activation=activation.numpy(),
        scope=scope.numpy(),
    )


def synthetic(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return smooth random images, nobody's picture: (32, 128, 128), uint8."""
    images = []
    for number in range(GOLDEN_IMAGES):
        coarse = rng.integers(0, 256, (4 + number % 9, 4 + number % 7), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((INPUT_SIZE, INPUT_SIZE), Image.Resampling.BICUBIC)
        images.append(np.asarray(smooth))
    return np.stack(images)


def _update_card(weights: bytes, work: Path) -> None:
    path = PACKAGE / "card.yaml"
    card: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    card["weights"] |= {"digest": digest_of(weights), "bytes": len(weights)}
    if (work / "figures.json").exists():
        report = json.loads((work / "figures.json").read_text(encoding="utf-8"))
        point = {key: round(value, 4) for key, value in report.pop("operating_point").items()}
        card["operating_point"] |= {
            "calibration": {"slope": point["slope"], "intercept": point["intercept"]},
            "threshold": point["threshold"],
            "abstain": {
                "low": point["low"],
                "high": point["high"],
                "coverage": round(1 - report["abstained_share"], 4),
            },
            "scope": card["operating_point"].get("scope", {}) | {"threshold": point["scope"]},
        }
        card["performance"] |= {"figures": report}
    for name in ("robustness", "evidence"):
        if (work / f"{name}.json").exists():
            card["performance"][name] |= {
                "figures": json.loads((work / f"{name}.json").read_text(encoding="utf-8"))
            }
    text = yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=96)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
