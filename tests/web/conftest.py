"""The front door with fakes behind it: requests go through Flask, tokens are really verified."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cds_service.adapters.egress import Egress
from cds_service.adapters.jwks import ClientKeys
from cds_service.adapters.model_sheets import sheet_of
from cds_service.adapters.model_shelf import ModelShelf
from cds_service.adapters.vault import Vault
from cds_service.domain.hook import ORDER_SERVICE
from cds_service.usecases.answer_hook import answer_hook
from cds_service.usecases.record_feedback import record_feedback
from cds_service.usecases.seal_context import seal_context
from cds_service.web import fhir_api, health, hooks, problems
from cds_service.web.client_trust import ClientTrust
from cds_service.web.registrations import Registrations
from cds_service.web.services import EXTENSION, Services
from tests.fakes.ledger import FakeReplays, FakeTenants
from tests.unit.cards.builders import PUBLIC_URL, SERVICE_ID, House
from tests.web.ehr_client import AnEhr, a_hook_body
from tests.web.linted import LintedClient

VAULT = Vault(b"k" * 32)
SHEET = sheet_of(ModelShelf(None, "cxr_pneumonia_peds"), "cxr_pneumonia_peds")
NEVER_S = 60.0  # a deadline that no answer comes near, on however slow a machine


@dataclass
class FrontDoor:
    """The application, the EHR that calls it, and what is behind."""

    ehr: AnEhr
    house: House
    tenants: FakeTenants
    replays: FakeReplays
    client: FlaskClient
    app: Flask
    is_ledger_up: bool = True
    is_queue_up: bool = True

    def swap(self, **services: Any) -> None:
        """Replace what is behind the running application."""
        extensions = self.app.extensions
        extensions[EXTENSION] = replace(extensions[EXTENSION], **services)

    def order_check(self, body: Any) -> TestResponse:
        """Call the other service, with a token for its address."""
        path = f"/cds-services/{ORDER_SERVICE}"
        token = self.ehr.token(aud=f"{PUBLIC_URL}{path}")
        return self.client.post(path, headers={"Authorization": f"Bearer {token}"}, json=body)

    def post(self, body: Any = None, path: str = "", **changes: Any) -> TestResponse:
        """Call the service with a good token, unless `headers` says otherwise."""
        headers = changes.pop("headers", {"Authorization": f"Bearer {self.ehr.token()}"})
        body = a_hook_body() if body is None else body
        sent = {"data": body} if isinstance(body, bytes) else {"json": body}
        return self.client.post(
            f"/cds-services/{SERVICE_ID}{path}", headers=headers, **sent, **changes
        )


@pytest.fixture
def door() -> Iterator[FrontDoor]:
    with ThreadPoolExecutor(2) as pool:
        ehr, house, replays = AnEhr(), House(pool), FakeReplays()
        tenants = FakeTenants(ehr.tenant())
        app = Flask("test")
        app.test_client_class = LintedClient
        for blueprint in (hooks.blueprint, health.blueprint, fhir_api.blueprint):
            app.register_blueprint(blueprint)
        problems.install(app)
        trust = ClientTrust(Registrations(tenants), ClientKeys(Egress()), replays, house.clock)
        front = FrontDoor(ehr, house, tenants, replays, app.test_client(), app)
        app.extensions[EXTENSION] = Services(
            public_url=PUBLIC_URL,
            hook_deadline_s=NEVER_S,
            hook_body_limit_bytes=200_000,
            client_trust=trust,
            answer_hook=lambda call, tenant, left_s: answer_hook(
                call, tenant, house.desk, budget_s=left_s
            ),
            record_feedback=lambda reports: record_feedback(
                reports, cards=house.cards, audit=house.audit, clock=house.clock
            ),
            seal_context=partial(seal_context, vault=VAULT),
            audit=house.audit,
            clock=house.clock,
            models=lambda: [house.model, *(model for model, _ in house.others)],
            model_sheet=lambda fhir_id: SHEET if fhir_id == "cxr-pneumonia-peds" else None,
            is_ledger_up=lambda: front.is_ledger_up,
            is_queue_up=lambda: front.is_queue_up,
            oldest_wait=lambda: front.house.jobs.oldest_wait(),
        )
        yield front
