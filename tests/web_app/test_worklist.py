"""The worklist: what one user's own token can read, in order, and nothing of anything else."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import redis
import requests

from cds_service.domain.audit import AuditAction
from cds_service.domain.finding import Result
from cds_service.domain.review import Review, Verdict
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrRefused, EhrTimedOut, EhrTokenRefused, SightlineError
from cds_service.sandbox.parts import Sandbox
from cds_service.usecases import read_worklist
from cds_service.usecases.ports import EhrRecord, Resource
from smart_app import readable
from tests.builders import a_finding, a_patient, a_result, a_study, an_analysis, not_analysed
from tests.fakes.ledger import FakeClock
from tests.web_app.house import (
    PUBLIC_URL,
    Browser,
    House,
    a_fhir_patient,
    a_fhir_study,
    a_seen_result,
    query_of,
)

CODE = "233604007"


def person(number: int) -> str:
    return f"w-{number}"


def family(number: int) -> str:
    """A name of letters alone, so that a page can be searched for it."""
    return "Wren" + "".join(chr(ord("a") + int(digit)) for digit in f"{number:02d}")


@pytest.fixture(autouse=True, scope="module")
def people(sandbox: Sandbox) -> None:
    """Fifty people with a study each in the record: w-0 to w-49."""
    for number in range(50):
        sandbox.fhir.update(a_fhir_patient(person(number), family(number)))
        sandbox.fhir.update(a_fhir_study(f"ws-{number}", person(number), uid(number)))


def uid(number: int) -> str:
    return f"1.2.840.99999.7.{number + 1}"


def a_row(number: int, *, hours: float = 1, **changes: Any) -> Result:
    """A result about w-<number>, computed so many hours ago."""
    finding = {"present": True} | changes.pop("finding", {})
    now = datetime.now(UTC)
    values = {
        "id": f"wr-{number}",
        "key": f"wk-{number}",
        "patient_id": person(number),
        "study_uid": uid(number),
        "imaging_study_id": f"ws-{number}",
        "study_started": now - timedelta(hours=hours, minutes=30),
        "computed_at": now - timedelta(hours=hours),
        "analysis": an_analysis(findings=(a_finding(**finding),)),
    }
    return a_result(**(values | changes))


@dataclass
class Opened:
    """A worklist that is open in one browser."""

    house: House
    browser: Browser
    address: str

    def page(self, query: str = "") -> str:
        answer = self.browser.get(f"{self.address}{query}")
        assert answer.status_code == 200, answer.text
        return unescape(answer.text)

    def names(self, query: str = "") -> list[str]:
        """Return the families on the page, from the top."""
        return re.findall(r"<h2><a href=\"[^\"]+\"><bdi>(\w+), Ada May</bdi></a>", self.page(query))

    def chart(self, family_name: str, query: str = "") -> str:
        """Return the address that a row opens."""
        found = re.search(rf'<h2><a href="([^"]+)"><bdi>{family_name}, ', self.page(query))
        assert found, family_name
        return found.group(1)


Open = Callable[..., Opened]


@pytest.fixture
def sign_in(house: House, tenant: Tenant, sandbox: Sandbox) -> Open:
    """Open the worklist as a user of the EHR."""

    def opened(user: str = "Practitioner/clinician", browser: Browser | None = None) -> Opened:
        browser = browser or house.browser()
        answer = browser.get(to_callback(browser, tenant, sandbox, user))
        assert answer.status_code == 303, answer.text
        return Opened(house, browser, answer.location)

    return opened


def to_callback(browser: Browser, tenant: Tenant, sandbox: Sandbox, user: str) -> str:
    request = browser.handed_over({"iss": tenant.fhir_base, "kind": "user"})
    login = sandbox.authorization.new_launch(None, user)
    form = {key: values[0] for key, values in parse_qs(urlsplit(request).query).items()}
    answer = requests.post(
        request.partition("?")[0],
        data={**form, "login": login},
        allow_redirects=False,
        timeout=60,
    )
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


class Refusing:
    """An EHR that does not let this user read some resources, in one of the ways that EHRs have.

    `leaves_out` as the FHIR standard has it; otherwise it refuses the whole search, as HAPI does.
    """

    def __init__(self, record: EhrRecord, *hidden: str, leaves_out: bool) -> None:
        self._record, self._hidden, self._leaves_out = record, set(hidden), leaves_out
        self.asked: list[str] = []  # its searches

    def read(self, tenant: Tenant, path: str, **options: Any) -> Resource:
        kind, _, query = path.partition("?")
        if query:
            self.asked.append(path)
        ids = parse_qs(query).get("_id", [""])[0].split(",") if query else []
        single = [path] if not query else [f"{kind}/{one}" for one in ids]
        if not self._leaves_out or not query:
            if self._hidden & set(single):
                raise EhrRefused("The EHR answered 403 to a read.")
            return self._record.read(tenant, path, **options)
        bundle = dict(self._record.read(tenant, path, **options))
        bundle["entry"] = [
            entry
            for entry in bundle["entry"]
            if f"{kind}/{entry['resource']['id']}" not in self._hidden
        ]
        return bundle


class Failing:
    """An EHR that has an error for every search."""

    def __init__(self, error: SightlineError) -> None:
        self._error = error

    def read(self, tenant: Tenant, path: str, **options: Any) -> Resource:
        raise self._error


class Slow:
    """An EHR whose every answer takes so many seconds."""

    def __init__(self, record: EhrRecord, clock: FakeClock, seconds: float) -> None:
        self._record, self._clock, self._seconds = record, clock, seconds
        self.reads = 0

    def read(self, tenant: Tenant, path: str, **options: Any) -> Resource:
        self.reads += 1
        self._clock.advance(self._seconds)
        return self._record.read(tenant, path, **options)


@pytest.mark.requirement("@93")
def test_the_worklist_shows_the_studies_that_the_user_can_read(house: House, sign_in: Open) -> None:
    house.keep(a_row(0), a_row(1, finding={"present": False}))

    page = sign_in().page()

    assert "Wrenaa, Ada May" in page and "signs of pneumonia" in page
    assert "Wrenab, Ada May" in page and "Images to result" in page and "30 min" in page


@pytest.mark.parametrize("hidden", ["Patient/w-1", "ImagingStudy/ws-1"])
@pytest.mark.parametrize("leaves_out", [True, False], ids=["left-out", "search-refused"])
def test_a_row_whose_patient_or_study_the_token_cannot_read_leaves_no_trace(
    house: House, sign_in: Open, hidden: str, leaves_out: bool
) -> None:
    house.keep(a_row(0), a_row(2))
    house.swap(ehr=Refusing(house.ehr, hidden, leaves_out=leaves_out))
    without = sign_in()
    names_without, page_without = without.names(), without.page()

    house.keep(a_row(1, finding={"critical": True}))
    with_it = sign_in()

    assert with_it.names() == names_without == ["Wrenaa", "Wrenac"]
    assert same_but_for_the_session(with_it.page(), with_it, page_without, without)
    assert "w-1" not in with_it.page() and "wr-1" not in with_it.page()


def same_but_for_the_session(page: str, mine: Opened, other: str, others: Opened) -> bool:
    """Compare two pages without what differs between any two sessions."""

    def plain(text: str, opened: Opened) -> str:
        return re.sub(r"as of [^<]+", "", text.replace(opened.address.split("/")[3], "session"))

    return plain(page, mine) == plain(other, others)


def test_hidden_studies_do_not_make_a_further_page(
    house: House, sign_in: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_worklist, "PAGE_ROWS", 2)
    house.keep(*(a_row(number) for number in range(5)))
    hidden = [f"Patient/{person(number)}" for number in (0, 1, 3)]
    house.swap(ehr=Refusing(house.ehr, *hidden, leaves_out=True))
    opened = sign_in()

    assert opened.names() == ["Wrenac", "Wrenae"]
    assert "Next" not in opened.page() and "Page 1" not in opened.page()
    assert opened.names("?page=2") == [] and "No more studies" in opened.page("?page=2")


def test_a_study_that_the_record_states_of_another_patient_is_not_shown(
    house: House, sign_in: Open
) -> None:
    house.keep(a_row(0, patient_id="w-1"), a_row(2, study_uid="1.2.3.4"), a_row(3))

    assert sign_in().names() == ["Wrenad"]


def test_a_study_that_the_ledger_cannot_name_at_the_ehr_is_not_shown(
    house: House, sign_in: Open
) -> None:
    house.keep(a_row(0, imaging_study_id=None), a_row(1))

    assert sign_in().names() == ["Wrenab"]


def test_another_tenant_s_studies_are_never_shown_nor_asked_about(
    house: House, sign_in: Open
) -> None:
    house.keep(a_row(0, tenant_id="t-2"), a_row(1))
    asked = Refusing(house.ehr, leaves_out=True)
    house.swap(ehr=asked)
    opened = sign_in()

    assert opened.names() == ["Wrenab"]
    foreign = opened.address.replace("/worklist", "~rwr-0/")
    assert opened.browser.get(foreign).status_code == 404
    assert not any("ws-0" in path or "w-0" in path for path in asked.asked)


@pytest.mark.parametrize("user", ["Patient/p-1", "RelatedPerson/r-1", "Person/1"])
def test_only_a_clinician_opens_the_app(
    house: House, tenant: Tenant, sandbox: Sandbox, keyspace: redis.Redis, user: str
) -> None:
    house.keep(a_row(0))
    browser = house.browser()

    answer = browser.get(to_callback(browser, tenant, sandbox, user))

    assert answer.status_code == 403 and "does not open for you" in answer.text
    assert not [key for key in keyspace.scan_iter() if b"session" in key]


def test_a_site_that_admits_other_users_gets_them(
    house: House, tenant: Tenant, sign_in: Open
) -> None:
    house.keep(a_row(0))
    house.tenants.remove(tenant.id)
    house.tenants.add(replace(tenant, app_users=("Patient",)))

    assert sign_in("Patient/p-1").names() == ["Wrenaa"]


def test_a_rule_that_changes_ends_what_is_open(house: House, tenant: Tenant, sign_in: Open) -> None:
    opened = sign_in()
    house.tenants.remove(tenant.id)
    house.tenants.add(replace(tenant, app_users=("PractitionerRole",)))

    assert opened.browser.get(opened.address).status_code == 403


def test_studies_come_by_urgency_then_age_then_waiting(house: House, sign_in: Open) -> None:
    old = datetime.now(UTC) - timedelta(days=3)
    house.dispatch(
        a_study(study_uid=uid(4), patient_id=person(4), imaging_study_id="ws-4"), a_patient()
    )
    house.keep(
        a_row(0, finding={"present": False}),
        a_row(1, analysis=not_analysed("age", "made for children")),
        a_row(2, finding={"present": None}),
        a_row(3),
        a_row(5, hours=2),
        a_row(6, finding={"critical": True}),
        a_row(7, hours=1, study_started=old),
        a_row(8, hours=3, study_started=old),
    )

    wanted = [6, 8, 7, 5, 3, 2, 4, 1, 0]
    assert sign_in().names() == [family(number) for number in wanted]


def test_a_critical_finding_past_the_limit_is_called_overdue(
    house: House, tenant: Tenant, sign_in: Open
) -> None:
    house.tenants.remove(tenant.id)
    house.tenants.add(replace(tenant, critical_limit_min=90))
    house.keep(
        a_row(0, hours=1, finding={"critical": True}),
        a_row(1, hours=2, finding={"critical": True}),
        a_row(2, hours=2),
    )

    page = sign_in().page()

    assert page.count("data-overdue") == 1 and "Overdue." in page
    assert "Not acknowledged for 2 h; the limit is 90 min" in page
    assert page.index("Wrenab") < page.index("Wrenaa")


def test_an_acknowledged_finding_is_not_overdue_and_says_how_long_it_took(
    house: House, sign_in: Open
) -> None:
    result = a_row(0, hours=5, finding={"critical": True})
    house.keep(result, a_row(1))
    at = result.computed_at + timedelta(hours=2)
    house.reviews.record(
        Review("t-1", result.id, CODE, Verdict.AGREE, "Practitioner/2", at), to_chart=False
    )
    opened = sign_in()

    page = opened.page()

    assert "data-overdue" not in page
    assert "<dt>Images to acknowledgement</dt><dd>2 h</dd>" in page
    assert opened.names("?unacknowledged=1") == ["Wrenab"]


def test_an_acknowledgement_that_was_taken_back_counts_no_more(house: House, sign_in: Open) -> None:
    result = a_row(0, hours=5, finding={"critical": True})
    house.keep(result)
    for minutes, verdict in ((1, Verdict.AGREE), (2, Verdict.WITHDRAWN)):
        at = result.computed_at + timedelta(minutes=minutes)
        said = Review("t-1", result.id, CODE, verdict, "Practitioner/2", at)
        house.reviews.record(said, to_chart=False)

    assert "data-overdue" in sign_in().page()


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("?state=negative", [0]),
        ("?state=positive", [3]),
        ("?state=running", [4]),
        (f"?finding={CODE}", [3, 2]),
        ("?finding=other", []),
        ("?modality=DX", [4]),
        ("?modality=CT", []),
        ("?unacknowledged=1", [3, 2]),
        ("?from=2199-01-01", []),
        ("?to=1999-01-01", []),
        ("?from=nonsense&state=nonsense&page=-1", [3, 2, 4, 0]),
    ],
)
def test_filters_stand_in_the_address(
    house: House, sign_in: Open, query: str, numbers: list[int]
) -> None:
    house.dispatch(
        a_study(study_uid=uid(4), patient_id=person(4), imaging_study_id="ws-4"), a_patient()
    )
    house.keep(a_row(0, finding={"present": False}), a_row(2, finding={"present": None}), a_row(3))
    opened = sign_in()

    assert opened.names(query) == [family(number) for number in numbers]
    if not numbers:
        assert "No study fits this filter" in opened.page(query)


def test_an_earlier_day_that_is_asked_for_is_looked_at(house: House, sign_in: Open) -> None:
    house.keep(a_row(0, hours=24 * 40))
    opened = sign_in()

    earlier = (datetime.now(UTC) - timedelta(days=60)).date()

    assert opened.names() == [] and opened.names(f"?from={earlier}") == ["Wrenaa"]


def test_the_last_day_alone_looks_back_from_itself(house: House, sign_in: Open) -> None:
    house.keep(a_row(0, hours=24 * 40), a_row(1), a_row(2, hours=24 * 80))

    last = (datetime.now(UTC) - timedelta(days=38)).date()

    assert sign_in().names(f"?to={last}") == ["Wrenaa"]


def test_a_past_range_is_not_cut_by_what_is_newer(
    house: House, sign_in: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_worklist, "BATCH", 3)
    monkeypatch.setattr(read_worklist, "BATCHES", 1)
    house.keep(a_row(0, hours=24 * 40), *(a_row(number) for number in range(1, 9)))

    first = (datetime.now(UTC) - timedelta(days=45)).date()
    page = sign_in().page(f"?from={first}&to={first + timedelta(days=10)}")

    assert "Wrenaa, Ada May" in page and "Not all studies could be looked at" not in page


@pytest.mark.parametrize("day", ["0001-01-01", "1899-12-31", "99999-01-01", "2026-13-01"])
def test_a_day_that_no_image_is_of_is_not_asked_for(house: House, sign_in: Open, day: str) -> None:
    house.keep(a_row(0))

    assert sign_in().names(f"?from={day}&to={day}") == ["Wrenaa"]


def test_a_critical_finding_is_shown_however_many_newer_studies_the_user_cannot_read(
    house: House, sign_in: Open
) -> None:
    unread = [
        a_row(100 + number, hours=1 + number / 1000, patient_id="w-0") for number in range(520)
    ]
    house.keep(a_row(1, hours=30, finding={"critical": True}), a_row(2, hours=31), *unread)
    asked = Refusing(house.ehr, leaves_out=True)
    house.swap(ehr=asked)
    opened = sign_in()

    page = opened.page()

    assert opened.names() == ["Wrenab", "Wrenac"]
    assert page.count("data-overdue") == 1 and "Not all studies could be looked at" not in page
    assert re.search(r"ws-1\b", asked.asked[0]), "what is critical is asked about first"


def test_an_acknowledged_critical_finding_is_no_alarm(
    house: House, sign_in: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands in its own batch: as urgent as any, and no more than once on the page."""
    monkeypatch.setattr(read_worklist, "BATCH", 2)
    done = a_row(1, hours=30, finding={"critical": True})
    house.keep(done, a_row(2, hours=1), a_row(3, hours=2))
    said = Review("t-1", done.id, CODE, Verdict.AGREE, "Practitioner/2", datetime.now(UTC))
    house.reviews.record(said, to_chart=False)

    assert sign_in().names() == ["Wrenad", "Wrenac", "Wrenab"]


