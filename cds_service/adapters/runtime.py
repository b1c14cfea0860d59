"""Run a model package with ONNX Runtime: pixels to calibrated probabilities and their origin.

Source: architecture "One job through the house", step 4; onnxruntime 1.32 `SessionOptions`.
"""

import os
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import cache, partial

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from cds_service.adapters.empty_exposure import are_radiographs, looks_empty
from cds_service.adapters.model_shelf import identity_of, intended_use_of
from cds_service.adapters.pixels import Radiograph
from cds_service.adapters.polarity import is_frontal_chest, looks_negative
from cds_service.domain.finding import Activation, Box, Coding, MapMethod, ModelIdentity
from cds_service.errors import (
    InferenceFailed,
    OutputOutOfRange,
    StudyOutOfScope,
    UnreadableInstance,
)
from cds_service.usecases.ports import Classification, Heat, ImageFinding, IntendedUse, Pixels
from models.calibrate import decide, logits_of, probability_of
from models.contract import FindingOutput, ModelCard, ModelPackage
from models.explain import FULL_HEAT_DROP, heat_of, hot_regions
from models.occlude import drops_of
from models.onnx_file import unsafe_in
from models.prepare import tensor_of

FloatArray = NDArray[np.float32]
Logits = NDArray[np.float64]  # (findings,), or (N, findings)

_LOG_ERRORS_ONLY = 3


