"""What is not a frontal chest film gets no number; what is one passes, however it was exposed."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cds_service.adapters.pixels import DicomReader
from models.cxr_pneumonia_peds.train.strangers import KINDS, picture
from models.prepare import prepare
from tests.unit.models.builders import PNEUMONIA, composites, the_session

# One grey frame each that the pipeline can decode, were it not for the headers.
OTHERS = [
    *("RG2_JPLL.dcm", "NM_Kakadu44_SOTmarkerincons.dcm", "CTImage.dcm", "MAROTECH_CT_JP2Lossy.dcm"),
    *("ELSCINT1_JP2vsJ2K.dcm", "bad_sequence.dcm", "JPEGLossless_1s_1f_u_16_12.dcm"),
    *("JLSL_08_07_0_1F.dcm", "JLSL_16_15_1_1F.dcm"),
]


@pytest.mark.parametrize("name", sorted(composites()))
@pytest.mark.parametrize("side", [None, 224])
def test_a_composite_is_a_film(name: str, side: int | None) -> None:
    pixels = composites()[name]
    if side:
        pixels = np.asarray(Image.fromarray(pixels).resize((side, side)))

    assert not is_refused(pixels)


@pytest.mark.parametrize("gamma", [0.7, 1.4])
def test_another_exposure_does_not_make_a_film_strange(gamma: float) -> None:
    refused = [name for name, pixels in composites().items() if is_refused(pixels**gamma)]

    assert refused == []


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_film_is_refused(quarters: int) -> None:
    passed = [n for n, pixels in composites().items() if not is_refused(np.rot90(pixels, quarters))]

    assert passed == []


def test_an_inverted_film_is_refused() -> None:
    assert [n for n, pixels in composites().items() if not is_refused(-pixels)] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_generated_picture_is_refused(kind: str) -> None:
    rng = np.random.default_rng(20261123)

    refused = [is_refused(picture(kind, rng, 256)) for _ in range(20)]

    assert sum(refused) >= 19


def test_real_films_pass_and_the_same_films_turned_or_inverted_do_not(shared_data: Path) -> None:
    # The model was trained on these: this tests the path, not the share; the card has the share.
    paths = sorted((shared_data / "kermany-train").glob("*/*.jpeg"))[::130]

    passed, turned, inverted = 0, 0, 0
    for number, path in enumerate(paths):
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("L"), dtype=np.float32)
        passed += not is_refused(pixels)
        turned += is_refused(np.rot90(pixels, 1 + number % 3))
        inverted += is_refused(255 - pixels)

    assert len(paths) >= 40 and passed >= 0.97 * len(paths)
    assert turned >= 0.95 * len(paths) and inverted >= 0.95 * len(paths)


@pytest.mark.parametrize("name", OTHERS)
def test_a_real_image_of_something_else_is_refused(shared_data: Path, name: str) -> None:
    content = (shared_data / "dicom" / name).read_bytes()

    assert is_refused(DicomReader().pixels(content).values)


def is_refused(pixels: NDArray[np.float32]) -> bool:
    image = prepare(pixels, PNEUMONIA.input.size)
    (scope,) = the_session().run(["scope"], {"image": image})
    assert PNEUMONIA.scope_threshold is not None
    return bool(scope[0, 0] > PNEUMONIA.scope_threshold)
