"""Images that are not proper films: films turned, inverted or cut up, and generated pictures.

They teach and test the scope head. Nothing here copies a real image of another kind: what the head
makes of real hands, hips and slices stays a fair test.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from models.prepare import shrink

Grey = NDArray[np.float32]
Pictures = dict[str, Callable[[np.random.Generator, int], Grey]]

_WORDS = ["PATIENT", "NAME", "REPORT", "DOSE", "kV", "12", "3.4", "left", "right", "the", "of"]


def turned(film: Grey, quarters: int) -> Grey:
    """Turn the last two axes by quarters of a full turn, against the clock."""
    return np.ascontiguousarray(np.rot90(film, quarters, axes=(-2, -1)))


def upset(film: Grey, rng: np.random.Generator) -> Grey:
    """Stand a film on its head by a mirror, lay it on its diagonal, or turn and invert it."""
    way = rng.integers(3)
    if way == 0:
        return np.ascontiguousarray(film[..., ::-1, :])
    if way == 1:
        return np.ascontiguousarray(np.swapaxes(film, -1, -2))
    return -turned(film, int(rng.integers(1, 4)))


def cut_up(film: Grey, other: Grey, rng: np.random.Generator) -> Grey:
    """Show a small part of a film, its quarters in the wrong order, or a sheet of films."""
    side = film.shape[-1]
    half = side // 2
    way = rng.integers(3)
    if way == 0:
        part = int(side * rng.uniform(0.2, 0.42))
        top, left = rng.integers(0, side - part, 2)
        return _resized(film[top : top + part, left : left + part], side)
    if way == 1:
        quarters = [film[r : r + half, c : c + half] for r in (0, half) for c in (0, half)]
        order = [(1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0), (1, 2, 3, 0)][rng.integers(4)]
        a, b, c, d = (quarters[i] for i in order)
        return np.block([[a, b], [c, d]])
    small, small_other = _resized(film, half), _resized(other, half)
    return np.block([[small, small_other], [small_other, small]])


def picture(kind: str, rng: np.random.Generator, side: int) -> Grey:
    """Return one generated picture of a kind in `KINDS`: (side, side), 0..1, as `shrink` gives."""
    drawn = KINDS[kind](rng, side)
    if rng.random() < 0.4:
        drawn = _resized(_resized(drawn, int(side * rng.uniform(0.1, 0.6))), side)
    if rng.random() < 0.5:
        drawn = 1 - drawn
    if rng.random() < 0.7:
        drawn = drawn + rng.uniform(0.005, 0.08) * rng.standard_normal(drawn.shape)
    return shrink(np.asarray(drawn + 1e-4 * rng.standard_normal(drawn.shape), np.float32), side)


def _resized(grey: Grey, side: int) -> Grey:
    image = Image.fromarray(np.ascontiguousarray(grey, dtype=np.float32))
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC), dtype=np.float32)


def _plane(side: int) -> tuple[Grey, Grey]:
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    return y.astype(np.float32), x.astype(np.float32)


def _scene(rng: np.random.Generator, side: int) -> Grey:
    """Random texture with the spectrum of photographs, from white noise to clouds."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = 1
    shape = frequency.shape
    spectrum = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) * frequency ** (
        -rng.uniform(0, 2.2)
    )
    field = np.fft.irfft2(spectrum, s=(side, side))
    return np.asarray((field - field.min()) / (field.max() - field.min()), np.float32)


def _slope(rng: np.random.Generator, side: int) -> Grey:
    """A gradient, straight or around a point: an empty exposure with its heel effect."""
    y, x = _plane(side)
    cy, cx, angle = *rng.uniform(-1, 1, 2), rng.uniform(0, 2 * np.pi)
    ramp = np.hypot(y - cy, x - cx) if rng.random() < 0.5 else x * np.cos(angle) + y * np.sin(angle)
    return np.asarray(ramp ** int(rng.integers(1, 3)) / 4 + 0.5, np.float32)


def _leaves(rng: np.random.Generator, side: int) -> Grey:
    """Overlapping shapes of every size: a cluttered photograph."""
    canvas = Image.new("L", (side, side), int(rng.integers(256)))
    pen = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(3, 90))):
        (x, y), reach = rng.uniform(-0.1, 1.1, 2) * side, side * rng.uniform(0.02, 0.5) ** 1.5
        box = [x - reach, y - reach * rng.uniform(0.3, 1), x + reach, y + reach]
        ink = int(rng.integers(256))
        if rng.random() < 0.5:
            pen.ellipse(box, fill=ink)
        else:
            pen.polygon((rng.uniform(-1, 1, (4, 2)) * reach + (x, y)).ravel().tolist(), fill=ink)
    return np.asarray(canvas, np.float32) / 255


