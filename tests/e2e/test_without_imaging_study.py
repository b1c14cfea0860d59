"""An EHR without ImagingStudy: from the hook by way of card and app to the picture."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from cds_service.domain.tenant import Vendor
from cds_service.sandbox.ehr_client import fire, launch_url
from cds_service.usecases.run_inference import run_inference
from cds_service.wiring import hooks, open_house, study_at_ehr
from cds_service.wiring.images import study_index
from smart_app import EXTENSION as APP
from tests.e2e.hospital import Hospital, OutOfTurn, running_hospital

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("oracle")]

PATIENT = "p101"


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    folder = tmp_path_factory.mktemp("oracle")
    lacks = frozenset({"ImagingStudy"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hooks, "HOOK_TIMEOUT_S", 60.0)  # a slow machine is no finding
        with running_hospital(folder, lacks, vendor=Vendor.ORACLE) as hospital:
            yield hospital


def cards(hospital: Hospital, patient: str = PATIENT) -> list[dict[str, Any]]:
    """Open the chart; return what the service says."""
    [answer] = [
        one
        for one in fire(hospital.sandbox, patient, "patient-view")
        if one.service_id == "imaging-ai-findings"
    ]
    assert answer.failure is None and answer.refused == ()
    return [dict(card) for card in answer.cards]


def analyse(hospital: Hospital, patient: str) -> None:
    """Do the worker's work on what was asked for."""
    jobs = hospital.service.extensions[APP].jobs.analysing(hospital.tenant.id, patient)
    assert jobs
    for job in jobs:
        worker = replace(hospital.bench, leases=OutOfTurn(hospital.bench.leases))
        assert run_inference(job.id, "test", worker) == "done"


def shows_a_picture(page: Page) -> None:
    expect(page.locator(".verdict")).to_be_visible(timeout=60_000)
    picture = page.locator(".stage .picture")
    expect(picture).to_have_js_property("complete", True, timeout=60_000)
    assert picture.evaluate("image => image.naturalWidth") > 0


def test_a_hook_leads_by_way_of_a_card_to_the_picture(page: Page, oracle: Hospital) -> None:
    assert oracle.sandbox.fhir.search("ImagingStudy", {"patient": PATIENT}) == []
    [running] = cards(oracle)
    assert "AI analysis" in running["summary"]

    analyse(oracle, PATIENT)
    [card, *_] = cards(oracle)
    [link] = card["links"]
    page.goto(launch_url(oracle.sandbox, PATIENT, None, link["appContext"]))

    shows_a_picture(page)
    expect(page.locator(".patient .name")).to_contain_text("Sampleton")


def test_a_launch_from_the_chart_alone_leads_there_too(page: Page, oracle: Hospital) -> None:
    page.goto(oracle.launch("p102"))
    expect(page.locator("body")).to_contain_text("Analysis", timeout=60_000)

    analyse(oracle, "p102")
    page.goto(oracle.launch("p102"))

    shows_a_picture(page)


def test_a_person_reads_a_study_by_whose_it_is(oracle: Hospital) -> None:
    [order, *_] = oracle.sandbox.fhir.search("ServiceRequest", {"patient": PATIENT})
    [number] = [one["value"] for one in order["identifier"]]
    index = study_index(open_house(oracle.settings), timeout_s=60)
    [listed] = index.of_accession(oracle.tenant, number)

    study, patient, images = study_at_ehr(oracle.settings, oracle.tenant, listed.study_uid, PATIENT)

    assert (study.study_uid, study.accession) == (listed.study_uid, number)
    assert patient is not None and images


def test_the_worklist_shows_what_orders_lead_to(page: Page, oracle: Hospital) -> None:
    cards(oracle, "p103")
    page.goto(oracle.standalone())
    page.get_by_role("row", name="Radiology desk").get_by_role("button").click()
    expect(page.get_by_role("heading", name="Worklist")).to_be_visible(timeout=60_000)

    row = page.locator(".rows > li").filter(has_text="Chest").first
    name = row.locator("h2").inner_text()
    row.locator("h2 a").click()

    expect(page.locator(".patient .name")).to_have_text(name, timeout=60_000)
    expect(page.get_by_role("link", name="Back to the worklist")).to_be_visible()
