"""The classifier, on a tiny network whose answer can be worked out by hand."""

import os
from dataclasses import replace
from hashlib import sha256
from math import exp, nan

import numpy as np
import pytest

from cds_service.adapters.pixels import DicomReader, Radiograph
from cds_service.adapters.runtime import OnnxClassifier
from cds_service.errors import (
    InferenceFailed,
    ModelMissing,
    OutputOutOfRange,
    StudyOutOfScope,
    WeightsDigestMismatch,
)
from models.contract import ModelPackage
from models.registry import card_of
from tests.unit.imaging.dicom import a_film, a_picture, as_file

onnx = pytest.importorskip("onnx", reason="the onnx package builds the tiny network")

CARD = card_of("cxr_pneumonia_peds")
FILM = Radiograph(a_picture().astype(np.float32))


def a_network(*, logit: float = 2.0, shape: tuple[int, ...] = (1, 1, 4, 4)) -> bytes:
    """A network that answers a constant logit, and a map that is hot in its last cell."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    heat = np.zeros(shape, np.float32)
    heat.flat[-1] = 12.0
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=1),
        helper.make_node("Reshape", ["mean", "square"], ["flat"]),
        helper.make_node("Mul", ["flat", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "answer"], ["logit"]),
        helper.make_node("Identity", ["heat"], ["activation"]),
    ]
    constants = {
        "square": np.array([1, 1], np.int64),
        "zero": np.array([[0.0]], np.float32),
        "answer": np.array([[logit]], np.float32),
        "heat": heat,
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", kind, ["N", 1, 128, 128])],
        [
            helper.make_tensor_value_info("logit", kind, [1, 1]),
            helper.make_tensor_value_info("activation", kind, list(shape)),
        ],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def a_classifier(weights: bytes | None = None) -> OnnxClassifier:
    weights = a_network() if weights is None else weights
    card = replace(
        CARD,
        digest=f"sha256:{sha256(weights).hexdigest()}",
        calibration_slope=0.5,
        calibration_intercept=0.25,
        threshold=0.6,
        abstain_low=0.55,
        abstain_high=0.65,
    )
    return OnnxClassifier(ModelPackage(card, weights))


def test_the_logit_is_calibrated_and_decided_by_the_card() -> None:
    outcome = a_classifier().classify(FILM)

    assert outcome.probability == pytest.approx(1 / (1 + exp(-(0.5 * 2 + 0.25))))
    assert outcome.present is True and outcome.infer_ms > 0 and outcome.prepare_ms > 0


@pytest.mark.parametrize(("logit", "present"), [(-3.0, False), (0.3, None), (3.0, True)])
def test_inside_the_abstain_band_there_is_no_decision(logit: float, present: bool | None) -> None:
    assert a_classifier(a_network(logit=logit)).classify(FILM).present is present


def test_the_region_is_where_the_map_is_hot_in_pixels_of_the_image() -> None:
    outcome = a_classifier().classify(FILM)

    assert outcome.activation is not None and max(outcome.activation.values) == 1.0
    assert outcome.region is not None
    assert outcome.region.left > FILM.columns / 2 and outcome.region.top > FILM.rows / 2
    assert outcome.region.left + outcome.region.width <= FILM.columns


def test_identity_and_intended_use_are_those_of_the_card() -> None:
    classifier = OnnxClassifier.load("cxr_pneumonia_peds")

    assert classifier.identity.digest == CARD.digest and "Not a medical device" in CARD.label
    assert classifier.intended_use.views == CARD.intended_use.views
    assert classifier.finding.code == "233604007" and classifier.threshold == CARD.threshold


def test_the_bundled_model_reads_a_film() -> None:
    image = DicomReader().pixels(as_file(a_film()))

    outcome = OnnxClassifier.load("cxr_pneumonia_peds").classify(image)

    assert 0 <= outcome.probability <= 1 and outcome.activation is not None


@pytest.mark.parametrize("network", [{"logit": nan}, {"shape": (1, 2, 4, 4)}], ids=str)
def test_an_answer_that_the_card_does_not_promise_is_our_failure(
    network: dict[str, object],
) -> None:
    with pytest.raises(OutputOutOfRange):
        a_classifier(a_network(**network)).classify(FILM)  # type: ignore[arg-type]


def test_weights_that_are_no_network_are_our_failure() -> None:
    with pytest.raises(InferenceFailed):
        a_classifier(b"not an ONNX file").classify(FILM)


def test_a_flat_image_is_out_of_scope() -> None:
    with pytest.raises(StudyOutOfScope):
        a_classifier().classify(Radiograph(np.ones((96, 80), np.float32)))


def test_a_model_that_is_not_installed_is_missing() -> None:
    with pytest.raises(ModelMissing):
        OnnxClassifier.load("no_such_model")


def test_weights_that_are_not_those_of_the_card_stop_us(monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(CARD, digest="sha256:" + "0" * 64)
    monkeypatch.setattr("models.registry.card_of", lambda *_: other)

    with pytest.raises(WeightsDigestMismatch):
        OnnxClassifier.load("cxr_pneumonia_peds")


def test_after_a_fork_the_child_makes_its_own_session(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = a_classifier()
    classifier.warm_up()
    ours = classifier._ready_session()
    assert classifier._ready_session() is ours

    monkeypatch.setattr(os, "getpid", lambda: -1)

    assert classifier._ready_session() is not ours