def new_session(
    weights: bytes, *, threads: int = 1, provider: str = "CPUExecutionProvider"
) -> ort.InferenceSession:
    """Make a session of the bytes of an ONNX file; raise InferenceFailed.

    provider   of ONNX Runtime, with the processor for what it cannot do; one that is not there
               or does not load is a failure, where ONNX Runtime would take the processor in silence
    A file that asks for other files or for operators of its own never reaches the runtime.
    """
    problem = unsafe_in(weights)
    if problem:
        raise InferenceFailed(f"The model's weights could not be loaded: {problem}.")
    if provider not in ort.get_available_providers():
        raise InferenceFailed(f"The execution provider {provider} is not installed.")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _LOG_ERRORS_ONLY
    # Spinning threads would take the CPU from the other worker between two images.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        providers = list(dict.fromkeys([provider, "CPUExecutionProvider"]))
        session = ort.InferenceSession(weights, options, providers=providers)
    except Exception as error:  # onnxruntime has one class for each of its failure kinds
        raise InferenceFailed("The model's weights could not be loaded.") from error
    if session.get_providers()[0] != provider:
        raise InferenceFailed(f"The execution provider {provider} could not be loaded.")
    return session


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one run gave: a logit for each finding, and their maps where the model has them."""

    logits: Logits
    activation: FloatArray | None  # (findings, h, w), local logits


class OnnxClassifier:
    """One model package, run in this process.

    The session is made at the first image, in the process that uses it: one that was made before
    a fork hangs. It is built from the checked bytes, so external data files are never read.
    """

    def __init__(
        self, package: ModelPackage, *, threads: int = 1, provider: str = "CPUExecutionProvider"
    ) -> None:
        self._card, self._weights = package.card, package.weights
        self._threads, self._provider = threads, provider
        use = intended_use_of(package.card)
        self._reads_frontal_chest = is_frontal_chest(use)
        self._reads_radiographs = are_radiographs(use.modalities)
        self._columns = [one.column for one in package.card.findings]
        self._session: tuple[int, ort.InferenceSession] | None = None

    @property
    def card(self) -> ModelCard:
        """The whole model card."""
        return self._card

    @property
    def identity(self) -> ModelIdentity:
        """Which model this is."""
        return identity_of(self._card)

    @property
    def intended_use(self) -> IntendedUse:
        """Which images it is for."""
        return intended_use_of(self._card)

    def warm_up(self) -> None:
        """Make the session now, so that the first study does not wait for it."""
        self._ready_session()

    def scores_of(self, image: Radiograph) -> Logits:
        """Return the logits (findings,) of one image, whatever it shows; raises as `classify`."""
        session = self._ready_session()
        (scores,) = self._run(session, [self._card.output.scores], self._prepared(image))
        logits: Logits = self._logits(scores, 1)[0]
        return logits

    def classify(self, pixels: Pixels) -> Classification:
        """Run the model on one Radiograph.

        A region is the hottest one, in pixels of the image; an activation is 0..1. Raises
        StudyOutOfScope "no-contrast" or "not-this-kind", UnreadableInstance "blank" or
        "ambiguous-polarity", OutputOutOfRange or InferenceFailed.
        """
        if not isinstance(pixels, Radiograph):
            raise TypeError("this classifier reads what DicomReader decodes")
        session = self._ready_session()
        started = time.perf_counter()
        self._check_image(pixels)
        pixels, polarity = self._of_known_polarity(session, pixels)
        tensor = self._prepared(pixels)
        prepared = time.perf_counter()
        answer = self._answer(session, tensor)
        inferred = time.perf_counter()
        heats: list[Heat | None] = [None] * len(self._card.findings)
        if answer.activation is not None:
            shown = (heat_of(one) for one in answer.activation)
            heats = [_heat(one, _Size.of(pixels), MapMethod.ACTIVATION) for one in shown]
        return Classification(
            findings=tuple(map(_image_finding, self._card.findings, answer.logits, heats)),
            prepare_ms=1000 * (prepared - started),
            infer_ms=1000 * (inferred - prepared),
            guards=(
                *polarity,
                "contrast",
                *(() if self._card.scope_threshold is None else ("kind",)),
            ),
            explain=self._by_hiding(session, tensor, answer.logits, pixels)
            if answer.activation is None
            else None,
        )

    def _check_image(self, pixels: Radiograph) -> None:
        """Refuse an empty exposure, and a chest film that is clearly a negative."""
        if self._reads_radiographs and looks_empty(pixels.grey):
            raise UnreadableInstance("blank", "the image is blank")
        is_told = pixels.is_polarity_known and self._reads_frontal_chest
        if is_told and looks_negative(pixels.grey):
            raise self._other_kind()

    def _other_kind(self) -> StudyOutOfScope:
        projection = self._card.intended_use.projection
        return StudyOutOfScope(
            "not-this-kind", f"made for {projection}, this image does not look like one"
        )

    def _of_known_polarity(
        self, session: ort.InferenceSession, pixels: Radiograph
    ) -> tuple[Radiograph, tuple[str, ...]]:
        """Return the image, or its negative where that alone is of the model's kind, and codes.

        Only an image whose header contradicts itself is looked at. How often that goes wrong:
        docs/reference/model-cxr-pneumonia-peds.md, "Black and white".
        """
        if pixels.is_polarity_known:
            return pixels, ()
        upright = [one for one in (pixels, pixels.negative) if self._is_of_kind(session, one)]
        if self._card.scope_threshold is None or len(upright) != 1:
            raise UnreadableInstance(
                "ambiguous-polarity", "its header contradicts itself about black and white"
            )
        return upright[0], ("polarity",) if upright[0] is pixels else ("polarity", "negative")

    def _is_of_kind(self, session: ort.InferenceSession, pixels: Radiograph) -> bool:
        """Tell whether the scope score is within the card's limit; True where there is none."""
        scope, limit = self._card.output.scope, self._card.scope_threshold
        if scope is None or limit is None:
            return True
        return self._scope_in(self._run(session, [scope], self._prepared(pixels))[0]) <= limit

    def _scope_in(self, scope: FloatArray) -> float:
        if scope.shape != (1, 1):
            raise OutputOutOfRange("The model gave a shape that its card does not promise.")
        return float(scope[0, 0])

    def _prepared(self, pixels: Radiograph) -> FloatArray:
        try:
            return tensor_of(pixels.grey, self._card.input)
        except ValueError as error:
            raise StudyOutOfScope("no-contrast", "the image has no contrast") from error

    def _answer(self, session: ort.InferenceSession, tensor: FloatArray) -> _Answer:
        """Run one image of the model's kind."""
        output, limit = self._card.output, self._card.scope_threshold
        wanted = [name for name in (output.activation, output.scope) if name]
        scores, *more = self._run(session, [output.scores, *wanted], tensor)
        answers = dict(zip(wanted, more, strict=True))
        logits = self._logits(scores, 1)[0]
        if (
            limit is not None
            and output.scope is not None
            and self._scope_in(answers[output.scope]) > limit
        ):
            raise self._other_kind()
        if output.activation is None:
            return _Answer(logits, None)
        activation = answers[output.activation]
        if activation.ndim != 4 or activation.shape[:2] != (1, len(self._columns)):
            raise OutputOutOfRange("The model gave a shape that its card does not promise.")
        return _Answer(logits, activation[0])

    def _run(
        self, session: ort.InferenceSession, wanted: list[str], tensor: FloatArray
    ) -> list[FloatArray]:
        """Return these outputs, all of them finite."""
        try:
            answers = session.run(wanted, {self._card.input.name: tensor})
        except Exception as error:  # as in new_session
            raise InferenceFailed("The model could not be run.") from error
        if not all(np.isfinite(answer).all() for answer in answers):
            raise OutputOutOfRange("The model gave a value that is not a number.")
        return list(answers)

    def _logits(self, scores: FloatArray, images: int) -> Logits:
        """Return the logits (images, findings) in the scores; raise OutputOutOfRange."""
        if scores.ndim != 2 or len(scores) != images or scores.shape[1] <= max(self._columns):
            raise OutputOutOfRange("The model gave a shape that its card does not promise.")
        try:
            return logits_of(scores, self._card.output.kind)[:, self._columns]
        except ValueError as error:
            raise OutputOutOfRange("The model gave a value that its card excludes.") from error

    def _by_hiding(
        self,
        session: ort.InferenceSession,
        tensor: FloatArray,
        logits: Logits,
        pixels: Radiograph,
    ) -> Callable[[], tuple[Heat, ...]]:
        """Return how to find the heat of a model without feature maps, once for all findings."""
        is_batched = not isinstance(session.get_inputs()[0].shape[0], int)

        def run(batch: FloatArray) -> Logits:
            name = self._card.output.scores
            if is_batched:
                return self._logits(self._run(session, [name], batch)[0], len(batch))
            each = [self._logits(self._run(session, [name], one[None])[0], 1) for one in batch]
            return np.concatenate(each)

        # It outlives the call: the size of the image does, its pixels do not.
        place = partial(_heat, size=_Size.of(pixels))

        @cache
        def heats() -> tuple[Heat, ...]:
            drops = drops_of(tensor, self._card.input.layout, logits, run)
            return tuple(
                place(heat_of(one, FULL_HEAT_DROP), method=MapMethod.OCCLUSION) for one in drops
            )

        return heats

    def _ready_session(self) -> ort.InferenceSession:
        if self._session is None or self._session[0] != os.getpid():
            session = new_session(self._weights, threads=self._threads, provider=self._provider)
            self._session = (os.getpid(), session)
        return self._session[1]


@dataclass(frozen=True, slots=True)
class _Size:
    rows: int
    columns: int

    @classmethod
    def of(cls, pixels: Pixels) -> "_Size":
        return cls(pixels.rows, pixels.columns)


def _heat(heat: FloatArray, size: _Size, method: MapMethod) -> Heat:
    regions = hot_regions(heat, size.rows, size.columns)
    return Heat(
        Activation(heat.shape[0], heat.shape[1], tuple(heat.ravel().tolist()), method),
        Box(regions[0].left, regions[0].top, regions[0].width, regions[0].height)
        if regions
        else None,
    )


def _image_finding(output: FindingOutput, logit: float, heat: Heat | None) -> ImageFinding:
    probability = probability_of(float(logit), output)
    site = output.body_site
    return ImageFinding(
        coding=Coding(*astuple(output.coding)),
        probability=probability,
        threshold=output.threshold,
        present=decide(probability, output),
        critical=output.critical,
        heat=heat,
        body_site=Coding(*astuple(site)) if site else None,
    )
