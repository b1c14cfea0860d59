"""Weights are given out only with the card that was written for them."""

from pathlib import Path

import pytest

from models.contract import WeightsChanged
from models.registry import card_of, model_ids, package_of
from tests.unit.models.builders import a_package


def test_the_bundled_models_are_found_and_their_digests_fit() -> None:
    assert model_ids() == ("cxr_pneumonia_peds", "pass_through")
    for model_id in model_ids():
        package = package_of(model_id)

        assert package.card.id == model_id and len(package.weights) <= 25 * 1024 * 1024


@pytest.mark.parametrize("model_id", model_ids())
def test_a_bundled_model_states_the_licence_of_its_weights(model_id: str) -> None:
    assert card_of(model_id).licence


def test_a_folder_with_a_card_is_a_model(tmp_path: Path) -> None:
    a_package(tmp_path, "second", b"weights")
    (tmp_path / "no_model").mkdir()

    assert model_ids(tmp_path) == ("second",)
    assert package_of("second", tmp_path).weights == b"weights"


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    folder = a_package(tmp_path, "second", b"weights")
    (folder / "model.onnx").write_bytes(b"weightz")

    with pytest.raises(WeightsChanged, match="not those of its card"):
        package_of("second", tmp_path)


def test_missing_weights_are_a_missing_model(tmp_path: Path) -> None:
    folder = a_package(tmp_path, "second", b"weights")
    (folder / "model.onnx").unlink()

    with pytest.raises(LookupError, match="weights of the model second"):
        package_of("second", tmp_path)


@pytest.mark.parametrize("model_id", ["absent", "../second", "", "second/../second"])
def test_an_id_that_is_not_installed_opens_no_file(tmp_path: Path, model_id: str) -> None:
    a_package(tmp_path, "second", b"weights")

    with pytest.raises(LookupError, match="no model"):
        card_of(model_id, tmp_path)


def test_a_card_of_another_model_is_refused(tmp_path: Path) -> None:
    a_package(tmp_path, "second", b"weights", id="third")

    with pytest.raises(ValueError, match="is for third"):
        card_of("second", tmp_path)


def test_a_package_does_not_print_its_weights(tmp_path: Path) -> None:
    a_package(tmp_path, "second", b"weights")

    assert "weights" not in repr(package_of("second", tmp_path))
