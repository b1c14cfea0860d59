"""A token that the EHR does not take any more: renewed once, or the session is over."""

import re
from html import unescape
from typing import Any

import pytest
import redis

from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrRefused, EhrTimedOut, EhrTokenRefused, SightlineError
from cds_service.sandbox.parts import Sandbox
from cds_service.usecases.ports import EhrRecord, Resource
from tests.web_app.conftest import LaunchOf, Refreshes
from tests.web_app.house import Browser, House, a_seen_result
from tests.web_app.test_refresh import capabilities, later, sessions

CODE = "233604007"


class Revoking:
    """An EHR that has taken back some tokens."""

    def __init__(self, record: EhrRecord) -> None:
        self._record = record
        self.revoked: set[str] = set()
        self.takes_none = False
        self.error: SightlineError | None = None
        self.seen: list[str] = []

    def read(self, tenant: Tenant, path: str, **options: Any) -> Resource:
        token = options["authorization"].access_token
        self.seen.append(token)
        if self.error is not None:
            raise self.error
        if self.takes_none or token in self.revoked:
            raise EhrTokenRefused("The EHR answered 401 to a read.")
        return self._record.read(tenant, path, **options)

    def revoke(self) -> None:
        """Take back every token that was ever shown."""
        self.revoked |= set(self.seen)


@pytest.fixture
def ehr(house: House) -> Revoking:
    house.keep(a_seen_result(house.instance))
    revoking = Revoking(house.ehr)
    house.swap(ehr=revoking)
    return revoking


@pytest.fixture
def page(browser: Browser, tenant: Tenant, launch_of: LaunchOf, ehr: Revoking) -> str:
    address = browser.open(tenant.fhir_base, launch_of("p-1"))
    assert browser.get(address).status_code == 200
    return address


def agree(browser: Browser, shown: str) -> int:
    """Agree by the form of a page that was shown before."""
    action, token = (
        re.search(r'action="([^"]+/review)"', shown),
        re.search(r'name="csrf_token" value="([^"]+)"', shown),
    )
    assert action and token
    form = {"csrf_token": token.group(1), "verdict": "agree"}
    return browser.post(unescape(action.group(1)), **form).status_code


def test_a_token_that_was_taken_back_is_renewed_once_for_everybody(
    browser: Browser, page: str, ehr: Revoking, refreshes: Refreshes
) -> None:
    ehr.revoke()

    answer, again = browser.get(page), browser.get(page)

    assert (answer.status_code, again.status_code) == (200, 200) and "Finch" in answer.text
    assert len(refreshes.shown) == 1


def test_a_sign_in_that_was_taken_back_shows_nothing_and_reviews_nothing(
    browser: Browser, house: House, page: str, ehr: Revoking, keyspace: redis.Redis
) -> None:
    shown = browser.get(page).text
    ehr.takes_none = True

    assert agree(browser, shown) == 401 and house.reviews.all == []

    ended = browser.get(page)
    assert ended.status_code == 401 and "session has ended" in ended.text
    assert "Finch" not in ended.text and "pneumonia" not in ended.text
    assert browser.get(f"{page}r/r-1/{CODE}/picture").status_code == 401
    assert sessions(keyspace) == []


def test_without_a_refresh_token_a_refused_token_ends_the_session(
    browser: Browser,
    tenant: Tenant,
    launch_of: LaunchOf,
    ehr: Revoking,
    refreshes: Refreshes,
    monkeypatch: pytest.MonkeyPatch,
    keyspace: redis.Redis,
) -> None:
    with capabilities(monkeypatch, "launch-ehr", "permission-v2"):
        page = browser.open(tenant.fhir_base, launch_of())
    ehr.takes_none = True

    assert browser.get(page).status_code == 401
    assert sessions(keyspace) == [] and refreshes.shown == []


@pytest.mark.parametrize(
    "error", [EhrRefused("The EHR answered 403 to a read."), EhrTimedOut("No answer in time.")]
)
def test_an_ehr_that_refuses_one_thing_or_is_away_costs_no_session(
    browser: Browser,
    house: House,
    page: str,
    ehr: Revoking,
    refreshes: Refreshes,
    error: SightlineError,
) -> None:
    shown = browser.get(page).text
    ehr.error = error

    answer = browser.get(page)

    assert answer.status_code == 200 and "Patient details not available" in answer.text
    assert agree(browser, shown) == 303 and len(house.reviews.all) == 1
    assert refreshes.shown == []


def test_a_page_without_a_banner_asks_the_ehr_too(
    browser: Browser,
    house: House,
    tenant: Tenant,
    launch_of: LaunchOf,
    ehr: Revoking,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token = sandbox.authorization.token
    without = {"need_patient_banner": False}
    monkeypatch.setattr(sandbox.authorization, "token", lambda *form: token(*form) | without)
    page = browser.open(tenant.fhir_base, launch_of(study=house.results.all[0].study_uid))
    assert "Finch" not in browser.get(page).text
    ehr.takes_none = True

    assert browser.get(page).status_code == 401


# --- nobody is there ----------------------------------------------------------------------------


def polls(page: str) -> list[str]:
    return [f"{page}status", f"{page}r/r-1/{CODE}/review/panel"]


def test_a_page_that_only_polls_keeps_no_sign_in_alive(
    browser: Browser, house: House, page: str, refreshes: Refreshes
) -> None:
    later(house, minutes=61)

    answers = [browser.get(address).status_code for address in polls(page)]

    assert answers == [200, 200] and refreshes.shown == []
    assert browser.get(page).status_code == 200 and len(refreshes.shown) == 1


def test_a_page_that_only_polls_ends_with_its_shift(
    browser: Browser, house: House, page: str
) -> None:
    later(house, hours=8, seconds=1)

    assert [browser.get(address).status_code for address in polls(page)] == [401, 401]


def test_a_page_that_only_polls_ends_with_its_token_where_none_is_renewed(
    browser: Browser,
    house: House,
    tenant: Tenant,
    launch_of: LaunchOf,
    ehr: Revoking,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with capabilities(monkeypatch, "launch-ehr", "permission-v2"):
        page = browser.open(tenant.fhir_base, launch_of())
    later(house, minutes=61)

    assert [browser.get(address).status_code for address in polls(page)] == [401, 401]
