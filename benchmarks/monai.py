"""MONAI Deploy beside us: its own virtual environment, and one application in it.

The environment is made once, in the user's cache folder, and used again. No GPU is needed, but the
library of its run time is, which `nvidia-cuda-runtime` brings.

Source: MONAI Deploy App SDK 4.0.0; docs/reference/benchmarks.md.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.figures import MeasurementFailed
from models.contract import ModelPackage

VERSION = "4.0.0"
INSTALL_TIMEOUT_S = 900.0
RUN_TIMEOUT_S = 300.0
FIRST = 2  # images that are not counted: the first ones take longer
STACK = "32768"  # KiB; with less it ends at once


@dataclass(frozen=True, slots=True)
class MonaiTimes:
    """Milliseconds of each image, end to end, and of each bare run among them."""

    images: list[float]
    runs: list[float]


def monai_times(film: bytes, package: ModelPackage, images: int) -> MonaiTimes:
    """Run the application over one film so many times; raise MeasurementFailed.

    The file lies in memory (tmpfs) where the machine has that, as our bytes do.
    """
    python, libraries = _installed()
    shared = "/dev/shm"
    where = shared if Path(shared).is_dir() else None
    with tempfile.TemporaryDirectory(prefix="sightline-bench-", dir=where) as folder:
        study, model = Path(folder) / "study", Path(folder) / "model.onnx"
        study.mkdir()
        (study / "film.dcm").write_bytes(film)
        model.write_bytes(package.weights)
        app = shutil.copy(Path(__file__).with_name("monai_app.py"), folder)
        recipe = package.card.input
        numbers = [str(one) for one in (recipe.size, recipe.channels, images + FIRST + 1)]
        command = [str(python), str(app), str(study), str(model), *numbers]
        out = _run(
            "/bin/sh", "-c", f'ulimit -s {STACK}; exec "$@"', "sh", *command,
            env={**os.environ, "LD_LIBRARY_PATH": str(libraries)}, timeout_s=RUN_TIMEOUT_S,
        )  # fmt: skip
    try:
        said = json.loads(out.strip().splitlines()[-1])
        return MonaiTimes(said["images"][FIRST:], said["runs"][FIRST:])
    except (IndexError, ValueError, KeyError):
        raise MeasurementFailed("MONAI Deploy said nothing") from None


def _installed() -> tuple[Path, Path]:
    """Return its Python and the folder of the CUDA run time; make both the first time."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = cache / "sightline-bench" / f"monai-{VERSION}"
    python, mark = home / "bin" / "python", home / "installed"
    if not mark.exists():
        _run(sys.executable, "-m", "venv", "--clear", str(home))
        options = ("--quiet", "--no-compile", "--disable-pip-version-check")
        same = [f"{name}=={version(name)}" for name in ("onnxruntime", "pydicom", "numpy")]
        others = [f"monai-deploy-app-sdk=={VERSION}", "nvidia-cuda-runtime==13.*", "pillow"]
        _run(str(python), "-m", "pip", "install", *options, *others, *same)
        mark.touch()
    found = next(home.glob("lib/python*/site-packages/nvidia/*/lib/libcudart.so.13"), None)
    if found is None:
        raise MeasurementFailed("MONAI Deploy has no CUDA run time")
    return python, found.parent


def _run(
    *command: str, env: dict[str, str] | None = None, timeout_s: float = INSTALL_TIMEOUT_S
) -> str:
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=timeout_s, env=env
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MeasurementFailed(f"MONAI Deploy: {type(error).__name__}") from None
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise MeasurementFailed(f"MONAI Deploy could not be installed or run ({last})")
    return result.stdout
