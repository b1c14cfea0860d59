"""No page says anything in English to whoever reads another language.

Each page, in every state that it is designed for, is opened in a language that has a word of its
own for everything in the catalogues: whatever else a page says is named.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest

from cds_service.domain.finding import Coding, InstanceReason
from cds_service.domain.job import JobStep
from cds_service.domain.refusals import KINDS, PARTS, USES, WHOLE
from cds_service.domain.tenant import Tenant, Vendor
from cds_service.domain.vocabulary import FINDINGS, REASON_CLAUSES
from cds_service.errors import (
    ArchiveFailed,
    EhrRefused,
    EhrTimedOut,
    LaunchRefused,
    LedgerUnavailable,
    SightlineError,
    StudyOutOfScope,
)
from cds_service.sandbox.parts import Sandbox
from smart_app import language
from smart_app.model_facts import Measured, Share
from tests.builders import a_finding, a_patient, a_result, a_study, an_analysis, not_analysed
from tests.web_app.conftest import LaunchOf
from tests.web_app.house import FACTS, PUBLIC_URL, Browser, House, a_radiograph, a_seen_result
from tests.web_app.pseudo import CODE, TAG, Pseudo, accented, leftovers
from tests.web_app.test_review import Opened
from tests.web_app.test_states import NOTHING, StudyListIs, lost_job
from tests.web_app.test_worklist import to_callback

# Names: of the product, of what the EHR says, of identifiers and standards.
NAMES = (
    "Sightline",
    "Chest X-ray",
    "cxr_pneumonia_peds",
    "Finch, Ada May",
    "UTC",
    "user/Patient.rs, user/ImagingStudy.rs",
    "General Hospital",
    "AUC",
    "Sightline paediatric pneumonia",
    "Paediatric pneumonia",
    "Reference model. Not a medical device.",  # what the card of this model says
    "FHIR R4",
    "Page Up, Page Down",
    "CHAI Applied Model Card",
    "Device, DocumentReference, Provenance; HL7 AI Transparency on FHIR 1.0.0-ballot",
    "JPEG 2000",
    "ArchiveFailed",
    "EhrTimedOut",
)
Page = Callable[..., None]


@pytest.fixture(autouse=True)
def pseudo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the language of no country into the place of one of the twelve."""
    words = Pseudo()
    for name in ("page_words", "catalogue"):
        real = getattr(language, name)
        monkeypatch.setattr(
            language,
            name,
            lambda code, *domain, real=real: words if code == CODE else real(code, *domain),
        )


@pytest.fixture
def site(house: House, tenant: Tenant) -> Tenant:
    """An EHR that speaks it, in report sentences too."""
    return changed(house, tenant, language=TAG, shows_drafts=True)


def changed(house: House, tenant: Tenant, **changes: Any) -> Tenant:
    house.tenants.remove(tenant.id)
    house.tenants.add(replace(tenant, **changes))
    return house.tenants.get(tenant.id)


@pytest.fixture
def opened(browser: Browser, site: Tenant, launch_of: LaunchOf) -> str:
    """The page of patient p-1, opened from the chart."""
    return browser.open(site.fhir_base, launch_of())


def says_nothing_in_english(browser: Browser, address: str, status: int = 200) -> str:
    answer = browser.get(address, **{"Accept-Language": TAG})
    assert answer.status_code == status
    assert f'<html lang="{TAG}"' in answer.text
    assert leftovers(answer.text, NAMES) == []
    return unescape(answer.text)


def test_an_english_word_would_be_found() -> None:
    page = f'<html lang="{TAG}"><p>{accented("Not found")} Not<b lang="en">well</b></p></html>'

    assert leftovers(page, ()) == ["Nót fóúnd Not"]
    assert leftovers(page.replace(" Not<", "<"), ()) == []
    assert leftovers('<img alt="An image">', ()) == ["An image"]


# --- without a chart --------------------------------------------------------------------------


def test_the_pages_without_a_session(browser: Browser, house: House, tenant: Tenant) -> None:
    for address, status in (
        ("/app/", 200),
        ("/app/nothing", 404),
        ("/app/models/other", 404),
        ("/app/models/cxr_pneumonia_peds", 200),
        ("/app/l/gone/", 401),
        ("/app/callback?state=gone", 400),
    ):
        says_nothing_in_english(browser, address, status)
    house.tenants.remove(tenant.id)
    says_nothing_in_english(browser, "/app/")


