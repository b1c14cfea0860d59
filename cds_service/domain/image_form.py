"""In which form an archive is asked for images.

Source: DICOM PS3.18 8.7.3.5.2 (transfer-syntax); PS3.5 A (transfer syntaxes); ADR 0013.
"""

from enum import StrEnum


class ImageForm(StrEnum):
    """What a site wants of its archives; one that cannot convert gives what it has."""

    AS_STORED = "as-stored"
    UNCOMPRESSED = "uncompressed"
    RLE = "rle"
