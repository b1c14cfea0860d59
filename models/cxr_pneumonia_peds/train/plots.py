"""Draw the reliability plot of the model's page: said probability against what was found.

Each point holds the out-of-fold images of a tenth of the scale; its bar is the 95 % interval.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from models.cxr_pneumonia_peds.train import data
from models.cxr_pneumonia_peds.train.figures import cross_fitted, out_of_fold

SIDE, EDGE = 480, 56
BINS = 10
INK, BLUE, PALE = (40, 40, 40), (0, 90, 160), (215, 215, 215)


def main() -> None:
    """Write the plot as a PNG."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    images = data.load(arguments.data, arguments.work / "grey.npy")
    probability, _, _ = cross_fitted(images, out_of_fold(arguments.work, len(images.label)))
    canvas = Image.new("RGB", (SIDE, SIDE), "white")
    pen = ImageDraw.Draw(canvas)
    _axes(pen)
    bin_of = np.minimum((probability * BINS).astype(int), BINS - 1)
    for part in (np.flatnonzero(bin_of == number) for number in range(BINS)):
        said, found = float(probability[part].mean()), float(images.label[part].mean())
        low, high = wilson(found, len(part))
        pen.line([_at(said, low), _at(said, high)], fill=BLUE, width=2)
        x, y = _at(said, found)
        pen.ellipse((x - 5, y - 5, x + 5, y + 5), fill=BLUE)
    canvas.quantize(32).save(arguments.out, optimize=True)


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share.

    Source: Wilson 1927, doi 10.1080/01621459.1927.10502953.
    """
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    reach = z / (1 + z * z / count) * ((share * (1 - share) + z * z / (4 * count)) / count) ** 0.5
    return max(0.0, middle - reach), min(1.0, middle + reach)


def _axes(pen: ImageDraw.ImageDraw) -> None:
    font = ImageFont.load_default(size=14)
    for tick in (0, 0.2, 0.4, 0.6, 0.8, 1):
        pen.line([_at(tick, 0), _at(tick, 1)], fill=PALE)
        pen.line([_at(0, tick), _at(1, tick)], fill=PALE)
        pen.text(_at(tick, -0.03), f"{tick:.1f}", fill=INK, font=font, anchor="mt")
        pen.text(_at(-0.02, tick), f"{tick:.1f}", fill=INK, font=font, anchor="rm")
    pen.line([_at(0, 0), _at(1, 1)], fill=INK)
    pen.text(_at(0.5, -0.08), "calibrated probability", fill=INK, font=font, anchor="mt")
    title = "share with pneumonia, 5,190 images by tenths of the scale"
    pen.text(_at(0, 1.03), title, fill=INK, font=font, anchor="lb")


def _at(x: float, y: float) -> tuple[float, float]:
    span = SIDE - 2 * EDGE
    return EDGE + x * span, SIDE - EDGE - y * span


if __name__ == "__main__":
    main()
