"""Redis, a sandbox EHR on a loopback port, and the app between them."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest
import redis
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page

from cds_service.adapters.backend_token import BackendTokens
from cds_service.adapters.egress import Egress
from cds_service.adapters.ehr import FhirRecord
from cds_service.domain.tenant import Tenant
from cds_service.sandbox.app import create_sandbox
from cds_service.sandbox.config import SandboxConfig
from cds_service.sandbox.parts import EXTENSION, Sandbox
from smart_app import chart, readable, user_profile
from tests.builders import a_tenant
from tests.real.pages import PAGE_MS, chromium, without_errors
from tests.real.servers import free_port, redis_server
from tests.web_app.house import (
    PUBLIC_URL,
    SIGNER,
    Browser,
    House,
    fill_charts,
    listening,
    register_app,
)

Screen = Callable[..., AbstractContextManager[Page]]


@pytest.fixture(autouse=True)
def a_slow_machine_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a page wait for its EHR as long as a busy machine may need."""
    monkeypatch.setattr(chart, "READ_TIMEOUT_S", 60.0)
    monkeypatch.setattr(readable, "READ_TIMEOUT_S", 60.0)
    monkeypatch.setattr(user_profile, "READ_TIMEOUT_S", 60.0)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture
def keyspace(redis_url: str) -> Iterator[redis.Redis]:
    """An empty Redis."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
        yield client


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A strict EHR that listens on localhost."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    port = free_port()
    config = SandboxConfig(
        origin=f"http://localhost:{port}",
        data=tmp_path_factory.mktemp("sandbox"),
        service_base=PUBLIC_URL,
        app_launch_url=f"{PUBLIC_URL}/app/launch",
        app_redirect_uris=(f"{PUBLIC_URL}/app/callback",),
        app_jwks_url=f"{PUBLIC_URL}/app/.well-known/jwks.json",
    )
    app = create_sandbox(config)
    parts: Sandbox = app.extensions[EXTENSION]
    register_app(parts, PUBLIC_URL)
    fill_charts(parts)
    with listening(app, port):
        yield parts
    parts.fhir.close()
    parts.archive.close()


@pytest.fixture
def tenant(sandbox: Sandbox) -> Tenant:
    return a_tenant(fhir_base=sandbox.config.fhir_base, origins=(sandbox.config.origin,))


@pytest.fixture
def house(tenant: Tenant, keyspace: redis.Redis) -> House:
    egress = Egress()
    house = House(FhirRecord(egress, BackendTokens(egress, SIGNER)), keyspace)
    house.tenants.add(tenant)
    return house


@pytest.fixture
def browser(house: House) -> Browser:
    return house.browser()


@pytest.fixture
def launch_of(sandbox: Sandbox) -> "LaunchOf":
    return LaunchOf(sandbox)


class LaunchOf:
    """Makes launch ids as the EHR does when somebody clicks."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def __call__(
        self,
        patient: str = "p-1",
        *,
        imaging_study: str | None = None,
        user: str = "Practitioner/clinician",
        **app_context: str,
    ) -> str:
        """`imaging_study` is its logical id; `app_context` what a card's link carried."""
        context = [{"reference": f"ImagingStudy/{imaging_study}"}] if imaging_study else []
        return self._sandbox.authorization.new_launch(
            patient,
            user,
            fhir_context=context,
            app_context=json.dumps(app_context) if app_context else None,
        )


@pytest.fixture(scope="module")
def chrome() -> Iterator[Chromium]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def base(house: House, sandbox: Sandbox) -> Iterator[str]:
    """Where the app listens: on 127.0.0.1, while the EHR is on localhost."""
    with listening(house.app) as port:
        address = f"http://127.0.0.1:{port}"
        house.swap(public_url=address)
        register_app(sandbox, address)
        yield address
    register_app(sandbox, PUBLIC_URL)


@pytest.fixture
def study(
    chrome: Chromium, house: House, tenant: Tenant, base: str, launch_of: "LaunchOf"
) -> Screen:
    """Opens the study page on a screen; it fails the test on any error, the policy's among them.

    A test in which the service refuses something `expects_refusals`: Chromium reports those too.
    """

    @contextmanager
    def opened(
        width: int = 1280,
        height: int = 800,
        prepare: Callable[[Page], object] = lambda page: None,
        *,
        expects_refusals: bool = False,
        **options: Any,
    ) -> Iterator[Page]:
        context = chrome.new_context(viewport={"width": width, "height": height}, **options)
        page = context.new_page()
        prepare(page)
        page.set_default_timeout(PAGE_MS)
        with nullcontext() if expects_refusals else without_errors(page):
            page.goto(f"{base}/app/launch?iss={tenant.fhir_base}&launch={launch_of()}")
            yield page
        context.close()

    return opened


@pytest.fixture
def refreshes(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> "Refreshes":
    return Refreshes(sandbox, monkeypatch)


class Refreshes:
    """Watches the EHR's token endpoint, and can make it fail."""

    def __init__(self, sandbox: Sandbox, patch: pytest.MonkeyPatch) -> None:
        self.shown: list[str] = []
        self.fails_with: Exception | None = None
        self.answers: dict[str, Any] = {}
        token = sandbox.authorization.token

        def watched(form: dict[str, str], authorization: str | None = None) -> dict[str, Any]:
            if form.get("grant_type") != "refresh_token":
                return token(form, authorization)
            self.shown.append(form["refresh_token"])
            if self.fails_with is not None:
                raise self.fails_with
            answer = token(form, authorization) | self.answers
            return {name: value for name, value in answer.items() if value is not None}

        patch.setattr(sandbox.authorization, "token", watched)
