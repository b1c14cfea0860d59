"""Draw a heat map over a radiograph without hiding what it points at.

The colours run evenly from dark to bright: equal steps of heat are equal steps of lightness, which
every kind of colour vision sees. Transparency leaves cold areas as they were.

Source: Ottosson 2020, "A perceptual color space for image processing" (Oklab);
IEC 61966-2-1 (sRGB); PNG 11.3.3.2 (keywords of texts).
"""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from models.explain import FloatMap, Region, upsample

__all__ = ["colour_table", "overlay_png", "picture_png"]

ByteImage = NDArray[np.uint8]

OUTLINE_COLOUR = (255, 214, 92, 255)  # reads on black lung and on white bone
FILL = 0.35  # opacity at full heat
COLD = 0.15  # heat below this is not drawn

_LMS_FROM_OKLAB = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
_RGB_FROM_LMS = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


@cache
def colour_table() -> ByteImage:
    """Return the colours of heat 0..1 as (256, 3) sRGB bytes: violet over red to pale yellow."""
    t = np.linspace(0.0, 1.0, 256)
    lightness = 0.25 + 0.70 * t
    hue = np.deg2rad(-65.0 + 165.0 * t)
    chroma = 0.03 + 0.15 * np.sin(np.pi * np.clip(0.12 + 0.80 * t, 0, 1))
    oklab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1)
    linear = np.clip((oklab @ _LMS_FROM_OKLAB.T) ** 3 @ _RGB_FROM_LMS.T, 0.0, 1.0)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    table: ByteImage = np.round(encoded * 255).astype(np.uint8)
    table.setflags(write=False)
    return table


def overlay_png(
    heat: FloatMap,
    regions: tuple[Region, ...],
    rows: int,
    columns: int,
    *,
    fill: float = FILL,
) -> bytes:
    """Draw the heat and the outlines of its regions as a transparent PNG to lay over the image.

    heat     (h, w), 0..1, spread over the whole image
    regions  in pixels of an image of these rows and columns
    fill     opacity of the hottest point, 0 (outlines only) to 1
    """
    return _png(_overlay(heat, regions, rows, columns, fill))


def picture_png(
    grey: ByteImage,
    heat: FloatMap,
    regions: tuple[Region, ...],
    *,
    fill: float = FILL,
    disclaimer: str = "",
) -> bytes:
    """Draw the radiograph with the overlay on it as an opaque PNG.

    grey        (rows, columns), as shown on the screen
    disclaimer  kept in the file as text under PNG's keyword of that name
    """
    rows, columns = grey.shape
    picture = Image.fromarray(grey).convert("RGBA")
    picture.alpha_composite(_overlay(heat, regions, rows, columns, fill))
    return _png(picture.convert("RGB"), disclaimer)


def _overlay(
    heat: FloatMap, regions: tuple[Region, ...], rows: int, columns: int, fill: float
) -> Image.Image:
    wide = np.clip(upsample(heat, rows, columns), 0.0, 1.0)
    colours = np.empty((rows, columns, 4), dtype=np.uint8)
    colours[..., :3] = colour_table()[np.round(wide * 255).astype(np.uint8)]
    warmth = np.clip((wide - COLD) / (1 - COLD), 0.0, 1.0)
    colours[..., 3] = np.round(255 * fill * warmth).astype(np.uint8)
    image = Image.fromarray(colours)
    pen = ImageDraw.Draw(image)
    for region in regions:
        closed = [*region.outline, region.outline[0]]
        pen.line(closed, fill=OUTLINE_COLOUR, width=max(1, round(min(rows, columns) / 256)))
    return image


def _png(image: Image.Image, disclaimer: str = "") -> bytes:
    stream, texts = io.BytesIO(), PngInfo()
    if disclaimer:
        texts.add_itxt("Disclaimer", disclaimer)
    image.save(stream, "PNG", pnginfo=texts)
    return stream.getvalue()
