"""Earlier studies on the study page: the list, one side by side, the trend, the newer study."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cds_service.domain.finding import Result
from cds_service.domain.tenant import Tenant
from tests.builders import (
    a_finding,
    a_model,
    a_patient,
    a_result,
    a_study,
    an_analysis,
    not_analysed,
)
from tests.web_app.conftest import LaunchOf
from tests.web_app.house import Browser, House, a_warm_map

DAY = datetime(2026, 1, 2, 8, 30, tzinfo=UTC)
NOW = a_result()  # of 2 Jan 2026


@pytest.fixture
def opened(browser: Browser, tenant: Tenant, launch_of: LaunchOf) -> str:
    """The page of patient p-1, opened from the chart."""
    return browser.open(tenant.fhir_base, launch_of())


def of_study(name: str, days: int, score: float = 0.2, **changes: Any) -> Result:
    finding = a_finding(probability=score, present=score > 0.62, activation=a_warm_map())
    values: dict[str, Any] = {
        "id": name,
        "key": name,
        "study_uid": f"1.2.{name}",
        "study_started": DAY + timedelta(days=days),
        "analysis": an_analysis(findings=(finding,), model=changes.pop("model", a_model())),
    }
    return a_result(**(values | changes))


def shots_in(page: str) -> list[str]:
    return re.findall(r'class="shot" src="[^"]*/r/([^/]+)/', page)


def test_earlier_studies_are_listed_with_score_and_threshold(
    house: House, browser: Browser, opened: str
) -> None:
    house.keep(NOW, of_study("old", -120, 0.11), of_study("older", -400, 0.35))

    page = browser.get(opened).text

    assert re.findall(r"Not found: score (0\.\d\d),\s+threshold 0\.62", page) == ["0.11", "0.35"]
    assert "4 Sep 2025" in page and shots_in(page) == []


def test_one_earlier_study_is_shown_beside_the_open_one(
    house: House, browser: Browser, opened: str
) -> None:
    house.keep(NOW, of_study("old", -120))

    page = browser.get(f"{opened}?result=r-1&beside=old").text

    assert shots_in(page) == ["old", "r-1"]
    assert page.count('<svg class="bar"') == 3  # in the list, and under each image
    assert page.count('aria-current="true"') == 1 and "Hide" in page


def test_scores_of_two_model_versions_are_said_not_to_be_comparable(
    house: House, browser: Browser, opened: str
) -> None:
    other = a_model(version="0.0.9", digest="sha256:" + "9" * 64)
    house.keep(NOW, of_study("old", -120, model=other))

    page = browser.get(f"{opened}?result=r-1&beside=old").text

    assert "their scores cannot be compared" in page
    assert "The model changed where the line is broken" in page
    assert page.count('class="break"') == 1 and "polyline" not in page


def test_the_trend_can_be_read_without_seeing_it(
    house: House, browser: Browser, opened: str
) -> None:
    house.keep(NOW, of_study("old", -120, 0.11))

    page = browser.get(opened).text

    assert "4 Sep 2025: 0.11; 2 Jan 2026: 0.93 (this study)." in re.sub(r"\s+", " ", page)
    assert page.count('<th scope="row">') == 2 and "polyline" in page


def test_a_first_study_says_that_nothing_came_before(
    house: House, browser: Browser, opened: str
) -> None:
    house.keep(NOW)

    page = browser.get(opened).text

    assert "no earlier study of this patient" in page and '<figure class="trend"' not in page


def test_a_newer_study_is_one_click_away(house: House, browser: Browser, opened: str) -> None:
    refused = not_analysed("age", "made for children aged 1-5")
    house.keep(NOW, of_study("new", 3, analysis=refused))

    older, newest = (
        browser.get(f"{opened}?result=r-1").text,
        browser.get(f"{opened}?result=new").text,
    )

    assert re.search(r'A newer study exists: <a href="[^"]*result=new">', older)
    assert "5 Jan 2026" in older and "A newer study exists" not in newest


def test_a_newer_study_is_told_of_before_it_has_a_result(
    house: House, browser: Browser, opened: str
) -> None:
    later = a_study(study_uid="1.2.new", started=DAY + timedelta(days=3), description="Thorax")
    job, _ = house.jobs.open("d-9", later, a_patient(), "cxr_pneumonia_peds")
    house.jobs.open("d-8", a_study(study_uid="1.2.old", started=DAY), a_patient(), "m")
    house.keep(NOW)

    page = browser.get(f"{opened}?result=r-1").text
    [address] = re.findall(r'not done yet: <a href="([^"]+)">\s*Thorax, 5 Jan 2026</a>', page)

    assert page.count('class="newer"') == 1
    assert f"job={job.id}" in address and "A newer study" not in browser.get(address).text


def test_a_newer_study_of_another_patient_is_not_told_of(
    house: House, browser: Browser, opened: str
) -> None:
    theirs = a_study(patient_id="p-2", study_uid="1.2.new", started=DAY + timedelta(days=3))
    house.jobs.open("d-9", theirs, a_patient(), "cxr_pneumonia_peds")
    house.keep(NOW)

    assert "A newer study" not in browser.get(f"{opened}?result=r-1").text


def test_a_later_study_is_not_called_earlier(house: House, browser: Browser, opened: str) -> None:
    house.keep(NOW, of_study("new", 3))

    page = browser.get(f"{opened}?result=r-1&beside=new").text

    assert "no earlier study" in page and shots_in(page) == []


@pytest.mark.parametrize("foreign", ["theirs", "nobody-s"])
def test_another_patient_s_study_is_never_shown_beside(
    house: House, browser: Browser, opened: str, foreign: str
) -> None:
    house.keep(NOW, of_study("theirs", -3, patient_id="p-2"))

    answer = browser.get(f"{opened}?result=r-1&beside={foreign}")

    assert answer.status_code == 404 and "1.2.theirs" not in answer.text
