"""DICOM instances of the sandbox's studies: radiographs from pictures, and a small CT.

Source: DICOM PS3.3 A.26 (Digital X-Ray Image IOD), A.3 (CT Image IOD), C.7, C.8.2.1, C.8.11;
PS3.10 7 (file format).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)

from cds_service.sandbox import phantoms
from cds_service.sandbox.patients import (
    MRN_ROOT,
    PatientRow,
    Person,
    Picture,
    StudyRow,
    derived_uid,
)

COMPOSITE = "Composite image, not a patient"
PHANTOM = "Computed phantom, not a patient"
STORED_MAX = 4095  # 12 bits stored in 16
_CT_INTERCEPT = -1024
CT_SLICES = 8
_CT_SIDE = 128
_LATERAL_SIDE = 256
_LATERAL = "LL"
_VIEW_CODES = {  # DICOM PS3.16 CID 4010
    "AP": ("399348003", "antero-posterior"),
    "PA": ("272479007", "postero-anterior"),
    _LATERAL: ("399173006", "left lateral"),
}
_ORIENTATIONS = {"AP": ["L", "F"], "PA": ["L", "F"], _LATERAL: ["P", "F"]}  # PS3.3 C.7.6.1.1.1


class PicturesMissing(Exception):
    """The folder of composite pictures is not there, or holds too few."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """The composite chest pictures, each (rows, columns), 8 bits, bone light."""

    present: tuple[Path, ...]
    absent: tuple[Path, ...]

    @classmethod
    def in_folder(cls, folder: Path) -> "Pictures":
        """List `present-*.png` and `absent-*.png` in order; raise PicturesMissing under three."""
        present = tuple(sorted(folder.glob("present-*.png")))
        absent = tuple(sorted(folder.glob("absent-*.png")))
        if len(present) < 3 or len(absent) < 3:
            raise PicturesMissing(
                f"The sandbox needs at least three present-*.png and three absent-*.png in "
                f"{folder}; there are {len(present)} and {len(absent)}."
            )
        return cls(present, absent)

    def read(self, picture: Picture, nth: int) -> NDArray[np.uint8]:
        """Return the nth picture of its kind."""
        path = (self.present if picture is Picture.PRESENT else self.absent)[nth]
        with Image.open(path) as image:
            if image.mode != "L":
                raise PicturesMissing(f"{path.name} is not an 8-bit grayscale picture.")
            return np.asarray(image)


def instances(
    patient: PatientRow, study: StudyRow, pictures: Pictures, today: date
) -> Iterator[bytes]:
    """Yield the study's DICOM files, the same bytes for the same row, pictures and day."""
    person = study.dicom_of or patient.person
    if study.picture is Picture.SECTIONS:
        for number, section in enumerate(
            phantoms.chest_volume(CT_SLICES, _CT_SIDE, _CT_SIDE), start=1
        ):
            yield _file(_ct_slice(person, study, today, section, number))
        return
    if study.picture is Picture.LATERAL:
        pixels = phantoms.lateral_projection(_LATERAL_SIDE, _LATERAL_SIDE)
    else:
        pixels = pictures.read(study.picture, study.nth)
    yield _file(_radiograph(person, study, today, pixels))


def _file(dataset: Dataset) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _radiograph(person: Person, study: StudyRow, today: date, pixels: NDArray[np.uint8]) -> Dataset:
    """Build a DX For Presentation: 12 bits, the window over the whole range."""
    ds = _header(person, study, today, number=1)
    ds.SOPClassUID = DigitalXRayImageStorageForPresentation
    ds.ImageType = ["DERIVED", "PRIMARY", ""]
    is_composite = study.picture in (Picture.PRESENT, Picture.ABSENT)
    ds.ImageComments = ds.DerivationDescription = COMPOSITE if is_composite else PHANTOM
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.ViewPosition = study.view
    ds.ViewCodeSequence = [_code(_VIEW_CODES[study.view])]
    ds.PatientOrientation = _ORIENTATIONS[study.view]
    ds.ImageLaterality = "U"
    ds.DetectorType, ds.PositionerType = "DIRECT", "NONE"
    ds.PixelSpacing = ds.ImagerPixelSpacing = [0.25, 0.25]  # a small child's chest fills it
    ds.PixelIntensityRelationship = "LOG"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    ds.WindowCenter, ds.WindowWidth = (STORED_MAX + 1) / 2, STORED_MAX + 1
    ds.AcquisitionContextSequence = []
    stored = np.round(pixels.astype(np.float64) * STORED_MAX / 255).astype(np.uint16)
    if study.is_monochrome1:  # the largest value is shown darkest, PS3.3 C.7.6.3.1.2
        stored = STORED_MAX - stored
    ds.PhotometricInterpretation = "MONOCHROME1" if study.is_monochrome1 else "MONOCHROME2"
    ds.PresentationLUTShape = "INVERSE" if study.is_monochrome1 else "IDENTITY"
    ds.PixelIntensityRelationshipSign = 1 if study.is_monochrome1 else -1
    _put_pixels(ds, stored, is_truncated=study.is_truncated)
    return ds


