"""The decoders that may be used for each transfer syntax, and how one frame goes through one.

Which decoder reads a syntax is decided once, at start: no second try follows a failure, since a
more lenient one would accept what the first found broken, and results would depend on which ran.
No decoder here is copyleft; imagecodecs (BSD) comes with the extra `[codecs]`.

Source: DICOM PS3.5 8.2, A.4, PS3.6 annex A; pydicom 3 `pydicom.pixels.decoders`; ISO/IEC 10918-1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from cds_service.adapters.codestream import RETIRED_JPEG
from cds_service.errors import StudyOutOfScope, UnsupportedTransferSyntax

IMAGECODECS = "imagecodecs"
# The first one is used where nothing was measured. Left out although they would do: gdcm for
# JPEG-LS (slower than the CharLS that it has in it), imagecodecs for HTJ2K (accepted 106 of 106
# damaged frames where pylibjpeg-openjpeg accepted 50) and for JPEG Lossless (its samples do not
# prove that the scan is whole, and a walk over it costs twice what its speed saves).
CANDIDATES: Mapping[UID, tuple[str, ...]] = MappingProxyType(
    {
        JPEGBaseline8Bit: ("gdcm", "pillow", IMAGECODECS),
        JPEGExtended12Bit: ("gdcm", IMAGECODECS),
        **dict.fromkeys(sorted(RETIRED_JPEG), (IMAGECODECS,)),
        JPEGLossless: ("gdcm",),
        JPEGLosslessSV1: ("gdcm",),
        JPEGLSLossless: ("pyjpegls", IMAGECODECS),
        JPEGLSNearLossless: ("pyjpegls", IMAGECODECS),
        JPEG2000Lossless: ("gdcm", "pylibjpeg", IMAGECODECS),
        JPEG2000: ("gdcm", "pylibjpeg", IMAGECODECS),
        HTJ2KLossless: ("pylibjpeg",),
        HTJ2KLosslessRPCL: ("pylibjpeg",),
        HTJ2K: ("pylibjpeg",),
        RLELossless: ("pylibjpeg", "pydicom"),
    }
)
_ITEM = b"\xfe\xff\x00\xe0"
_PACKAGES = {"gdcm": "python-gdcm", "pylibjpeg": "pylibjpeg-openjpeg"}
_FUNCTIONS = {  # of imagecodecs
    **dict.fromkeys((JPEGBaseline8Bit, JPEGExtended12Bit, *RETIRED_JPEG), "jpeg8_decode"),
    **dict.fromkeys((JPEGLSLossless, JPEGLSNearLossless), "jpegls_decode"),
    **dict.fromkeys((JPEG2000Lossless, JPEG2000), "jpeg2k_decode"),
}

Values = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Decoders:
    """Which decoder reads which transfer syntax in this process."""

    chosen: Mapping[UID, str]

    def name_for(self, syntax: UID, bits_stored: int, samples: int) -> str:
        """Return the decoder of such a frame; raise UnsupportedTransferSyntax "no-decoder"."""
        name = self.chosen.get(syntax)
        if syntax == JPEGExtended12Bit and bits_stored != 8:
            # gdcm reads 8 bits of it, and the only others that read 12 are not permissive.
            name = IMAGECODECS if IMAGECODECS in usable(syntax) else None
        elif name == IMAGECODECS and samples > 1:
            name = next((one for one in usable(syntax) if one != IMAGECODECS), None)
        if name is None:
            known = syntax.name.split("(")[0].strip() if syntax.is_transfer_syntax else "unknown"
            raise UnsupportedTransferSyntax(
                "no-decoder", f"its image format cannot be decoded here ({known})"
            )
        return name


def usable(syntax: UID) -> tuple[str, ...]:
    """Return the permitted decoders of this syntax that are installed."""
    try:
        plugins = get_decoder(syntax).available_plugins
    except NotImplementedError:  # pydicom knows nothing of the retired processes
        plugins = ()
    further = (IMAGECODECS,) if find_spec(IMAGECODECS) else ()
    return tuple(name for name in CANDIDATES.get(syntax, ()) if name in (*plugins, *further))


def first_usable() -> Decoders:
    """Return the decoders that are used where nothing was measured."""
    return Decoders({syntax: usable(syntax)[0] for syntax in CANDIDATES if usable(syntax)})


def version_of(name: str) -> str:
    """Return the installed version of the package behind a decoder's name."""
    return version(_PACKAGES.get(name, name))


def decoded_frame(name: str, syntax: UID, frame: bytes, dataset: Dataset) -> Values:
    """Decode one compressed frame; what a decoder throws passes through.

    Grey frames come as stored, (rows, columns); colour as RGB, (rows, columns, 3).
    """
    options = as_pixel_options(dataset, number_of_frames=1)
    options.pop("extended_offsets", None)
    if name == IMAGECODECS:
        return _by_imagecodecs(syntax, frame, options)
    if name == "pylibjpeg" and syntax == RLELossless and options["samples_per_pixel"] == 1:
        return _by_pylibjpeg_rle(frame, options)
    decoded, _ = get_decoder(syntax).as_array(
        _encapsulated(frame),
        index=0,
        raw=options["samples_per_pixel"] == 1,
        decoding_plugin=name,
        correct_unused_bits=options["pixel_representation"] == 1,
        **options,
    )
    return decoded


def _encapsulated(frame: bytes) -> bytes:
    """Put one frame into its item after an empty offset table, with one copy (PS3.5 A.4)."""
    padding = b"\0" * (len(frame) % 2)
    length = (len(frame) + len(padding)).to_bytes(4, "little")
    return b"".join((_ITEM, bytes(4), _ITEM, length, frame, padding))


def _by_imagecodecs(syntax: UID, frame: bytes, options: Mapping[str, Any]) -> Values:
    if options["samples_per_pixel"] != 1:
        raise StudyOutOfScope("colour", "it is a colour image")
    import imagecodecs  # only where the extra is installed and something needs it

    decode: Callable[[bytes], Values] = getattr(imagecodecs, _FUNCTIONS[syntax])
    return _stored(decode(frame), options)


def _by_pylibjpeg_rle(frame: bytes, options: Mapping[str, Any]) -> Values:
    """Decode without pydicom's copies, which take as long as the decoder (3.0.2, measured)."""
    from rle.utils import decode_pixel_data  # only where something needs it

    decoded = decode_pixel_data(frame, version=2, **options)
    values = np.frombuffer(decoded, f"<u{options['bits_allocated'] // 8}")
    return _stored(values.reshape(options["rows"], options["columns"]), options)


def _stored(values: Values, options: Mapping[str, Any]) -> Values:
    """Read signed values as such; PS3.5 8.1.1: they are in the lowest Bits Stored bits."""
    if options["pixel_representation"] == 0:
        return values
    unused = 8 * values.dtype.itemsize - int(options["bits_stored"])
    signed = values.view(f"i{values.dtype.itemsize}")
    return (signed << unused) >> unused
