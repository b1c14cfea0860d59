"""The film that the pipeline is measured with, in every transfer syntax that can be written here.

2500 x 2048, 12 bits in 16, a frontal chest film drawn from one of the sandbox's pictures of nobody,
with the noise of a detector, so that the codecs have something to do.

Source: DICOM PS3.3 C.8.11 (DX), PS3.5 annex A (transfer syntaxes).
"""

import tempfile
from io import BytesIO
from pathlib import Path

import gdcm
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from benchmarks.figures import MeasurementFailed
from cds_service.sandbox.seed import PICTURES

ROWS, COLUMNS, WHITE = 2500, 2048, 4095
PICTURE = "absent-1.png"
NOISE = 6.0  # standard deviation, of 4096 grey levels
SYNTAXES: tuple[UID, ...] = (
    ExplicitVRLittleEndian,
    RLELossless,
    JPEGLSLossless,
    JPEG2000Lossless,
    HTJ2KLossless,
    JPEGLosslessSV1,
)


def film(syntax: UID = ExplicitVRLittleEndian, *, study_uid: str = "2.25.2500") -> bytes:
    """Return one DICOM file; the same pixels at every call."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.StudyInstanceUID = study_uid
    dataset.SeriesInstanceUID = f"{dataset.StudyInstanceUID}.1"
    dataset.SOPInstanceUID = f"{dataset.StudyInstanceUID}.1.1"
    dataset.Modality, dataset.BodyPartExamined, dataset.ViewPosition = "DX", "CHEST", "AP"
    dataset.PatientID, dataset.PatientAge, dataset.PatientSex = "BENCHMARK", "003Y", "F"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    dataset.add_new("PixelData", "OW", _pixels().tobytes())
    return _written(dataset, syntax)


def _pixels() -> NDArray[np.uint16]:
    with Image.open(PICTURES / PICTURE) as picture:
        large = picture.convert("L").resize((COLUMNS, ROWS), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(2500).normal(0, NOISE, (ROWS, COLUMNS))
    grey = np.asarray(large, np.float64) / 255 * WHITE + noise
    return np.clip(np.round(grey), 0, WHITE).astype(np.uint16)


def _written(dataset: Dataset, syntax: UID) -> bytes:
    if syntax == HTJ2KLossless:  # pydicom has no encoder of this kind
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = encapsulate(
            [bytes(imagecodecs.htj2k_encode(_pixels(), reversible=True))]
        )
    elif syntax.is_encapsulated and syntax != JPEGLosslessSV1:
        dataset.compress(syntax, generate_instance_uid=False)
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return _lossless_jpeg(buffer.getvalue()) if syntax == JPEGLosslessSV1 else buffer.getvalue()


def _lossless_jpeg(data: bytes) -> bytes:
    """Code a file again by gdcm, the only encoder of this kind here."""
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder:
        plain, coded = Path(folder) / "plain.dcm", Path(folder) / "coded.dcm"
        plain.write_bytes(data)
        reader, change = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax()
        reader.SetFileName(str(plain))
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(coded))
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        done = reader.Read()
        change.SetInput(reader.GetImage())
        done = done and change.Change()
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        if not (done and writer.Write()):
            raise MeasurementFailed("gdcm could not write JPEG Lossless")
        return coded.read_bytes()
