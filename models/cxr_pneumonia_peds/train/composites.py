"""Make the demo's pictures: each the mean of 32 aligned images of 32 different persons.

No pixel of a composite is anyone's: every one is the average over the group, and so is the shape
(each image is bent onto a common template, and the mean is bent back by the mean of the bends).
The model has no part in the making; it only scores the finished pictures, and the run fails when
one is not clearly on the side of its group's label.

Source: Thirion 1998, doi 10.1016/S1361-8415(98)80022-4 (demons registration); the images are those
of Kermany, Zhang, Goldbaum, doi 10.17632/rscbjbr9sj.2 (CC BY 4.0).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

from models.calibrate import decide, probability_of
from models.cxr_pneumonia_peds.train import data
from models.prepare import prepare
from models.registry import package_of

GROUP = 32  # persons in one composite
SEED = 5
SIDE = 224
ROWS, COLUMNS = 768, 960  # about the shape that the training images had before they were squashed
OTHER_LABEL_WEIGHT = 0.4  # 0 takes the most alike, 1 the least like the other label
WORDS = "COMPOSITE - NOT A PATIENT"

SOURCES = """\
Audience: whoever uses or passes on the pictures of the sandbox. Kind: reference.

# Where the demo's pictures come from

Each picture is a composite: {group} chest X-ray images of {group} different persons with one
label, laid on each other by a smooth deformation and averaged (the middle half of the values at
each pixel), enlarged, mildly sharpened, given grain, and marked "COMPOSITE - NOT A PATIENT".
Nobody's image can be seen in it, and it is no evidence of how well the model works: the model was
trained on the images behind it.

Groups are chosen by likeness to each other and unlikeness to the other label, without the model.
`python -m models.cxr_pneumonia_peds.train.composites` makes them again, seeded.

| picture | label of its images | persons | score of the shipped model |
|---|---|--:|--:|
{rows}

