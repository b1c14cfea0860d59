"""Somebody else's EHR rings: HAPI FHIR keeps our Subscription, and delivers it by itself.

Source: FHIR R4 Subscription (rest-hook); docs/how-to/feed-studies.md "Let the EHR ring".
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
import requests
from flask import Response, request
from joserfc.jwk import KeySetSerialization

from cds_service import wiring
from cds_service.app import create_app
from cds_service.sandbox.authorization import SIGHTLINE_SCOPES
from cds_service.settings import Settings
from cds_service.web import subscription
from tests.builders import a_tenant
from tests.e2e.running_demo import until
from tests.intake.conftest import Hospital, a_study, environment
from tests.real.sandbox import LiveSandbox, live_sandbox
from tests.real.servers import HAPI_JPA_JAR, free_port, hapi
from tests.web_app.house import listening

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("hapi")]

Json = dict[str, Any]
AT = ("--ehr", "General Hospital")


@dataclass(frozen=True)
class Ring:
    """What HAPI sent to the door, and what it was told."""

    method: str
    below: str  # the rest of the path, below its secret part
    size: int
    status: int


@dataclass
class Ringing:
    """HAPI, and a Sightline that listens."""

    hospital: Hospital
    rings: list[Ring] = field(default_factory=list)

    def note(self, response: Response) -> Response:
        below = request.path.removeprefix(f"{subscription.PATH}/").partition("/")[2]
        size = len(request.get_data())
        self.rings.append(Ring(request.method, below, size, response.status_code))
        return response

    def call(self, method: str, path: str, body: Json | None = None) -> requests.Response:
        """Call HAPI as the hospital's own backend."""
        answer = requests.request(
            method,
            f"{self.hospital.tenant.fhir_base}/{path}",
            json=body,
            headers={
                "Authorization": f"Bearer {self.hospital.ehr.token()}",
                "Content-Type": "application/fhir+json",
                "Cache-Control": "no-cache",  # else HAPI answers a search again from memory
            },
            timeout=120,
        )
        assert answer.ok, answer.text
        return answer

    def admit(self, number: int, patient: str = "p-1") -> str:
        """Put a patient with one study into HAPI; return the study's UID."""
        uid = f"1.2.840.99999.{number}"
        person = {"resourceType": "Patient", "id": patient, "birthDate": "2023-01-01"}
        self.call("PUT", f"Patient/{patient}", person)
        self.call("PUT", f"ImagingStudy/s-{number}", a_study(f"s-{number}", uid, patient))
        return uid

    def command(self, *words: str) -> str:
        """Run `sightline intake` as an administrator does; return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "cds_service.cli", "intake", *words],
            env=environment(self.hospital.settings),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def subscribe(self, change: Callable[[Json], None] = lambda _subscription: None) -> Json:
        """Subscribe; let somebody at the EHR change it; return it once HAPI rings by it."""
        logical_id = self.command("subscribe", *AT).partition("Subscription/")[2].partition(" ")[0]
        subscription = until(lambda: self._active(logical_id))
        change(subscription)
        self.call("PUT", f"Subscription/{logical_id}", subscription)
        channel = until(lambda: self._active(logical_id))["channel"]
        until(lambda: self._rings_for_nothing("payload" in channel))
        return self.subscription(logical_id)

    def _active(self, logical_id: str) -> Json | None:
        found = self.subscription(logical_id)
        return found if found["status"] == "active" else None

    def _rings_for_nothing(self, has_payload: bool) -> bool:
        """Change a study that nobody analyses, and tell whether HAPI rings as it should.

        HAPI says that a Subscription is active before it acts by it.
        """
        self.call("PUT", "Patient/p-0", {"resourceType": "Patient", "id": "p-0"})
        report = a_study("s-0", "1.2.840.99999.0", "p-0") | {"description": uuid4().hex}
        report["series"][0]["modality"]["code"] = "SR"
        self.call("PUT", "ImagingStudy/s-0", report)
        return any((ring.size > 0) == has_payload for ring in self.rings)

    def subscription(self, logical_id: str) -> Json:
        return cast(Json, self.call("GET", f"Subscription/{logical_id}").json())

    def asked(self) -> list[tuple[str, str]]:
        return [(one.study_uid, one.patient_id) for one in self.hospital.asked()]


@pytest.fixture(scope="module")
def ehr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LiveSandbox, str]]:
    """HAPI with its authorization server, for all tests here: it takes long to start."""
    folder = tmp_path_factory.mktemp("hapi")
    port = free_port()
    base = f"http://127.0.0.1:{port}/fhir"
    with live_sandbox(folder, further_audiences=(base,)) as sandbox:
        config = sandbox.parts.config
        with hapi(
            folder,
            introspection=f"{config.auth_base}/introspect",
            issuer=config.auth_base,
            authorize=f"{config.auth_base}/authorize",
            token=sandbox.parts.authorization.token_url,
            jwks=f"{config.auth_base}/jwks.json",
            port=port,
            jar=HAPI_JPA_JAR,
        ):
            yield sandbox, base


@pytest.fixture
def ringing(ehr: tuple[LiveSandbox, str], tmp_path: Path) -> Iterator[Ringing]:
    sandbox, base = ehr
    port = free_port()
    settings = Settings.from_env(
        {
            "SIGHTLINE_PUBLIC_URL": f"http://127.0.0.1:{port}",
            "SIGHTLINE_DATA": str(tmp_path / "data"),
            "SIGHTLINE_REDIS_URL": "redis://127.0.0.1:9/0",
        }
    )
    wiring.prepare_installation(settings)
    house = wiring.open_house(settings)
    keys = cast(KeySetSerialization, house.assertion.public_jwks())
    scopes = f"{SIGHTLINE_SCOPES} system/Subscription.cruds"
    sandbox.parts.authorization.register_client("sightline", keys, (), scopes)
    config = sandbox.parts.config
    tenant = replace(
        a_tenant(),
        fhir_base=base,
        archive_base=config.archive_base,
        jwks=None,
        jwks_url=f"{config.auth_base}/jwks.json",
    )
    house.tenants.add(tenant)
    ringing = Ringing(Hospital(sandbox, settings, house, tenant))
    ringing.command("open", "subscription", *AT)
    app = create_app(settings)
    app.after_request(ringing.note)
    with listening(app, port):
        yield ringing
    _forget(ringing)
    house.engine.dispose()


def _forget(ringing: Ringing) -> None:
    """The record is one for all tests: remove what this one put there."""
    for kind in ("Subscription", "ImagingStudy"):
        for entry in ringing.call("GET", f"{kind}?_count=100").json().get("entry", []):
            ringing.call("DELETE", f"{kind}/{entry['resource']['id']}")


HAPI_EXTENSIONS = "http://hapifhir.io/fhir/StructureDefinition"


def a_payload(subscription: Json) -> None:
    subscription["channel"]["payload"] = "application/fhir+json"


def a_payload_of_several(subscription: Json) -> None:
    """HAPI's own extension: what belongs to the study comes along, in a transaction."""
    a_payload(subscription)
    subscription["extension"] = [
        {
            "url": f"{HAPI_EXTENSIONS}/subscription-payload-search-criteria",
            "valueString": "ImagingStudy?_id=${matched_resource_id}&_include=*",
        }
    ]


