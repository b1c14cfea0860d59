"""Decode one frame to the stored values, with a named decoder and checks on both sides of it.

A decoder is given the very frame that was checked, and no other part of the object.

Source: DICOM PS3.3 C.7.6.3 (Image Pixel), PS3.5 8, A.4; pydicom 3 `pydicom.pixels.decoders`.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import generate_frames, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
)

from cds_service.adapters.codestream import (
    RETIRED_JPEG,
    Matrix,
    check_codestream,
    check_samples,
    damaged,
)
from cds_service.adapters.decoders import Decoders, decoded_frame, version_of
from cds_service.adapters.palette import grey_levels
from cds_service.errors import StudyOutOfScope, StudyTooLarge, UnreadableInstance

MAX_PIXELS = 64 * 1024 * 1024  # of a frame; the largest mammography detectors have 20 million
MAX_FRAMES = 4096  # the longest cine loops and tomosynthesis stacks seen have about 1000

# PS3.3 A.2 - A.4, A.26, A.27: one image each; more frames of them are one image cut in slabs.
_SINGLE_FRAME = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.2",  # CT
        "1.2.840.10008.5.1.4.1.1.4",  # MR
        # CR, DX and MG, for presentation and for processing
        *(f"1.2.840.10008.5.1.4.1.1.1{kind}" for kind in ("", ".1", ".1.1", ".2", ".2.1")),
    }
)
_LOSSY = RETIRED_JPEG | {JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K}
_LOSSY_ERROR = 0.05  # of the range: how far lossy coding may leave the stated extremes
# Mean step between neighbours over mean deviation. Measured: radiographs 0.02-0.3, the noisiest CT
# at hand 0.54, a film that had decoded to garbage 0.98.
_ROUGHEST = 0.8
# Mean deviation over range, at most, where 99 of 100 values are the same: 2 x 1 %, and a margin.
_LARGEST_OF_BLANK = 0.03
_GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
_COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})
_PALETTE = "PALETTE COLOR"
_COLOUR_ERROR = 2  # grey levels that lossy colour coding leaves between equal channels

StoredValues = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Decoded:
    """One grey frame as it is stored, and what decoded it."""

    values: StoredValues  # (rows, columns)
    decoder: str | None = None  # None: it is not compressed
    sha256: str | None = None  # of what the decoder gave, in little endian
    lossy_decoder: str = ""  # with its version: another may round otherwise


def stored_values(dataset: Dataset, decoders: Decoders, number: int = 1) -> Decoded:
    """Return the stored values of one grey frame, counted from 1.

    Colour images whose channels are equal count as grey; of a grey palette the levels are
    returned. Raises StudyUnusable for what is not grey, cannot be decoded here, is larger than
    MAX_PIXELS or MAX_FRAMES or is damaged, and for a frame that is not there; anything else that
    a decoder throws passes through.
    """
    syntax = dataset.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian)
    photometric = str(dataset.get("PhotometricInterpretation", ""))
    _check_kind(dataset, photometric)
    matrix = _matrix(dataset)
    frames = _checked_frames(dataset, number)
    name, digest = None, None
    if syntax.is_encapsulated:
        name = decoders.name_for(syntax, int(dataset.BitsStored), matrix.samples)
        frame = _encoded_frame(dataset, number, frames)
        scan = check_codestream(syntax, frame, matrix)
        decoded = decoded_frame(name, syntax, frame, dataset)
        if scan:
            check_samples(scan, decoded)
        digest = _digest(decoded, dataset)
    else:
        is_halved = photometric == "YBR_FULL_422"  # C.7.6.3.1.2: two samples a pixel, not three
        samples = 2 if is_halved else matrix.samples
        _check_native_length(len(dataset.PixelData), matrix, samples, frames)
        decoded = _native(dataset, number, is_grey=photometric not in _COLOUR)
    stored = decoded if decoded.ndim == 2 else _grey_of_colour(decoded)
    if stored.shape != (matrix.rows, matrix.columns):
        raise damaged()
    _check_range(stored, dataset, is_lossy=syntax in _LOSSY)
    if photometric == _PALETTE:
        stored = grey_levels(stored, dataset)
    _check_texture(stored)
    lossy_decoder = f"{name} {version_of(name)}" if name and syntax in _LOSSY else ""
    return Decoded(stored, name, digest, lossy_decoder)


def _digest(decoded: StoredValues, dataset: Dataset) -> str:
    """Hash the values, whichever array type the decoder chose for them."""
    kind = "i" if int(dataset.PixelRepresentation) == 1 else "u"
    values = decoded.astype(f"<{kind}{int(dataset.BitsAllocated) // 8}", copy=False)
    return sha256(np.ascontiguousarray(values).data).hexdigest()


def _native(dataset: Dataset, number: int, *, is_grey: bool) -> StoredValues:
    syntax = dataset.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian)
    options: dict[str, Any] = {
        # Unused bits are looked at, not shifted away: they show when Bits Stored is a lie.
        "correct_unused_bits": int(dataset.PixelRepresentation) == 1,
        "view_only": True,  # nothing here writes to it, and a copy of a film is 10 MB
    }
    decoder = get_decoder(syntax)
    decoded, _ = decoder.as_array(dataset, index=number - 1, raw=is_grey, **options)
    return decoded


def _checked_frames(dataset: Dataset, number: int) -> int:
    """Return how many frames there are, after a look at whether that can be."""
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > MAX_FRAMES:
        raise StudyTooLarge("too-many-frames", "it has more frames than this service reads")
    is_single = str(dataset.get("SOPClassUID", "")) in _SINGLE_FRAME
    if frames < 1 or (frames > 1 and is_single):
        raise damaged()
    if not 1 <= number <= frames:
        raise StudyOutOfScope("no-such-frame", "it does not have the frame that is asked for")
    return frames


def _encoded_frame(dataset: Dataset, number: int, frames: int) -> bytes:
    if frames == 1:
        return b"".join(generate_frames(dataset.PixelData, number_of_frames=1))
    table = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
    return get_frame(
        dataset.PixelData,
        number - 1,
        extended_offsets=table if all(table) else None,
        number_of_frames=frames,
    )


def _check_kind(dataset: Dataset, photometric: str) -> None:
    if "PixelData" not in dataset:
        if len(dataset) == 0:  # pydicom's answer to a file that ends inside an element
            raise UnreadableInstance("damaged-pixels", "the file ends too early")
        raise UnreadableInstance("no-image", "it holds no image")
    if photometric not in {*_GREY, *_COLOUR, _PALETTE}:
        raise StudyOutOfScope("colour", "it is not a grey image")


def _matrix(dataset: Dataset) -> Matrix:
    matrix = Matrix(
        rows=int(dataset.Rows),
        columns=int(dataset.Columns),
        samples=int(dataset.SamplesPerPixel),
        bytes_per_sample=int(dataset.BitsAllocated) // 8,
    )
    if matrix.rows * matrix.columns > MAX_PIXELS:
        raise StudyTooLarge("too-many-pixels", "the image is larger than this service reads")
    if int(dataset.BitsAllocated) not in (8, 16, 32) or matrix.samples not in (1, 3):
        raise StudyOutOfScope("pixel-format", "it is not a grey image")
    if not 0 < int(dataset.BitsStored) <= int(dataset.BitsAllocated):
        raise damaged()
    return matrix


def _check_native_length(length: int, matrix: Matrix, samples: int, frames: int) -> None:
    """Refuse pixel data that are short, or long enough that Rows must be wrong."""
    row = matrix.columns * samples * matrix.bytes_per_sample
    if not 0 <= length - row * matrix.rows * frames < max(row, 2):
        raise damaged()


def _grey_of_colour(decoded: StoredValues) -> StoredValues:
    channels = decoded.astype(np.int32)
    if np.ptp(channels, axis=-1).max() > _COLOUR_ERROR:
        raise StudyOutOfScope("colour", "it is a colour image")
    return decoded[..., 0]


def _check_range(stored: StoredValues, dataset: Dataset, *, is_lossy: bool) -> None:
    """Refuse values that the header rules out."""
    low, high = int(stored.min()), int(stored.max())
    half = 1 << int(dataset.BitsStored) - 1
    floor, ceiling = (-half, half - 1) if low < 0 else (0, 2 * half - 1)
    smallest = dataset.get("SmallestImagePixelValue")
    largest = dataset.get("LargestImagePixelValue")
    if isinstance(smallest, int) and isinstance(largest, int) and smallest < largest:
        error = int(_LOSSY_ERROR * (largest - smallest)) if is_lossy else 0
        floor, ceiling = max(floor, smallest - error), min(ceiling, largest + error)
    if low < floor or high > ceiling:
        raise damaged()


def _check_texture(stored: StoredValues) -> None:
    """Refuse noise, and an image without contrast."""
    low, high = int(stored.min()), int(stored.max())
    sample = stored[:: max(1, stored.shape[0] // 512)].astype(np.float32)
    departures = sample - sample.mean()
    deviation = float(np.abs(departures, out=departures).mean())
    if deviation <= _LARGEST_OF_BLANK * (high - low) and _is_blank(sample):
        raise UnreadableInstance("blank", "the image is blank")
    steps = np.diff(sample, axis=1)
    if np.median(np.abs(steps, out=steps).mean(axis=1)) > _ROUGHEST * deviation:
        raise damaged()


def _is_blank(sample: NDArray[np.float32]) -> bool:
    dark, bright = np.percentile(sample, (0.5, 99.5))
    return bool(dark == bright)
