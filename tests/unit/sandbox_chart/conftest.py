"""A seeded sandbox with drawn stand-ins for the composite pictures."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from flask import Flask
from PIL import Image

from cds_service.sandbox import chart
from cds_service.sandbox.config import SandboxConfig
from cds_service.sandbox.parts import EXTENSION, Sandbox, open_sandbox
from cds_service.sandbox.seed import seed
from tests.unit.sandbox_chart.service import SmallService, cards, served

ORIGIN = "http://localhost:8001"


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures of each kind: a gradient, so that inversion shows."""
    folder = tmp_path_factory.mktemp("pictures")
    for kind in ("present", "absent"):
        for number in (1, 2, 3):
            gradient = np.tile(np.linspace(10 * number, 250, 64), (64, 1)).astype(np.uint8)
            Image.fromarray(gradient).save(folder / f"{kind}-{number}.png")
    return folder


@pytest.fixture
def service() -> Iterator[SmallService]:
    """A CDS service that answers no card until a test says otherwise."""
    with served(SmallService(keys=lambda: {"keys": []}, answer=lambda _: cards())) as running:
        yield running


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """The data folder of a sandbox that has been filled once; tests only read it."""
    folder = tmp_path_factory.mktemp("sandbox")
    with opened(a_config(folder)) as sandbox:
        seed(sandbox, lambda *_: None, pictures)
    return folder


@pytest.fixture
def parts(filled: Path, service: SmallService) -> Iterator[Sandbox]:
    """A filled sandbox that asks `service`."""
    with opened(a_config(filled, service.base)) as sandbox:
        service.keys = sandbox.authorization.keys.public_jwks
        yield sandbox


@contextmanager
def opened(config: SandboxConfig) -> Iterator[Sandbox]:
    sandbox = open_sandbox(config)
    try:
        yield sandbox
    finally:
        sandbox.fhir.close()
        sandbox.archive.close()


def a_config(data: Path, service_base: str = "http://127.0.0.1:8000") -> SandboxConfig:
    return SandboxConfig(
        origin=ORIGIN,
        data=data,
        service_base=service_base,
        app_launch_url=f"{service_base}/app/launch",
        app_redirect_uris=(f"{service_base}/app/callback",),
        app_jwks_url=f"{service_base}/app/.well-known/jwks.json",
        now=lambda: datetime.now(UTC),
    )


def a_chart(parts: Sandbox) -> Flask:
    """The chart's pages alone, over these parts."""
    app = Flask(__name__)
    app.extensions[EXTENSION] = parts
    app.register_blueprint(chart.blueprint)
    return app
