"""Every state without a result, and every one with half of it: what is said, and what helps."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cds_service.domain.audit import AuditAction
from cds_service.domain.finding import InstanceReason, Result
from cds_service.domain.job import Job, JobState
from cds_service.domain.line import Priority
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrRefused, EhrTimedOut, ScopeDenied, SightlineError
from cds_service.usecases.ports import EhrRecord, Resource
from tests.builders import (
    a_finding,
    a_patient,
    a_result,
    a_study,
    an_analysis,
    not_analysed,
)
from tests.web_app.conftest import LaunchOf
from tests.web_app.house import Browser, House

NOTHING: Resource = {"resourceType": "Bundle", "type": "searchset", "entry": []}


@pytest.fixture
def opened(browser: Browser, tenant: Tenant, launch_of: LaunchOf) -> str:
    """The page of patient p-1, opened from the chart."""
    return browser.open(tenant.fhir_base, launch_of())


class StudyListIs:
    """An EHR whose study list is this, or fails like this; all else is the sandbox's."""

    def __init__(self, record: EhrRecord, answer: Resource | SightlineError) -> None:
        self._record, self._answer = record, answer

    def read(self, tenant: Tenant, path: str, **options: Any) -> Resource:
        if not path.startswith("ImagingStudy?"):
            return self._record.read(tenant, path, **options)
        if isinstance(self._answer, SightlineError):
            raise self._answer
        return self._answer


def lost_job(house: House, *, crashes: int = 0) -> Job:
    """A job that was given up: failed, or quarantined after two crashes."""
    job = house.dispatch(a_study(), a_patient())
    start = house.now()
    for turn in range(crashes):
        house.now = lambda turn=turn: start + timedelta(minutes=turn)  # type: ignore[misc]
        assert house.jobs.take(job.id, "worker") is not None
    house.now = lambda: start + timedelta(minutes=crashes)  # type: ignore[method-assign]
    if crashes:
        house.jobs.reclaim()
    else:
        lease = house.jobs.take(job.id, "worker")
        assert lease is not None
        house.jobs.give_up(lease, "ArchiveFailed", retry=False)
    return house.jobs.get(job.id)


def retry_form(page: str) -> tuple[str, str]:
    """Return address and token of the form that asks again."""
    form = re.search(r'action="([^"]+/retry)">.*?name="csrf_token" value="([^"]+)"', page, re.S)
    assert form
    return form.group(1), form.group(2)


# --- no study ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (NOTHING, "No imaging study to show"),
        (EhrRefused("The EHR answered 403."), "Not allowed to see imaging studies"),
        (ScopeDenied("The granted scopes do not allow it."), "Not allowed to see imaging studies"),
        (EhrTimedOut("The EHR gave no answer in time."), "The EHR did not answer"),
    ],
)
def test_no_imaging_is_only_said_when_the_ehr_said_so(
    house: House, browser: Browser, opened: str, answer: Resource | SightlineError, words: str
) -> None:
    house.swap(ehr=StudyListIs(house.ehr, answer))

    page = browser.get(opened).text

    assert words in page
    assert ("No imaging study" in page) is (answer is NOTHING)


def test_a_known_result_is_shown_while_the_ehr_is_away_and_said_to_be_perhaps_not_the_newest(
    house: House, browser: Browser, opened: str
) -> None:
    house.keep(a_result())
    house.swap(ehr=StudyListIs(house.ehr, EhrTimedOut("The EHR gave no answer in time.")))

    page = browser.get(opened).text

    assert "signs of pneumonia" in page and "newer studies may be missing" in page


# --- queued and running -----------------------------------------------------------------------


def test_a_queued_job_says_its_place_and_promises_nothing(
    house: House, browser: Browser, opened: str
) -> None:
    other = a_study(patient_id="p-2", study_uid="1.2.840.99999.2")
    house.jobs.open("d-0", other, a_patient(), "cxr_pneumonia_peds")
    job, _ = house.jobs.open("d-1", a_study(), a_patient(), "cxr_pneumonia_peds")

    status = browser.get(f"{opened}status?job={job.id}").json

    assert status == {
        "state": "running",
        "done": 0,
        "heading": "Analysis queued",
        "wait": "1 before this one, waiting to be started",
        "said": "Step 1 of 5: Queued",
    }


