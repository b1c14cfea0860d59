"""Turn decoded pixels into the exact tensor a bundled model reads.

Training reads its images through this same module, so what the model sees in a hospital is what it
saw when it learned. Every step is unchanged by a linear change of the grey scale (8 or 12 bits).

Source: DICOM PS3.3 C.7.6.3.1.2 (MONOCHROME2: the smallest value is shown as black).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["prepare", "shrink", "standardise"]

FloatImage = NDArray[np.float32]

# The share of pixels let go at each end: markers, collimator edges and dead pixels are fewer.
CLIP_PERCENTILES = (0.5, 99.5)


def prepare(pixels: FloatImage, input_size: int) -> FloatImage:
    """Make the model's input from one decoded frame.

    pixels   (rows, columns), any finite range, larger is brighter (the MONOCHROME2 sense)
    returns  (1, 1, input_size, input_size), float32, mean 0 and standard deviation 1

    Raises ValueError when the frame is not two-dimensional, holds a value that is not finite, or
    has no contrast.
    """
    return standardise(shrink(pixels, input_size))[np.newaxis, np.newaxis]


def shrink(pixels: FloatImage, input_size: int) -> FloatImage:
    """Resize one frame to a square and scale it to 0..1 between robust limits.

    The aspect ratio is given up on purpose: the training images reached us squashed to squares.
    The triangle filter widens with the reduction, so that a detector's 3000 rows do not alias.

    pixels   (rows, columns), any finite range
    returns  (input_size, input_size), float32, 0..1

    Raises ValueError as `prepare` does.
    """
    frame = np.ascontiguousarray(pixels, dtype=np.float32)
    if frame.ndim != 2 or 0 in frame.shape:
        raise ValueError(f"a frame has rows and columns; this one has the shape {frame.shape}")
    if not np.isfinite(frame).all():
        raise ValueError("the frame holds a value that is not a finite number")
    square = Image.fromarray(frame).resize((input_size, input_size), Image.Resampling.BILINEAR)
    grey = np.asarray(square, dtype=np.float32)
    low, high = (float(limit) for limit in np.percentile(grey, CLIP_PERCENTILES))
    if not high - low > 1e-6 * max(abs(low), abs(high)):
        raise ValueError("the frame has no contrast: nearly every pixel has one value")
    scaled: FloatImage = np.clip((grey - np.float32(low)) / np.float32(high - low), 0.0, 1.0)
    return scaled


def standardise(grey: FloatImage) -> FloatImage:
    """Give one image mean 0 and standard deviation 1.

    grey     (rows, columns), float32, not constant
    returns  same shape, float32
    """
    standard: FloatImage = ((grey - grey.mean()) / grey.std()).astype(np.float32)
    return standard
