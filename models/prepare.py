"""Turn decoded pixels into the exact tensor a model reads.

Training reads its images through this same module, so what the model sees in a hospital is what it
saw when it learned. Every step is unchanged by a linear change of the grey scale (8 or 12 bits).

Source: DICOM PS3.3 C.7.6.3.1.2 (MONOCHROME2: the smallest value is shown as black).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.contract import ModelInput
from models.resize import resized

__all__ = ["prepare", "shrink", "standardise", "tensor_of"]

FloatImage = NDArray[np.float32]
Frame = NDArray[np.number[Any]]

# The share of pixels let go at each end: markers, collimator edges and dead pixels are fewer.
CLIP_PERCENTILES = (0.5, 99.5)


def tensor_of(pixels: Frame, recipe: ModelInput) -> FloatImage:
    """Make a model's input from one decoded frame, as its card says.

    pixels   (rows, columns), any finite range, larger is brighter (the MONOCHROME2 sense)
    returns  (1, channels, size, size), or (1, size, size, channels) for NHWC; float32

    Raises ValueError as `prepare` does.
    """
    frame = _fitted(_checked(pixels), recipe.fit)
    percentiles = CLIP_PERCENTILES if recipe.grey == "robust" else (0.0, 100.0)
    grey = _scaled(_resized(frame, recipe.size), percentiles)
    if recipe.values is None:
        grey = standardise(grey)
    else:
        black, white = recipe.values
        grey = grey * np.float32(white - black) + np.float32(black)
    image = np.repeat(grey[np.newaxis], recipe.channels, axis=0)
    if recipe.mean:
        mean, std = (np.array(one, np.float32)[:, None, None] for one in (recipe.mean, recipe.std))
        image = (image - mean) / std
    if recipe.layout == "NHWC":
        image = image.transpose(1, 2, 0)
    tensor: FloatImage = np.ascontiguousarray(image[np.newaxis], dtype=np.float32)
    return tensor


def prepare(pixels: Frame, input_size: int) -> FloatImage:
    """Make the model's input from one decoded frame.

    pixels   (rows, columns), any finite range, larger is brighter (the MONOCHROME2 sense)
    returns  (1, 1, input_size, input_size), float32, mean 0 and standard deviation 1

    Raises ValueError when the frame is not two-dimensional, holds a value that is not finite, or
    has no contrast.
    """
    return standardise(shrink(pixels, input_size))[np.newaxis, np.newaxis]


def shrink(pixels: Frame, input_size: int) -> FloatImage:
    """Resize one frame to a square and scale it to 0..1 between robust limits.

    The aspect ratio is given up on purpose: the training images reached us squashed to squares.
    The triangle filter widens with the reduction, so that a detector's 3000 rows do not alias.

    pixels   (rows, columns), any finite range
    returns  (input_size, input_size), float32, 0..1

    Raises ValueError as `prepare` does.
    """
    return _scaled(_resized(_checked(pixels), input_size), CLIP_PERCENTILES)


def _checked(pixels: Frame) -> Frame:
    is_exact = pixels.dtype.kind in "iu" and pixels.itemsize <= 2  # in float32
    frame = pixels if is_exact else np.ascontiguousarray(pixels, dtype=np.float32)
    if frame.ndim != 2 or 0 in frame.shape:
        raise ValueError(f"a frame has rows and columns; this one has the shape {frame.shape}")
    return frame


def _fitted(frame: Frame, fit: str) -> Frame:
    """Make a frame square: its middle ("crop"), with black beside it ("pad"), or not at all."""
    rows, columns = frame.shape
    if fit == "crop":
        side = min(rows, columns)
        top, left = (rows - side) // 2, (columns - side) // 2
        return frame[top : top + side, left : left + side]
    if fit == "pad":
        side = max(rows, columns)
        top, left = (side - rows) // 2, (side - columns) // 2
        padded = np.full_like(frame, frame.min(), shape=(side, side))
        padded[top : top + rows, left : left + columns] = frame
        return padded
    return frame


def _resized(frame: Frame, size: int) -> FloatImage:
    square = resized(frame, size, size)
    if not np.isfinite(square).all():  # every pixel has a share in it
        raise ValueError("the frame holds a value that is not a finite number")
    return square


def _scaled(grey: FloatImage, percentiles: tuple[float, float]) -> FloatImage:
    """Scale to 0..1 between two percentiles; raise ValueError where they are the same."""
    low, high = (float(limit) for limit in np.percentile(grey, percentiles))
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