def test_a_page_that_could_not_look_at_everything_says_so_and_never_nothing(
    house: House, sign_in: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_worklist, "BATCH", 2)
    monkeypatch.setattr(read_worklist, "BATCHES", 2)
    house.keep(*(a_row(number, hours=1 + number) for number in range(6)))
    house.swap(ehr=Refusing(house.ehr, *(f"Patient/w-{one}" for one in range(4)), leaves_out=True))

    page = sign_in().page()

    assert "Not all studies could be looked at" in page and "Nothing on your worklist" not in page


def test_an_ehr_that_takes_too_long_is_asked_no_further_and_the_page_says_so(
    house: House, sign_in: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_worklist, "CHUNK", 1)
    clock = FakeClock(datetime.now(UTC))
    house.now = clock
    house.keep(*(a_row(number) for number in range(6)))
    opened = sign_in()
    slow = Slow(house.ehr, clock, read_worklist.READ_S / 2)
    house.swap(ehr=slow)

    page = opened.page()

    assert slow.reads == 4 and "Wrenaa" in page and "Wrenac" not in page
    assert "Not all studies could be looked at" in page


def test_pages_are_turned_and_keep_what_is_chosen(house: House, sign_in: Open) -> None:
    house.keep(*(a_row(number, hours=1 + number / 10) for number in range(45)))
    opened = sign_in()
    pages = [opened.names(f"?state=positive&page={number}") for number in (1, 2, 3, 4)]

    assert [len(names) for names in pages] == [20, 20, 5, 0]
    assert len({name for names in pages for name in names}) == 45
    assert "state=positive&page=3" in opened.page("?state=positive&page=2")
    assert 'rel="next"' not in opened.page("?state=positive&page=3")