def test_a_study_that_waits_moves_up_when_its_chart_is_opened(
    house: House, browser: Browser, opened: str
) -> None:
    for number in (2, 3):
        other = a_study(patient_id=f"p-{number}", study_uid=f"1.2.840.99999.{number}")
        house.jobs.open(f"d-{number}", other, a_patient(), "m", priority=Priority.ROUTINE)
    job, _ = house.jobs.open("d-1", a_study(), a_patient(), "m", priority=Priority.ROUTINE)
    before = browser.get(f"{opened}status?job={job.id}").json

    page = browser.get(opened).text

    assert before is not None and before["wait"].startswith("2 before this one")
    assert "before this one" not in page and "Analysis queued" in page
    assert house.jobs.wait_for(job).before == 0
    assert [one.priority for one in house.jobs.all] == [Priority.ROUTINE] * 2 + [Priority.ASKED]


def test_a_running_job_over_an_older_result_shows_both(
    house: House, browser: Browser, opened: str
) -> None:
    house.keep(a_result())
    house.jobs.open("d-1", a_study(), a_patient(), "cxr_pneumonia_peds")

    page = browser.get(opened).text

    assert "Analysis queued" in page and "result of an earlier analysis" in page
    assert "signs of pneumonia" in page


# --- failed -----------------------------------------------------------------------------------


@pytest.mark.parametrize("crashes", [0, 2], ids=["failed", "quarantined"])
def test_a_lost_job_is_asked_for_again_by_a_clinician_and_audited(
    house: House, browser: Browser, opened: str, crashes: int
) -> None:
    job = lost_job(house, crashes=crashes)
    action, token = retry_form(browser.get(opened).text)

    answer = browser.post(action, csrf_token=token)

    assert answer.status_code == 303 and "Analysis queued" in browser.get(answer.location).text
    assert house.jobs.get(job.id).state is JobState.OPEN
    [event] = [one for one in house.audit.events if one.action is AuditAction.JOB_RELEASED]
    assert (event.agent, event.patient_id) == ("Practitioner/clinician", "p-1")


def test_asking_twice_is_asking_once(house: House, browser: Browser, opened: str) -> None:
    lost_job(house)
    action, token = retry_form(browser.get(opened).text)

    answers = [browser.post(action, csrf_token=token) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [303, 303]
    released = [one for one in house.audit.events if one.action is AuditAction.JOB_RELEASED]
    assert len(house.jobs.all) == len(released) == 1


@pytest.mark.parametrize(
    ("crashes", "words"),
    [(0, "The image archive did not answer."), (2, "The analysis broke off twice")],
)
def test_a_failure_says_why_and_whom_to_tell(
    house: House, browser: Browser, opened: str, crashes: int, words: str
) -> None:
    job = lost_job(house, crashes=crashes)

    page = browser.get(opened).text

    assert words in page and "read it as usual" in page
    assert "administrator" in page and job.id in page


def test_a_newer_analysis_that_failed_does_not_hide_the_older_result(
    house: House, browser: Browser, opened: str
) -> None:
    house.keep(a_result())
    lost_job(house)

    page = browser.get(opened).text

    assert "The newer analysis failed" in page and "signs of pneumonia" in page


def test_a_patient_s_own_login_cannot_ask_again(
    house: House, browser: Browser, tenant: Tenant, launch_of: LaunchOf
) -> None:
    job = lost_job(house)
    house.tenants.remove(tenant.id)
    house.tenants.add(replace(tenant, app_users=("Practitioner", "Patient")))
    page = browser.open(tenant.fhir_base, launch_of(user="Patient/p-1"))

    said = browser.get(page).text

    assert "The analysis failed" in said and "Analyse again" not in said
    assert house.jobs.get(job.id).state is JobState.FAILED


def test_a_retry_needs_the_launch_s_token(house: House, browser: Browser, opened: str) -> None:
    job = lost_job(house)
    action, _ = retry_form(browser.get(opened).text)

    answer = browser.post(action, csrf_token="guessed")

    assert answer.status_code == 403 and house.jobs.get(job.id).state is JobState.FAILED


def test_another_patient_s_job_cannot_be_asked_for(
    house: House, browser: Browser, opened: str
) -> None:
    lost_job(house)
    other = a_study(patient_id="p-2", study_uid="1.2.840.99999.2")
    theirs, _ = house.jobs.open("d-2", other, a_patient(), "cxr_pneumonia_peds")
    action, token = retry_form(browser.get(opened).text)

    answer = browser.post(action.replace("job-1", theirs.id), csrf_token=token)

    assert answer.status_code == 404


# --- not analysed, uncertain, partly ----------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "helps"),
    [
        ("age", "Read the study as usual."),
        ("view-unknown", "Radiology can add what the images do not state."),
        ("not-in-archive", "Ask radiology whether all images have arrived."),
        ("damaged-pixels", "Ask radiology to check the stored images."),
        ("patient-mismatch", "Do not use them for this patient"),
    ],
)
def test_a_study_that_was_not_analysed_says_what_helps(
    house: House, browser: Browser, opened: str, code: str, helps: str
) -> None:
    house.keep(a_result(analysis=not_analysed(code, "the reason")))

    page = browser.get(opened).text

    assert "Not analysed" in page and "The reason." in page and helps in page