def test_a_launch_that_cannot_be(browser: Browser, house: House, site: Tenant) -> None:
    base = site.fhir_base
    for query in ("iss=https://other.example.org", f"iss={base}&launch="):
        says_nothing_in_english(browser, f"/app/launch?{query}", 400)
    says_nothing_in_english(browser, f"/app/launch?iss={base}&cookie=none-of-ours")
    first = browser.get(f"/app/launch?iss={base}&kind=odd")
    says_nothing_in_english(browser, first.location, 400)
    changed(house, site, client_id=None)
    says_nothing_in_english(browser, f"/app/launch?iss={base}&launch=1", 400)


def test_the_way_to_the_sign_in(browser: Browser, site: Tenant, launch_of: LaunchOf) -> None:
    query = {"iss": site.fhir_base, "launch": launch_of()}
    tested = browser.client.get("/app/launch", query_string=query, base_url=PUBLIC_URL)

    says_nothing_in_english(browser, tested.location)


@pytest.mark.parametrize("error", ["access_denied", "invalid_scope", "server_error", "odd"])
def test_a_sign_in_that_is_refused(
    browser: Browser, site: Tenant, launch_of: LaunchOf, sandbox: Sandbox, error: str
) -> None:
    asked = browser.to_authorize(site.fhir_base, launch_of())
    state = re.search(r"[?&]state=([^&]+)", asked)
    assert state

    answer = f"iss={sandbox.config.auth_base}&state={state[1]}&error={error}"
    says_nothing_in_english(browser, f"/app/callback?{answer}", 400)


def test_a_user_for_whom_it_does_not_open(
    browser: Browser, site: Tenant, launch_of: LaunchOf
) -> None:
    back = browser.to_callback(site.fhir_base, launch_of(user="Patient/p-1"))

    says_nothing_in_english(browser, back, 403)


@pytest.mark.parametrize(
    "error",
    [
        LaunchRefused("The EHR's token_endpoint is not a safe address."),
        EhrRefused("The EHR answered 403 to a read."),
        ArchiveFailed("The archive answered 500."),
        LedgerUnavailable("The ledger is locked."),
        StudyOutOfScope("age", "made for children aged 1-5, this patient is 61"),
        RuntimeError("a fault"),
    ],
)
def test_an_error_in_words_that_only_its_log_knows(
    browser: Browser, house: House, opened: str, error: Exception
) -> None:
    class Broken:
        def __getattr__(self, _name: str) -> Any:
            raise error

    house.swap(results=Broken())
    answer = browser.get(opened)

    assert answer.status_code >= 400 and leftovers(answer.text, NAMES) == []


# --- states of a study ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        *((name, {}) for name in FINDINGS),
        (FINDINGS[0], {"critical": True}),
        (FINDINGS[0], {"probability": 0.6, "present": None}),
        (FINDINGS[0], {"probability": 0.1, "present": False}),
    ],
)
def test_a_finding(
    browser: Browser, house: House, opened: str, name: str, changes: dict[str, Any]
) -> None:
    guards = ("patient-id", "birth-date", "sex", "modality", "view", "age", "pixels", "polarity")
    finding = a_finding(coding=Coding("s", "c", name), guards=guards, **changes)
    measured = Measured(Share(0.95, 0.94, 0.96), Share(0.9, 0.88, 0.92), 5190, 3840, False)
    house.swap(model_facts=lambda _model: replace(FACTS, limits=(), measured=measured))
    house.keep(a_result(analysis=an_analysis(findings=(finding,))))

    says_nothing_in_english(browser, opened)


def test_a_finding_with_its_map_its_past_and_a_newer_study(
    browser: Browser, house: House, opened: str
) -> None:
    seen = a_seen_result(a_radiograph())
    for name, days in (("old", -40), ("new", 3)):
        moment = seen.computed_at + timedelta(days=days)
        house.keep(
            replace(
                seen,
                id=name,
                key=name,
                study_uid=f"1.2.840.99999.4{abs(days)}",
                study_started=moment,
                computed_at=moment,
            )
        )
    house.keep(seen)

    says_nothing_in_english(browser, f"{opened}?result=r-1")
    says_nothing_in_english(browser, f"{opened}?result=r-1&beside=old")


REFUSALS = (
    *((code, "in words that nobody has translated") for code in REASON_CLAUSES),
    *(("damaged-pixels", text) for text in sorted(WHOLE)),
    *(("modality", f"made for {USES[1]}, this is {kind}") for kind in KINDS),
    *(("body-part", f"made for {USES[1]}, this shows {part}") for part in PARTS),
    *(("age", f"made for {USES[0]}, this patient is {age}") for age in ("61", "7 months old")),
    ("age", "made for dwarfs, this patient is 1 day old"),
    ("no-decoder", "its image format cannot be decoded here (JPEG 2000)"),
)