def test_the_ehr_is_asked_in_batches_and_once_in_a_minute(house: House, sign_in: Open) -> None:
    clock = FakeClock(datetime.now(UTC))
    house.now = clock
    house.keep(*(a_row(number) for number in range(45)))
    asked = Refusing(house.ehr, leaves_out=True)
    house.swap(ehr=asked)
    opened = sign_in()

    opened.page()
    first = list(asked.asked)
    opened.page()
    clock.advance(readable.KEPT_S - 1)
    opened.page()
    kept = list(asked.asked)
    clock.advance(1)
    opened.page()

    assert [path.partition("?")[0] for path in first] == ["ImagingStudy", "Patient"]
    assert all(path.count(",") == 39 for path in first)
    assert kept == first and len(asked.asked) == 2 * len(first)


def test_an_ehr_that_refuses_everything_is_not_asked_without_end(
    house: House, sign_in: Open
) -> None:
    house.keep(*(a_row(number) for number in range(50)))
    hidden = [f"ImagingStudy/ws-{number}" for number in range(50)]
    refusing = Refusing(house.ehr, *hidden, leaves_out=False)
    house.swap(ehr=refusing)
    page = sign_in().page()

    assert "Wren" not in page and "Not all studies could be looked at" in page
    assert len(refusing.asked) == readable.REFUSALS


