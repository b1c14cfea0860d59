"""The film that the pipeline is measured with, in every transfer syntax that can be written here.

2500 x 2048, 12 bits in 16, a frontal chest film drawn from one of the sandbox's pictures of nobody,
with the noise of a detector, so that the codecs have something to do.

Source: DICOM PS3.3 C.8.11 (DX), PS3.5 annex A (transfer syntaxes).
"""

from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any

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

_ENCODERS: dict[UID, Callable[[NDArray[Any]], bytes | bytearray]] = {  # pydicom has none of these
    HTJ2KLossless: partial(imagecodecs.htj2k_encode, reversible=True),
    JPEGLosslessSV1: partial(
        imagecodecs.jpeg8_encode, lossless=True, predictor=1, bitspersample=12
    ),
}


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
    if encode := _ENCODERS.get(syntax):
        frame = encode(dataset.pixel_array)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = encapsulate([bytes(frame)])
    elif syntax.is_encapsulated:
        dataset.compress(syntax, generate_instance_uid=False)
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