def test_a_study_that_was_not_analysed(browser: Browser, house: House, opened: str) -> None:
    for number, (code, text) in enumerate(REFUSALS):
        house.keep(a_result(id=f"r-{number}", key=str(number), analysis=not_analysed(code, text)))

    for number in range(len(REFUSALS)):
        says_nothing_in_english(browser, f"{opened}?result=r-{number}")


def test_a_study_that_was_partly_analysed(browser: Browser, house: House, opened: str) -> None:
    damaged = InstanceReason("damaged-header", "its header is damaged")
    screen = InstanceReason("secondary-capture", "it is a picture of a screen or a paper")
    house.keep(a_result(analysis=an_analysis(instances=(damaged, damaged, screen))))

    says_nothing_in_english(browser, opened)


def test_a_job_that_waits_runs_and_fails(browser: Browser, house: House, opened: str) -> None:
    job = house.dispatch(a_study(), a_patient())
    says_nothing_in_english(browser, opened)
    lease = house.jobs.take(job.id, "worker")
    assert lease is not None
    house.jobs.advance(lease, JobStep.READING)
    says_nothing_in_english(browser, opened)
    status = browser.get(f"{opened}status?job={job.id}").json or {}
    assert leftovers(" ".join((status["heading"], status["wait"], status["said"])), NAMES) == []
    house.keep(a_result())
    says_nothing_in_english(browser, opened)


@pytest.mark.parametrize("crashes", [0, 2], ids=["failed", "quarantined"])
def test_a_job_that_was_given_up(browser: Browser, house: House, opened: str, crashes: int) -> None:
    lost_job(house, crashes=crashes)

    says_nothing_in_english(browser, opened)


@pytest.mark.parametrize(
    "answer",
    [NOTHING, EhrRefused("The EHR answered 403."), EhrTimedOut("No answer in time.")],
    ids=["no imaging", "not allowed", "away"],
)
def test_a_chart_without_a_study(
    browser: Browser, house: House, opened: str, answer: dict[str, Any] | SightlineError
) -> None:
    house.swap(ehr=StudyListIs(house.ehr, answer))

    says_nothing_in_english(browser, opened)


# --- review -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "registration",
    [
        {},
        {"vendor": Vendor.EPIC},
        {"vendor": Vendor.ORACLE},
        {"reviewers": ("Practitioner/other",)},
    ],
    ids=["written", "Epic", "Oracle", "no reviewer"],
)
def test_a_review(
    browser: Browser,
    house: House,
    site: Tenant,
    opened: str,
    registration: dict[str, Any],
) -> None:
    house.keep(a_seen_result(house.instance))
    changed(house, site, **registration)
    says_nothing_in_english(browser, opened)
    if "reviewers" in registration:
        return
    page = Opened(house, browser, opened)
    box = {"left": "1", "top": "1", "width": "9", "height": "9"}
    said: tuple[tuple[str, dict[str, str]], ...] = (
        ("agree", {}),
        ("disagree", {"reason": "artefact"}),
        ("wrong-place", box),
        ("comment", {"comment": "Ϡ"}),
        ("withdrawn", {}),
    )
    for verdict, more in said:
        assert page.say(verdict, None, **more).status_code == 303
        says_nothing_in_english(browser, opened)
    refused = page.say("disagree", headers={"Accept-Language": TAG})
    assert refused.status_code == 400 and leftovers(refused.text, NAMES) == []


# --- the worklist -----------------------------------------------------------------------------


def test_the_worklist(browser: Browser, house: House, site: Tenant, sandbox: Sandbox) -> None:
    now = datetime.now(UTC)
    recent = {
        "study_started": now - timedelta(hours=4),
        "computed_at": now - timedelta(hours=3),
        "imaging_study_id": "s-1",
    }
    critical = an_analysis(findings=(a_finding(critical=True),))
    house.keep(a_result(analysis=critical, **recent))
    back = to_callback(browser, site, sandbox, "Practitioner/clinician")
    listed = browser.get(back).location

    page = says_nothing_in_english(browser, listed)
    assert accented("Overdue.") in page
    chart = re.search(r'<h2><a href="([^"]+)"><bdi>Finch', page)
    assert chart
    says_nothing_in_english(browser, chart[1])
    for query in ("?modality=MR", "?page=9", "?state=uncertain"):
        says_nothing_in_english(browser, f"{listed}{query}")
    house.swap(ehr=StudyListIs(house.ehr, EhrTimedOut("No answer in time.")))
    says_nothing_in_english(browser, f"{listed}?modality=MR")