def test_what_was_not_asked_about_is_not_taken_for_refused(
    house: House, sign_in: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readable, "REFUSALS", 8)
    house.keep(*(a_row(number, hours=9 - number) for number in range(8)))
    hidden = [f"ImagingStudy/ws-{number}" for number in range(7)]
    house.swap(ehr=Refusing(house.ehr, *hidden, leaves_out=False))
    opened = sign_in()

    assert "Not all studies could be looked at" in opened.page()
    assert opened.names() == ["Wrenah"]


@pytest.mark.requirement("@8", "@9")
def test_what_is_kept_of_the_answers_is_sealed_and_ends_within_a_minute(
    house: House, sign_in: Open, keyspace: redis.Redis
) -> None:
    house.keep(a_row(0))
    sign_in().page()

    [key] = [key for key in keyspace.scan_iter() if b":readable:" in key]

    assert 0 < keyspace.ttl(key) <= 60
    kept = keyspace.get(key)
    assert isinstance(kept, bytes) and b"Wrenaa" not in kept and b"w-0" not in kept


def test_one_session_s_answers_are_not_another_s(house: House, sign_in: Open) -> None:
    house.keep(a_row(0))
    first = sign_in()
    assert first.names() == ["Wrenaa"]
    house.swap(ehr=Refusing(house.ehr, "Patient/w-0", leaves_out=True))

    assert sign_in("Practitioner/other").names() == []
    assert first.names() == ["Wrenaa"]


