"""The sandbox EHR served live inside the test, so that the test can reach its mind.

Source: SMART App Launch 2.2 "Backend Services".
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import cast

import requests
from flask import Flask
from werkzeug.serving import make_server

from cds_service.adapters.client_assertion import ASSERTION_TYPE, ClientAssertion
from cds_service.sandbox.app import create_sandbox
from cds_service.sandbox.config import SandboxConfig
from cds_service.sandbox.parts import EXTENSION, Sandbox
from tests.builders import a_signer
from tests.real.servers import free_port

BACKEND = "ehr-backend"  # a client that may do everything, as a hospital's own systems


@dataclass
class LiveSandbox:
    """A sandbox that answers at `parts.config.origin`."""

    app: Flask
    key: ClientAssertion = field(default_factory=a_signer)

    @property
    def parts(self) -> Sandbox:
        return cast(Sandbox, self.app.extensions[EXTENSION])

    def __post_init__(self) -> None:
        keys = self.key.public_jwks()
        self.parts.authorization.register_client(
            BACKEND,
            keys,  # type: ignore[arg-type]  # a plain dict is what joserfc calls a key set
            (),
            "system/*.cruds",
        )

    def token(self, scope: str = "system/*.cruds") -> str:
        """Ask the token endpoint, over HTTP, for a token of the hospital's own backend."""
        url = self.parts.authorization.token_url
        form = {
            "grant_type": "client_credentials",
            "scope": scope,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.key.sign(BACKEND, url),
        }
        answer = requests.post(url, data=form, timeout=60)
        answer.raise_for_status()
        return str(answer.json()["access_token"])


@contextmanager
def live_sandbox(
    folder: Path,
    *,
    service: str = "http://127.0.0.1:9",
    further_audiences: tuple[str, ...] = (),
) -> Iterator[LiveSandbox]:
    """Serve an empty sandbox whose client "sightline" is the service at that base."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    port = free_port()
    config = SandboxConfig(
        origin=f"http://localhost:{port}",
        data=folder,
        service_base=service,
        app_launch_url=f"{service}/app/launch",
        app_redirect_uris=(f"{service}/app/callback",),
        app_jwks_url=f"{service}/app/.well-known/jwks.json",
        further_audiences=further_audiences,
    )
    app = create_sandbox(config)
    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield LiveSandbox(app)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
