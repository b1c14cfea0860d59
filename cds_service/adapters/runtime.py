"""Run a bundled model with ONNX Runtime: pixels to a calibrated probability and its origin.

Source: DESIGN "One job through the house", step 4; onnxruntime 1.32 `SessionOptions`.
"""

import os
import time

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from cds_service.adapters.pixels import Radiograph
from cds_service.domain.finding import Activation, Box, Coding, ModelIdentity
from cds_service.errors import (
    InferenceFailed,
    ModelMissing,
    OutputOutOfRange,
    StudyOutOfScope,
    WeightsDigestMismatch,
)
from cds_service.usecases.ports import Classification, IntendedUse, Pixels
from models.calibrate import decide, probability_of
from models.contract import ModelCard, ModelPackage, WeightsChanged
from models.explain import heat_of, hot_regions
from models.prepare import prepare
from models.registry import package_of

FloatArray = NDArray[np.float32]

_LOG_ERRORS_ONLY = 3


class OnnxClassifier:
    """One model package, run in this process.

    The session is made at the first image, in the process that uses it: one that was made before
    a fork hangs. It is built from the checked bytes, so external data files are never read.
    """

    def __init__(self, package: ModelPackage, *, threads: int = 1) -> None:
        self._card, self._weights, self._threads = package.card, package.weights, threads
        self._session: tuple[int, ort.InferenceSession] | None = None

    @classmethod
    def load(cls, model_id: str, *, threads: int = 1) -> "OnnxClassifier":
        """Read an installed model, its weights checked against its card.

        Raises ModelMissing, WeightsDigestMismatch.
        """
        try:
            return cls(package_of(model_id), threads=threads)
        except WeightsChanged as error:
            raise WeightsDigestMismatch("The weights are not those of the model card.") from error
        except (LookupError, ValueError, OSError) as error:
            raise ModelMissing(f"The model {model_id} is not installed completely.") from error

    @property
    def card(self) -> ModelCard:
        """The whole model card."""
        return self._card

    @property
    def identity(self) -> ModelIdentity:
        """Which model this is."""
        card = self._card
        return ModelIdentity(card.id, card.version, card.digest, card.title, card.label)

    @property
    def intended_use(self) -> IntendedUse:
        """Which images it is for."""
        use = self._card.intended_use
        return IntendedUse(
            modalities=use.modalities,
            body_parts=use.body_parts,
            views=use.views,
            min_age_days=use.min_age_days,
            max_age_days=use.max_age_days,
            population=use.population,
            projection=use.projection,
        )

    @property
    def finding(self) -> Coding:
        """What it looks for."""
        code = self._card.finding
        return Coding(code.system, code.code, code.display)

    @property
    def threshold(self) -> float:
        """The operating point, a calibrated probability."""
        return self._card.threshold

    @property
    def critical(self) -> bool:
        """Whether the model card calls this finding critical."""
        return self._card.critical

    def warm_up(self) -> None:
        """Make the session now, so that the first study does not wait for it."""
        self._ready_session()

    def classify(self, pixels: Pixels) -> Classification:
        """Run the model on one Radiograph.

        The region is the hottest one, in pixels of the image; the activation is 0..1. Raises
        StudyOutOfScope "no-contrast" or "not-this-kind", OutputOutOfRange or InferenceFailed.
        """
        if not isinstance(pixels, Radiograph):
            raise TypeError("this classifier reads what DicomReader decodes")
        session = self._ready_session()
        started = time.perf_counter()
        tensor = self._prepared(pixels)
        prepared = time.perf_counter()
        logit, heat = self._run(session, tensor)
        inferred = time.perf_counter()
        try:
            probability = probability_of(logit, self._card)
        except ValueError as error:
            raise OutputOutOfRange("The model gave a value that is not a number.") from error
        regions = hot_regions(heat, pixels.rows, pixels.columns)
        return Classification(
            probability=probability,
            present=decide(probability, self._card),
            activation=Activation(heat.shape[0], heat.shape[1], tuple(heat.ravel().tolist())),
            region=Box(regions[0].left, regions[0].top, regions[0].width, regions[0].height)
            if regions
            else None,
            prepare_ms=1000 * (prepared - started),
            infer_ms=1000 * (inferred - prepared),
            guards=("contrast",) if self._card.scope_threshold is None else ("contrast", "kind"),
        )

    def _prepared(self, pixels: Radiograph) -> FloatArray:
        try:
            return prepare(pixels.values, self._card.input_size)
        except ValueError as error:
            raise StudyOutOfScope("no-contrast", "the image has no contrast") from error

    def _run(self, session: ort.InferenceSession, tensor: FloatArray) -> tuple[float, FloatArray]:
        """Return the logit and the heat (h, w), 0..1, of an image of the model's kind."""
        limit = self._card.scope_threshold
        wanted = ["logit", "activation"] if limit is None else ["logit", "activation", "scope"]
        try:
            logit, activation, *scope = session.run(wanted, {session.get_inputs()[0].name: tensor})
        except Exception as error:  # onnxruntime has one class for each of its failure kinds
            raise InferenceFailed("The model could not be run.") from error
        scores = [logit, *scope]
        shapes = [activation.shape[:2], *(score.shape for score in scores)]
        if activation.ndim != 4 or any(shape != (1, 1) for shape in shapes):
            raise OutputOutOfRange("The model gave a shape that its card does not promise.")
        if not all(np.isfinite(answer).all() for answer in [activation, *scores]):
            raise OutputOutOfRange("The model gave a value that is not a number.")
        if limit is not None and float(scope[0][0, 0]) > limit:
            projection = self._card.intended_use.projection
            raise StudyOutOfScope(
                "not-this-kind", f"made for {projection}, this image does not look like one"
            )
        return float(logit[0, 0]), heat_of(activation[0, 0])

    def _ready_session(self) -> ort.InferenceSession:
        if self._session is None or self._session[0] != os.getpid():
            self._session = (os.getpid(), self._new_session())
        return self._session[1]

    def _new_session(self) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _LOG_ERRORS_ONLY
        # Spinning threads would take the CPU from the other worker between two images.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            return ort.InferenceSession(self._weights, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # as above
            raise InferenceFailed("The model's weights could not be loaded.") from error