def test_a_row_opens_that_study_of_that_patient(house: House, sign_in: Open) -> None:
    house.keep(a_row(0), a_row(1, finding={"present": False}))
    opened = sign_in()

    page = unescape(opened.browser.get(opened.chart("Wrenab")).text)

    assert "Wrenab, Ada May" in page and "no signs of pneumonia" in page
    assert "Wrenaa" not in page and "Back to the worklist" in page


def test_the_way_back_keeps_filter_and_page(
    house: House, sign_in: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_worklist, "PAGE_ROWS", 1)
    house.keep(a_row(0, hours=3), a_row(1, hours=2), a_row(2, finding={"present": False}))
    opened = sign_in()
    day = (datetime.now(UTC) - timedelta(days=9)).date()
    chart = opened.chart("Wrenab", f"?state=positive&from={day}&page=2")

    opened.browser.get(f"{chart}?beside=none")
    back = re.search(r'class="back"><a href="([^"]+)"', opened.browser.get(chart).text)

    assert back
    chosen = query_of(unescape(back.group(1)))
    assert chosen == {"state": "positive", "from": str(day), "page": "2"}
    assert "Wrenab" in opened.browser.get(unescape(back.group(1))).text


def test_images_that_may_be_somebody_else_s_are_no_harmless_row(
    house: House, sign_in: Open
) -> None:
    house.keep(
        a_row(0, analysis=not_analysed("patient-mismatch", "the images could not be matched")),
        a_row(1, analysis=not_analysed("age", "made for children")),
    )
    page = sign_in().page()

    rows = re.findall(r'<li data-level="(\w+)".*?<bdi>(\w+), ', page, re.DOTALL)
    assert set(rows) == {("warning", "Wrenaa"), ("excluded", "Wrenab")}


