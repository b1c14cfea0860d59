"""Read a multipart/related body part by part, without ever holding more than one part.

Source: RFC 2046 5.1.1 (boundaries), RFC 2387; DICOM PS3.18 8.6.1 (multipart payloads).
"""

from collections.abc import Iterable, Iterator
from email.message import Message

_HEADERS_LIMIT = 16 * 1024  # bytes of one part's header fields


class MultipartBroken(ValueError):
    """The body is not multipart, or ends before its closing boundary."""


class PartTooLarge(ValueError):
    """A part, or all of them together, would pass the limit."""


def boundary_of(content_type: str) -> bytes:
    """Return the boundary of a multipart/related media type; raise MultipartBroken."""
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_param("boundary")
    if message.get_content_type() != "multipart/related" or not isinstance(boundary, str):
        raise MultipartBroken("not a multipart/related body")
    return boundary.encode("latin-1", "replace")


def parts(chunks: Iterable[bytes], boundary: bytes, limit_bytes: int) -> Iterator[bytes]:
    """Yield the content of each part.

    limit_bytes  of all parts together; PartTooLarge is raised before more is held

    Raises MultipartBroken, also when the body ends without its closing boundary.
    """
    reader = _Reader(iter(chunks))
    delimiter = b"--" + boundary
    # The first boundary begins the body or follows a preamble, which is to be ignored.
    reader.until(delimiter, _HEADERS_LIMIT)
    delimiter = b"\r\n" + delimiter
    while reader.opens():
        reader.until(b"\r\n\r\n", _HEADERS_LIMIT)
        content = reader.until(delimiter, limit_bytes)
        limit_bytes -= len(content)
        yield content


class _Reader:
    """Bytes that arrive in chunks of any size."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held = bytearray()

    def until(self, mark: bytes, limit: int) -> bytes:
        """Return what comes before the mark, and pass the mark."""
        searched = 0
        while (at := self._held.find(mark, searched)) < 0:
            searched = max(0, len(self._held) - len(mark) + 1)
            if searched > limit:
                raise PartTooLarge("a part is larger than the limit")
            self._more()
        if at > limit:
            raise PartTooLarge("a part is larger than the limit")
        before = bytes(self._held[:at])
        del self._held[: at + len(mark)]
        return before

    def opens(self) -> bool:
        """Tell whether the boundary that was just passed opens a part; else it is the last one."""
        while len(self._held) < 2:
            self._more()
        return self._held[:2] != b"--"

    def _more(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            raise MultipartBroken("the body ends before its closing boundary")
        self._held += chunk
