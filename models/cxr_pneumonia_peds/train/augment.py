"""Random changes that keep the finding and spoil the shortcuts.

The two labels differ in side markers, cables, exposure, sharpness and field of view. Each of these
is varied here, so that none of them is worth learning.
"""

from __future__ import annotations

import io

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor


def augmented(grey: NDArray[np.uint8], rng: np.random.Generator) -> Tensor:
    """Return one training batch.

    grey     (N, S, S), uint8
    returns  (N, 1, S, S), float32, each image with mean 0 and standard deviation 1
    """
    batch = np.stack([_marked_and_compressed(image, rng) for image in grey])
    x = torch.from_numpy(batch).float().div_(255).unsqueeze(1)
    x = _moved(x, rng)
    x = _exposed(x, rng)
    x = _blurred(x, rng)
    x = _cut_out(x, rng)
    x = _grained(x, rng)
    return standardised(x.clamp(0, 1))


def standardised(x: Tensor) -> Tensor:
    """Do to a batch what `models.prepare.standardise` does to one image."""
    mean = x.mean(dim=(2, 3), keepdim=True)
    return (x - mean) / x.std(dim=(2, 3), keepdim=True, unbiased=False).clamp_min(1e-3)


def _per_image(
    rng: np.random.Generator, images: int, low: float, high: float
) -> NDArray[np.float64]:
    return rng.uniform(low, high, (images, 1, 1, 1))


def _marked_and_compressed(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Write a side marker or draw a cable in one image of three, and recompress as many."""
    if rng.random() < 0.33:
        canvas = Image.fromarray(image)
        pen, side, ink = ImageDraw.Draw(canvas), image.shape[0], int(rng.integers(150, 256))
        if rng.random() < 0.6:
            word = str(rng.choice(["R", "L", "AP", "PORTABLE", "NOT A PATIENT", "12:40"]))
            pen.text((rng.uniform(0, 0.85 * side), rng.uniform(0, 0.9 * side)), word, fill=ink)
        else:
            points = rng.uniform(0, side, (4, 2)).ravel().tolist()
            pen.line(points, fill=ink, width=int(rng.integers(1, 3)))
        image = np.asarray(canvas)
    if rng.random() < 0.33:
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "JPEG", quality=int(rng.integers(25, 90)))
        image = np.asarray(Image.open(stream))
    return image


def _moved(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Turn, shear, stretch each axis by itself and shift; the border is repeated or black.

    No mirror image: the heart is on the left.
    """
    n = len(x)
    angle = np.deg2rad(rng.uniform(-12, 12, n))
    zoom = rng.uniform(0.80, 1.12, n)
    stretch = np.exp(rng.uniform(-0.14, 0.14, n))
    shear = rng.uniform(-0.1, 0.1, n)
    cos, sin = np.cos(angle), np.sin(angle)
    theta = np.empty((n, 2, 3), dtype=np.float32)
    theta[:, 0, 0], theta[:, 0, 1] = zoom * stretch * cos, zoom * (shear - sin)
    theta[:, 1, 0], theta[:, 1, 1] = zoom * sin, zoom / stretch * cos
    theta[:, :, 2] = rng.uniform(-0.1, 0.1, (n, 2))
    grid = F.affine_grid(torch.from_numpy(theta), list(x.shape), align_corners=False)
    padding = "border" if rng.random() < 0.5 else "zeros"
    return F.grid_sample(x, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def _exposed(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Vary gamma, contrast and brightness, clipping as a bad window does."""
    gamma = torch.from_numpy(np.exp(_per_image(rng, len(x), -0.55, 0.55))).float()
    gain = torch.from_numpy(_per_image(rng, len(x), 0.75, 1.3)).float()
    shift = torch.from_numpy(_per_image(rng, len(x), -0.15, 0.15)).float()
    bent = x.clamp(0, 1).pow(gamma)
    return ((bent - 0.5) * gain + 0.5 + shift).clamp(0, 1)


def _blurred(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Mix each image with its blurred self, from sharpened (-0.6) to fully blurred (1)."""
    axis = torch.arange(-3, 4, dtype=torch.float32)
    bell = torch.exp(-(axis**2) / (2 * rng.uniform(0.6, 1.6) ** 2))
    taps, side = (bell / bell.sum()).tolist(), x.shape[-1]
    # Shifted sums: a one-channel convolution takes five times as long on a CPU.
    wide = F.pad(x, (3, 3, 3, 3), mode="replicate")
    rows = sum(tap * wide[:, :, k : k + side, :] for k, tap in enumerate(taps))
    soft = sum(tap * rows[:, :, :, k : k + side] for k, tap in enumerate(taps))
    share = torch.from_numpy(_per_image(rng, len(x), -0.6, 1.0)).float()
    return x + share * (soft - x)


def _grained(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Add white noise of up to 5 % of the grey range."""
    strength = torch.from_numpy(_per_image(rng, len(x), 0.0, 0.05)).float()
    return x + strength * torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32))


def _cut_out(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Cover up to two rectangles of half of the images with one grey value."""
    side = x.shape[-1]
    for image in x:
        for _ in range(int(rng.integers(0, 3)) if rng.random() < 0.5 else 0):
            height, width = rng.integers(side // 16, side // 4, 2)
            top, left = rng.integers(0, side - height), rng.integers(0, side - width)
            image[:, top : top + height, left : left + width] = float(rng.random())
    return x