def test_an_ended_worklist_speaks_of_no_chart(house: House, sign_in: Open) -> None:
    opened = sign_in()

    ended = house.browser().get(opened.address)

    assert ended.status_code == 401 and "session has ended" in ended.text
    assert "from where you opened it" in ended.text and "chart" not in ended.text


def test_what_the_ehr_says_of_a_study_stands_apart_from_the_page_s_own_direction(
    house: House, sign_in: Open
) -> None:
    house.keep(a_row(0, study_started=datetime(2026, 1, 2, 8, 30, tzinfo=UTC)))

    page = sign_in().page("?from=2026-01-01&language=ar")

    assert "<bdi>Chest X-ray</bdi>" in page and '<time datetime="2026-01-02">' in page


def test_a_row_without_a_result_opens_its_job(house: House, sign_in: Open) -> None:
    house.dispatch(
        a_study(study_uid=uid(4), patient_id=person(4), imaging_study_id="ws-4"), a_patient()
    )
    opened = sign_in()

    page = opened.browser.get(opened.chart("Wrenae")).text

    assert "Analysis queued" in page and "Wrenae, Ada May" in page


def test_no_address_of_the_worklist_holds_patient_data(house: House, sign_in: Open) -> None:
    house.keep(a_row(0))
    opened = sign_in()

    links = re.findall(r'(?:href|action)="([^"]+)"', opened.page())

    assert links and not any(
        word in link for link in links for word in ("w-0", "ws-0", "Wren", uid(0), "2022-06-01")
    )


