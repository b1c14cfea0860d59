"""Size of a runtime install: site-packages of a new environment, without pip and setuptools."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.figures import Figure, MeasurementFailed

REPOSITORY = Path(__file__).resolve().parents[1]
GOAL_MB = 400.0
LARGEST = 6  # packages named in the conditions
NOT_OURS = {"pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils"}


def install_size() -> Figure:
    """Install the product from this tree into a new environment and add its files up."""
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder:
        environment = Path(folder) / "venv"
        _run(sys.executable, "-m", "venv", str(environment))
        python = str(environment / "bin" / "python")
        options = ("--quiet", "--no-compile", "--disable-pip-version-check")
        _run(python, "-m", "pip", "install", *options, str(REPOSITORY))
        [packages] = (environment / "lib").glob("python*/site-packages")
        sizes = {
            entry.name: _bytes(entry) / 1e6
            for entry in packages.iterdir()
            if re.split("[-.]", entry.name)[0] not in NOT_OURS
        }
    largest = sorted(sizes, key=lambda name: sizes[name], reverse=True)[:LARGEST]
    named = ", ".join(f"{name} {sizes[name]:.0f}" for name in largest)
    return Figure(
        "install: site-packages",
        sum(sizes.values()),
        "MB",
        GOAL_MB,
        f"pip install --no-compile, sum of file sizes, MB of 10^6 bytes; largest: {named}",
    )


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise MeasurementFailed(f"{' '.join(command[1:4])} failed:\n{result.stderr[-2000:]}")


def _bytes(path: Path) -> int:
    if path.is_symlink() or path.is_file():
        return path.lstat().st_size
    return sum(file.lstat().st_size for file in path.rglob("*") if not file.is_dir())