def _ct_slice(
    person: Person, study: StudyRow, today: date, section: NDArray[np.int16], number: int
) -> Dataset:
    """Build one axial slice; stored value = Hounsfield unit + 1024."""
    ds = _header(person, study, today, number)
    ds.SOPClassUID = CTImageStorage
    ds.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
    ds.ImageComments = ds.DerivationDescription = PHANTOM
    ds.PatientPosition = "HFS"
    ds.FrameOfReferenceUID = derived_uid("frame of reference", study.accession, today.isoformat())
    ds.PositionReferenceIndicator = None
    row_mm = 2 * phantoms.HALF_DEPTH_MM / (_CT_SIDE - 1)
    column_mm = 2 * phantoms.HALF_WIDTH_MM / (_CT_SIDE - 1)
    step_mm = 2 * phantoms.HALF_HEIGHT_MM / (CT_SLICES - 1)
    level_mm = -phantoms.HALF_HEIGHT_MM + (number - 1) * step_mm
    ds.PixelSpacing = [round(row_mm, 4), round(column_mm, 4)]
    ds.SliceThickness = ds.SpacingBetweenSlices = round(step_mm, 4)
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.ImagePositionPatient = [
        -phantoms.HALF_WIDTH_MM,
        -phantoms.HALF_DEPTH_MM,
        round(level_mm, 4),
    ]
    ds.SliceLocation = round(level_mm, 4)
    ds.KVP = 100
    ds.AcquisitionNumber = 1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = _CT_INTERCEPT, 1, "HU"
    ds.WindowCenter, ds.WindowWidth = 40, 400
    ds.PhotometricInterpretation = "MONOCHROME2"
    _put_pixels(ds, (section - _CT_INTERCEPT).astype(np.uint16))
    return ds


def _header(person: Person, study: StudyRow, today: date, number: int) -> Dataset:
    """Build what every instance says: patient, study, series, equipment, anatomy."""
    started = study.started(today)
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPInstanceUID = study.instance_uid(today, number)
    ds.PatientName = f"{person.family}^{person.given}"
    ds.PatientID, ds.IssuerOfPatientID = person.mrn, "SANDBOX"
    qualifiers = Dataset()
    qualifiers.UniversalEntityID, qualifiers.UniversalEntityIDType = MRN_ROOT, "ISO"
    ds.IssuerOfPatientIDQualifiersSequence = [qualifiers]
    ds.PatientBirthDate = f"{person.birth_date(today):%Y%m%d}"
    ds.PatientSex = person.sex
    ds.PatientAge = age_string(person.birth_date(today), started.date())
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study.uid(today), study.series_uid(today)
    ds.StudyID, ds.AccessionNumber = study.accession.removeprefix("A-"), study.accession
    ds.StudyDescription = ds.SeriesDescription = study.description
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = f"{started:%Y%m%d}"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = f"{started:%H%M%S}"
    ds.TimezoneOffsetFromUTC = "+0000"
    ds.ReferringPhysicianName = None
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = study.modality, 1, number
    ds.Manufacturer, ds.ManufacturerModelName = "Sightline sandbox", "Drawn"
    ds.BodyPartExamined = "CHEST"
    ds.AnatomicRegionSequence = [_code(("51185008", "Chest"))]
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "00"
    return ds


def _put_pixels(ds: Dataset, stored: NDArray[np.uint16], *, is_truncated: bool = False) -> None:
    ds.SamplesPerPixel, ds.PixelRepresentation = 1, 0
    ds.Rows, ds.Columns = stored.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    data = stored.astype("<u2").tobytes()
    ds.PixelData = data[: len(data) // 3 // 2 * 2] if is_truncated else data
    ds["PixelData"].VR = "OW"


def _code(code: tuple[str, str]) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code[0], "SCT", code[1]
    return item


def age_string(birth: date, day: date) -> str:
    """Return the age on `day` as PS3.5 AS: months under two years, else years."""
    months = (day.year - birth.year) * 12 + day.month - birth.month - (day.day < birth.day)
    return f"{months:03d}M" if months < 24 else f"{months // 12:03d}Y"
