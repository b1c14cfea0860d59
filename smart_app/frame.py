"""A frame as the viewer gets it: 16 bit values, and how to show and to measure them.

Source: DICOM PS3.3 C.11.1 (slope and intercept), C.11.2 (a window for display), 10.7.1.3 (spacing),
C.7.6.1.1.1 (orientation).
"""

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cds_service.domain.orientation import Orientation, edges_of

WINDOW_PERCENTILES = (0.5, 99.5)
HIGHEST = 0xFFFF
_SAMPLES = 512  # a side: as many values as the window is estimated from


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded frame: uint16 (rows, columns), larger is brighter."""

    stored: NDArray[np.uint16] = field(repr=False)
    slope: float  # of the modality value: stored * slope + intercept
    intercept: float
    window: tuple[float, float]  # stored values that are shown black and white
    spacing_mm: tuple[float, float] | None = None  # between rows, between columns
    frames: int = 1  # of the object that it is one of
    orientation: Orientation | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What a reader of the raw values must know."""
        rows, columns = self.stored.shape
        return {
            "rows": rows,
            "columns": columns,
            "slope": self.slope,
            "intercept": self.intercept,
            "window": list(self.window),
            "lowest": int(self.stored.min()),
            "highest": int(self.stored.max()),
            "photometric": "MONOCHROME2",
            "spacing_mm": self.spacing_mm and list(self.spacing_mm),
            "frames": self.frames,
            "edges": self.orientation and edges_of(self.orientation),
        }

    @property
    def raw(self) -> bytes:
        """The values row by row, little endian."""
        return self.stored.astype("<u2", copy=False).tobytes()


def frame_of(
    values: NDArray[np.float32],
    spacing_mm: tuple[float, float] | None,
    frames: int = 1,
    orientation: Orientation | None = None,
) -> Frame:
    """Put modality values into 16 bits; whole numbers in a range of 65,535 lose nothing.

    values  (rows, columns), finite, larger is brighter
    """
    low, high = float(values.min()), float(values.max())
    is_whole = high - low <= HIGHEST and bool((values == np.rint(values)).all())
    slope = 1.0 if is_whole else max(high - low, 1e-6) / HIGHEST
    stored = np.rint((values - np.float32(low)) / np.float32(slope)).astype(np.uint16)
    return Frame(stored, slope, low, _window(stored), spacing_mm, frames, orientation)


def packed(frame: Frame) -> bytes:
    """Return the frame as one string of bytes: a line of JSON, then the raw values."""
    return json.dumps(frame.facts).encode() + b"\n" + frame.raw


def unpacked(data: bytes) -> Frame:
    """Read what `packed` made, an earlier release's too: that had no edges."""
    line, _, raw = data.partition(b"\n")
    facts = json.loads(line)
    shape = (facts["rows"], facts["columns"])
    stored = np.frombuffer(raw, dtype="<u2").reshape(shape).astype(np.uint16, copy=False)
    spacing = facts["spacing_mm"] and (facts["spacing_mm"][0], facts["spacing_mm"][1])
    low, high = facts["window"]
    slope, intercept = facts["slope"], facts["intercept"]
    edges = facts.get("edges")
    orientation = edges and (edges["right"], edges["bottom"])
    return Frame(stored, slope, intercept, (low, high), spacing, facts["frames"], orientation)


def _window(stored: NDArray[np.uint16]) -> tuple[float, float]:
    """Return robust limits, so that a marker or a dead pixel does not darken the image."""
    sample = stored[:: stored.shape[0] // _SAMPLES + 1, :: stored.shape[1] // _SAMPLES + 1]
    low, high = (float(limit) for limit in np.percentile(sample, WINDOW_PERCENTILES))
    return (low, high) if low < high else (low, low + 1.0)
