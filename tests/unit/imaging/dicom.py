"""DICOM made in memory: a chest film of nobody, and the ways to spoil it."""

from importlib.resources import files
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian


def a_picture(rows: int = 96, columns: int = 80) -> NDArray[np.uint16]:
    """A smooth 12-bit picture: two dark lungs on a bright body, brighter from left to right."""
    y, x = np.mgrid[0 : 1 : rows * 1j, 0 : 1 : columns * 1j]
    lungs = sum(np.exp(-((x - c) ** 2 / 0.02 + (y - 0.5) ** 2 / 0.08)) for c in (0.3, 0.7))
    return np.asarray(3000 - 2000 * lungs + 600 * x, dtype=np.uint16)


def a_composite(name: str = "absent-1", size: tuple[int, int] | None = None) -> NDArray[np.uint16]:
    """One of the demo's pictures in 12 bits, (rows, columns): the bundled model takes it."""
    path = files("cds_service") / "sandbox" / "pictures" / f"{name}.png"
    with path.open("rb") as stream, Image.open(stream) as image:
        picture = image.resize(size[::-1]) if size else image
        return np.round(np.asarray(picture) / 255 * 4095).astype(np.uint16)


def a_film(pixels: NDArray[np.uint16] | None = None, **changes: Any) -> Dataset:
    """A frontal chest film of a child of three; a change to None takes the element away."""
    picture = a_picture() if pixels is None else pixels
    values: dict[str, Any] = {
        "SOPClassUID": DigitalXRayImageStorageForPresentation,
        "SOPInstanceUID": "1.2.840.99999.1.1.1",
        "StudyInstanceUID": "1.2.840.99999.1",
        "SeriesInstanceUID": "1.2.840.99999.1.1",
        "Modality": "DX",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "AP",
        "PatientID": "MRN-1",
        "PatientAge": "003Y",
        "PatientSex": "F",
        "StudyDate": "20260102",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": picture.shape[0],
        "Columns": picture.shape[1],
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelData": picture.tobytes(),
    }
    film = Dataset()
    for keyword, value in (values | changes).items():
        if value is not None:
            setattr(film, keyword, value)
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return film


def compressed(film: Dataset, syntax: UID, codestream: bytes) -> Dataset:
    """Replace the pixel data by one compressed frame."""
    film.PixelData = encapsulate([codestream])
    film["PixelData"].is_undefined_length = True
    film.file_meta.TransferSyntaxUID = syntax
    return film


def as_file(film: Dataset) -> bytes:
    buffer = BytesIO()
    dcmwrite(buffer, film, enforce_file_format=True)
    return buffer.getvalue()