def test_two_charts_of_one_session_open_side_by_side(house: House, sign_in: Open) -> None:
    house.keep(a_row(0), a_row(1))
    opened = sign_in()
    one, other = opened.chart("Wrenaa"), opened.chart("Wrenab")

    opened.browser.get(one)
    opened.browser.get(other)
    again = opened.browser.get(one).text

    assert "Wrenaa, Ada May" in again and "Wrenab" not in again


def test_a_chart_serves_nothing_of_another_patient(house: House, sign_in: Open) -> None:
    house.keep(a_row(0), a_row(1))
    opened = sign_in()
    chart = opened.chart("Wrenaa")

    for path in (
        "?result=wr-1",
        f"r/wr-1/{CODE}/picture",
        "r/wr-1/images",
        f"r/wr-1/{CODE}/review/panel",
        "?beside=wr-1",
    ):
        refused = opened.browser.get(f"{chart}{path}")
        assert refused.status_code == 404 and "Wrenab" not in refused.text, path


@pytest.mark.parametrize("hidden", ["Patient/w-0", "ImagingStudy/ws-0"])
def test_a_chart_is_asked_for_anew_with_each_request(
    house: House, sign_in: Open, hidden: str
) -> None:
    clock = FakeClock(datetime.now(UTC))
    house.now = clock
    house.keep(a_row(0))
    opened = sign_in()
    chart = opened.chart("Wrenaa")
    assert opened.browser.get(chart).status_code == 200
    house.swap(ehr=Refusing(house.ehr, hidden, leaves_out=True))
    clock.advance(readable.KEPT_S)

    for path in ("", "panel", "status", f"r/wr-0/{CODE}/picture", "r/wr-0/images"):
        refused = opened.browser.get(f"{chart}{path}")
        assert refused.status_code == 404 and "Wrenaa" not in refused.text, path


def test_the_chart_of_a_study_that_cannot_be_read_is_as_unknown_as_none(
    house: House, sign_in: Open
) -> None:
    house.keep(a_row(0))
    house.swap(ehr=Refusing(house.ehr, "ImagingStudy/ws-0", leaves_out=True))
    opened = sign_in()

    def answer(name: str) -> tuple[int, str]:
        got = opened.browser.get(opened.address.replace("/worklist", f"~{name}/"))
        return got.status_code, got.text

    assert answer("rwr-0") == answer("rwr-unknown") == answer("jnone") == answer("nonsense")
    assert answer("rwr-0")[0] == 404


def test_other_studies_of_the_patient_are_shown_where_they_can_be_read(
    house: House, sign_in: Open, sandbox: Sandbox
) -> None:
    for number in (60, 61):
        sandbox.fhir.update(a_fhir_study(f"ws-{number}", "w-0", uid(number)))
    earlier = [
        a_row(number, patient_id="w-0", study_description=f"Earlier film {number}")
        for number in (60, 61)
    ]
    house.keep(a_row(0), *earlier)
    house.swap(ehr=Refusing(house.ehr, "ImagingStudy/ws-60", leaves_out=True))
    opened = sign_in()

    page = opened.browser.get(opened.address.replace("/worklist", "~rwr-0/")).text

    assert "Earlier film 61" in page and "Earlier film 60" not in page


def test_a_chart_is_of_the_session_and_of_its_browser(house: House, sign_in: Open) -> None:
    house.keep(a_row(0))
    opened = sign_in()

    stolen = house.browser().get(opened.chart("Wrenaa"))

    assert stolen.status_code == 401 and "Wrenaa" not in stolen.text


def test_a_patient_s_chart_session_reaches_no_other_chart_and_no_worklist(
    house: House, browser: Browser, tenant: Tenant, launch_of: Any
) -> None:
    house.keep(a_row(0), a_result())
    page = browser.open(tenant.fhir_base, launch_of())

    chart = browser.get(f"{page.removesuffix('/')}~rwr-0/")
    worklist = browser.get(f"{page}worklist")

    assert (chart.status_code, worklist.status_code) == (404, 404)
    assert "Wrenaa" not in chart.text + worklist.text


