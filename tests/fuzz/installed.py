"""The whole application with a ledger of its own; its EHR, its archive and Redis are away."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cds_service import wiring
from cds_service.app import create_app
from cds_service.domain.tenant import Tenant
from cds_service.settings import Settings
from cds_service.usecases.dispatch_inference import dispatch_inference
from tests.builders import a_model, a_patient, a_result, a_study
from tests.fakes.ledger import FakeDoorbell
from tests.unit.cards.builders import PUBLIC_URL, SERVICE_ID
from tests.web.ehr_client import AnEhr
from tests.web.linted import LintedClient

FHIR_BASE = "http://127.0.0.1:9/fhir"  # nothing listens there
FHIR_JSON = "application/fhir+json"


@dataclass
class Installed:
    """The application and an EHR that it trusts."""

    settings: Settings
    app: Flask
    ehr: AnEhr
    tenant: Tenant
    client: FlaskClient

    def token(self, path: str) -> str:
        """Return a token that is good for one call of this address, now."""
        now = datetime.now(UTC)
        return self.ehr.token(aud=PUBLIC_URL + path, now=now)

    def post(self, body: Any, path: str = f"/cds-services/{SERVICE_ID}") -> TestResponse:
        """Send a body, bytes as they are, with a good token."""
        sent = {"data": body} if isinstance(body, bytes) else {"json": body}
        headers = {
            "Authorization": f"Bearer {self.token(path)}",
            "Content-Type": "application/json",
        }
        return self.client.post(path, headers=headers, **sent)


@contextmanager
def installed(folder: Path) -> Iterator[Installed]:
    """Install Sightline into a folder and register one EHR."""
    settings = Settings.from_env(
        {
            "SIGHTLINE_DATA": str(folder / "data"),
            "SIGHTLINE_PUBLIC_URL": PUBLIC_URL,
            "SIGHTLINE_REDIS_URL": "redis://127.0.0.1:9/0",
        }
    )
    wiring.prepare_installation(settings)
    ehr = AnEhr()
    tenant = ehr.tenant(fhir_base=FHIR_BASE)
    wiring.register_sandbox(settings, tenant)
    _know(wiring.open_house(settings))
    app = create_app(settings)
    app.test_client_class = LintedClient
    yield Installed(settings, app, ehr, tenant, app.test_client())


def _know(house: wiring.House) -> None:
    """Put a finding about study 1 of patient p-1 into the ledger, as a worker leaves it."""
    job = dispatch_inference(
        a_study(),
        a_patient(),
        jobs=house.jobs,
        doorbell=FakeDoorbell(),
        model=a_model(),
    )
    lease = house.jobs.take(job.id, "worker")
    assert lease is not None
    # Young enough for an order to repeat it.
    started = datetime.now(UTC) - timedelta(days=3)
    house.results.save(a_result(study_started=started), lease)
    house.jobs.finish(lease, "r-1")


def fault(response: TestResponse) -> str | None:
    """Say what is wrong with an answer: a 5xx, or a refusal without an OperationOutcome."""
    status = response.status_code
    if status >= 500:
        return f"{status}: {response.text}"
    if status == 401:
        return "a 401 with a body" if response.data else None
    if status >= 300:
        document = response.get_json(force=True, silent=True)
        if response.content_type != FHIR_JSON or not _is_outcome(document):
            return f"{status} without an OperationOutcome: {response.text}"
    return None


def _is_outcome(document: Any) -> bool:
    return (
        isinstance(document, dict)
        and document.get("resourceType") == "OperationOutcome"
        and [set(issue) >= {"severity", "code"} for issue in document.get("issue", [])] == [True]
    )