def _page(rng: np.random.Generator, side: int) -> Grey:
    """Lines of words, with or without a frame."""
    canvas = Image.new("L", (side, side), 0)
    pen, size = ImageDraw.Draw(canvas), int(rng.integers(7, 22))
    font = ImageFont.load_default(size=size)
    for y in range(int(rng.integers(0, 20)), side - size, size + int(rng.integers(1, 12))):
        line = " ".join(rng.choice(_WORDS, int(rng.integers(1, 9))))
        ink = int(rng.integers(150, 256))
        pen.text((float(rng.uniform(0, side / 4)), y), line, fill=ink, font=font)
    if rng.random() < 0.4:
        pen.rectangle((4, 4, side - 5, side - 5), outline=255, width=2)
    return np.asarray(canvas, np.float32) / 255


def _pattern(rng: np.random.Generator, side: int) -> Grey:
    """Bars, boards, rings and grey steps: test patterns and quality phantoms."""
    y, x = _plane(side)
    pitch, angle = rng.uniform(2, 30), rng.uniform(0, np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    way = rng.integers(5)
    if way == 0:
        grey = np.sin(pitch * along) > 0
    elif way == 1:
        grey = np.sin(pitch * along) * np.sin(pitch * across) > 0
    elif way == 2:
        grey = 0.5 + 0.5 * np.sin(pitch * np.hypot(x, y))
    elif way == 3:
        grey = np.floor((along + 1.5) * pitch / 4) * 0.07 * (np.abs(across) < rng.uniform(0.2, 0.9))
    else:
        grey = np.abs(np.sin(pitch * along / 2)) * (np.hypot(x, y) < rng.uniform(0.4, 1))
    return np.asarray(grey, np.float32)


def _oval(y: Grey, x: Grey, cy: float, cx: float, ry: float, rx: float) -> NDArray[np.bool_]:
    return ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1


def _slice(rng: np.random.Generator, side: int) -> Grey:
    """A cross-section: an oval body on black, organs and bone inside, a ring around it at times."""
    y, x = _plane(side)
    ry, rx = rng.uniform(0.4, 0.95, 2)
    body = _oval(y, x, *rng.uniform(-0.1, 0.1, 2), ry, rx)
    grey = body * np.float32(rng.uniform(0.3, 0.6))
    for _ in range(int(rng.integers(2, 14))):
        cy, cx = rng.uniform(-0.7, 0.7, 2) * (ry, rx)
        organ = body & _oval(y, x, cy, cx, *rng.uniform(0.03, 0.4, 2))
        grey[organ] = rng.uniform(0, 1) ** 1.3
    if rng.random() < 0.5:
        rim = body & ~_oval(y, x, 0, 0, ry * 0.9, rx * 0.9)
        grey[rim] = rng.uniform(0.6, 1)
    return grey


def _limb(rng: np.random.Generator, side: int) -> Grey:
    """Long bones in soft tissue on an empty background: hands, arms, legs, hips."""
    y, x = _plane(side)
    grey = np.zeros_like(x)
    for _ in range(int(rng.integers(1, 7))):
        (ay, ax), angle = rng.uniform(-0.9, 0.9, 2), rng.uniform(0, np.pi)
        length, width = rng.uniform(0.3, 1.6), rng.uniform(0.03, 0.2)
        along = (x - ax) * np.cos(angle) + (y - ay) * np.sin(angle)
        off = np.hypot(
            (y - ay) * np.cos(angle) - (x - ax) * np.sin(angle),
            np.maximum(np.abs(along) - length / 2, 0),
        )
        flesh = 0.35 * np.clip(1.4 - off / width / rng.uniform(1.5, 3), 0, 1) ** 0.5
        bone = np.clip(1 - (off / width) ** 4, 0, 1) * (0.4 + 0.25 * (off / width) ** 2)
        grey = np.maximum(grey, flesh) + bone
    return np.asarray(grey, np.float32)


def _fan(rng: np.random.Generator, side: int) -> Grey:
    """Speckle in a sector on black: ultrasound."""
    y, x = _plane(side)
    apex = rng.uniform(-1.6, -0.9)
    depth, angle = np.hypot(y - apex, x), np.arctan2(x, y - apex)
    sector = (np.abs(angle) < rng.uniform(0.35, 0.9)) & (depth < rng.uniform(1.5, 2.4))
    speckle = rng.rayleigh(0.3, x.shape) * (0.4 + _scene(rng, side))
    return np.asarray(sector * speckle, np.float32)


def _blank(rng: np.random.Generator, side: int) -> Grey:
    """Next to nothing: an even field, a frame of collimators, one disc or block in the middle."""
    y, x = _plane(side)
    grey = np.full_like(x, rng.uniform(0.2, 0.8))
    if rng.random() < 0.6:
        ry, rx = rng.uniform(0.2, 0.9, 2)
        cy, cx = rng.uniform(-0.3, 0.3, 2)
        inside = (np.abs(y - cy) < ry) & (np.abs(x - cx) < rx)
        grey[inside if rng.random() < 0.5 else _oval(y, x, cy, cx, ry, rx)] = rng.uniform(0, 1)
    return grey + np.float32(0.02) * rng.standard_normal(x.shape).astype(np.float32)


KINDS: Pictures = {
    "scene": _scene,
    "slope": _slope,
    "leaves": _leaves,
    "page": _page,
    "pattern": _pattern,
    "slice": _slice,
    "limb": _limb,
    "fan": _fan,
    "blank": _blank,
}