Adapted from the data set below under the Creative Commons Attribution 4.0 licence
(https://creativecommons.org/licenses/by/4.0/); the changes are those described above.

- Kermany D, Zhang K, Goldbaum M. Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images
  for Classification. Mendeley Data, V2, 2018. doi: 10.17632/rscbjbr9sj.2
- Kermany DS, Goldbaum M, Cai W, et al. Identifying Medical Diagnoses and Treatable Diseases by
  Image-Based Deep Learning. Cell. 2018;172(5):1122-1131.e9. doi: 10.1016/j.cell.2018.02.010
"""

Floats = NDArray[np.float32]


def main() -> None:
    """Write the pictures and `SOURCES.md`, and print what the shipped model says of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--of-each", type=int, default=4)
    arguments = parser.parse_args()
    images = data.load(arguments.data, arguments.work / "grey.npy")
    arguments.out.mkdir(parents=True, exist_ok=True)
    lines, wrong = [], []
    for label, name in ((1, "present"), (0, "absent")):
        for number, group in enumerate(_groups(images, label, arguments.of_each), start=1):
            picture = composite([_read(arguments.data / images.file[i]) for i in group])
            path = arguments.out / f"{name}-{number}.png"
            picture.save(path, optimize=True)
            probability, present = _verdict(picture)
            print(path.name, f"{probability:.4f}", present, flush=True)
            lines.append(f"| `{path.name}` | {_label_word(label)} | {GROUP} | {probability:.2f} |")
            if present is not bool(label):
                wrong.append(path.name)
    sources = SOURCES.format(group=GROUP, rows="\n".join(lines))
    (arguments.out / "SOURCES.md").write_text(sources, encoding="utf-8")
    if wrong:
        raise SystemExit(f"the model does not agree with the label of {', '.join(wrong)}")


def _label_word(label: int) -> str:
    return "pneumonia" if label else "normal"


def composite(group: list[Floats]) -> Image.Image:
    """Average a group, the first image being the template, and finish it like a radiograph."""
    aligned, bends = [group[0]], [np.zeros((2, SIDE, SIDE), np.float32)]
    for image in group[1:]:
        bend = _bend(image, group[0])
        aligned.append(_warped(image, bend))
        bends.append(bend)
    # The middle half at each pixel: side markers and cables, each in a few images, leave no ghosts.
    middle = np.sort(aligned, axis=0)[GROUP // 4 : -(GROUP // 4)]
    mean = _warped(middle.mean(axis=0), -np.mean(bends, axis=0))
    return _finished(mean)


def _groups(images: data.Radiographs, label: int, wanted: int) -> Iterator[list[int]]:
    """Yield groups of alike images of different persons; no person is in two groups."""
    rows, others = np.flatnonzero(images.label == label), np.flatnonzero(images.label != label)
    small = np.stack([_signature(images.grey[i]) for i in rows])
    unlike = np.stack([_signature(images.grey[i]) for i in others])
    rng = np.random.default_rng([SEED, label])
    free = np.ones(len(rows), bool)
    for _ in range(wanted):
        seeds = rng.choice(np.flatnonzero(free), 60, replace=False)
        groups = [_alike(small, images.person[rows], free, seed) for seed in seeds]
        best = max(groups, key=lambda group: _typical(small[group], unlike))
        free &= ~np.isin(images.person[rows], images.person[rows][best])
        yield [int(rows[i]) for i in best]


def _alike(
    small: Floats, person: NDArray[np.str_], free: NDArray[np.bool_], seed: int
) -> list[int]:
    chosen: dict[str, int] = {}
    for i in np.argsort(-(small @ small[seed])):
        if free[i]:
            chosen.setdefault(str(person[i]), int(i))
        if len(chosen) == GROUP:
            break
    return list(chosen.values())


def _typical(group: Floats, unlike: Floats) -> float:
    """Return how much nearer a group's images are to each other than to the other label's."""
    nearest = np.sort(unlike @ group[0])[-GROUP:]
    return float((group[1:] @ group[0]).mean() - OTHER_LABEL_WEIGHT * nearest.mean())


def _signature(grey: NDArray[np.uint8]) -> Floats:
    """Return a unit vector of the blurred image, for correlation."""
    soft = gaussian_filter(grey.astype(np.float32), 2.0)[2::4, 2::4].ravel()
    soft -= soft.mean()
    return soft / np.linalg.norm(soft)


def _read(path: Path) -> Floats:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"), dtype=np.float32)
    low, high = np.percentile(pixels, (0.5, 99.5))
    return np.clip((pixels - low) / (high - low), 0, 1)


def _bend(moving: Floats, template: Floats) -> Floats:
    """Return the smooth displacement (2, 224, 224) that lays one image on the template."""
    bend = np.zeros((2, SIDE // 8, SIDE // 8), np.float32)
    for factor, rounds in ((8, 40), (4, 40), (2, 40)):
        if bend.shape[1] != SIDE // factor:
            bend = 2 * zoom(bend, (1, 2, 2), order=1)
        still, other = _at(template, factor), _at(moving, factor)
        slope = np.stack(np.gradient(still))
        for _ in range(rounds):
            gap = still - _warped(other, bend)
            force = slope * gap / (np.square(slope).sum(axis=0) + np.square(gap) + 1e-3)
            bend = bend + force
            bend = np.stack([gaussian_filter(part, 2.0) for part in bend])
    return 2 * zoom(bend, (1, 2, 2), order=1)


def _at(image: Floats, factor: int) -> Floats:
    """Return the image at a lower resolution, with local exposure taken out."""
    small = gaussian_filter(image, 0.5 * factor)[factor // 2 :: factor, factor // 2 :: factor]
    local = small - gaussian_filter(small, SIDE / factor / 6)
    return local / local.std()


def _warped(image: Floats, bend: Floats) -> Floats:
    grid = np.mgrid[0 : image.shape[0], 0 : image.shape[1]]
    return map_coordinates(image, grid + bend, order=1, mode="nearest").astype(np.float32)


def _finished(mean: Floats) -> Image.Image:
    """Enlarge, sharpen mildly, add the grain of a film, and burn the words in."""
    low, high = np.percentile(mean, (0.5, 99.7))
    large = Image.fromarray(np.clip((mean - low) / (high - low), 0, 1)).resize(
        (COLUMNS, ROWS), Image.Resampling.BICUBIC
    )
    grey = np.asarray(large, dtype=np.float32)
    grey = grey + 0.7 * (grey - gaussian_filter(grey, 6)) + 0.3 * (grey - gaussian_filter(grey, 24))
    grain = gaussian_filter(np.random.default_rng(SEED).standard_normal(grey.shape), 0.8)
    grey = 0.03 + 0.90 * grey + 0.012 * grain / grain.std()
    picture = Image.fromarray(np.round(np.clip(grey, 0, 1) * 255).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=17)
    pen.rectangle(pen.textbbox((12, ROWS - 30), WORDS, font=font), fill=0, outline=0, width=4)
    pen.text((12, ROWS - 30), WORDS, fill=220, font=font)
    return picture


def _verdict(picture: Image.Image) -> tuple[float, bool | None]:
    package = package_of("cxr_pneumonia_peds")
    session = onnxruntime.InferenceSession(package.weights, providers=["CPUExecutionProvider"])
    image = prepare(np.asarray(picture, dtype=np.float32), package.card.input.size)
    (logit,) = session.run(["logit"], {"image": image})
    point = package.card.findings[0]
    probability = probability_of(float(logit[0, 0]), point)
    return round(probability, 4), decide(probability, point)


if __name__ == "__main__":
    main()
