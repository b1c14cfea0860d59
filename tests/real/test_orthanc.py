"""Orthanc's DICOMweb: what STOW-RS stores, QIDO-RS finds and WADO-RS gives back unchanged.

Source: DICOM PS3.18 sections 10.4 (retrieve), 10.5 (store), 10.6 (search).
"""

from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pydicom
import pytest
import requests
from dicomweb_client import DICOMwebClient
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from tests.real.servers import Orthanc, orthanc

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("orthanc")]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


def a_radiograph() -> Dataset:
    """Return a 16 x 12 Digital X-Ray of random 12-bit noise, with new UIDs."""
    instance = Dataset()
    # dicomweb-client sends a dataset without a preamble as it is, and Orthanc 1.10 keeps it so.
    instance.preamble = bytes(128)
    instance.file_meta = FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    instance.SOPClassUID = DigitalXRayImageStorageForPresentation
    instance.SOPInstanceUID = generate_uid()
    instance.StudyInstanceUID = generate_uid()
    instance.SeriesInstanceUID = generate_uid()
    instance.PatientID = "p1"
    instance.PatientName = "Test^Radiograph"
    instance.Modality = "DX"
    instance.Rows, instance.Columns = 16, 12
    instance.SamplesPerPixel = 1
    instance.PhotometricInterpretation = "MONOCHROME2"
    instance.BitsAllocated, instance.BitsStored, instance.HighBit = 16, 12, 11
    instance.PixelRepresentation = 0
    noise = np.random.default_rng(7).integers(0, 4096, (16, 12), dtype=np.uint16)
    instance.PixelData = noise.tobytes()
    return instance


def as_file(instance: Dataset) -> bytes:
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, instance, enforce_file_format=True)
    return buffer.getvalue()


def test_a_stored_instance_is_found_and_comes_back_with_the_same_pixels(archive: Orthanc) -> None:
    client = DICOMwebClient(archive.dicom_web)
    sent = a_radiograph()

    client.store_instances([sent])

    found = client.search_for_studies(search_filters={"StudyInstanceUID": sent.StudyInstanceUID})
    (study,) = (Dataset.from_json(item) for item in found)
    assert study.StudyInstanceUID == sent.StudyInstanceUID
    (received,) = client.retrieve_study(sent.StudyInstanceUID)
    assert received.SOPInstanceUID == sent.SOPInstanceUID
    assert received.PixelData == sent.PixelData


def test_an_uploaded_file_is_found_by_its_series_modality(archive: Orthanc) -> None:
    sent = a_radiograph()

    archive.upload(as_file(sent))

    found = DICOMwebClient(archive.dicom_web).search_for_series(
        sent.StudyInstanceUID, search_filters={"Modality": "DX"}
    )
    (series,) = (Dataset.from_json(item) for item in found)
    assert series.SeriesInstanceUID == sent.SeriesInstanceUID


def test_what_is_not_dicom_is_refused(archive: Orthanc) -> None:
    with pytest.raises(requests.HTTPError, match="400"):
        archive.upload(b"not DICOM")


def test_an_unknown_study_is_not_found(archive: Orthanc) -> None:
    answer = requests.get(f"{archive.dicom_web}/studies/{generate_uid()}", timeout=60)

    assert answer.status_code == 404
