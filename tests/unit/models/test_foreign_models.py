"""Somebody else's ONNX classifier: its input made as its card says, its heat found by hiding."""

from dataclasses import replace
from math import exp
from typing import Any

import numpy as np
import pytest

from cds_service.adapters.heatmap import heatmap_png
from cds_service.adapters.pixels import Radiograph
from cds_service.adapters.runtime import OnnxClassifier
from cds_service.domain.finding import MapMethod
from cds_service.errors import InferenceFailed, OutputOutOfRange
from models.calibrate import logits_of
from models.contract import ModelCard, ModelInput, ModelPackage
from models.prepare import tensor_of
from tests.unit.models.networks import (
    SIZE,
    a_bright_right,
    a_foreign_card,
    halves,
    onnx,
)

yaml = pytest.importorskip("yaml")


def a_classifier(weights: bytes | None = None, **changes: Any) -> OnnxClassifier:
    weights = halves() if weights is None else weights
    card = ModelCard.from_yaml(yaml.safe_dump(a_foreign_card(weights, **changes)))
    return OnnxClassifier(ModelPackage(card, weights))


def test_each_output_is_a_finding_with_its_own_score() -> None:
    left, right = a_classifier().classify(Radiograph(a_bright_right())).findings

    assert (left.coding.code, right.coding.code) == ("left", "right")
    assert left.present is False and right.present is True
    assert right.probability == pytest.approx(1 / (1 + exp(-10)), abs=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"channels": 3},
        {"channels": 3, "layout": "NHWC"},
        {"layout": "NHWC"},
        {"batch": 1},
        {"sigmoid": True},
    ],
    ids=str,
)
def test_one_model_answers_alike_however_it_was_exported(changes: dict[str, Any]) -> None:
    kind = "probability" if changes.get("sigmoid") else "logit"
    made = {f"input__{name}": changes[name] for name in ("channels", "layout") if name in changes}
    image = Radiograph(a_bright_right())

    plain = a_classifier().classify(image)
    other = a_classifier(halves(**changes), output__scores__kind=kind, **made).classify(image)

    for mine, theirs in zip(plain.findings, other.findings, strict=True):
        assert mine.probability == pytest.approx(theirs.probability, abs=1e-3)
    assert other.explain is not None and len(other.explain()) == 2


def test_a_column_of_the_card_picks_the_score() -> None:
    (finding, *_) = a_foreign_card(halves())["output"]["findings"]
    swapped = a_classifier(output__findings=[finding | {"column": 1}])

    (said,) = swapped.classify(Radiograph(a_bright_right())).findings

    assert said.coding.code == "left" and said.present is True


def test_heat_by_hiding_lies_where_the_score_comes_from_and_says_how_it_was_made() -> None:
    image = Radiograph(a_bright_right())
    outcome = a_classifier().classify(image)
    assert outcome.explain is not None

    _, right = outcome.explain()

    assert right.activation.method is MapMethod.OCCLUSION
    heat = np.array(right.activation.values).reshape(right.activation.rows, -1)
    assert heat[:, 5:].min() > 0 and heat[:, :2].max() == 0
    assert heatmap_png(image, right.activation, "").startswith(b"\x89PNG")
    assert outcome.explain() is outcome.explain()  # found once


@pytest.mark.parametrize(
    "changes",
    [
        {"output__scores__name": "nowhere"},
        {"input__name": "nothing"},
        {"input__size": SIZE + 1},
    ],
    ids=str,
)
def test_a_card_for_another_network_is_our_failure(changes: dict[str, Any]) -> None:
    with pytest.raises(InferenceFailed):
        a_classifier(**changes).classify(Radiograph(a_bright_right()))


def test_a_logit_is_no_probability() -> None:
    with pytest.raises(OutputOutOfRange):
        a_classifier(output__scores__kind="probability").classify(Radiograph(a_bright_right()))


def test_a_file_that_keeps_data_elsewhere_never_reaches_the_runtime() -> None:
    model = onnx.load_from_string(halves())
    tensor = model.graph.initializer[1]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "elsewhere"

    with pytest.raises(InferenceFailed, match="it keeps data in other files"):
        a_classifier(model.SerializeToString()).classify(Radiograph(a_bright_right()))


# --- scores and inputs ------------------------------------------------------------------------


def test_scores_of_every_kind_become_logits() -> None:
    logits = np.array([[-2.0, 0.5, 1.0]])
    softmax = np.exp(logits) / np.exp(logits).sum()

    of_classes = logits_of(logits.astype(np.float32), "class-logits")
    of_probabilities = logits_of(softmax.astype(np.float32), "probability")

    assert np.allclose(logits_of(logits.astype(np.float32), "logit"), logits)
    assert np.allclose(of_classes, of_probabilities, atol=1e-5)


def test_a_certain_probability_stays_finite() -> None:
    assert np.isfinite(logits_of(np.array([[0.0, 1.0]], np.float32), "probability")).all()


@pytest.mark.parametrize(
    ("scores", "kind"),
    [([[np.nan]], "logit"), ([[1.5]], "probability"), ([[1.0]], "class-logits")],
)
def test_scores_that_are_none_are_refused(scores: list[list[float]], kind: str) -> None:
    with pytest.raises(ValueError, match=r"score|class"):
        logits_of(np.array(scores, np.float32), kind)


PLAIN = ModelInput("pixels", 16, grey="full", values=(0.0, 1.0))


def test_the_recipe_sets_range_channels_and_layout() -> None:
    frame = a_bright_right()
    torch_like = replace(PLAIN, channels=3, values=(0.0, 1.0), mean=(0.5,) * 3, std=(0.25,) * 3)

    assert tensor_of(frame, PLAIN).shape == (1, 1, 16, 16)
    assert (tensor_of(frame, PLAIN).min(), tensor_of(frame, PLAIN).max()) == (0.0, 1.0)
    assert tensor_of(frame, torch_like).shape == (1, 3, 16, 16)
    assert (tensor_of(frame, torch_like).min(), tensor_of(frame, torch_like).max()) == (-2, 2)
    assert tensor_of(frame, replace(torch_like, layout="NHWC")).shape == (1, 16, 16, 3)
    standard = tensor_of(frame, replace(PLAIN, values=None))
    assert abs(standard.mean()) < 1e-5 and standard.std() == pytest.approx(1.0, abs=1e-4)


def test_crop_loses_the_edges_and_pad_keeps_the_shape() -> None:
    frame = np.zeros((100, 300), np.float32)
    frame[:, :50] = frame[:, 250:] = frame[40:60, 140:160] = 1.0

    stretched, cropped, padded = (
        tensor_of(frame, replace(PLAIN, fit=fit))[0, 0] for fit in ("stretch", "crop", "pad")
    )

    assert stretched[:, 0].min() > 0.5
    assert cropped[:, 0].max() < 0.1  # the bright edges are gone, the bright middle is not
    assert cropped[7:9, 7:9].min() > 0.5
    assert padded[0].max() == 0.0 and padded[8, 0] > 0.5
