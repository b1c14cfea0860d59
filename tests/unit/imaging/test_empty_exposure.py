"""An exposure of nothing: a slope and noise, which no film of a patient is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cds_service.adapters.empty_exposure import are_radiographs, looks_empty
from cds_service.adapters.pixels import DicomReader
from cds_service.errors import UnreadableInstance
from tests.unit.imaging.dicom import a_composite, a_film, as_file
from tests.unit.imaging.test_runtime import CARD, a_classifier


def empty(seed: int, rows: int = 600, columns: int = 500) -> NDArray[np.uint16]:
    """Return an exposure of nothing: heel effect one way, darker to the rim, noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    angle, (cy, cx) = rng.uniform(0, 2 * np.pi), rng.uniform(-0.3, 0.3, 2)
    along = (x * np.cos(angle) + y * np.sin(angle) + 1.5) / 3
    heel = 1 - rng.uniform(0, 0.5) * along ** rng.uniform(1, 2.5)
    rim = 1 - rng.uniform(0, 0.2) * ((x - cx) ** 2 + (y - cy) ** 2) / 2
    noise = rng.normal(0, rng.uniform(2, 40), x.shape)
    grey = rng.uniform(500, 3000) * heel * rim + noise
    return np.asarray(np.clip(grey, 0, 4095), np.uint16)


@pytest.mark.parametrize("seed", range(40))
def test_an_exposure_of_nothing_is_empty(seed: int) -> None:
    assert looks_empty(empty(seed))


@pytest.mark.parametrize("name", ["absent-1", "present-1"])
@pytest.mark.parametrize("size", [(64, 64), (300, 420), (2500, 2048)])
def test_a_picture_of_a_chest_is_not(name: str, size: tuple[int, int]) -> None:
    assert not looks_empty(a_composite(name, size))


def test_no_real_film_is_empty(shared_data: Path) -> None:
    paths = sorted((shared_data / "kermany-train").glob("*/*.jpeg"))[::20]
    films = [np.asarray(Image.open(path).convert("L")) for path in paths]

    assert len(films) > 200 and not any(map(looks_empty, films))


def test_real_images_of_other_kinds_are_not_empty(shared_data: Path) -> None:
    names = ("RG1_J2KI", "966_fixed", "RG2_JPLL", "NM_Kakadu44_SOTmarkerincons", "CTImage")
    images = [(shared_data / "dicom" / f"{name}.dcm").read_bytes() for name in names]

    assert not any(looks_empty(DicomReader().pixels(image).grey) for image in images)


def test_a_model_without_a_scope_score_does_not_read_an_empty_exposure() -> None:
    blind = a_classifier(scope_threshold=None, output=replace(CARD.output, scope=None))
    pixels = DicomReader().pixels(as_file(a_film(empty(0))))

    with pytest.raises(UnreadableInstance) as refused:
        blind.classify(pixels)

    assert refused.value.code == "blank"


@pytest.mark.parametrize(
    ("modalities", "expected"), [({"CR", "DX"}, True), ({"DX"}, True), ({"DX", "CT"}, False)]
)
def test_only_models_of_plain_radiographs_ask(modalities: set[str], expected: bool) -> None:
    assert are_radiographs(frozenset(modalities)) is expected
