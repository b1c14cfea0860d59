"""Read a DICOM header: bytes to an `InstanceHeader`, without touching the pixels.

The bytes come from strangers, so the transfer syntax is looked at before anything is inflated, and
whatever a parser throws becomes one refusal.

Source: DICOM PS3.10 7.1 (file meta), PS3.5 7.1 (data elements), A.5 (deflated), PS3.3 C.7, C.8.11.
"""

import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from io import BytesIO
from math import inf

from pydicom import Dataset, dcmread
from pydicom.filereader import read_dataset, read_preamble
from pydicom.uid import DeflatedExplicitVRLittleEndian, MediaStorageDirectoryStorage
from pydicom.valuerep import PersonName

from cds_service.adapters.dicom_dates import day_in
from cds_service.adapters.functional_groups import of_frame
from cds_service.adapters.orientation import stated_orientation
from cds_service.adapters.routed_elements import routed_elements
from cds_service.domain.guards import age_in_days
from cds_service.domain.study import InstanceHeader
from cds_service.errors import StudyUnusable, UnreadableInstance, UnsupportedTransferSyntax

DEFLATED_IMAGE_FRAME = "1.2.840.10008.1.2.8.1"
# 1 MB of deflate is 2 GiB of zeros, and a reader inflates it even when it stops before the pixels.
DEFLATED = frozenset({str(DeflatedExplicitVRLittleEndian), DEFLATED_IMAGE_FRAME})

_PREFIX = slice(128, 132)
_CHEST = frozenset({"51185008", "816094009", "T-D3000"})  # SNOMED CT and its retired SRT form
_PHANTOM = frozenset({"706342009", "R-FE0C7"})  # the same two; PS3.16 CID 4031
_VIEWS = {  # PS3.16 CID 4010, SNOMED CT
    "399348003": "AP",
    "272479007": "PA",
    "399173006": "LL",
    "399198007": "RL",
    "399067008": "LATERAL",
}


