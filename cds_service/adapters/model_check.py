"""Check a model package before anybody relies on it: card, bytes, operators, and answers.

Source: docs/reference/models.md, "What verify checks".
"""

import time
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cds_service.adapters.pixels import Radiograph
from cds_service.adapters.runtime import OnnxClassifier, new_session
from cds_service.errors import SightlineError
from models.contract import MIN_OPSET, ModelCard, ModelPackage
from models.onnx_file import OnnxFile, read_onnx, unsafe_in
from models.prepare import standardise
from models.registry import digest_of

FloatArray = NDArray[np.float32]

MAX_WEIGHTS_BYTES = 256 * 1024 * 1024  # a worker's address space is 3 GiB
MAX_GOLDEN_BYTES = 256 * 1024 * 1024  # unpacked
SCORE_TOLERANCE, MAP_TOLERANCE = 1e-4, 1e-3  # against what the training framework gave
TEST_IMAGE_SIDE = 512


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `problem` is a clause, "" when there is none."""

    name: str
    problem: str = ""
    note: str = ""  # what was found, where there is something to say


def check_package(folder: Path) -> tuple[Check, ...]:
    """Look at the package in this folder; what needs an earlier check to pass is left out."""
    try:
        text = (folder / "card.yaml").read_text(encoding="utf-8")
        card = ModelCard.from_yaml(text)
    except (OSError, ValueError) as error:
        problem = str(error) if isinstance(error, ValueError) else "there is no card.yaml"
        return (Check("card", problem),)
    checks = [Check("card", note=f"{card.id} {card.version}")]
    try:
        weights = _read(folder / "model.onnx", MAX_WEIGHTS_BYTES)
    except ValueError as error:
        return (*checks, Check("weights", str(error)))
    checks.append(_digest(card, weights))
    unsafe = unsafe_in(weights)
    checks.append(Check("file", unsafe, "" if unsafe else "no external data, no custom operators"))
    if unsafe:
        return tuple(checks)
    found = read_onnx(weights)
    checks += [_opset(card, found), _names(card, found)]
    if not any(check.problem for check in checks):
        checks += [_run(card, weights), _golden(card, weights, folder / "golden.npz")]
    return tuple(checks)


def _read(path: Path, limit: int) -> bytes:
    try:
        if path.stat().st_size > limit:
            raise ValueError(f"{path.name} is larger than {limit // 1024**2} MiB")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"there is no {path.name}") from error


def _digest(card: ModelCard, weights: bytes) -> Check:
    if digest_of(weights) == card.digest:
        return Check("digest", note=card.digest)
    return Check("digest", "the weights are not those that the card was written for")


def _opset(card: ModelCard, found: OnnxFile) -> Check:
    if card.opset is not None and card.opset != found.opset:
        return Check("opset", f"the card says {card.opset}, the file says {found.opset}")
    if found.opset < MIN_OPSET:
        return Check("opset", f"opset {found.opset} is older than {MIN_OPSET}")
    return Check("opset", note=str(found.opset))


def _names(card: ModelCard, found: OnnxFile) -> Check:
    """Compare the names and the input's shape with the card."""
    made, output = card.input, card.output
    if set(found.inputs) != {made.name}:
        return Check("names", f"its inputs are {_listed(found.inputs)}, not {made.name}")
    wanted = {name for name in (output.scores, output.activation, output.scope) if name}
    if not wanted <= set(found.outputs):
        return Check(
            "names", f"its outputs are {_listed(found.outputs)}, not {', '.join(sorted(wanted))}"
        )
    side, depth = made.size, made.channels
    promised = (1, depth, side, side) if made.layout == "NCHW" else (1, side, side, depth)
    shape = found.inputs[made.name]
    is_fixed_otherwise = any(
        isinstance(given, int) and given != wanted
        for given, wanted in zip(shape, promised, strict=False)
    )
    if shape and (len(shape) != len(promised) or is_fixed_otherwise):
        return Check("names", f"its input is {shape}, not {promised}")
    return Check("names", note=f"{made.name} to {', '.join(sorted(wanted))}")


def _listed(names: dict[str, tuple[int | str | None, ...]]) -> str:
    return ", ".join(names) or "none"


def _run(card: ModelCard, weights: bytes) -> Check:
    """Run one random image; its scope is not asked for, since it is no image of anything."""
    seeded = np.random.default_rng(0)
    image = Radiograph(seeded.random((TEST_IMAGE_SIDE, TEST_IMAGE_SIDE), dtype=np.float32))
    classifier = OnnxClassifier(ModelPackage(card, weights))
    try:
        classifier.warm_up()
        started = time.perf_counter()
        scores = classifier.scores_of(image)
    except SightlineError as error:
        return Check("run", str(error).rstrip(".").lower())
    took = 1000 * (time.perf_counter() - started)
    return Check("run", note=f"{len(scores)} findings in {took:.0f} ms")


def _golden(card: ModelCard, weights: bytes, path: Path) -> Check:
    """Compare with the answers that came with the package."""
    if not path.is_file():
        return Check("golden", note="no golden.npz: nothing to compare with")
    try:
        known = _arrays(path)
    except (ValueError, OSError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error):
        return Check("golden", "golden.npz cannot be read")
    tensor = known.pop("input", None)
    if tensor is None and "grey" in known:
        tensor = _from_grey(known.pop("grey"))
    if tensor is None or card.output.scores not in known:
        return Check("golden", f"golden.npz has no input or no {card.output.scores}")
    session, worst = new_session(weights), 0.0
    for name, expected in known.items():
        tolerance = SCORE_TOLERANCE if name == card.output.scores else MAP_TOLERANCE
        try:
            answers = [session.run([name], {card.input.name: one[None]})[0] for one in tensor]
        except Exception:  # onnxruntime has one class for each of its failure kinds
            return Check("golden", f"the model gives no {name} for the inputs of golden.npz")
        given = np.concatenate(answers)
        if given.shape != expected.shape:
            return Check("golden", f"{name} has another shape than in golden.npz")
        off = float(np.abs(given - expected).max())
        if not off <= tolerance:
            return Check("golden", f"{name} is off by {off:.2g}, more than {tolerance:.0e}")
        worst = max(worst, off)
    return Check("golden", note=f"{len(tensor)} inputs, off by {worst:.1e} at the most")


def _arrays(path: Path) -> dict[str, FloatArray]:
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > MAX_GOLDEN_BYTES:
            raise ValueError("golden.npz unpacks to too much")
    with np.load(path, allow_pickle=False) as arrays:
        known = {name: arrays[name] for name in arrays.files}
    if not all(one.dtype.kind in "fiu" and one.ndim and len(one) for one in known.values()):
        raise ValueError("golden.npz has an array that is no list of numbers")
    return known


def _from_grey(grey: FloatArray) -> FloatArray:
    """Return the input of grey squares, 0..255, standardised as the bundled models want it."""
    return np.stack([standardise(one.astype(np.float32) / 255) for one in grey])[:, np.newaxis]
