"""A benchmark graph: DenseNet-121 in ONNX with seeded random weights, and the card it needs.

It finds nothing: its layers, sizes and run time are the point. As in the bundled models, the score
is the mean of a map over the last features.

Source: Huang et al. 2017, "Densely Connected Convolutional Networks", table 1 (DenseNet-121,
k = 32), doi 10.1109/CVPR.2017.243; https://onnx.ai/onnx/operators/.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.onnx_ml_pb2 import NodeProto

from models.contract import ModelCard, ModelPackage

BLOCKS = (6, 12, 24, 16)
GROWTH = 32
STEM = 64
SIZE = 224
OPSET = 17
IR_VERSION = 8  # of OPSET
SEED = 121


def densenet_121() -> ModelPackage:
    """Build the package; the same bytes at every call."""
    weights = _Graph().built()
    return ModelPackage(ModelCard.from_yaml(_card_text(weights)), weights)


@dataclass(slots=True)
class _Graph:
    """The nodes and weights so far."""

    nodes: list[NodeProto] = field(default_factory=list)
    weights: list[TensorProto] = field(default_factory=list)
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(SEED))

    def built(self) -> bytes:
        last, channels = self._node("Identity", "image"), 3
        last = self._convolved(last, channels, STEM, kernel=7, stride=2)
        last = self._activated(last, STEM)
        last = self._node("MaxPool", last, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        channels = STEM
        for number, layers in enumerate(BLOCKS, start=1):
            for _ in range(layers):
                last, channels = self._dense_layer(last, channels), channels + GROWTH
            if number < len(BLOCKS):
                last, channels = self._transition(last, channels), channels // 2
        last = self._activated(last, channels)
        last = self._convolved(last, channels, 1, kernel=1)
        self._node("Identity", last, to="activation")
        self._node("ReduceMean", last, to="logit", axes=[2, 3], keepdims=0)
        graph = helper.make_graph(
            self.nodes,
            "densenet-121",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, SIZE, SIZE])],
            [
                helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["n", 1]),
                helper.make_tensor_value_info("activation", TensorProto.FLOAT, ["n", 1, 7, 7]),
            ],
            self.weights,
        )
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
        return bytes(model.SerializeToString())

    def _dense_layer(self, last: str, channels: int) -> str:
        narrow = self._convolved(self._activated(last, channels), channels, 4 * GROWTH, kernel=1)
        grown = self._convolved(self._activated(narrow, 4 * GROWTH), 4 * GROWTH, GROWTH, kernel=3)
        return self._node("Concat", last, grown, axis=1)

    def _transition(self, last: str, channels: int) -> str:
        halved = self._convolved(self._activated(last, channels), channels, channels // 2, kernel=1)
        return self._node("AveragePool", halved, kernel_shape=[2, 2], strides=[2, 2])

    def _activated(self, last: str, channels: int) -> str:
        """Normalise as a trained network does, then Relu: near 0 means and near 1 deviations."""
        scale, bias, mean = (self._drawn(channels, 0.1) for _ in range(3))
        about_one = (self._weight(np.ones(channels, np.float32)),)
        normal = self._node("BatchNormalization", last, scale, bias, mean, *about_one)
        return self._node("Relu", normal)

    def _convolved(
        self, last: str, channels: int, filters: int, *, kernel: int, stride: int = 1
    ) -> str:
        deviation = (2 / (channels * kernel * kernel)) ** 0.5
        weights = self._drawn((filters, channels, kernel, kernel), deviation)
        pads, size = [kernel // 2] * 4, [kernel, kernel]
        strides = [stride, stride]
        return self._node("Conv", last, weights, kernel_shape=size, pads=pads, strides=strides)

    def _node(
        self,
        kind: str,
        *inputs: str,
        to: str = "",
        **attributes: Any,  # noqa: ANN401  whatever the operator takes
    ) -> str:
        to = to or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [to], **attributes))
        return to

    def _drawn(self, shape: int | tuple[int, ...], deviation: float) -> str:
        return self._weight(self.random.normal(0, deviation, shape).astype(np.float32))

    def _weight(self, values: NDArray[np.float32]) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name


def _card_text(weights: bytes) -> str:
    """Describe the graph: any frontal chest film, one finding that is never present."""
    return yaml.safe_dump(
        {
            "id": "benchmark_densenet",
            "version": "1.0.0",
            "title": "DenseNet-121 with random weights",
            "developer": "The Sightline project",
            "label": "For benchmarks. Not a medical device.",
            "licence": "Apache-2.0",
            "weights": {"digest": f"sha256:{sha256(weights).hexdigest()}"},
            "input": {
                "name": "image",
                "size": SIZE,
                "channels": 3,
                "recipe": {
                    "values": [0.0, 1.0],
                    "mean": [0.485, 0.456, 0.406],
                    "std": [0.229, 0.224, 0.225],
                },
            },
            "output": {
                "logit": "[n, 1]",
                "activation": "[n, 1, 7, 7]",
                "finding": {
                    "system": "urn:uuid:3c1e8f6a-6b0e-4d53-8f5b-0a4f4d0c7a11",
                    "code": "benchmark",
                    "display": "Benchmark",
                    "critical": False,
                },
            },
            "operating_point": {
                "calibration": {"slope": 1.0, "intercept": 0.0},
                "threshold": 1.0,
                "abstain": {"low": 1.0, "high": 1.0},
            },
            "intended_use": {
                "modalities": ["DX", "CR"],
                "body_parts": ["CHEST"],
                "views": ["PA", "AP"],
                "age_years": {"min": 0, "max": 120},
                "population": "people",
                "projection": "frontal chest X-rays",
            },
            "does_not_look_for": ["anything"],
            "limits": ["its weights are random"],
        },
        sort_keys=False,
    )