def a_payload_and_what_is_deleted(subscription: Json) -> None:
    """HAPI's own extension: it also says what is no longer there."""
    a_payload(subscription)
    subscription["channel"]["extension"] = [
        {"url": f"{HAPI_EXTENSIONS}/subscription-send-delete-messages", "valueBoolean": True}
    ]


def test_an_ehr_rings_for_a_new_study_and_the_study_is_asked_for(ringing: Ringing) -> None:
    kept = ringing.subscribe()

    uid = ringing.admit(1)

    until(ringing.asked)
    assert ringing.asked() == [(uid, "p-1")]
    assert kept["criteria"] == "ImagingStudy?status=available"
    assert "payload" not in kept["channel"]
    assert set(ringing.rings) == {Ring("POST", "", 0, 204)}


@pytest.mark.parametrize(
    ("change", "method", "below"),
    [(a_payload, "PUT", "ImagingStudy/s-2"), (a_payload_of_several, "POST", "")],
    ids=["the study", "a transaction"],
)
def test_an_ehr_that_sends_the_study_along_is_heard_and_asked_too(
    ringing: Ringing, change: Callable[[Json], None], method: str, below: str
) -> None:
    ringing.subscribe(change)

    uid = ringing.admit(2, patient="p-2")

    until(ringing.asked)
    assert ringing.asked() == [(uid, "p-2")]
    assert any((one.method, one.below) == (method, below) for one in ringing.rings if one.size)
    assert {one.status for one in ringing.rings} == {204}


def test_an_ehr_that_also_tells_what_it_deletes_is_heard(ringing: Ringing) -> None:
    ringing.subscribe(a_payload_and_what_is_deleted)
    ringing.admit(4)
    until(ringing.asked)

    ringing.call("DELETE", "ImagingStudy/s-4")

    told = until(lambda: [one for one in ringing.rings if one.method == "DELETE"])
    assert told == [Ring("DELETE", "ImagingStudy/s-4", 0, 204)]


def test_a_study_that_comes_right_after_a_question_in_vain_is_found(ringing: Ringing) -> None:
    """HAPI answers a search again from memory, for a minute, unless it is told not to."""
    ringing.subscribe()
    ringing.command("run", "--once")
    assert ringing.asked() == []

    uid = ringing.admit(3)

    until(ringing.asked)
    assert ringing.asked() == [(uid, "p-1")]


def test_subscribing_again_leaves_one_subscription_at_the_ehr(ringing: Ringing) -> None:
    ringing.subscribe()

    new = ringing.subscribe()

    answer = ringing.call("GET", "Subscription").json()
    assert [entry["resource"]["id"] for entry in answer["entry"]] == [new["id"]]
