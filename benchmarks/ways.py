"""Three ways from one film to a finding: the bare run, the least honest work, and ours.

All three use the same bytes, the same ONNX file and the same session options; the clock runs from
the bytes in memory to the answer.

Source: issue "Imaging pipeline", "Speed and memory" (R0, R1); models/prepare.py (our recipe).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread

from benchmarks.figures import MeasurementFailed
from cds_service.adapters.pixels import DicomReader
from cds_service.adapters.runtime import OnnxClassifier, new_session
from cds_service.domain.finding import Analysis, AnalysisStatus
from cds_service.usecases.analyse_study import analyse_study
from cds_service.usecases.ports import SourceInstance
from models.contract import ModelPackage

BARE, LEAST, OURS = "bare run", "least work", "Sightline"
WAYS = (BARE, LEAST, OURS)


@dataclass(frozen=True, slots=True)
class Ways:
    """The three ways for one film and one model, ready to go; each call does one image."""

    bare: Callable[[], object]
    least: Callable[[], object]
    ours: Callable[[], Analysis]

    def __getitem__(self, way: str) -> Callable[[], object]:
        return {BARE: self.bare, LEAST: self.least, OURS: self.ours}[way]


def ways(film: bytes, package: ModelPackage, *, threads: int) -> Ways:
    """Make the sessions, and go each way once: the first run of a session is a slow one.

    Raises MeasurementFailed when our way does not end in a finding.
    """
    session = new_session(package.weights, threads=threads)
    recipe = package.card.input
    tensor = least_work(film, recipe.size, recipe.channels)
    reader, classifier = DicomReader(), OnnxClassifier(package, threads=threads)

    def least() -> object:
        return session.run(None, {recipe.name: least_work(film, recipe.size, recipe.channels)})

    def ours() -> Analysis:
        return analyse_study([SourceInstance(film)], reader=reader, classifier=classifier)

    made = Ways(lambda: session.run(None, {recipe.name: tensor}), least, ours)
    for way in WAYS:
        made[way]()
    analysis = ours()
    if analysis.status is not AnalysisStatus.ANALYSED:
        raise MeasurementFailed(f"the film was not analysed: {analysis.reason}")
    return made


def least_work(film: bytes, size: int, channels: int) -> NDArray[np.float32]:
    """Read, decode and resize with pydicom and Pillow; no digest, no guard, no check.

    returns  (1, channels, size, size), float32, mean 0 and deviation 1
    """
    pixels = dcmread(BytesIO(film)).pixel_array.astype(np.float32)
    square = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
    small = np.asarray(square)
    grey = (small - small.mean()) / small.std()
    tensor: NDArray[np.float32] = np.repeat(grey[None, None], channels, axis=1)
    return tensor


def timed(work: Callable[[], object]) -> float:
    """Return the milliseconds of one call."""
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)
