"""Tiny ONNX networks whose answers can be worked out by hand, and packages of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from models.registry import digest_of

onnx = pytest.importorskip("onnx", reason="the onnx package builds the tiny networks")

SIZE = 28
FINDINGS = ("left", "right")


def halves(
    *,
    channels: int = 1,
    layout: str = "NCHW",
    batch: int | str = "N",
    sigmoid: bool = False,
    opset: int = 17,
    nodes: tuple[Any, ...] = (),
) -> bytes:
    """A network whose two scores are the means of the left and of the right half, times ten."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = np.zeros((SIZE, SIZE, 2), np.float32)
    weights[:, : SIZE // 2, 0] = weights[:, SIZE // 2 :, 1] = 20 / SIZE**2
    axis = 1 if layout == "NCHW" else 3
    shape = (batch, channels, SIZE, SIZE) if layout == "NCHW" else (batch, SIZE, SIZE, channels)
    made = [
        helper.make_node("ReduceMean", ["pixels"], ["grey"], axes=[axis], keepdims=0),
        helper.make_node("Reshape", ["grey", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "weights"], ["means" if sigmoid else "out"]),
        *([helper.make_node("Sigmoid", ["means"], ["out"])] if sigmoid else []),
        *nodes,
    ]
    constants = {"flat": np.array([-1, SIZE * SIZE]), "weights": weights.reshape(-1, 2)}
    graph = helper.make_graph(
        made,
        "halves",
        [helper.make_tensor_value_info("pixels", kind, shape)],
        [helper.make_tensor_value_info("out", kind, [batch, 2])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.example", 1)]
    model = helper.make_model(graph, opset_imports=opsets[: 2 if nodes else 1], ir_version=8)
    return bytes(model.SerializeToString())


def a_foreign_card(weights: bytes, **changes: Any) -> dict[str, Any]:
    """A filled card for `halves`, with entries replaced by dotted path ('input__channels')."""
    card: dict[str, Any] = {
        "id": "halves",
        "version": "1.0.0",
        "title": "Bright halves",
        "developer": "Tests",
        "label": "Only for tests.",
        "weights": {"digest": digest_of(weights)},
        "input": {
            "name": "pixels",
            "size": SIZE,
            "recipe": {"grey": "full", "values": [-1.0, 1.0]},
        },
        "output": {
            "scores": {"name": "out", "kind": "logit"},
            "findings": [a_finding_entry(name) for name in FINDINGS],
        },
        "intended_use": {
            "modalities": ["DX"],
            "age_years": {"min": 0, "max": 120},
            "population": "anybody",
            "projection": "X-rays",
        },
        "does_not_look_for": ["anything else"],
        "limits": ["It only compares brightness."],
    }
    for path, value in changes.items():
        *steps, last = path.split("__")
        place = card
        for step in steps:
            place = place.setdefault(step, {})
        if value is None:
            del place[last]
        else:
            place[last] = value
    return card


def a_finding_entry(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "system": "urn:test",
        "code": name,
        "display": f"Bright {name} half",
        "critical": False,
        "operating_point": {
            "calibration": {"slope": 1.0, "intercept": 0.0},
            "threshold": 0.5,
            "abstain": {"low": 0.45, "high": 0.55},
        },
    } | changes


def a_foreign_package(folder: Path, weights: bytes | None = None, **changes: Any) -> Path:
    """Write card and weights into a new folder."""
    weights = halves() if weights is None else weights
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(weights)
    text = yaml.safe_dump(a_foreign_card(weights, **changes), sort_keys=False)
    (folder / "card.yaml").write_text(text, encoding="utf-8")
    return folder


def a_bright_right(rows: int = 300, columns: int = 200) -> NDArray[np.float32]:
    """A frame, dark on its left and bright on its right."""
    frame = np.zeros((rows, columns), np.float32)
    frame[:, columns // 2 :] = 1000
    return frame
