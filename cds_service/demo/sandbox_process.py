"""The sandbox EHR as a process of the demo: `python -m cds_service.demo.sandbox_process`."""

import os
import sys
from pathlib import Path

from werkzeug.serving import make_server

from cds_service.demo.addresses import LOOPBACK, Addresses
from cds_service.sandbox.app import create_sandbox
from cds_service.sandbox.config import SandboxConfig
from cds_service.sandbox.parts import EXTENSION
from cds_service.sandbox.seed import seed
from cds_service.telemetry import configure_logging


def main(service_port: str, chart_port: str, data: str) -> None:
    """Fill the record and the archive if they are empty, then serve until terminated."""
    configure_logging(os.environ.get("SIGHTLINE_LOG_LEVEL", "INFO"))
    addresses = Addresses(int(service_port), int(chart_port), 0)
    config = SandboxConfig(
        origin=addresses.chart,
        data=Path(data),
        service_base=addresses.service,
        app_launch_url=addresses.app,
        app_redirect_uris=(f"{addresses.service}/app/callback",),
        app_jwks_url=addresses.jwks,
    )
    app = create_sandbox(config)
    seed(app.extensions[EXTENSION], _report)
    # One process on purpose: launches, codes and tokens of the sandbox live in its memory.
    make_server(LOOPBACK, addresses.chart_port, app, threaded=True).serve_forever()


def _report(done: int, total: int, what: str) -> None:
    print(f"seeded {done}/{total} {what}", flush=True)  # noqa: T201  the demo reads this line


if __name__ == "__main__":
    main(*sys.argv[1:])
