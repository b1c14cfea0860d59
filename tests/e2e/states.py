"""Every state of the app, put into the ledger of a hospital and opened in a browser."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from playwright.sync_api import Page

from cds_service.domain.job import JobStep
from cds_service.sandbox.patients import PatientRow, Person, Picture, StudyRow
from tests.e2e.hospital import Grave, Hospital, Unsure, WithDamage

Open = Callable[[Hospital, Page], None]


@dataclass(frozen=True)
class State:
    """One state: how to get there, and the words that a reader must then see."""

    name: str
    words: tuple[str, ...]
    open: Open


def of_patient(patient: str, user: str = "Practitioner/clinician") -> Open:
    return lambda hospital, page: _go(page, hospital.launch(patient, user))


def beside_the_earlier(hospital: Hospital, page: Page) -> None:
    _go(page, hospital.launch("p107"))
    page.get_by_role("link", name="Compare").click()


def with_heat_map(hospital: Hospital, page: Page) -> None:
    _go(page, hospital.launch("p101"))
    page.get_by_text("Heat map", exact=True).click()


def older_than_a_queued_one(hospital: Hospital, page: Page) -> None:
    _go(page, hospital.launch("p-newer"))
    page.locator(".others a").click()


def ended(hospital: Hospital, page: Page) -> None:
    _go(page, hospital.launch("p108"))
    hospital.end_sessions()
    page.reload()


def without_the_ehr(status: int) -> Open:
    """Open a chart without imaging while the EHR answers its study list like this."""

    def opened(hospital: Hospital, page: Page) -> None:
        hospital.fhir_fails = lambda path: status if "ImagingStudy" in path else None
        try:
            _go(page, hospital.launch("p108"))
        finally:
            hospital.fhir_fails = lambda _path: None

    return opened


def the_worklist(query: str = "", fhir_fails: int | None = None) -> Open:
    """Sign in without a chart, and choose this of what waits."""

    def opened(hospital: Hospital, page: Page) -> None:
        _go(page, hospital.standalone())
        page.get_by_role("row", name="Radiology desk").get_by_role("button").click()
        page.wait_for_url("**/worklist")
        if fhir_fails is not None:
            hospital.end_answers()
            hospital.fhir_fails = lambda path: fhir_fails if "ImagingStudy" in path else None
        try:
            _go(page, f"{page.url}{query}")
        finally:
            hospital.fhir_fails = lambda _path: None

    return opened


def not_admitted(hospital: Hospital, page: Page) -> None:
    _go(page, hospital.launch("p108", "Patient/p108"))


def unknown_ehr(hospital: Hospital, page: Page) -> None:
    _go(page, f"{hospital.base}/app/launch?iss=https://other.example.org/fhir&launch=1")


def nowhere(hospital: Hospital, page: Page) -> None:
    _go(page, f"{hospital.base}/app/nothing")


def the_model_card(hospital: Hospital, page: Page) -> None:
    _go(page, f"{hospital.base}/app/models/cxr_pneumonia_peds")


STATES = (
    State("found", ("signs of pneumonia", "Patient number"), of_patient("p101")),
    State("not-found", ("no signs of pneumonia",), of_patient("p102")),
    State("model-card", ("Model card of", "Not yet measured here", "0.9936 to"), the_model_card),
    State("compared", ("Earlier studies", "over time", "As a table"), beside_the_earlier),
    State("heat-map", ("The heat map leaves it clear.",), with_heat_map),
    State("newer", ("A newer study exists; its AI analysis is not",), older_than_a_queued_one),
    State("uncertain", ("the AI cannot tell", "no help on it"), of_patient("p109")),
    State("partly", ("Partly analysed", "1 of 2 images was analysed"), of_patient("p-partly")),
    State("not-analysed", ("Made for children aged 1-5", "as usual"), of_patient("p103")),
    State("damaged", ("image data are damaged", "check the stored images"), of_patient("p110")),
    State("mismatch", ("could not be matched", "Check with radiology"), of_patient("p106")),
    State("queued", ("Analysis queued", "before this one"), of_patient("p-queued")),
    State("running", ("Analysis running", "Reading"), of_patient("p-running")),
    State("failed", ("archive did not answer", "Analyse again"), of_patient("p104")),
    State("quarantined", ("broke off twice", "Analyse again"), of_patient("p105")),
    State("no-imaging", ("No imaging study to show",), of_patient("p108")),
    State("no-permission", ("Not allowed to see imaging",), without_the_ehr(403)),
    State("ehr-away", ("The EHR did not answer", "Try again"), without_the_ehr(503)),
    State("worklist", ("Overdue. Not acknowledged for 3 h",), the_worklist()),
    State("worklist-empty", ("No study fits this filter",), the_worklist("?modality=MR")),
    State("worklist-away", ("The EHR did not answer",), the_worklist(fhir_fails=503)),
    State("not-admitted", ("does not open for you",), not_admitted),
    State("session-ended", ("This session has ended",), ended),
    State("refused", ("could not be opened",), unknown_ehr),
    State("nowhere", ("This page does not exist",), nowhere),
)


def fill(hospital: Hospital) -> None:
    """Bring the ledger into all of these states."""
    for number, patient in enumerate(("p-partly", "p-running", "p-queued", "p-grave")):
        _admit(hospital, patient, number)
    _admit(hospital, "p-newer", 4, days_ago=(1, 40))
    for patient in ("p101", "p102", "p103", "p106", "p107", "p110"):
        hospital.analyse(patient)
    bench = hospital.bench
    hospital.analyse("p109", classifiers=lambda name: Unsure(bench.classifiers(name)))
    hospital.analyse("p-partly", archive=WithDamage(bench.archive))
    hospital.analyse(
        "p-grave",
        classifiers=lambda name: Grave(bench.classifiers(name)),
        clock=lambda: datetime.now(UTC) - timedelta(hours=3),
    )
    hospital.fail("p104", "ArchiveFailed")
    hospital.crash("p105")
    hospital.take("p-running", JobStep.READING)
    hospital.asked_for("p-queued")
    hospital.analyse("p-newer", days_ago=40)


def _admit(hospital: Hospital, patient: str, number: int, days_ago: tuple[int, ...] = (1,)) -> None:
    """Bring one more child into the hospital, with a frontal film of each of these days."""
    person = Person(f"SBX-900{number}", "Furtherly", f"Ada-{number}", "F", 3, 100)
    films = tuple(
        StudyRow(f"A-9{days:02}0{number}", days, time(9, 30), Picture.PRESENT, nth=0)
        for days in days_ago
    )
    row = PatientRow(patient, person, "Cough", "one more", films)
    hospital.admit(row)


def _go(page: Page, address: str) -> None:
    page.goto(address, wait_until="load")
