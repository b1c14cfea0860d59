"""Renewing the token: once, in time, and never with a refresh token that was used."""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
import redis
from werkzeug.test import TestResponse

from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrBusy
from cds_service.sandbox.client_assertion import OAuthRefusal
from cds_service.sandbox.parts import Sandbox
from tests.builders import a_result
from tests.web_app.conftest import LaunchOf, Refreshes
from tests.web_app.house import Browser, House, utc_now


@pytest.fixture
def page(browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf) -> str:
    house.keep(a_result())
    return browser.open(tenant.fhir_base, launch_of("p-1"))


def later(house: House, **by: float) -> None:
    """Move our clock on, and not the EHR's."""
    house.now = lambda: utc_now() + timedelta(**by)


def sessions(keyspace: redis.Redis) -> list[bytes]:
    return list(keyspace.scan_iter("sightline:app:session:*"))


def test_a_token_that_is_about_to_end_is_renewed_before_the_page_needs_it(
    browser: Browser, house: House, page: str, refreshes: Refreshes
) -> None:
    later(house, minutes=58)
    assert browser.get(page).status_code == 200 and refreshes.shown == []

    later(house, minutes=59, seconds=30)
    answer = browser.get(page)

    assert answer.status_code == 200 and "Finch" in answer.text
    assert len(refreshes.shown) == 1


@pytest.mark.requirement("@117")
def test_each_refresh_token_is_shown_once_and_its_successor_the_next_time(
    browser: Browser, house: House, page: str, refreshes: Refreshes
) -> None:
    for hours in (1, 2, 3):
        later(house, hours=hours)
        assert browser.get(page).status_code == 200

    assert len(refreshes.shown) == len(set(refreshes.shown)) == 3


def test_a_server_that_does_not_rotate_gets_the_same_token_again(
    browser: Browser, house: House, page: str, refreshes: Refreshes, sandbox: Sandbox
) -> None:
    refreshes.answers = {"refresh_token": None}
    later(house, hours=1)
    assert browser.get(page).status_code == 200

    later(house, hours=2)
    browser.get(page)

    assert len(refreshes.shown) == 2 and len(set(refreshes.shown)) == 1


def test_many_pages_at_once_make_one_refresh(
    browser: Browser, house: House, page: str, refreshes: Refreshes
) -> None:
    later(house, hours=1)
    cookies = _cookies(browser)
    together = threading.Barrier(6)

    def open_page(_: int) -> TestResponse:
        together.wait(timeout=60)
        return house.app.test_client(use_cookies=False).get(
            page, base_url="https://sightline.example.org", headers={"Cookie": cookies}
        )

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(open_page, range(6)))

    assert [answer.status_code for answer in answers] == [200] * 6
    assert len(refreshes.shown) == 1


@pytest.mark.parametrize(
    "failure", [OAuthRefusal("invalid_grant", "revoked"), OAuthRefusal("invalid_client", "?", 401)]
)
def test_a_refused_refresh_ends_the_session_for_good(
    browser: Browser,
    house: House,
    page: str,
    refreshes: Refreshes,
    keyspace: redis.Redis,
    failure: OAuthRefusal,
) -> None:
    refreshes.fails_with = failure
    later(house, hours=1)

    answer = browser.get(page)
    later(house)

    assert answer.status_code == 401 and "session has ended" in answer.text
    assert "revoked" not in answer.text and "Finch" not in answer.text
    assert browser.get(page).status_code == 401 and sessions(keyspace) == []
    assert len(refreshes.shown) == 1


def test_an_ehr_that_is_busy_costs_no_session(
    browser: Browser, house: House, page: str, refreshes: Refreshes
) -> None:
    refreshes.fails_with = OAuthRefusal("temporarily_unavailable", "later", 503)
    later(house, hours=1)
    assert browser.get(page).status_code == EhrBusy.http_status

    refreshes.fails_with = None

    assert browser.get(page).status_code == 200


def test_an_ehr_that_changes_the_patient_of_an_open_chart_ends_it(
    browser: Browser, house: House, page: str, refreshes: Refreshes
) -> None:
    refreshes.answers = {"patient": "p-2"}
    later(house, hours=1)

    answer = browser.get(page)

    assert answer.status_code == 401 and "Sparrow" not in answer.text


@pytest.mark.requirement("@147")
def test_a_narrower_scope_after_a_refresh_is_what_counts(
    browser: Browser, house: House, page: str, refreshes: Refreshes
) -> None:
    refreshes.answers = {"scope": "launch openid patient/ImagingStudy.rs"}
    later(house, hours=1)

    answer = browser.get(page)

    assert answer.status_code == 200 and "Patient details not available" in answer.text


def test_a_copied_address_refreshes_nothing(house: House, page: str, refreshes: Refreshes) -> None:
    later(house, hours=1)

    assert house.browser().get(page).status_code == 401
    assert refreshes.shown == []


def test_nobody_stays_longer_than_a_shift(
    browser: Browser, house: House, page: str, refreshes: Refreshes
) -> None:
    later(house, hours=8, seconds=1)

    assert browser.get(page).status_code == 401 and refreshes.shown == []


def test_without_a_refresh_token_the_session_ends_with_the_token(
    browser: Browser,
    house: House,
    tenant: Tenant,
    launch_of: LaunchOf,
    keyspace: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with capabilities(monkeypatch, "launch-ehr", "permission-v2"):
        page = browser.open(tenant.fhir_base, launch_of())
    (session,) = sessions(keyspace)
    assert 0 < keyspace.ttl(session) <= 3600

    later(house, hours=1, seconds=1)

    assert browser.get(page).status_code == 401


def test_whoever_is_away_for_long_signs_in_again(page: str, keyspace: redis.Redis) -> None:
    (session,) = sessions(keyspace)

    assert 3600 < keyspace.ttl(session) <= 3600 + 900


@contextmanager
def capabilities(patch: pytest.MonkeyPatch, *names: str) -> Iterator[None]:
    with patch.context() as inner:
        inner.setattr("cds_service.sandbox.smart_configuration.CAPABILITIES", names)
        yield


def _cookies(browser: Browser) -> str:
    jar = browser.client._cookies or {}
    pairs = [f"{cookie.key}={cookie.value}" for cookie in jar.values()]
    assert pairs and all(re.fullmatch(r"__Host-sightline-\S+=\S*", pair) for pair in pairs)
    return "; ".join(pairs)