def partly(**changes: Any) -> Result:
    """A result of one image, beside two that were damaged and a report."""
    damaged = InstanceReason("damaged-pixels", "its image data are damaged")
    report = InstanceReason("no-image", "it holds no image")
    return a_result(analysis=an_analysis(instances=(damaged, damaged, report), **changes))


def test_a_partly_analysed_study_names_what_was_left_out(
    house: House, browser: Browser, opened: str
) -> None:
    house.keep(partly())

    page = re.sub(r"\s+", " ", browser.get(opened).text)

    assert "1 of 3 images was analysed" in page and "2 images: its image data are damaged" in page
    assert "signs of pneumonia" in page


def test_a_report_beside_the_images_is_no_missing_image(
    house: House, browser: Browser, opened: str
) -> None:
    report = InstanceReason("no-image", "it holds no image")
    house.keep(a_result(analysis=an_analysis(instances=(report,))))

    assert "Partly analysed" not in browser.get(opened).text


def test_an_uncertain_score_sends_the_reader_to_the_image(
    house: House, browser: Browser, opened: str
) -> None:
    finding = replace(a_finding(probability=0.63), present=None)
    house.keep(a_result(analysis=an_analysis(findings=(finding,))))

    page = browser.get(opened).text

    assert "Uncertain" in page and "Read the study as usual" in page


def test_an_ended_session_says_how_to_come_back(
    house: House, browser: Browser, opened: str
) -> None:
    later = house.now() + timedelta(hours=9)
    house.now = lambda: later  # type: ignore[method-assign]

    answer = browser.get(opened)

    assert answer.status_code == 401 and "This session has ended" in answer.text
    assert "Open Sightline again from where you opened it before" in answer.text


# --- what the window is called ------------------------------------------------------------------


def title_of(browser: Browser, address: str) -> str:
    found = re.search(r"<title>(.*?) \N{EN DASH} Sightline</title>", browser.get(address).text)
    assert found
    return found.group(1)


def test_the_title_names_the_study_and_no_patient(
    house: House, browser: Browser, opened: str
) -> None:
    house.keep(a_result())

    assert title_of(browser, opened) == "Chest X-ray, 2 Jan 2026"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("refused", "Not analysed"),
        ("queued", "Analysis queued"),
        ("failed", "The analysis failed"),
        ("failed anew", "The newer analysis failed"),
    ],
)
def test_the_title_names_what_became_of_the_analysis(
    house: House, browser: Browser, opened: str, state: str, words: str
) -> None:
    if state == "refused":
        house.keep(a_result(analysis=not_analysed("age", "made for children")))
    elif state == "queued":
        house.dispatch(a_study(), a_patient())
    else:
        lost_job(house)
    if state == "failed anew":
        house.keep(a_result(computed_at=house.now() - timedelta(days=1)))

    assert title_of(browser, opened) == f"Chest X-ray, 2 Jan 2026: {words}"


def test_the_title_without_a_study_names_none(house: House, browser: Browser, opened: str) -> None:
    house.swap(ehr=StudyListIs(house.ehr, NOTHING))

    assert title_of(browser, opened) == "Imaging studies"
