"""The sandbox's strict token endpoint takes each kind of client that Sightline can be."""

from dataclasses import replace

import pytest

from cds_service.adapters.vault import Vault
from cds_service.domain.smart_client import ClientKind
from cds_service.domain.tenant import Tenant
from cds_service.sandbox.authorization import SIGHTLINE_SCOPES
from cds_service.sandbox.clients import Client
from cds_service.sandbox.parts import Sandbox
from cds_service.usecases.client_secret import seal_client_secret
from tests.web_app.house import PUBLIC_URL, SIGNER, Browser, House

SECRET = "a %:+&= secret"


@pytest.fixture
def as_client(house: House, tenant: Tenant, sandbox: Sandbox) -> "AsClient":
    return AsClient(house, tenant, sandbox)


class AsClient:
    """Registers Sightline as a client of some kind, on both sides."""

    def __init__(self, house: House, tenant: Tenant, sandbox: Sandbox) -> None:
        self._house, self._tenant, self._sandbox = house, tenant, sandbox

    def __call__(self, kind: ClientKind, secret: str | None = None) -> None:
        known = None if kind is not ClientKind.SYMMETRIC else SECRET
        sealed = None
        if kind is ClientKind.SYMMETRIC:
            sealed = seal_client_secret(self._tenant.id, secret or SECRET, vault=Vault(b"k" * 32))
        self._sandbox.authorization.clients.register(
            Client("other", (f"{PUBLIC_URL}/app/callback",), SIGHTLINE_SCOPES, secret=known)
        )
        self._house.tenants.remove(self._tenant.id)
        self._house.tenants.add(
            replace(self._tenant, client_id="other", client_kind=kind, client_secret=sealed)
        )


def launched(browser: Browser, tenant: Tenant, sandbox: Sandbox) -> int:
    launch = sandbox.authorization.new_launch("p-1", "Practitioner/clinician", client_id="other")
    return browser.get(browser.to_callback(tenant.fhir_base, launch)).status_code


@pytest.mark.requirement("@63", "@71")
def test_a_public_client_opens_the_app(
    browser: Browser, tenant: Tenant, sandbox: Sandbox, as_client: AsClient
) -> None:
    as_client(ClientKind.PUBLIC)

    assert launched(browser, tenant, sandbox) == 303


@pytest.mark.requirement("@66", "@343", "@345")
def test_a_symmetric_client_opens_the_app_with_its_secret(
    browser: Browser, tenant: Tenant, sandbox: Sandbox, as_client: AsClient
) -> None:
    as_client(ClientKind.SYMMETRIC)
    assert launched(browser, tenant, sandbox) == 303

    as_client(ClientKind.SYMMETRIC, secret="wrong")
    assert launched(browser, tenant, sandbox) == 400


@pytest.mark.requirement("@11", "@64", "@65")
@pytest.mark.parametrize("algorithm", ["ES384", "RS384"])
def test_an_asymmetric_client_signs_as_the_server_reads(
    browser: Browser,
    house: House,
    tenant: Tenant,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    algorithm: str,
) -> None:
    monkeypatch.setattr("cds_service.sandbox.smart_configuration.ALGORITHMS", (algorithm,))
    signed: list[str] = []

    class Watched:
        public_jwks = SIGNER.public_jwks

        def sign(self, client_id: str, token_url: str, algorithm: str) -> str:
            signed.append(algorithm)
            return SIGNER.sign(client_id, token_url, algorithm)

    house.swap(assertions=Watched())
    launch = sandbox.authorization.new_launch("p-1", "Practitioner/clinician")

    assert browser.get(browser.to_callback(tenant.fhir_base, launch)).status_code == 303
    assert signed == [algorithm]
