"""Real radiographs as DICOM files through `sightline analyze`: nothing but the model refuses one.

The model was trained on these images: this tests the path and its guards, not how good it is.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from cds_service.cli_analyze import analyze
from tests.unit.imaging.dicom import a_film, as_file

EVERY = 130  # of the 5216 images
FORMATS = [
    (bits, photometric) for bits in (8, 12) for photometric in ("MONOCHROME1", "MONOCHROME2")
]
HEADERS: list[dict[str, Any]] = [
    {},
    {"PatientSex": None, "StudyDate": None, "PatientID": None},
    {"Modality": "CR", "ViewPosition": "PA"},
    {"BodyPartExamined": None},
    {"WindowCenter": 128, "WindowWidth": 256, "RescaleSlope": 1, "RescaleIntercept": 0},
    {"BurnedInAnnotation": "NO", "PixelSpacing": [0.14, 0.14], "SeriesNumber": 0},
]


def as_film(grey: NDArray[np.uint8], number: int, bits: int, photometric: str) -> Dataset:
    top = 2**bits - 1
    values = np.round(grey / 255 * top).astype(np.uint8 if bits == 8 else np.uint16)
    stored = top - values if photometric == "MONOCHROME1" else values
    uid = f"1.2.840.99999.{bits}.{photometric[-1]}.{number}"
    return a_film(
        stored,
        PhotometricInterpretation=photometric,
        BitsAllocated=stored.itemsize * 8,
        BitsStored=bits,
        HighBit=bits - 1,
        PixelData=stored.astype(values.dtype).tobytes(),
        PatientAge=f"00{1 + number % 5}Y",
        StudyInstanceUID=uid,
        SeriesInstanceUID=f"{uid}.1",
        SOPInstanceUID=f"{uid}.1.1",
        **HEADERS[number % len(HEADERS)],
    )


@pytest.fixture(scope="module")
def studies(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[int, str], list[dict[str, Any]]]:
    """What the command says of the same films in each of the formats, in the same order."""
    folder = tmp_path_factory.mktemp("films")
    paths = sorted((shared_data / "kermany-train").glob("*/*.jpeg"))[::EVERY]
    for number, path in enumerate(paths):
        with Image.open(path) as image:
            grey = np.asarray(image.convert("L"))
        for bits, photometric in FORMATS:
            film = as_film(grey, number, bits, photometric)
            if number % 3 == 0:
                film.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
            (folder / f"{number:03}-{bits}-{photometric}.dcm").write_bytes(as_file(film))

    said = CliRunner().invoke(analyze, ["--json", str(folder)]).stdout.splitlines()

    by_name = {Path(study["path"][0]).stem: study for study in map(json.loads, said)}
    assert len(by_name) == len(paths) * len(FORMATS)
    return {
        (bits, photometric): [
            by_name[f"{number:03}-{bits}-{photometric}"] for number in range(len(paths))
        ]
        for bits, photometric in FORMATS
    }


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_only_the_models_own_answer_refuses_a_real_film(
    studies: dict[tuple[int, str], list[dict[str, Any]]], form: tuple[int, str]
) -> None:
    reasons = [study["reason"]["code"] for study in studies[form] if study["reason"]]

    assert set(reasons) <= {"not-this-kind"} and len(reasons) <= 0.03 * len(studies[form])
    assert not any(study["instances"] for study in studies[form] if not study["reason"])


def test_a_film_has_one_score_in_whatever_format(
    studies: dict[tuple[int, str], list[dict[str, Any]]],
) -> None:
    for same in zip(*studies.values(), strict=True):
        scores = [study["findings"][0]["probability"] for study in same if study["findings"]]
        assert len(scores) in {0, len(FORMATS)}
        assert not scores or max(scores) - min(scores) < 1e-3
