"""The study page in every state, and what it never shows."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cds_service.domain.audit import AuditAction
from cds_service.domain.finding import Coding
from cds_service.domain.job import JobStep
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrRefused, EhrTimedOut
from cds_service.usecases.ports import EhrRecord, Resource
from tests.builders import (
    NOW,
    a_finding,
    a_model,
    a_patient,
    a_result,
    a_study,
    an_analysis,
    not_analysed,
)
from tests.fakes.imaging import STUDY_UID
from tests.fakes.neighbours import FakeEhrRecord
from tests.web_app.conftest import LaunchOf
from tests.web_app.house import SHEET, Browser, House, a_radiograph, a_seen_result

OTHERS = a_result(id="r-2", key="k-2", patient_id="p-2", study_uid="1.2.840.99999.2")
JSON = {"Accept": "application/json"}


@pytest.fixture
def opened(browser: Browser, tenant: Tenant, launch_of: LaunchOf) -> str:
    """The page of patient p-1, opened from the chart."""
    return browser.open(tenant.fhir_base, launch_of())


def a_running_job(house: House, **study: str) -> str:
    job, _ = house.jobs.open("d-1", a_study(**study), a_patient(), "cxr_pneumonia_peds")
    return job.id


@pytest.mark.parametrize(
    ("finding", "words"),
    [
        (a_finding(), ["Found", "signs of pneumonia", "above the threshold"]),
        (a_finding(critical=True), ["Critical", "signs of pneumonia"]),
        (a_finding(probability=0.1, present=False), ["Not found", "does not rule out pneumonia"]),
        (a_finding(probability=0.6, present=None), ["Uncertain", "cannot tell"]),
    ],
)
def test_a_finding_says_what_its_score_means(
    house: House, browser: Browser, opened: str, finding: object, words: list[str]
) -> None:
    house.keep(a_result(analysis=an_analysis(findings=(finding,))))

    page = browser.get(opened).text

    assert all(word in page for word in words)
    assert "threshold 0.62" in page and "normal" not in page.lower()


def test_the_release_day_stands_beside_the_version_that_it_is_of(
    house: House, browser: Browser, opened: str
) -> None:
    shown = a_model(id=SHEET.identity.id, digest=SHEET.identity.digest)
    older = a_model(id=SHEET.identity.id, digest="sha256:" + "7" * 64)
    house.swap(model_sheet=lambda _id: replace(SHEET, facts={"released": "2026-11-23"}))
    house.keep(
        a_result(analysis=an_analysis(model=shown)),
        a_result(id="r-3", key="k-3", study_uid="1.2.3", analysis=an_analysis(model=older)),
    )

    page, of_other_weights = (
        browser.get(f"{opened}?result={name}").text for name in ("r-1", "r-3")
    )

    assert '<time datetime="2026-11-23">released 23 Nov 2026</time>' in page
    assert "released" not in of_other_weights


def test_a_release_that_is_no_day_is_not_shown(house: House, browser: Browser, opened: str) -> None:
    house.swap(model_sheet=lambda _id: replace(SHEET, facts={"released": "soon"}))
    house.keep(a_result(analysis=an_analysis(model=SHEET.identity)))

    assert "soon" not in browser.get(opened).text


def test_the_page_tells_model_limits_and_time(house: House, browser: Browser, opened: str) -> None:
    house.keep(a_result())

    page = browser.get(opened).text

    for words in (
        "version 0.1.0",
        "pneumothorax",
        "children aged 1-5",
        "one hospital",
        "5 Jan 2026, 09:00 UTC",
    ):
        assert words in page


def test_a_study_that_was_not_analysed_says_why_and_shows_no_number(
    house: House, browser: Browser, opened: str
) -> None:
    house.keep(a_result(analysis=not_analysed("age", "made for children aged 1-5")))

    page = browser.get(opened).text

    assert "Made for children aged 1-5." in page and "Read the study as usual" in page
    assert "AI score, from" not in page


def test_a_mix_up_sends_the_reader_to_radiology(
    house: House, browser: Browser, opened: str
) -> None:
    house.keep(a_result(analysis=not_analysed("patient-mismatch", "images could not be matched")))

    assert "Check with radiology" in browser.get(opened).text


def test_a_running_job_shows_its_steps_and_its_status(
    house: House, browser: Browser, opened: str
) -> None:
    job_id = a_running_job(house)
    lease = house.jobs.take(job_id, "worker")
    assert lease is not None
    house.jobs.advance(lease, JobStep.INFERRING)

    page, status = browser.get(opened).text, browser.get(f"{opened}status?job={job_id}").json

    for step in ("Queued", "Fetching", "Reading", "Inferring", "Publishing", "Done"):
        assert step in page
    assert f"status?job={job_id}" in page
    assert status == {
        "state": "running",
        "done": 3,
        "heading": "Analysis running",
        "wait": "",
        "said": "Step 4 of 5: Inferring",
    }


def test_the_status_turns_ready_when_there_is_a_result(
    house: House, browser: Browser, opened: str
) -> None:
    job_id = a_running_job(house)
    lease = house.jobs.take(job_id, "worker")
    assert lease is not None
    house.keep(a_result())
    house.jobs.finish(lease, "r-1")

    assert browser.get(f"{opened}status?job={job_id}").json == {"state": "ready"}
    panel = browser.get(f"{opened}panel?job={job_id}").text
    assert "signs of pneumonia" in panel and "<html" not in panel


def test_a_failed_job_says_so(house: House, browser: Browser, opened: str) -> None:
    job_id = a_running_job(house)
    lease = house.jobs.take(job_id, "worker")
    assert lease is not None
    house.jobs.give_up(lease, "ArchiveFailed", retry=False)

    page = browser.get(opened).text

    assert "The analysis failed" in page and "ArchiveFailed" in page
    assert browser.get(f"{opened}status?job={job_id}").json == {"state": "ended"}


def test_a_launch_on_a_study_that_no_hook_asked_about_asks_for_its_analysis_once(
    house: House, browser: Browser, opened: str
) -> None:
    first, second = browser.get(opened).text, browser.get(opened).text

    assert "2 Jan 2026" in first and "<progress" in first
    assert [job.study.study_uid for job in house.jobs.all] == [STUDY_UID]
    assert "<progress" in second


class WithoutPatient:
    """An EHR that tells about studies and refuses to tell about patients."""

    def __init__(self, record: EhrRecord) -> None:
        self._record = record

    def read(self, tenant: Tenant, path: str, **options: Any) -> Resource:
        if path.startswith("Patient/"):
            raise EhrRefused("The EHR answered 403.")
        return self._record.read(tenant, path, **options)


def test_a_study_whose_patient_the_ehr_does_not_describe_is_not_asked_about(
    house: House, browser: Browser, opened: str
) -> None:
    house.swap(ehr=WithoutPatient(house.ehr))

    page = browser.get(opened).text

    assert "This study has not been analysed" in page and "2 Jan 2026" in page
    assert house.jobs.all == []


def test_the_card_s_study_is_shown_and_not_the_newest(
    house: House, browser: Browser, tenant: Tenant, launch_of: LaunchOf
) -> None:
    older = a_result(id="r-0", key="k-0", study_uid="1.2.3", study_description="Older film")
    house.keep(replace(older, study_started=None), a_result())

    page = browser.get(
        browser.open(tenant.fhir_base, launch_of(imaging_study="s-1", result="r-0"))
    ).text

    assert re.search(r"<h1>Older film", page)


@pytest.mark.parametrize(("clicked", "other"), [("r-1", "r-2"), ("r-2", "r-1")])
def test_a_card_opens_what_its_own_model_said_and_names_the_other_s(
    house: House, browser: Browser, tenant: Tenant, launch_of: LaunchOf, clicked: str, other: str
) -> None:
    """Both models have read the same study."""
    effusion = a_finding(coding=Coding("http://snomed.info/sct", "60046008", "Pleural effusion"))
    second = an_analysis(model=a_model(id="other", title="Other model"), findings=(effusion,))
    later = NOW + timedelta(minutes=1)
    house.keep(a_result(), a_result(id="r-2", key="k-2", analysis=second, computed_at=later))
    titles = {"r-1": a_model().title, "r-2": "Other model"}
    said = {"r-1": "signs of pneumonia", "r-2": "signs of pleural effusion"}

    page = browser.get(
        browser.open(tenant.fhir_base, launch_of(imaging_study="s-1", result=clicked))
    ).text

    shown, _, listed = page.partition('class="others"')
    assert titles[clicked] in shown and titles[other] not in shown
    assert said[other] in listed and f"result={other}" in listed


def test_the_chart_s_study_is_shown_when_no_card_was_clicked(
    house: House, browser: Browser, tenant: Tenant, launch_of: LaunchOf
) -> None:
    house.keep(
        a_result(), a_result(id="r-9", key="k-9", study_uid="1.2.9", study_description="New")
    )

    page = browser.get(browser.open(tenant.fhir_base, launch_of(imaging_study="s-1"))).text

    assert re.search(r"<h1>Chest X-ray", page)
    assert "result=r-9" in page  # the other study, one click away


@pytest.mark.parametrize(
    "context",
    [
        {"result": "r-2"},
        {"job": "job-1"},
        {"study": "1.2.840.99999.2"},
        {"study": "1.2.840.99999.1", "result": "r-2"},
        {"result": "r-unknown"},
    ],
)
def test_a_link_to_another_patient_is_not_found(
    house: House,
    browser: Browser,
    tenant: Tenant,
    launch_of: LaunchOf,
    context: dict[str, str],
) -> None:
    house.keep(a_result(), OTHERS)
    a_running_job(house, patient_id="p-2", study_uid="1.2.840.99999.2")

    answer = browser.get(browser.open(tenant.fhir_base, launch_of("p-1", **context)))

    assert answer.status_code == 404 and "Not found in this patient" in answer.text


def test_a_chart_context_about_another_patient_is_not_found(
    house: House, tenant: Tenant, browser: Browser, launch_of: LaunchOf
) -> None:
    house.keep(OTHERS)
    address = browser.open(tenant.fhir_base, launch_of("p-1", imaging_study="s-2"))

    assert browser.get(address).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "?result={id}",
        "panel?result={id}",
        "status?result={id}",
        "?job=job-1",
        "r/{id}/233604007/picture",
        "r/{id}/233604007/heatmap",
        "r/{id}/233604007/outline",
    ],
)
def test_another_patient_s_ids_are_not_found_on_any_route(
    house: House, browser: Browser, opened: str, path: str
) -> None:
    house.keep(a_result(), OTHERS)
    a_running_job(house, patient_id="p-2", study_uid="1.2.840.99999.2")

    foreign = browser.get(opened + path.format(id="r-2"))
    unknown = browser.get(opened + path.format(id="r-404"))

    assert foreign.status_code == 404 and foreign.data == unknown.data


def test_a_result_of_another_ehr_is_not_found(house: House, browser: Browser, opened: str) -> None:
    house.keep(a_result(tenant_id="t-9"))

    assert browser.get(f"{opened}?result=r-1").status_code == 404


def test_the_banner_says_when_the_ehr_does_not_answer(
    house: House, browser: Browser, opened: str
) -> None:
    record = FakeEhrRecord()
    record.failure = EhrTimedOut("The EHR gave no answer in time.")
    house.swap(ehr=record)
    house.keep(a_result())

    answer = browser.get(opened)

    assert answer.status_code == 200
    assert "Check the patient in the chart" in answer.text and "signs of pneumonia" in answer.text


def test_seeing_a_result_is_audited(house: House, browser: Browser, opened: str) -> None:
    house.keep(a_result())

    browser.get(opened)

    event = house.audit.events[-1]
    assert (event.action, event.study_uid) == (AuditAction.RESULT_VIEWED, "1.2.840.99999.1")


def every_route(house: House, opened: str) -> Iterator[tuple[str, str]]:
    handle = opened.split("/l/")[1].split("/")[0]
    values = {"handle": handle, "result_id": "r-1", "code": "233604007", "filename": "app.css"}
    values["rest"] = "nothing"
    values["number"] = "0"
    values["job_id"] = "job-1"
    values["model_id"] = "cxr_pneumonia_peds"
    with house.app.test_request_context(base_url="https://sightline.example.org"):
        for rule in house.app.url_map.iter_rules():
            if rule.endpoint.startswith("app."):
                url = rule.build(
                    {name: values[name] for name in rule.arguments}, append_unknown=True
                )
                assert url is not None
                yield rule.endpoint, url[1]


def test_every_route_carries_the_security_headers(
    house: House, browser: Browser, tenant: Tenant, opened: str
) -> None:
    house.keep(a_seen_result(a_radiograph()))

    for endpoint, address in every_route(house, opened):
        headers = browser.get(address).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy and "unsafe" not in policy, endpoint
        assert headers["Referrer-Policy"] == "no-referrer", endpoint
        assert headers["X-Content-Type-Options"] == "nosniff", endpoint
        assert "X-Frame-Options" not in headers, endpoint
        if "/l/" in address:
            assert f"frame-ancestors {tenant.origins[0]}" in policy, endpoint
        if endpoint not in ("app.static", "app.jwks"):
            assert headers["Cache-Control"] == "no-store", endpoint


def test_no_page_has_inline_script_or_style(house: House, browser: Browser, opened: str) -> None:
    house.keep(a_seen_result(a_radiograph()))

    page = browser.get(opened).text

    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=", page)


def test_what_the_ehr_says_is_text_and_not_markup(
    house: House, browser: Browser, opened: str
) -> None:
    house.keep(a_result(study_description="<script>alert(1)</script>"))

    page = browser.get(opened).text

    assert "<script>alert" not in page and "&lt;script&gt;" in page


@pytest.mark.parametrize("address", ["/app/nothing", "/app/launch/more"])
def test_an_address_that_does_not_exist_gets_a_designed_page(
    browser: Browser, address: str
) -> None:
    answer = browser.get(address)

    assert answer.status_code == 404 and "This page does not exist" in answer.text


def test_a_fault_of_ours_is_a_page_without_a_traceback(
    house: House, browser: Browser, opened: str, caplog: pytest.LogCaptureFixture
) -> None:
    house.swap(results=None)

    answer = browser.get(opened)

    assert answer.status_code == 500 and "Traceback" not in answer.text
    assert "AttributeError" in caplog.text and "NoneType" not in caplog.text
