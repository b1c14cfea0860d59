"""The start-up probe: of the decoders that are installed, which is fastest for each syntax.

A picture is made and encoded here, so nothing is downloaded and no patient is needed. A decoder is
chosen only if its pixels are those of the first permitted one; syntaxes with one decoder, or with
no encoder to make a frame, keep the first.

Source: DICOM PS3.5 A.4; issue "fastest such plug-in chosen per syntax by a start-up probe".
"""

import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import distributions
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from cds_service.adapters.decoders import (
    CANDIDATES,
    Decoders,
    Values,
    decoded_frame,
    usable,
)

log = logging.getLogger(__name__)

FILE = "decoders.json"  # beside the ledger
ROWS, COLUMNS = 640, 512
REPEATS = 2
_LIBRARIES = frozenset(
    {
        *("imagecodecs", "pillow", "pydicom", "pyjpegls"),
        *("pylibjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle", "python-gdcm"),
    }
)
_WORTH_IT = 0.9  # of the first one's time: below that another is taken, or noise would choose

Encode = Callable[[Dataset], bytes]


@dataclass(frozen=True, slots=True)
class Choice:
    """The decoder of one syntax, and what was measured."""

    syntax: UID
    chosen: str | None  # None: no permitted decoder is installed
    times_ms: tuple[tuple[str, float], ...] = ()  # of those whose pixels agree; none: not measured

    @property
    def why(self) -> str:
        """The choice in words."""
        if self.chosen is None:
            return f"not decoded here; {', '.join(CANDIDATES[self.syntax])} would"
        if not self.times_ms:
            return "not measured"
        return ", ".join(f"{name} {ms:.1f} ms" for name, ms in self.times_ms)


def choose_decoders(timer: Callable[[], float] = time.process_time) -> tuple[Choice, ...]:
    """Measure for about a second of processor time; return the choice for every known syntax."""
    measured: dict[UID, Choice] = {}
    for syntax in CANDIDATES:
        # The lossy kind of a codec is decoded by the same code.
        same = _SAME.get(syntax)
        names = usable(syntax)
        if same in measured and names == usable(same):
            measured[syntax] = Choice(syntax, measured[same].chosen, measured[same].times_ms)
        elif len(names) > 1 and syntax in _ENCODERS:
            measured[syntax] = _measured(syntax, names, timer)
        else:
            measured[syntax] = Choice(syntax, names[0] if names else None)
    return tuple(measured.values())


def decoders_of(choices: tuple[Choice, ...]) -> Decoders:
    """Return the choices as the reader takes them."""
    return Decoders({one.syntax: one.chosen for one in choices if one.chosen is not None})


def decoders_once(folder: Path) -> Decoders:
    """Return what was chosen in this installation, measured now where that is not kept.

    Measured again when a decoder came, went or changed its version.
    """
    file, key = folder / FILE, _installed()
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        kept = json.loads(file.read_text(encoding="utf-8"))
        chosen = {UID(syntax): name for syntax, name in kept["chosen"].items()}
        if kept["key"] == key and all(chosen[syntax] in usable(syntax) for syntax in chosen):
            return Decoders(chosen)
    return keep(folder, choose_decoders())


def keep(folder: Path, choices: tuple[Choice, ...]) -> Decoders:
    """Keep the choices for every process of this installation, and return them."""
    decoders = decoders_of(choices)
    for choice in choices:
        log.info("decoder: %s by %s (%s)", choice.syntax.name, choice.chosen, choice.why)
    draft = folder / f".{FILE}.{os.getpid()}"
    document = {"key": _installed(), "chosen": dict(decoders.chosen)}
    draft.write_text(json.dumps(document, indent=1), encoding="utf-8")
    draft.replace(folder / FILE)
    return decoders


def _installed() -> dict[str, str]:
    """Return the versions of what decodes."""
    return {one.name: one.version for one in distributions() if one.name.lower() in _LIBRARIES}


def _measured(syntax: UID, names: tuple[str, ...], timer: Callable[[], float]) -> Choice:
    film = _film(8 if syntax == JPEGBaseline8Bit else 12)
    frame = _ENCODERS[syntax](film)
    expected: Values | None = None
    times: list[tuple[str, float]] = []
    for name in names:
        decode = partial(decoded_frame, name, syntax, frame, film)
        values = decode()  # the first call loads the library
        if expected is None:
            expected = values
        if np.array_equal(values, expected):
            times.append((name, 1000 * min(_time(decode, timer) for _ in range(REPEATS))))
    best = min(times, key=lambda one: one[1])
    chosen = best[0] if best[1] < _WORTH_IT * times[0][1] else names[0]
    return Choice(syntax, chosen, tuple(times))


def _time(decode: Callable[[], Values], timer: Callable[[], float]) -> float:
    started = timer()
    decode()
    return timer() - started


def _film(bits: int) -> Dataset:
    """Make a smooth picture with a little noise, which codes like a radiograph."""
    y, x = np.mgrid[0 : 1 : ROWS * 1j, 0 : 1 : COLUMNS * 1j]
    smooth = 0.5 + 0.35 * np.sin(9 * x) * np.cos(7 * y)
    noise = np.random.default_rng(1).normal(0, 0.01, smooth.shape)
    kind = np.uint8 if bits == 8 else np.uint16
    picture = np.clip((smooth + noise) * ((1 << bits) - 1), 0, (1 << bits) - 1).astype(kind)
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film.Rows, film.Columns, film.SamplesPerPixel = ROWS, COLUMNS, 1
    film.PhotometricInterpretation, film.PixelRepresentation = "MONOCHROME2", 0
    film.BitsAllocated = 8 * picture.itemsize
    film.BitsStored, film.HighBit = bits, bits - 1
    film.PixelData = picture.tobytes()
    film["PixelData"].VR = "OW"
    return film


def _by_pydicom(syntax: UID, film: Dataset) -> bytes:
    film.compress(syntax, generate_instance_uid=False)
    return next(generate_frames(film.PixelData, number_of_frames=1))


def _baseline(film: Dataset) -> bytes:
    stream = BytesIO()
    Image.frombytes("L", (COLUMNS, ROWS), film.PixelData).save(stream, "JPEG", quality=95)
    return stream.getvalue()


_SAME = {JPEG2000: JPEG2000Lossless, JPEGLSNearLossless: JPEGLSLossless}
_ENCODERS: dict[UID, Encode] = {
    JPEGBaseline8Bit: _baseline,
    JPEGLSLossless: partial(_by_pydicom, JPEGLSLossless),
    JPEG2000Lossless: partial(_by_pydicom, JPEG2000Lossless),
    RLELossless: partial(_by_pydicom, RLELossless),
}
