"""Read the body of a STOW-RS request part by part, and each part piece by piece.

Never more than one piece and one boundary is held, however large a part is: the parts of an
archive's answer, which are held whole, are `adapters/multipart`.

Source: RFC 2046 5.1.1 (boundaries), RFC 2387; DICOM PS3.18 8.6.1 (multipart payloads), 10.5.2.
"""

from collections.abc import Callable, Iterator
from email.message import Message
from email.parser import BytesHeaderParser

from cds_service.errors import MediaTypeRefused, PushRefused

DICOM = "application/dicom"
PIECE_BYTES = 64 * 1024
_HEADERS_LIMIT = 16 * 1024  # bytes of one part's header fields, and of what precedes the first
# Characters. RFC 2046 5.1.1 says 70, and Orthanc's DICOMweb plug-in sends 73 (1.7, 2026-11-23).
_BOUNDARY_LIMIT = 200

Read = Callable[[int], bytes]  # at most so many bytes; b"" at the end


def boundary_of(content_type: str) -> bytes:
    """Return the boundary of a multipart of DICOM instances; raise MediaTypeRefused."""
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_param("boundary")
    root = message.get_param("type")
    if message.get_content_type() != "multipart/related" or not isinstance(boundary, str):
        raise MediaTypeRefused("The body is not multipart/related with a boundary.")
    if root is not None and str(root).lower() != DICOM:
        raise MediaTypeRefused("The parts are not application/dicom.")
    if not 0 < len(boundary) <= _BOUNDARY_LIMIT or not boundary.isascii():
        raise PushRefused("The boundary is too long, or not of ASCII characters.")
    return boundary.encode("ascii")


def parts(read: Read, boundary: bytes) -> Iterator[Iterator[bytes]]:
    """Yield each part as an iterator of pieces; what of a part is not read is passed over.

    Raises PushRefused when the body is no such multipart, also when it ends too early, and
    MediaTypeRefused for a part of another type.
    """
    reader = _Reader(read)
    delimiter = b"--" + boundary
    # The first boundary begins the body or follows a preamble, which is to be ignored.
    reader.short(delimiter)
    delimiter = b"\r\n" + delimiter
    while reader.opens():
        _require_dicom(reader.short(b"\r\n\r\n", keeping=b"\r\n"))
        pieces = reader.until(delimiter)
        yield pieces
        for _ in pieces:
            pass


def _require_dicom(fields: bytes) -> None:
    # What stands before is the rest of the boundary's line: RFC 2046 allows blanks there.
    content_type = BytesHeaderParser().parsebytes(fields.lstrip(b" \t\r\n")).get_content_type()
    if content_type != DICOM:
        raise MediaTypeRefused("A part is not application/dicom.")


class _Reader:
    """Bytes that arrive in pieces of any size."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._held = bytearray()

    def until(self, mark: bytes) -> Iterator[bytes]:
        """Yield what comes before the mark, as it comes, and pass the mark."""
        while (at := self._held.find(mark)) < 0:
            sure = len(self._held) - len(mark) + 1  # a mark may begin in what is after
            if sure > 0:
                yield self._cut(sure)
            self._more()
        if at:
            yield self._cut(at)
        del self._held[: len(mark)]

    def short(self, mark: bytes, keeping: bytes = b"") -> bytes:
        """Return what comes before the mark, and pass the mark; raise PushRefused when long."""
        while (at := self._held.find(mark)) < 0:
            if len(self._held) > _HEADERS_LIMIT:
                raise PushRefused("The header of a part is too long.")
            self._more()
        before = bytes(self._held[:at]) + keeping
        del self._held[: at + len(mark)]
        return before

    def opens(self) -> bool:
        """Tell whether the boundary that was just passed opens a part; else it is the last one."""
        while len(self._held) < 2:
            self._more()
        return self._held[:2] != b"--"

    def _cut(self, count: int) -> bytes:
        piece = bytes(self._held[:count])
        del self._held[:count]
        return piece

    def _more(self) -> None:
        piece = self._read(PIECE_BYTES)
        if not piece:
            raise PushRefused("The body ends before its closing boundary.")
        self._held += piece
