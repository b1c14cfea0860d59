"""An EHR and its archive that take their time: the sandbox, with a delay before each answer.

`python -m benchmarks.slow_ehr PORT SERVICE DATA` serves it; `slow_ehr()` starts that process and
`SlowEhr.answer_after` sets the delay while it runs. Whoever waits holds a thread and no CPU.
"""

import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import requests
from werkzeug.serving import make_server

from benchmarks.ehr import sandbox_config
from benchmarks.figures import MeasurementFailed
from benchmarks.running_demo import RunningDemo, free_port
from cds_service.demo.addresses import LOOPBACK
from cds_service.domain.tenant import Tenant
from cds_service.sandbox.app import create_sandbox
from cds_service.sandbox.parts import EXTENSION
from cds_service.sandbox.seed import seed
from cds_service.wiring import register_sandbox

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0
CONTROL = "/benchmark/delay"  # PUT of milliseconds; itself never delayed
TENANT_ID = "slow-ehr"


class Delayed:
    """A WSGI app that sleeps before it answers."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app, self._delay_s = app, 0.0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Set the delay, or answer after it."""
        if environ["PATH_INFO"] == CONTROL:
            length = int(environ.get("CONTENT_LENGTH") or 0)
            self._delay_s = float(environ["wsgi.input"].read(length)) / 1000
            start_response("204 No Content", [])
            return []
        time.sleep(self._delay_s)
        return self._app(environ, start_response)


@dataclass(frozen=True, slots=True)
class SlowEhr:
    """A slow EHR that is running, as its own backend and as the benchmark see it."""

    addresses: RunningDemo  # of the demo, but with this EHR's chart, FHIR server and archive
    records: Path

    def answer_after(self, delay_ms: int) -> None:
        """Let each answer from now on, of the EHR and of the archive, take so much longer."""
        url = f"{self.addresses.chart}{CONTROL}"
        requests.put(url, data=str(delay_ms), timeout=10).raise_for_status()


@contextmanager
def slow_ehr(demo: RunningDemo) -> Iterator[SlowEhr]:
    """Start one beside a demo, registered as an EHR of its own, and stop it in the end."""
    port = free_port()
    chart, records = f"http://localhost:{port}", demo.data / TENANT_ID
    records.mkdir()
    addresses = replace(demo, chart=chart, fhir=f"{chart}/fhir", archive=f"{chart}/dicom-web")
    command = [sys.executable, "-m", "benchmarks.slow_ehr", str(port), demo.service, str(records)]
    with (records / "output.txt").open("wb") as sink:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
        )
    try:
        _wait(process, f"{addresses.fhir}/metadata")
        _register(addresses)
        yield SlowEhr(addresses, records)
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_S)


def _register(addresses: RunningDemo) -> None:
    register_sandbox(
        addresses.settings(),
        Tenant(
            id=TENANT_ID,
            name="Slow EHR",
            fhir_base=addresses.fhir,
            hook_issuer=addresses.fhir,
            jwks_url=f"{addresses.chart}/auth/jwks.json",
            client_id="sightline",
            archive_base=addresses.archive,
            shows_negative=True,
        ),
    )


def _wait(process: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(url, timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.05)
    raise MeasurementFailed("the slow EHR did not start")


def main(port: str, service: str, records: str) -> None:
    """Fill the record and serve it until terminated."""
    app = create_sandbox(sandbox_config(f"http://localhost:{port}", service, Path(records)))
    seed(app.extensions[EXTENSION], lambda _done, _total, _what: None)
    make_server(LOOPBACK, int(port), Delayed(app), threaded=True).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