@pytest.mark.requirement("@147")
def test_without_the_scope_to_read_observations_a_user_is_told_which_one(
    house: House, sign_in: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = (("Patient", "rs"), ("ImagingStudy", "rs"))
    monkeypatch.setattr("smart_app.scopes.USER_RESOURCES", few)
    seen = a_seen_result(house.instance)
    house.keep(replace(a_row(0), analysis=seen.analysis))
    opened = sign_in()

    page = opened.browser.get(opened.chart("Wrenaa")).text

    assert "user/Observation.rs" in page and "patient/Observation.rs" not in page


def test_a_finding_is_reviewed_from_the_worklist(house: House, sign_in: Open) -> None:
    result = a_row(0, finding={"critical": True})
    seen = a_seen_result(house.instance)
    house.keep(replace(result, analysis=seen.analysis))
    opened = sign_in()
    page = opened.browser.get(opened.chart("Wrenaa")).text
    [action] = set(re.findall(r'action="([^"]+/review)"', page))
    [token] = set(re.findall(r'name="csrf_token" value="([^"]+)"', page))

    answer = opened.browser.post(unescape(action), csrf_token=token, verdict="agree")

    assert answer.status_code == 303
    [said] = house.reviews.all
    assert (said.result_id, said.reviewer) == ("wr-0", "Practitioner/clinician")
    assert opened.names("?unacknowledged=1") == []


def test_who_looked_at_the_worklist_and_at_a_result_is_audited(house: House, sign_in: Open) -> None:
    house.keep(a_row(0))
    opened = sign_in()

    opened.browser.get(opened.chart("Wrenaa"))

    *_, listed, viewed = house.audit.events
    assert (listed.action, listed.patient_id) == (AuditAction.WORKLIST_VIEWED, None)
    assert (viewed.action, viewed.patient_id) == (AuditAction.RESULT_VIEWED, "w-0")
    assert {listed.agent, viewed.agent} == {"Practitioner/clinician"}


def test_an_empty_worklist_says_so(sign_in: Open) -> None:
    assert "Nothing on your worklist" in sign_in().page()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (EhrTimedOut("The EHR gave no answer in time."), "The EHR did not answer"),
        (EhrRefused("The EHR answered 403 to a read."), "Nothing on your worklist"),
    ],
)
def test_an_ehr_that_does_not_tell_makes_an_honest_page(
    house: House, sign_in: Open, error: SightlineError, words: str
) -> None:
    house.keep(a_row(0))
    opened = sign_in()
    house.swap(ehr=Failing(error))

    page = opened.page()

    assert words in page and "Wrenaa" not in page


@pytest.mark.requirement("@147")
def test_an_ehr_that_takes_the_sign_in_back_ends_the_worklist_and_its_charts(
    house: House, sign_in: Open
) -> None:
    house.keep(a_row(0))
    opened = sign_in()
    chart = opened.chart("Wrenaa")
    house.swap(ehr=Failing(EhrTokenRefused("The EHR answered 401 to a read.")))
    clock = FakeClock(datetime.now(UTC) + timedelta(seconds=readable.KEPT_S))
    house.now = clock

    refused = [opened.browser.get(address) for address in (opened.address, chart)]

    assert [answer.status_code for answer in refused] == [401, 401]
    assert not any("Wrenaa" in answer.text for answer in refused)


def test_without_the_scopes_the_page_says_which(
    house: House, sign_in: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.keep(a_row(0))
    monkeypatch.setattr("smart_app.scopes.USER_RESOURCES", (("Patient", "rs"),))

    page = sign_in().page()

    assert "user/ImagingStudy.rs" in page and "Wrenaa" not in page


def test_our_own_page_offers_the_worklist(browser: Browser, tenant: Tenant) -> None:
    page = browser.get("/app/").text

    [address] = re.findall(r'href="([^"]+kind=user[^"]*)"', page)
    assert query_of(unescape(address))["iss"] == tenant.fhir_base


def test_the_worklist_is_kept_by_no_cache_and_framed_by_its_ehr_alone(
    house: House, sign_in: Open, tenant: Tenant
) -> None:
    opened = sign_in()

    answer = opened.browser.get(opened.address)

    assert answer.headers["Cache-Control"] == "no-store"
    assert f"frame-ancestors {tenant.origins[0]}" in answer.headers["Content-Security-Policy"]
    assert PUBLIC_URL not in answer.text
