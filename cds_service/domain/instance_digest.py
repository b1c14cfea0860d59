"""Which image it is: a digest of what a DICOM file says, without what each sender puts around it.

The same image has another preamble and file meta after C-STORE than from an archive's DICOMweb. The
transfer syntax stands there too, and decides how the rest is read: it is part of the digest.

Source: DICOM PS3.10 7.1 (file meta, always Explicit VR Little Endian).
"""

from hashlib import sha256
from struct import unpack_from

_META_AT = 132  # bytes: preamble and "DICM"
_PREFIX = slice(128, 132)
_GROUP_LENGTH = b"\x02\x00\x00\x00UL\x04\x00"  # the first element of the file meta
_LONG = frozenset({b"OB", b"OW", b"UN", b"UT", b"SQ", b"OD", b"OF", b"OL", b"OV", b"UC", b"UR"})
_TRANSFER_SYNTAX = (0x0002, 0x0010)


def instance_digest(data: bytes) -> str:
    """Return 64 hex digits; of bytes that are no DICOM file with a plain file meta, of all of them.

    Never raises: it is asked before anything is parsed.
    """
    begin = _META_AT + len(_GROUP_LENGTH)
    if data[_PREFIX] != b"DICM" or data[_META_AT:begin] != _GROUP_LENGTH or len(data) < begin + 4:
        return sha256(data).hexdigest()
    end = begin + 4 + int(unpack_from("<I", data, begin)[0])
    syntax = _transfer_syntax(data, begin + 4, end)
    if syntax is None:
        return sha256(data).hexdigest()
    digest = sha256(b"transfer syntax " + syntax.rstrip(b"\0 ") + b"\0")
    digest.update(memoryview(data)[end:])
    return digest.hexdigest()


def _transfer_syntax(data: bytes, at: int, end: int) -> bytes | None:
    """Walk the file meta; None unless its elements fill it exactly and one is the syntax."""
    syntax = None
    while at + 8 <= end <= len(data):
        tag, kind = unpack_from("<HH", data, at), data[at + 4 : at + 6]
        if kind in _LONG:
            length, at = unpack_from("<I", data, at + 8)[0] if at + 12 <= end else end, at + 12
        else:
            length, at = unpack_from("<H", data, at + 6)[0], at + 8
        if tag == _TRANSFER_SYNTAX:
            syntax = data[at : at + length]
        at += length
    return syntax if at == end else None
