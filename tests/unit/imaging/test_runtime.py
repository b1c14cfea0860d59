"""The classifier, on a tiny network whose answer can be worked out by hand."""

import os
from contextlib import nullcontext
from dataclasses import replace
from math import exp, nan

import numpy as np
import pytest

from cds_service.adapters.model_shelf import ModelShelf
from cds_service.adapters.pixels import DicomReader, Radiograph
from cds_service.adapters.runtime import OnnxClassifier, new_session
from cds_service.domain.finding import MapMethod
from cds_service.errors import (
    InferenceFailed,
    OutputOutOfRange,
    StudyOutOfScope,
    UnreadableInstance,
)
from cds_service.usecases.ports import Classification, ImageFinding
from models.contract import ModelPackage
from models.registry import card_of, digest_of
from tests.unit.imaging.dicom import a_composite, a_film, a_picture, as_file

onnx = pytest.importorskip("onnx", reason="the onnx package builds the tiny network")

CARD = card_of("cxr_pneumonia_peds")
FILM = Radiograph(a_picture().astype(np.float32))


def a_network(
    *, logit: float = 2.0, scope: float = -3.0, shape: tuple[int, ...] = (1, 1, 4, 4)
) -> bytes:
    """A network that answers constant scores, and a map that is hot in its last cell."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    heat = np.zeros(shape, np.float32)
    heat.flat[-1] = 12.0
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=1),
        helper.make_node("Reshape", ["mean", "square"], ["flat"]),
        helper.make_node("Mul", ["flat", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "answer"], ["logit"]),
        helper.make_node("Identity", ["heat"], ["activation"]),
        helper.make_node("Add", ["nothing", "strangeness"], ["scope"]),
    ]
    constants = {
        "square": np.array([1, 1], np.int64),
        "zero": np.array([[0.0]], np.float32),
        "answer": np.array([[logit]], np.float32),
        "heat": heat,
        "strangeness": np.array([[scope]], np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", kind, ["N", 1, 128, 128])],
        [
            helper.make_tensor_value_info("logit", kind, [1, 1]),
            helper.make_tensor_value_info("activation", kind, list(shape)),
            helper.make_tensor_value_info("scope", kind, [1, 1]),
        ],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def a_classifier(weights: bytes | None = None, **changes: object) -> OnnxClassifier:
    weights = a_network() if weights is None else weights
    finding = replace(
        CARD.findings[0],
        calibration_slope=0.5,
        calibration_intercept=0.25,
        threshold=0.6,
        abstain_low=0.55,
        abstain_high=0.65,
    )
    values = {"findings": (finding,), "scope_threshold": -1.0} | changes
    return OnnxClassifier(ModelPackage(replace(CARD, digest=digest_of(weights), **values), weights))


def the_bundled_one() -> OnnxClassifier:
    return OnnxClassifier(ModelShelf(None, CARD.id).package(CARD.id))


def only(outcome: Classification) -> ImageFinding:
    (finding,) = outcome.findings
    return finding


def test_the_logit_is_calibrated_and_decided_by_the_card() -> None:
    outcome = a_classifier().classify(FILM)

    assert only(outcome).probability == pytest.approx(1 / (1 + exp(-(0.5 * 2 + 0.25))))
    assert only(outcome).present is True and outcome.infer_ms > 0 and outcome.prepare_ms > 0


@pytest.mark.parametrize(("logit", "present"), [(-3.0, False), (0.3, None), (3.0, True)])
def test_inside_the_abstain_band_there_is_no_decision(logit: float, present: bool | None) -> None:
    assert a_classifier(a_network(logit=logit)).classify(FILM).findings[0].present is present


def test_the_region_is_where_the_map_is_hot_in_pixels_of_the_image() -> None:
    heat = only(a_classifier().classify(FILM)).heat

    assert heat is not None and max(heat.activation.values) == 1.0
    assert heat.activation.method is MapMethod.ACTIVATION
    assert heat.region is not None
    assert heat.region.left > FILM.columns / 2 and heat.region.top > FILM.rows / 2
    assert heat.region.left + heat.region.width <= FILM.columns


def test_identity_and_intended_use_are_those_of_the_card() -> None:
    classifier = the_bundled_one()

    assert classifier.identity.digest == CARD.digest and "Not a medical device" in CARD.label
    assert classifier.intended_use.views == CARD.intended_use.views
    (said,) = classifier.classify(
        DicomReader().pixels(as_file(a_film(a_composite("present-1"))))
    ).findings
    assert said.coding.code == "233604007" and said.threshold == CARD.findings[0].threshold


def test_an_image_of_another_kind_gets_no_number() -> None:
    with pytest.raises(StudyOutOfScope, match="made for frontal chest X-rays") as refusal:
        a_classifier(a_network(scope=-0.5)).classify(FILM)

    assert refusal.value.code == "not-this-kind"


def test_a_model_without_a_scope_score_reads_every_image() -> None:
    output = replace(CARD.output, scope=None)
    network = a_network(scope=99.0)
    outcome = a_classifier(network, scope_threshold=None, output=output).classify(FILM)

    assert only(outcome).present is True and outcome.guards == ("contrast",)


@pytest.mark.parametrize("name", ["absent-1", "present-1"])
def test_the_bundled_model_reads_a_film_however_it_is_stored(name: str) -> None:
    classifier, twelve_bits = the_bundled_one(), a_composite(name)

    plain = classifier.classify(DicomReader().pixels(as_file(a_film(twelve_bits))))
    inverse = a_film(4095 - twelve_bits, PhotometricInterpretation="MONOCHROME1")
    stored_inverse = classifier.classify(DicomReader().pixels(as_file(inverse)))

    assert only(plain).present is only(stored_inverse).present is name.startswith("present")
    assert only(stored_inverse).probability == pytest.approx(only(plain).probability, abs=1e-3)


@pytest.mark.parametrize("name", ["absent-1", "present-1"])
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_film_with_a_proper_header_is_not_analysed(name: str, quarters: int) -> None:
    turned = a_film(np.ascontiguousarray(np.rot90(a_composite(name), quarters)))

    with pytest.raises(StudyOutOfScope, match="does not look like one"):
        the_bundled_one().classify(DicomReader().pixels(as_file(turned)))


@pytest.mark.parametrize("name", ["absent-1", "present-1"])
def test_a_film_whose_header_tells_the_wrong_polarity_is_not_analysed(name: str) -> None:
    wrong = a_film(a_composite(name), PhotometricInterpretation="MONOCHROME1")

    with pytest.raises(StudyOutOfScope, match="does not look like one"):
        the_bundled_one().classify(DicomReader().pixels(as_file(wrong)))


@pytest.mark.parametrize("name", ["absent-1", "present-1"])
@pytest.mark.parametrize("header", [("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE")])
@pytest.mark.parametrize("is_stored_bright", [True, False])
def test_where_the_header_contradicts_itself_the_image_tells_its_polarity(
    name: str, header: tuple[str, str], is_stored_bright: bool
) -> None:
    classifier, picture = the_bundled_one(), a_composite(name)
    plain = classifier.classify(DicomReader().pixels(as_file(a_film(picture))))
    film = a_film(
        picture if is_stored_bright else 4095 - picture,
        PhotometricInterpretation=header[0],
        PresentationLUTShape=header[1],
    )

    told = classifier.classify(DicomReader().pixels(as_file(film)))

    read_as_negative = (header[0] == "MONOCHROME1") == is_stored_bright
    assert only(told).probability == pytest.approx(only(plain).probability, abs=1e-3)
    assert ("negative" in told.guards) is read_as_negative and "polarity" in told.guards
    assert "polarity" not in plain.guards


@pytest.mark.parametrize("scope", [-3.0, 1.0], ids=["both fit", "neither fits"])
def test_a_polarity_that_neither_header_nor_image_tells_is_refused(scope: float) -> None:
    film = Radiograph(a_picture().astype(np.float32), is_polarity_known=False)

    with pytest.raises(UnreadableInstance) as refusal:
        a_classifier(a_network(scope=scope)).classify(film)

    assert refusal.value.code == "ambiguous-polarity"


def test_a_model_that_knows_no_scope_cannot_tell_the_polarity() -> None:
    film = Radiograph(a_picture().astype(np.float32), is_polarity_known=False)
    blind = a_classifier(scope_threshold=None, output=replace(CARD.output, scope=None))

    with pytest.raises(UnreadableInstance, match="contradicts itself about black and white"):
        blind.classify(film)


@pytest.mark.parametrize("is_inverted", [False, True])
def test_a_chest_model_without_a_scope_score_refuses_a_negative_by_the_image(
    is_inverted: bool,
) -> None:
    blind = a_classifier(scope_threshold=None, output=replace(CARD.output, scope=None))
    film = a_film(4095 - a_composite() if is_inverted else a_composite())
    pixels = DicomReader().pixels(as_file(film))

    with pytest.raises(StudyOutOfScope) if is_inverted else nullcontext() as refusal:
        blind.classify(pixels)

    assert refusal is None or refusal.value.code == "not-this-kind"


@pytest.mark.parametrize(
    "network", [{"logit": nan}, {"scope": nan}, {"shape": (1, 2, 4, 4)}], ids=str
)
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


def test_after_a_fork_the_child_makes_its_own_session(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = a_classifier()
    classifier.warm_up()
    ours = classifier._ready_session()
    assert classifier._ready_session() is ours

    monkeypatch.setattr(os, "getpid", lambda: -1)

    assert classifier._ready_session() is not ours


def test_a_provider_that_is_not_installed_is_a_failure_and_not_the_processor() -> None:
    with pytest.raises(InferenceFailed, match="NoSuchExecutionProvider is not installed"):
        new_session(a_network(), provider="NoSuchExecutionProvider")
