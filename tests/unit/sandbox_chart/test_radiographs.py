"""The sandbox's people and the DICOM drawn for them."""

import shutil
import subprocess
import warnings
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import UID

from cds_service.sandbox.patients import PATIENTS, PatientRow
from cds_service.sandbox.radiographs import Pictures, PicturesMissing, age_string, instances
from cds_service.sandbox.records import chart
from cds_service.sandbox.seed import PICTURES
from tests.unit.sandbox_chart.conftest import a_config

TODAY = date(2026, 11, 22)
DAYS = [TODAY, date(2028, 2, 29), date(2027, 1, 1), date(2026, 3, 31)]


def a_row(patient_id: str) -> PatientRow:
    return next(row for row in PATIENTS if row.id == patient_id)


def drawn(row: PatientRow, pictures: Path, nth: int = 0) -> list[pydicom.FileDataset]:
    files = instances(row, row.studies[nth], Pictures.in_folder(pictures), TODAY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return [pydicom.dcmread(BytesIO(file)) for file in files]


@pytest.mark.parametrize("today", DAYS)
def test_ages_hold_on_any_day_and_at_every_study(today: date) -> None:
    for row in PATIENTS:
        for study in row.studies:
            born = row.person.birth_date(today)
            at_study = study.started(today).date()

            assert (today - born).days // 365.25 == row.person.age_years
            assert (at_study - born).days // 365.25 == row.person.age_years
            assert at_study < today


def test_every_instance_reads_back_without_a_warning_and_names_its_patient(pictures: Path) -> None:
    for row in PATIENTS:
        for nth, study in enumerate(row.studies):
            person = study.dicom_of or row.person
            for image in drawn(row, pictures, nth):
                assert (image.PatientID, image.PatientSex) == (person.mrn, person.sex)
                assert image.PatientBirthDate == f"{person.birth_date(TODAY):%Y%m%d}"
                assert str(image.PatientName) == f"{person.family}^{person.given}"
                assert "not a patient" in image.ImageComments
                assert UID(image.SOPInstanceUID).is_valid and UID(image.StudyInstanceUID).is_valid


def test_the_record_and_the_images_name_the_same_study(tmp_path: Path, pictures: Path) -> None:
    for row in PATIENTS:
        resources = chart(row, a_config(tmp_path), TODAY)
        studies = [item for item in resources if item["resourceType"] == "ImagingStudy"]
        for nth, study in enumerate(studies):
            images = drawn(row, pictures, nth)
            stated = {
                (study["series"][0]["uid"], item["uid"], item["sopClass"]["code"])
                for item in study["series"][0]["instance"]
            }

            assert stated == {
                (image.SeriesInstanceUID, image.SOPInstanceUID, f"urn:oid:{image.SOPClassUID}")
                for image in images
            }
            assert study["identifier"][0]["value"] == f"urn:oid:{images[0].StudyInstanceUID}"
            assert study["identifier"][1]["value"] == images[0].AccessionNumber
            assert study["numberOfInstances"] == len(images)


def test_only_the_mix_up_names_another_person(pictures: Path) -> None:
    strangers = {
        row.id
        for row in PATIENTS
        for nth in range(len(row.studies))
        if drawn(row, pictures, nth)[0].PatientID != row.person.mrn
    }

    assert strangers == {"p106"}


def test_the_same_row_pictures_and_day_give_the_same_bytes(pictures: Path) -> None:
    row, listed = a_row("p101"), Pictures.in_folder(pictures)

    once = list(instances(row, row.studies[0], listed, TODAY))
    again = list(instances(row, row.studies[0], listed, TODAY))
    later = list(instances(row, row.studies[0], listed, TODAY + timedelta(days=1)))

    assert once == again != later


def test_a_radiograph_fills_twelve_bits_of_sixteen(pictures: Path) -> None:
    (image,) = drawn(a_row("p101"), pictures)
    (source,) = [np.asarray(Image.open(pictures / "present-1.png"))]

    assert (image.BitsAllocated, image.BitsStored, image.HighBit) == (16, 12, 11)
    assert image.PresentationIntentType == "FOR PRESENTATION" and image.ViewPosition == "AP"
    assert np.array_equal(np.round(image.pixel_array / 4095 * 255), source)


def test_the_monochrome1_image_shows_the_same_picture_inverted(pictures: Path) -> None:
    (image,) = drawn(a_row("p102"), pictures)
    source = np.asarray(Image.open(pictures / "absent-1.png"))

    assert (image.PhotometricInterpretation, image.PresentationLUTShape) == (
        "MONOCHROME1",
        "INVERSE",
    )
    assert np.array_equal(np.round((4095 - image.pixel_array) / 4095 * 255), source)


def test_the_ct_has_air_around_and_tissue_within(pictures: Path) -> None:
    slices = drawn(a_row("p105"), pictures)
    hounsfield = np.stack([image.pixel_array * image.RescaleSlope for image in slices]) - 1024

    assert {image.Modality for image in slices} == {"CT"} and len(slices) == 8
    assert hounsfield[:, 0, 0].tolist() == [-1000] * 8 and hounsfield.max() > 300
    heights = [image.ImagePositionPatient[2] for image in slices]
    assert np.allclose(np.diff(heights), slices[0].SpacingBetweenSlices, atol=1e-3)


def test_the_lateral_view_is_drawn_with_air_at_its_edge(pictures: Path) -> None:
    (image,) = drawn(a_row("p104"), pictures)

    assert image.ViewPosition == "LL"
    assert image.pixel_array[:, 0].max() == 0 and image.pixel_array[:, 128].min() > 0


def test_the_damaged_image_has_a_header_and_no_whole_picture(pictures: Path) -> None:
    (image,) = drawn(a_row("p110"), pictures)

    with pytest.raises(ValueError, match=r"less than expected|length"):
        image.pixel_array  # noqa: B018  decoding is what fails


@pytest.mark.parametrize(
    ("born", "text"),
    [
        (date(2025, 6, 23), "016M"),
        (date(2024, 11, 23), "023M"),
        (date(2024, 11, 22), "002Y"),
        (date(1965, 5, 6), "061Y"),
    ],
)
def test_age_is_told_in_months_under_two_years(born: date, text: str) -> None:
    assert age_string(born, TODAY) == text


def test_too_few_pictures_are_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(PicturesMissing, match=r"at least three .* there are 0 and 0"):
        Pictures.in_folder(tmp_path / "nowhere")


def test_a_colour_picture_is_refused_by_name(tmp_path: Path) -> None:
    for kind in ("present", "absent"):
        for number in (1, 2, 3):
            Image.new("RGB", (8, 8)).save(tmp_path / f"{kind}-{number}.png")

    with pytest.raises(PicturesMissing, match=r"present-1\.png"):
        row = a_row("p101")
        next(instances(row, row.studies[0], Pictures.in_folder(tmp_path), TODAY))


def test_the_pictures_that_come_with_the_sandbox_are_enough() -> None:
    listed = Pictures.in_folder(PICTURES)

    for row in PATIENTS:
        for study in row.studies:
            for file in instances(row, study, listed, TODAY):
                assert pydicom.dcmread(BytesIO(file), stop_before_pixels=True).Rows > 0


@pytest.mark.real
def test_an_outside_validator_finds_nothing_wrong(tmp_path: Path, pictures: Path) -> None:
    validator = shutil.which("dciodvfy")
    if validator is None:
        pytest.skip("dciodvfy is not installed: apt-get install dicom3tools")
    for row in PATIENTS:
        for study in row.studies:
            if study.is_truncated:
                continue
            file = tmp_path / f"{study.accession}.dcm"
            file.write_bytes(next(instances(row, study, Pictures.in_folder(pictures), TODAY)))

            said = subprocess.run([validator, "-new", file], capture_output=True, text=True)

            assert "Error" not in said.stderr and "Warning" not in said.stderr, said.stderr
