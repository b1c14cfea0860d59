"""Real DICOM files: each row of "Which test wants which file" in the shared data's README."""

from pathlib import Path

import numpy as np
import pytest

from cds_service.adapters.pixels import DicomReader, Radiograph
from cds_service.domain.finding import Analysis
from cds_service.domain.study import HeaderOverrides
from cds_service.errors import StudyUnusable
from cds_service.usecases.analyse_study import analyse_study
from cds_service.usecases.ports import Classification, ImageFinding, Pixels, SourceInstance
from tests.fakes.imaging import FakeClassifier

READER = DicomReader()
CT = "CTImage.dcm_"
LOSSLESS = (
    "BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2",
    "JPEGProcess14TransferSyntax_1.2.840.10008.1.2.4.57",
    "JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70",
    "JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80",
    "JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90",
    "RLELosslessTransferSyntax_1.2.840.10008.1.2.5",
)


class AnyImage(FakeClassifier):
    """Says nothing about any image: these tests are about what reaches it."""

    def classify(self, pixels: Pixels) -> Classification:
        assert isinstance(pixels, Radiograph)
        return Classification((ImageFinding(self.finding, 0.1, 0.62, False),), 0.0, 0.0)


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "dicom"


def image(folder: Path, name: str) -> Radiograph:
    return READER.pixels((folder / f"{name}.dcm").read_bytes())


def analysis(folder: Path, name: str) -> Analysis:
    child = HeaderOverrides(patient_age_days=1200, view="AP")
    source = SourceInstance((folder / f"{name}.dcm").read_bytes(), overrides=child)
    return analyse_study([source], reader=READER, classifier=AnyImage())


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("RG1_J2KI", (1955, 1841)),
        ("RG1_JLSN", (1955, 1841)),
        ("966_fixed", (2128, 2000)),
    ],
)
def test_a_chest_film_is_read_with_air_dark_and_bone_bright(
    folder: Path, name: str, size: tuple[int, int]
) -> None:
    film = image(folder, name)

    assert (film.rows, film.columns) == size and analysis(folder, name).reason is None
    # The spine in the middle is brighter than the lungs beside it, as the MONOCHROME1 says.
    middle = film.values[film.rows // 3 : film.rows // 2]
    columns = np.median(middle, axis=0)
    spine = columns[int(film.columns * 0.48) : int(film.columns * 0.53)].mean()
    lungs = [columns[int(film.columns * at)] for at in (0.27, 0.75)]
    assert spine > max(lungs)


def test_two_codings_of_one_film_give_one_picture(folder: Path) -> None:
    lossy, near_lossless = image(folder, "RG1_J2KI"), image(folder, "RG1_JLSN")

    pair = np.corrcoef(lossy.values[::8, ::8].ravel(), near_lossless.values[::8, ::8].ravel())
    assert pair[0, 1] > 0.999


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_syntaxes_give_identical_pixels(folder: Path, syntax: str) -> None:
    assert np.array_equal(image(folder, CT + syntax).values, image(folder, "CTImage").values)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("RG2_JPLL", "body-part"),
        ("RG2_JPLY_fixed", "body-part"),
        ("NM_Kakadu44_SOTmarkerincons", "body-part"),
        ("MAROTECH_CT_JP2Lossy", "modality"),
        ("no-pixel-data", "no-image"),
        ("liver", "modality"),
        ("liver_deflate", "deflated"),
        ("rtdose", "modality"),
        ("parametric_map_float", "modality"),
        ("HTJ2K_08_RGB", "modality-unknown"),
        ("HTJ2KLossless_08_RGB", "modality-unknown"),
        ("JLSL_08_07_0_1F", "modality-unknown"),
        ("JLSL_16_15_1_1F", "modality-unknown"),
        ("SC_rgb_small_odd_jpeg", "modality"),
        ("966", "damaged-pixels"),
        ("RG2_JPLY", "body-part"),
        ("emri_small_jpeg_2k_lossless_too_short", "modality"),
        (CT + "DeflatedExplicitVRLittleEndianTransferSyntax_1.2.840.10008.1.2.1.99", "deflated"),
        ("JPEGLossless_1s_1f_i_16_16_bad", "modality"),
        ("bad_sequence", "modality"),
        ("US1_J2KI", "modality"),
        ("OBXXXX1A_rle_2frame", "modality"),
    ],
)
def test_what_the_model_is_not_for_is_refused_with_its_reason(
    folder: Path, name: str, code: str
) -> None:
    reason = analysis(folder, name).reason

    assert reason is not None and reason.code == code


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("966", "damaged-pixels"),
        ("emri_small_jpeg_2k_lossless_too_short", "damaged-pixels"),
        ("JPEGLossless_1s_1f_i_16_16_bad", "damaged-pixels"),
        ("no-pixel-data", "no-image"),
        ("parametric_map_float", "no-image"),
        ("gdcm-US-ALOKA-16", "colour"),
        ("color-pl", "colour"),
        ("US1_J2KR", "colour"),
        ("US-YBR_FULL_422-EVRLE", "colour"),
        ("HTJ2K_08_RGB", "colour"),
    ],
)
def test_pixels_that_are_no_grey_image_are_refused_by_the_reader_too(
    folder: Path, name: str, code: str
) -> None:
    with pytest.raises(StudyUnusable) as refused:
        image(folder, name)

    assert refused.value.code == code


WITH_CODECS = (
    "RG2_JPLY_fixed",
    CT + "JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51",
    CT + "JPEGProcess6_8TransferSyntax_1.2.840.10008.1.2.4.53",
    CT + "JPEGProcess10_12TransferSyntax_1.2.840.10008.1.2.4.55",
)


@pytest.mark.parametrize("name", WITH_CODECS)
def test_twelve_bits_and_retired_processes_need_the_extra(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cds_service.adapters.decoders.find_spec", lambda _name: None)

    with pytest.raises(StudyUnusable) as refused:
        DicomReader().pixels((folder / f"{name}.dcm").read_bytes())

    assert refused.value.code == "no-decoder"


@pytest.mark.parametrize("name", WITH_CODECS)
def test_with_the_extra_twelve_bits_and_retired_processes_are_read(folder: Path, name: str) -> None:
    pytest.importorskip("imagecodecs", reason="the extra [codecs] is not installed")

    film = image(folder, name)

    assert film.notes == ("decoded-by-imagecodecs",) and film.rows >= 512


def test_three_lossy_processes_give_one_picture(folder: Path) -> None:
    pytest.importorskip("imagecodecs", reason="the extra [codecs] is not installed")

    sequential, spectral, progressive = (image(folder, name) for name in WITH_CODECS[1:])

    assert np.array_equal(sequential.values, spectral.values)
    assert np.array_equal(sequential.values, progressive.values)


@pytest.mark.parametrize("name", ["bad_sequence", "966_fixed", "ELSCINT1_JP2vsJ2K"])
def test_an_invalid_header_is_survived(folder: Path, name: str) -> None:
    assert READER.header((folder / f"{name}.dcm").read_bytes()).rows > 0
    assert image(folder, name).rows > 0
