"""T18: an EHR gone wild is told when to come back, and another one does not notice."""

from dataclasses import replace
from typing import Any

import pytest

from cds_service.errors import TooManyCalls
from cds_service.web import rate_limit
from cds_service.web.rate_limit import BURST_S, RateLimit
from cds_service.web.services import EXTENSION
from tests.builders import a_tenant
from tests.web.conftest import FrontDoor
from tests.web.ehr_client import AnEhr, a_hook_body


class Timer:
    """A clock that a test moves."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def taken(limit: RateLimit, tenant_id: str = "t-1", calls: int = 1000) -> int:
    """How many of so many calls at one moment are let through."""
    done = 0
    for _ in range(calls):
        try:
            limit.take(a_tenant(id=tenant_id))
        except TooManyCalls:
            return done
        done += 1
    return done


def test_a_burst_goes_through_and_then_so_many_a_second() -> None:
    timer = Timer()
    limit = RateLimit(10, timer)

    assert taken(limit) == 10 * BURST_S
    timer.now_s += 0.5
    assert taken(limit) == 5
    timer.now_s += 3600
    assert taken(limit) == 10 * BURST_S


def test_each_ehr_has_a_bucket_of_its_own() -> None:
    limit = RateLimit(10, Timer())

    taken(limit, "t-1")

    assert taken(limit, "t-2") == 10 * BURST_S


def test_addresses_that_come_once_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "BUCKETS", 100)
    timer = Timer()
    limit = RateLimit(10, timer)

    for number in range(1000):
        limit.take_from(f"10.0.0.{number}")
        timer.now_s += 1

    assert len(limit._buckets) <= 100


@pytest.mark.parametrize(("rate", "seconds"), [(10, 1), (0.25, 4), (0.3, 4)])
def test_who_waits_as_long_as_was_said_gets_in(rate: float, seconds: int) -> None:
    timer = Timer()
    limit = RateLimit(rate, timer)
    taken(limit)

    with pytest.raises(TooManyCalls) as refusal:
        limit.take(a_tenant())
    timer.now_s += refusal.value.retry_after_s
    limit.take(a_tenant())

    assert refusal.value.retry_after_s == seconds


@pytest.fixture
def narrow_door(door: FrontDoor) -> FrontDoor:
    """A door that lets one call in, and then none."""
    services = door.app.extensions[EXTENSION]
    trust = replace(services.client_trust, limit=RateLimit(0.5, Timer()))
    door.app.extensions[EXTENSION] = replace(services, client_trust=trust)
    return door


def call(door: FrontDoor, ehr: AnEhr, **changes: Any) -> Any:
    return door.post(headers={"Authorization": f"Bearer {ehr.token(**changes)}"})


def test_a_call_too_many_is_429_with_the_seconds_to_wait(
    narrow_door: FrontDoor, caplog: pytest.LogCaptureFixture
) -> None:
    assert call(narrow_door, narrow_door.ehr).status_code == 200

    answer = call(narrow_door, narrow_door.ehr)

    assert answer.status_code == 429 and answer.headers["Retry-After"] == "2"
    assert answer.json["issue"][0]["code"] == "throttled"
    assert "too many calls: ehr='General Hospital'" in caplog.text


def test_a_refused_call_uses_up_no_jti(narrow_door: FrontDoor) -> None:
    call(narrow_door, narrow_door.ehr)
    call(narrow_door, narrow_door.ehr, jti="j-1")

    assert narrow_door.replays.use_once("https://ehr.example.org", "j-1", narrow_door.house.clock())


def test_forged_tokens_of_an_ehr_do_not_empty_its_bucket(narrow_door: FrontDoor) -> None:
    for _ in range(5):
        assert call(narrow_door, AnEhr()).status_code == 401

    assert call(narrow_door, narrow_door.ehr).status_code == 200


def test_another_ehr_is_answered_as_before(narrow_door: FrontDoor) -> None:
    other = AnEhr()
    narrow_door.tenants.add(
        other.tenant(
            id="t-2", name="B", fhir_base="http://127.0.0.1:9/b", hook_issuer="https://b.example"
        )
    )
    call(narrow_door, narrow_door.ehr)

    token = other.token(iss="https://b.example")
    body = a_hook_body(fhirServer="http://127.0.0.1:9/b")
    answer = narrow_door.post(body, headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 200
