"""multipart/related with DICOM parts, read whole and written as a stream.

Source: RFC 2046 5.1, RFC 2387; DICOM PS3.18 8.6.1.2 (multipart payloads).
"""

import secrets
from collections.abc import Iterable, Iterator

from werkzeug.http import parse_options_header

DICOM = "application/dicom"


class NotMultipart(Exception):
    """The body is no multipart/related message."""


def read_parts(content_type: str, body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield (media type, content) of each part; raise NotMultipart."""
    media_type, options = parse_options_header(content_type)
    boundary = options.get("boundary", "")
    if media_type != "multipart/related" or not boundary:
        raise NotMultipart("the body must be multipart/related with a boundary")
    # The CRLF before a delimiter belongs to it; the first one may stand at the very start.
    segments = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("latin-1"))
    if len(segments) < 2 or not segments[-1].startswith(b"--"):
        raise NotMultipart("the closing boundary is missing")
    for segment in segments[1:-1]:
        head, separator, content = segment.partition(b"\r\n\r\n")
        if not separator:
            raise NotMultipart("a part has no headers")
        yield _media_type(head), content


def write_parts(contents: Iterable[bytes]) -> tuple[str, Iterator[bytes]]:
    """Return the Content-Type and the body's chunks for these DICOM files."""
    boundary = secrets.token_hex(16)

    def chunks() -> Iterator[bytes]:
        for content in contents:
            yield f"--{boundary}\r\nContent-Type: {DICOM}\r\n\r\n".encode()
            yield content
            yield b"\r\n"
        yield f"--{boundary}--\r\n".encode()

    return f'multipart/related; type="{DICOM}"; boundary={boundary}', chunks()


def _media_type(head: bytes) -> str:
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().casefold() == "content-type":
            return parse_options_header(value.strip())[0].casefold()
    return ""
