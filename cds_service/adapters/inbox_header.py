"""What a pushed instance is, read from the beginning of its file and no further than needed.

The transfer syntax is looked at before anything else is parsed, and nothing is ever inflated.

Source: DICOM PS3.10 7.1 (file meta), PS3.5 9.1 (UIDs), PS3.3 C.7.2.1, C.7.3.1, C.12.1.
"""

import re
from collections.abc import Callable, Iterable
from io import BytesIO

from pydicom import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from cds_service.adapters.header import DEFLATED, has_prefix, hostile_input
from cds_service.domain.inbox import Failure, PushedInstance
from cds_service.errors import InstanceRefused, UnreadableInstance

# DICOM's own and no private one: what a private syntax means, nobody here can know.
_STANDARD_SYNTAX = re.compile(r"1\.2\.840\.10008\.1\.2(\.[0-9]+)*")
_UID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")
_UID_LIMIT = 64  # characters; PS3.5 9.1
# As wide as SH is, and nothing that means something in a FHIR or QIDO-RS search.
_ACCESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/-]{0,15}")
_DATA_SET_AT = 132  # bytes: preamble and prefix
_UIDS = {
    "study_uid": "StudyInstanceUID",
    "series_uid": "SeriesInstanceUID",
    "sop_uid": "SOPInstanceUID",
    "sop_class": "SOPClassUID",
}
_META = ("TransferSyntaxUID", "MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID")
_HEADER = (*_UIDS.values(), "AccessionNumber")
_LAST = Tag(0x0020, 0x000E)  # Series Instance UID: everything that is needed comes before
# Of a header up to there; sequences of 130,000 empty items, which fit in, took 5 s.
_READS = 40_000


def is_uid(text: str) -> bool:
    """Tell whether a text has the form of a DICOM UID."""
    return len(text) <= _UID_LIMIT and _UID.fullmatch(text) is not None


def is_taken(syntax: str) -> bool:
    """Tell whether instances of this transfer syntax are taken: of the standard, not deflated."""
    return _STANDARD_SYNTAX.fullmatch(syntax) is not None and syntax not in DEFLATED


def identify(head: bytes) -> PushedInstance:
    """Return what the first bytes of a DICOM file say that it is.

    head    as many bytes as may be parsed, at least up to Series Instance UID

    Raises InstanceRefused, whose text repeats nothing of the header.
    """
    if not has_prefix(head):
        raise InstanceRefused(Failure.NOT_UNDERSTOOD, "It is not a DICOM file.")
    stream = _Stream(head)
    stream.seek(_DATA_SET_AT)
    meta = _read(stream, ExplicitVRLittleEndian, lambda tag, _vr, _length: tag.group > 2, _META)
    syntax = meta["TransferSyntaxUID"]
    if not is_taken(syntax):
        raise InstanceRefused(Failure.TRANSFER_SYNTAX, "The transfer syntax is not accepted.")
    header = _read(stream, syntax, lambda tag, _vr, _length: tag > _LAST, _HEADER)
    uids = {name: header[keyword] for name, keyword in _UIDS.items()}
    if not all(map(is_uid, uids.values())):
        raise InstanceRefused(Failure.NOT_UNDERSTOOD, "An identifier is absent or is no UID.")
    said = meta["MediaStorageSOPClassUID"], meta["MediaStorageSOPInstanceUID"]
    named = uids["sop_class"], uids["sop_uid"]
    # PS3.10 7.1; what is absent is no lie, and some senders write no more than the syntax.
    if any(one not in ("", other) for one, other in zip(said, named, strict=True)):
        raise InstanceRefused(Failure.MISMATCH, "The file meta names another instance.")
    accession = header["AccessionNumber"]
    return PushedInstance(**uids, accession=accession if _ACCESSION.fullmatch(accession) else None)


class _Stream(BytesIO):
    """Bytes that end in an error when a parser makes too much of them."""

    _left = _READS

    def read(self, count: int | None = -1) -> bytes:
        """Read; raise ValueError past the limit."""
        self._left -= 1
        if self._left < 0:
            raise ValueError("more elements than a header has")
        return super().read(count)


def _read(
    stream: BytesIO,
    syntax: str,
    is_past: Callable[[BaseTag, str | None, int], bool],
    keywords: Iterable[str],
) -> dict[str, str]:
    """Return what these elements say, "" where one is absent or no text."""
    try:
        # The values too: they are converted only when they are asked for.
        with hostile_input("damaged-header", "its header is damaged"):
            dataset = read_dataset(
                stream,
                syntax == ImplicitVRLittleEndian,
                syntax != ExplicitVRBigEndian,
                stop_when=is_past,
            )
            return {keyword: _text(dataset, keyword) for keyword in keywords}
    except UnreadableInstance as error:
        raise InstanceRefused(Failure.NOT_UNDERSTOOD, "The header is damaged.") from error


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return str(value).strip(" \0") if isinstance(value, str) else ""
