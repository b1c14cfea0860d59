"""Write the PassThrough network: constants, whatever the image, in a real ONNX file.

So a site tests the path that every other model takes, down to the runtime.

    python -m models.pass_through.train.build
"""

from pathlib import Path

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

from models.registry import digest_of

FOLDER = Path(__file__).resolve().parents[1]
LOGITS = (2.2, 0.0, -2.2)  # present, uncertain, absent: 0.90, 0.50, 0.10
OPSET = 17


def network() -> bytes:
    """Return the ONNX file: every image multiplied by zero, plus the constants."""
    findings = len(LOGITS)
    constants = {
        "zero": np.array(0.0, np.float32),
        "square": np.array([-1, 1], np.int64),
        "answers": np.array([LOGITS], np.float32),
        "cold": np.zeros((1, findings, 1, 1), np.float32),
    }
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Reshape", ["nothing", "square"], ["flat"]),
        helper.make_node("Add", ["flat", "answers"], ["logit"]),
        helper.make_node("Add", ["nothing", "cold"], ["activation"]),
    ]
    batch = "N"
    graph = helper.make_graph(
        nodes,
        "pass_through",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 1, 16, 16])],
        [
            helper.make_tensor_value_info("logit", TensorProto.FLOAT, [batch, findings]),
            helper.make_tensor_value_info("activation", TensorProto.FLOAT, [batch, findings, 1, 1]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def main() -> None:
    weights = network()
    (FOLDER / "model.onnx").write_bytes(weights)
    path = FOLDER / "card.yaml"
    card = yaml.safe_load(path.read_text(encoding="utf-8"))
    card["weights"] |= {"digest": digest_of(weights), "bytes": len(weights), "opset": OPSET}
    text = yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=100)
    path.write_text(text, encoding="utf-8")
    image = np.random.default_rng(0).standard_normal((2, 1, 16, 16)).astype(np.float32)
    np.savez_compressed(
        FOLDER / "golden.npz",
        input=image,
        logit=np.repeat(np.array([LOGITS], np.float32), 2, axis=0),
        activation=np.zeros((2, len(LOGITS), 1, 1), np.float32),
    )


if __name__ == "__main__":
    main()
