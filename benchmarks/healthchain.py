"""HealthChain beside us: its own virtual environment, and its service on a port of its own.

The environment is made once, in the user's cache folder, and used again. The service is started
as `healthchain serve` does, with as many processes as ours has.

Source: HealthChain 0.16.1, its docs/reference/gateway/cdshooks.md.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from benchmarks.figures import MeasurementFailed
from benchmarks.running_demo import free_port
from cds_service.demo.addresses import LOOPBACK

VERSION = "0.16.1"
PROCESSES = 2
INSTALL_TIMEOUT_S = 300.0
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
SAYS = ("healthchain", "fastapi", "uvicorn", "pydantic")
# Read in its 0.16.1: gateway/cds/__init__.py, gateway/api/app.py, models/requests/cdsrequest.py.
DOES = (
    "HealthChain answers from what the EHR prefetched, by a handler of a few lines. It checks the"
    " shape of request and response (pydantic) and tells its event dispatcher. It verifies no JWT"
    " (an API key by setting), keeps no jti, reads no ledger, writes no audit record, makes no job"
    " and reads nothing from the EHR in a hook: without prefetch it has no card.\n"
    "Sightline verifies the JWT and uses up its jti in the ledger, reads results, jobs, reviews and"
    " alert settings there, reads the EHR where prefetch is missing, makes the job of a new study,"
    " and writes the card and an audit record."
)


@contextmanager
def healthchain() -> Iterator[str]:
    """Serve it and return the address of its patient-view service; raise MeasurementFailed."""
    python, port = _installed(), free_port()
    command = [str(python), "-m", "uvicorn", "healthchain_service:app", "--host", LOOPBACK]
    command += ["--port", str(port), "--workers", str(PROCESSES)]
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder:
        # A copy: beside the original this module would be found instead of the library.
        shutil.copy(Path(__file__).with_name("healthchain_service.py"), folder)
        output = Path(folder) / "output.txt"
        with output.open("wb") as sink:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=folder,  # uvicorn finds the service here; there is no healthchain.yaml
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            )
        try:
            _wait(process, f"http://{LOOPBACK}:{port}/cds/cds-discovery", output)
            yield f"http://{LOOPBACK}:{port}/cds/cds-services/imaging-ai-findings"
        finally:
            process.terminate()  # the parent of its processes, which ends them
            process.wait(STOP_TIMEOUT_S)


def versions() -> str:
    """Name what is installed."""
    listed = _run(str(_installed()), "-m", "pip", "list", "--format=freeze")
    pairs = [line.split("==") for line in listed.splitlines() if "==" in line]
    return ", ".join(f"{name} {version}" for name, version in pairs if name in SAYS)


def _installed() -> Path:
    """Return the Python that has HealthChain; make its environment the first time."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = cache / "sightline-bench" / f"healthchain-{VERSION}"
    python, mark = home / "bin" / "python", home / "installed"
    if not mark.exists():
        _run(sys.executable, "-m", "venv", "--clear", str(home))
        options = ("--quiet", "--disable-pip-version-check")
        _run(str(python), "-m", "pip", "install", *options, f"healthchain=={VERSION}")
        mark.touch()
    return python


def _run(*command: str) -> str:
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MeasurementFailed(f"it could not be installed ({type(error).__name__})") from None
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise MeasurementFailed(f"it could not be installed ({last})")
    return result.stdout


def _wait(process: "subprocess.Popen[bytes]", url: str, output: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(url, timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.1)
    raise MeasurementFailed(f"it did not start:\n{output.read_text()[-1000:]}")
