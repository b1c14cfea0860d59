"""The shipped weights answer as the trained network did, and their map explains their score."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.calibrate import probability_of
from models.prepare import prepare, standardise
from tests.unit.models.builders import PNEUMONIA, the_session


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with (files("models") / "cxr_pneumonia_peds" / "golden.npz").open("rb") as stream:
        return dict(np.load(stream))


def test_the_onnx_graph_answers_as_torch_did(golden: dict[str, np.ndarray]) -> None:
    images = np.stack([standardise(grey.astype(np.float32) / 255) for grey in golden["grey"]])

    logit, activation, scope = the_session().run(
        ["logit", "activation", "scope"], {"image": images[:, np.newaxis]}
    )

    assert len(images) == 32
    assert float(np.abs(scope - golden["scope"]).max()) <= 1e-3
    assert float(np.abs(logit - golden["logit"]).max()) <= 1e-4
    assert float(np.abs(activation - golden["activation"]).max()) <= 1e-3


def test_one_image_at_a_time_gives_the_same_answer_as_a_batch(
    golden: dict[str, np.ndarray],
) -> None:
    image = standardise(golden["grey"][5].astype(np.float32) / 255)[np.newaxis, np.newaxis]

    (logit,) = the_session().run(["logit"], {"image": image})

    assert abs(float(logit[0, 0]) - float(golden["logit"][5, 0])) <= 1e-4


def test_the_score_is_the_mean_of_its_activation_map(golden: dict[str, np.ndarray]) -> None:
    means = golden["activation"].mean(axis=(2, 3))

    assert np.allclose(means, golden["logit"], atol=1e-4)


def test_inputs_and_outputs_are_those_of_the_card() -> None:
    session = the_session()

    (image,) = session.get_inputs()
    outputs = {output.name: output.shape[1:] for output in session.get_outputs()}

    assert image.name == "image" and image.type == "tensor(float)"
    assert image.shape[1:] == [1, PNEUMONIA.input.size, PNEUMONIA.input.size]
    assert outputs == {"logit": [1], "activation": [1, 16, 16], "scope": [1]}


@pytest.mark.parametrize(("folder", "above"), [("normal", False), ("pneumonia", True)])
def test_real_radiographs_fall_on_their_side_of_the_threshold(
    shared_data: Path, folder: str, above: bool
) -> None:
    # The model was trained on these: this tests the path from pixels to score, not its accuracy.
    paths = sorted((shared_data / "kermany-train" / folder).glob("*.jpeg"))[::90][:15]

    probabilities = []
    for path in paths:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("L"), dtype=np.float32)
        (logit,) = the_session().run(["logit"], {"image": prepare(pixels, PNEUMONIA.input.size)})
        probabilities.append(probability_of(float(logit[0, 0]), PNEUMONIA.findings[0]))

    threshold = PNEUMONIA.findings[0].threshold
    right = [(probability > threshold) is above for probability in probabilities]
    assert len(right) == 15 and sum(right) >= 13
