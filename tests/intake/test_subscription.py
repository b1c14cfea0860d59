"""An EHR that rings: it is subscribed to, it rings as R4 says, and its record is read again.

The sandbox has no Subscriptions, so the test keeps them for it, behind its own authorization
server, and rings over HTTP; all else is real.
"""

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest
import requests
from fhir.resources.R4B.subscription import Subscription
from flask import Response, request
from joserfc.jwk import KeySetSerialization

from cds_service import wiring
from cds_service.adapters.ledger import SqlIntakeBells
from cds_service.app import create_app
from cds_service.domain.audit import AuditAction
from cds_service.domain.intake import Door
from cds_service.errors import EhrAnswerInvalid, EhrRefused
from cds_service.sandbox.authorization import SIGHTLINE_SCOPES
from tests.e2e.running_demo import until
from tests.intake.conftest import Hospital, environment
from tests.real.servers import free_port
from tests.web_app.house import listening

Json = dict[str, Any]
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass
class Subscribing:
    """The part of an EHR that keeps Subscriptions and rings."""

    hospital: Hospital
    kept: dict[str, Json] = field(default_factory=dict)
    status: int = 201
    names_it: Callable[[str], dict[str, str]] = lambda key: {
        "Location": f"http://ehr.example.org/fhir/Subscription/{key}/_history/1"
    }
    on_create: Callable[[Json], None] = lambda _subscription: None

    def __call__(self) -> Response | None:
        """Answer for the sandbox where a Subscription is meant."""
        if not request.path.startswith("/fhir/Subscription"):
            return None
        token = request.headers["Authorization"].removeprefix("Bearer ")
        grant = self.hospital.ehr.parts.authorization.introspect(token)
        assert grant["active"] and grant["scope"] == "system/Subscription.cruds"
        if request.method == "DELETE":
            del self.kept[request.path.rpartition("/")[2]]
            return Response(status=204)
        if self.status != 201:
            return Response(status=self.status)
        sent = cast(Json, request.get_json(force=True))
        Subscription.model_validate(sent)
        key = f"sub-{len(self.kept) + 1}"
        self.kept[key] = sent
        self.on_create(sent)
        return Response("{}", 201, self.names_it(key))

    def ring(self, subscription: Json, path: str = "", **changes: Any) -> requests.Response:
        """Notify as R4 says: an empty POST, or a PUT with the resource."""
        channel = subscription["channel"]
        headers = dict(line.split(": ", 1) for line in channel["header"])
        values: dict[str, Any] = {"method": "POST", "headers": headers, "timeout": 60} | changes
        return requests.request(url=channel["endpoint"] + path, **values)


@dataclass
class Service:
    """The service at an address, and its EHR."""

    hospital: Hospital
    ehr: Subscribing

    def subscribe(self) -> Json:
        """Return the Subscription that the EHR has then."""
        logical_id = wiring.subscribe_at(self.hospital.settings, self.hospital.tenant)
        return self.ehr.kept[logical_id]


@pytest.fixture
def service(hospital: Hospital) -> Iterator[Service]:
    port = free_port()
    object.__setattr__(hospital.settings, "public_url", f"http://127.0.0.1:{port}")
    keys = cast(KeySetSerialization, hospital.house.assertion.public_jwks())
    scopes = f"{SIGHTLINE_SCOPES} system/Subscription.cruds"
    hospital.ehr.parts.authorization.register_client("sightline", keys, (), scopes)
    hospital.open(Door.SUBSCRIPTION)
    ehr = Subscribing(hospital)
    with _answering(hospital, ehr), listening(create_app(hospital.settings), port):
        yield Service(hospital, ehr)


@contextmanager
def _answering(hospital: Hospital, ehr: Subscribing) -> Iterator[None]:
    handlers = hospital.ehr.app.before_request_funcs.setdefault(None, [])
    handlers.append(ehr)
    try:
        yield
    finally:
        handlers.remove(ehr)


def test_a_bell_has_the_record_read_again_and_the_study_asked_for(service: Service) -> None:
    subscription = service.subscribe()
    uid = service.hospital.admit(1)

    answer = service.ehr.ring(subscription)

    assert (answer.status_code, answer.content) == (204, b"")
    until(lambda: [one.study_uid for one in service.hospital.asked()] == [uid])


def test_what_the_ehr_sends_along_is_never_believed(service: Service) -> None:
    subscription = service.subscribe()
    uid = service.hospital.admit(1, patient="p-7")
    lie = {"resourceType": "ImagingStudy", "id": "s-9", "subject": {"reference": "Patient/evil"}}

    answer = service.ehr.ring(subscription, "/ImagingStudy/s-9", method="PUT", json=lie)

    assert answer.status_code == 204
    until(lambda: service.hospital.asked())
    assert [(one.study_uid, one.patient_id) for one in service.hospital.asked()] == [(uid, "p-7")]


def test_a_bell_for_what_was_deleted_is_a_bell_like_others(service: Service) -> None:
    subscription = service.subscribe()
    uid = service.hospital.admit(1)

    answer = service.ehr.ring(subscription, "/ImagingStudy/s-9", method="DELETE")

    assert answer.status_code == 204
    until(lambda: [one.study_uid for one in service.hospital.asked()] == [uid])