class _Silence:
    """No warnings while anybody reads: the filters are one list for all threads.

    `warnings.catch_warnings` in two threads at once can leave the wrong list behind for good
    (Python 3.11-3.13), so the first one in changes it and the last one out puts it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._caught = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._readers == 0:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")
            self._readers += 1

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0:
                self._caught.__exit__(None, None, None)


_silence = _Silence()


@contextmanager
def hostile_input(code: str, text: str) -> Iterator[None]:
    """Turn whatever a parser or decoder throws into UnreadableInstance, and keep it quiet.

    What needs more memory than a worker has is "too-many-pixels": the image may be sound.

    The RLE decoder panics with a BaseException (measured); warnings quote values of the header,
    which may be about a person.
    """
    try:
        with _silence:
            yield
    except (StudyUnusable, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except MemoryError:
        text = "the image is larger than this service reads"
        raise UnreadableInstance("too-many-pixels", text) from None
    except BaseException as error:
        # Without its cause: a third party's message may quote the header.
        raise UnreadableInstance(code, text) from (error if isinstance(error, OSError) else None)


def has_prefix(data: bytes) -> bool:
    """Tell whether the bytes begin as a DICOM file does (128 bytes and "DICM")."""
    return data[_PREFIX] == b"DICM"


def parse(data: bytes, *, pixels: bool) -> Dataset:
    """Parse one instance, with or without its pixel data.

    Raises UnreadableInstance "not-dicom" or "damaged-header", UnsupportedTransferSyntax
    "deflated" before anything is inflated.
    """
    if not data:
        raise UnreadableInstance("not-dicom", "it is an empty file")
    is_file = has_prefix(data)
    code, text = (
        ("damaged-header", "its header is damaged")
        if is_file
        else ("not-dicom", "it is not a DICOM file")
    )
    with hostile_input(code, text):
        if _transfer_syntax(data) in DEFLATED:
            raise UnsupportedTransferSyntax("deflated", "its compression (deflate) is not accepted")
        dataset = dcmread(BytesIO(data), stop_before_pixels=not pixels, force=True)
        if not is_file and not _looks_like_dicom(dataset):
            raise UnreadableInstance(code, text)
        if dataset.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            raise UnreadableInstance("not-dicom", "it is a directory of files, not an image")
    return dataset


def read_header(data: bytes) -> InstanceHeader:
    """Read what the header says; raises as `parse`."""
    dataset = parse(data, pixels=False)
    with hostile_input("damaged-header", "its header is damaged"):
        return _header(dataset)


def _transfer_syntax(data: bytes) -> str:
    """Read the file meta group alone."""
    stream = BytesIO(data)
    read_preamble(stream, force=True)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, _vr, _length: tag.group > 2)
    return str(meta.get("TransferSyntaxUID", ""))


def _looks_like_dicom(dataset: Dataset) -> bool:
    """Tell a bare data set from bytes that happen to parse: it has a SOP class under a root."""
    return re.fullmatch(r"[12]\.\d[\d.]*", _text(dataset, "SOPClassUID") or "") is not None


def _header(dataset: Dataset) -> InstanceHeader:
    return InstanceHeader(
        study_uid=_text(dataset, "StudyInstanceUID"),
        series_uid=_text(dataset, "SeriesInstanceUID"),
        sop_uid=_text(dataset, "SOPInstanceUID"),
        sop_class=_text(dataset, "SOPClassUID"),
        modality=_term(dataset, "Modality"),
        body_part=_body_part(dataset),
        view=_term(dataset, "ViewPosition") or _coded_view(dataset),
        laterality=_term(dataset, "ImageLaterality") or _term(dataset, "Laterality"),
        patient_age_days=age_in_days(_text(dataset, "PatientAge") or ""),
        study_date=_date(dataset, "StudyDate"),
        patient_id=_text(dataset, "PatientID"),
        patient_birth_date=_date(dataset, "PatientBirthDate"),
        patient_sex=_text(dataset, "PatientSex"),
        accession=_text(dataset, "AccessionNumber"),
        patient_name=_name(dataset, "PatientName"),
        patient_id_issuer=_issuer(dataset),
        conversion_type=_term(dataset, "ConversionType"),
        is_quality_control=_is_quality_control(dataset),
        has_burned_in_text=_term(dataset, "BurnedInAnnotation") == "YES",
        transfer_syntax=str(dataset.file_meta.get("TransferSyntaxUID", "")),
        rows=_number(dataset, "Rows", 0),
        columns=_number(dataset, "Columns", 0),
        frames=_number(dataset, "NumberOfFrames", 1),
        series_number=_number(dataset, "SeriesNumber", 0),
        instance_number=_number(dataset, "InstanceNumber", 0),
        spacing_mm=_spacing(dataset),
        orientation=stated_orientation(dataset),
        elements=routed_elements(dataset),
    )


def _text(dataset: Dataset, keyword: str) -> str | None:
    """Return a value as text without padding; None when absent, empty or not one value."""
    value = dataset.get(keyword)
    text = str(value).strip(" \0") if isinstance(value, str | int | float) else ""
    return text or None


def _name(dataset: Dataset, keyword: str) -> str | None:
    value = dataset.get(keyword)
    return str(value).strip(" ^=") or None if isinstance(value, PersonName) else None


def _issuer(dataset: Dataset) -> str:
    """Return the OID of who gave the Patient ID; "" where none is stated, or another kind."""
    for item in dataset.get("IssuerOfPatientIDQualifiersSequence") or ():
        if _term(item, "UniversalEntityIDType") == "ISO":
            return _text(item, "UniversalEntityID") or ""
    return ""


def _term(dataset: Dataset, keyword: str) -> str:
    """Return a coded string in upper case, "" when silent."""
    return (_text(dataset, keyword) or "").upper()


def _number(dataset: Dataset, keyword: str, default: int) -> int:
    text = _text(dataset, keyword) or ""
    return int(text) if re.fullmatch(r"-?\d{1,9}", text) else default


def _spacing(dataset: Dataset) -> tuple[float, float] | None:
    """Return what the patient's spacing is, else the detector's; None unless both are positive.

    Of an enhanced object, that of its first frame.
    """
    dataset = of_frame(dataset, 1)
    stated = dataset.get("PixelSpacing") or dataset.get("ImagerPixelSpacing") or ()
    try:
        rows, columns = (float(value) for value in stated)
    except (TypeError, ValueError):
        return None
    return (rows, columns) if 0 < rows < inf and 0 < columns < inf else None


def _date(dataset: Dataset, keyword: str) -> date | None:
    """Read a date; None when it is none. The dotted form is that of ACR-NEMA (PS3.5 6.2)."""
    return day_in((_text(dataset, keyword) or "").replace(".", ""))


def _codes(dataset: Dataset, keyword: str) -> list[str]:
    return [_text(item, "CodeValue") or "" for item in dataset.get(keyword) or ()]


def _body_part(dataset: Dataset) -> str:
    """Return Body Part Examined, or what the coded region says; an unknown code is no chest."""
    if stated := _term(dataset, "BodyPartExamined"):
        return stated
    codes = _codes(dataset, "AnatomicRegionSequence")
    return "CHEST" if _CHEST.intersection(codes) else next(filter(None, codes), "")


def _is_quality_control(dataset: Dataset) -> bool:
    """Tell whether the header calls this a phantom or a test, in any of the ways it may.

    PS3.3 C.7.1.1 says it of the subject, C.7.6.1 of the image, Content Qualification (0018,9004)
    of its purpose; else the body part does. A name or number that sounds like a test is none.
    """
    stated = {
        ("QualityControlSubject", "YES"),
        ("QualityControlImage", "YES"),
        ("ContentQualification", "SERVICE"),
        ("BodyPartExamined", "PHANTOM"),
    }
    is_stated = any(_term(dataset, keyword) == value for keyword, value in stated)
    return is_stated or not _PHANTOM.isdisjoint(_codes(dataset, "AnatomicRegionSequence"))


def _coded_view(dataset: Dataset) -> str:
    codes = _codes(dataset, "ViewCodeSequence")
    return next((_VIEWS.get(code, code) for code in codes if code), "")