def test_the_subscription_asks_for_no_payload_and_names_no_patient(service: Service) -> None:
    subscription = service.subscribe()

    assert subscription["criteria"] == "ImagingStudy?status=available"
    assert "payload" not in subscription["channel"]
    assert subscription["channel"]["type"] == "rest-hook"


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": {}},
        {"headers": {"Authorization": "Bearer guessed"}},
        {"path": "x"},
    ],
    ids=["no header", "a wrong header", "a wrong path"],
)
def test_who_does_not_know_both_secrets_learns_nothing(
    service: Service, changes: dict[str, Any]
) -> None:
    subscription = service.subscribe()
    service.hospital.admit(1)

    answer = service.ehr.ring(subscription, **changes)

    assert answer.status_code == 404
    assert answer.json()["issue"][0]["diagnostics"] == "There is no such bell."
    assert service.hospital.asked() == []


def test_a_closed_door_hears_nothing(service: Service) -> None:
    subscription = service.subscribe()
    service.hospital.house.tenants.set_door("t-1", Door.SUBSCRIPTION, is_open=False)

    assert service.ehr.ring(subscription).status_code == 404


def test_an_ehr_that_rings_wildly_is_told_to_wait(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cds_service.wiring.intake.BELLS_PER_S", 0.001)
    subscription = service.subscribe()
    port = free_port()
    with listening(create_app(service.hospital.settings), port):
        channel = subscription["channel"]
        path = channel["endpoint"].removeprefix(service.hospital.settings.public_url)
        there = {
            **subscription,
            "channel": {**channel, "endpoint": f"http://127.0.0.1:{port}{path}"},
        }

        answers = [service.ehr.ring(there) for _ in range(2)]

    assert [one.status_code for one in answers] == [204, 429]
    [told] = service.hospital.house.audit.newest([AuditAction.CALL_REFUSED], since=LONG_AGO)
    assert (told.tenant_id, told.outcome) == ("t-1", "too-often")
    assert int(answers[1].headers["Retry-After"]) > 0


def test_bells_that_are_refused_are_audited_with_whose_they_are(service: Service) -> None:
    subscription = service.subscribe()
    service.ehr.ring(subscription, "x")
    service.ehr.ring(subscription, headers={"Authorization": "Bearer guessed"})
    service.hospital.house.tenants.set_door("t-1", Door.SUBSCRIPTION, is_open=False)
    service.ehr.ring(subscription)

    told = service.hospital.house.audit.newest([AuditAction.CALL_REFUSED], since=LONG_AGO)[::-1]

    assert [(one.tenant_id, one.outcome) for one in told] == [
        (None, "unknown-credential"),
        ("t-1", "unknown-credential"),
        ("t-1", "door-closed"),
    ]
    assert {(one.agent, one.detail) for one in told} == {("subscription", "127.0.0.1")}


def test_an_ehr_may_ring_before_it_has_answered(service: Service) -> None:
    statuses = []
    service.ehr.on_create = lambda sent: statuses.append(service.ehr.ring(sent).status_code)

    service.subscribe()

    assert statuses == [204]


def test_an_administrator_subscribes_once_the_door_is_open(service: Service) -> None:
    tenants, tenant = service.hospital.house.tenants, service.hospital.tenant

    opened = _subscribe_command(service)
    tenants.set_door(tenant.id, Door.SUBSCRIPTION, is_open=False)
    closed = _subscribe_command(service)

    assert opened.stdout.startswith("General Hospital: Subscription/sub-1 rings at http://127.0.")
    assert (closed.returncode, closed.stderr) == (
        2,
        "sightline: The door subscription is closed: "
        "sightline intake open --ehr NAME subscription\n",
    )
    assert list(service.ehr.kept) == ["sub-1"]


def _subscribe_command(service: Service) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "cds_service.cli",
            "intake",
            "subscribe",
            "--ehr",
            "General Hospital",
        ],
        env=environment(service.hospital.settings),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_new_subscription_takes_the_place_of_the_old_one(service: Service) -> None:
    old = service.subscribe()

    new = service.subscribe()

    assert list(service.ehr.kept.values()) == [new]
    assert service.ehr.ring(old).status_code == 404
    assert service.ehr.ring(new).status_code == 204


def test_a_refused_subscription_leaves_the_old_one_ringing(service: Service) -> None:
    old = service.subscribe()
    service.ehr.status = 403

    with pytest.raises(EhrRefused, match="does not let Sightline subscribe"):
        service.subscribe()

    assert service.ehr.ring(old).status_code == 204


@pytest.mark.parametrize("status", [400, 404, 405, 422])
def test_an_ehr_without_subscriptions_is_said_to_have_none(service: Service, status: int) -> None:
    service.ehr.status = status

    with pytest.raises(EhrAnswerInvalid, match=f"answered {status}.* perhaps it has none"):
        service.subscribe()


def test_the_secrets_stand_in_no_log_and_not_in_the_ledger(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    subscription = service.subscribe()
    channel = subscription["channel"]
    secrets = [channel["endpoint"].rpartition("/")[2], channel["header"][0].rpartition(" ")[2]]

    service.ehr.ring(subscription)
    service.ehr.ring(subscription, headers={"Authorization": "Bearer guessed"})

    bell = SqlIntakeBells(service.hospital.house.engine).of("t-1")
    assert bell is not None and bell.subscription_id == "sub-1"
    ours = [one.getMessage() for one in caplog.records if one.name.startswith("cds_service")]
    assert any("reason=wrong header" in line for line in ours)
    for secret in secrets:
        assert len(secret) >= 22
        assert secret not in repr(bell)
        assert not any(secret in line for line in ours)
