"""What a hostile study costs: one bounded try or two, of real worker processes, never the pool.

`sightline worker --processes 2` over a real Redis and the ledger, the sandbox as EHR and archive.

Source: issue "Imaging pipeline", "Bad input"; reference promises R3, R4, R7; threat T13.
"""

import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import time
from io import BytesIO
from pathlib import Path
from threading import Event
from typing import Any

import pydicom
import pytest
from playwright.sync_api import Page, expect
from pydicom.uid import RLELossless

from cds_service.sandbox import ehr_client
from cds_service.sandbox.patients import PatientRow, Person, Picture, StudyRow
from tests.e2e.hospital import Hospital, running_hospital
from tests.e2e.running_demo import WAIT_S, arguments, family, is_alive, until
from tests.real.servers import Child

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("hostile")]

PROCESSES = 2
LEASE_S = 8  # a worker that died is missed after this long, and a slow machine's beats are not late
GOOD = tuple(f"h-good-{number}" for number in range(10))
POISON = "h-poison"


@dataclass(frozen=True)
class Site:
    """A hospital with worker processes of its own."""

    hospital: Hospital
    supervisor: Child

    def admit(self, patient: str, stored: Callable[[bytes], bytes] = bytes) -> None:
        """Bring a child of three with a frontal film of the chest."""
        person = Person(f"SBX-{patient}", "Hostley", patient, "F", 3, 100)
        film = StudyRow(f"A-{patient}", 1, time(9, 30), Picture.PRESENT)
        self.hospital.admit(PatientRow(patient, person, "Cough", "one more", (film,)), stored)

    def open_chart(self, patient: str) -> list[dict[str, Any]]:
        """Call patient-view, as the EHR does; return the cards."""
        [answer] = ehr_client.fire(self.hospital.sandbox, patient, ehr_client.PATIENT_VIEW)
        assert answer.failure is None, answer.failure
        return list(answer.cards)

    def job(self, patient: str) -> dict[str, Any]:
        """Return what the ledger has of the patient's only job."""
        address = f"file:{self.hospital.settings.data / 'ledger.sqlite'}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=WAIT_S)) as ledger:
            ledger.row_factory = sqlite3.Row
            [row] = ledger.execute("SELECT * FROM job WHERE patient_id = ?", (patient,)).fetchall()
            return dict(row)

    def state(self, patient: str) -> str:
        return str(self.job(patient)["state"])

    def holder(self, patient: str) -> int:
        """Return the process that has the patient's job, by its lease."""
        return int(self.job(patient)["lease_owner"].split("-")[1])

    def observations(self, patient: str) -> list[dict[str, Any]]:
        return list(self.hospital.sandbox.fhir.search("Observation", {"patient": patient}))

    def workers(self) -> set[int]:
        """Return the worker processes that live."""
        ours = family(self.supervisor.process.pid)
        return {pid for pid in ours if "--multiprocessing-fork" in arguments(pid)}

    def is_whole(self) -> bool:
        """Tell whether every worker process lives and is ready."""
        ready = self.said("worker ready") - self.said("ended with exit code")
        return len(self.workers()) == ready == PROCESSES

    @contextmanager
    def with_the_workers_held(self) -> Iterator[None]:
        """Stop the idle worker processes where they are, and let them go on at the end."""
        until(self.is_whole)
        workers = self.workers()
        try:
            for pid in workers:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)

    def said(self, words: str) -> int:
        """Count the lines of the workers' log that have these words."""
        return self.supervisor.log.read_text(errors="replace").count(words)


@dataclass
class Held:
    """The EHR's site, which did what was asked and sends no answer until it is let go."""

    method: str
    path: str  # what the address begins with
    reached: Event = field(default_factory=Event)
    let_go: Event = field(default_factory=Event)

    def __call__(self, method: str, path: str) -> None:
        if method == self.method and path.startswith(self.path):
            self.reached.set()
            self.let_go.wait(WAIT_S)


@contextmanager
def holding(site: Site, method: str, path: str) -> Iterator[Held]:
    """Hold such answers inside the block, and let them go at its end."""
    held = Held(method, path)
    site.hospital.before_answer = held
    try:
        yield held
    finally:
        held.let_go.set()
        site.hospital.before_answer = lambda _method, _path: None


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with running_hospital(folder) as hospital:
        command = [sys.executable, "-m", "tests.e2e.crashing_decoder"]
        command += ["worker", "--processes", str(PROCESSES)]
        env = {
            "SIGHTLINE_PUBLIC_URL": hospital.base,
            "SIGHTLINE_DATA": str(hospital.settings.data),
            "SIGHTLINE_REDIS_URL": hospital.settings.redis_url,
            "SIGHTLINE_JOB_LEASE_S": str(LEASE_S),
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        }
        supervisor = Child(command, folder / "worker.log", env)
        site = Site(hospital, supervisor)
        try:
            supervisor.wait_until(site.is_whole)
            yield site
        finally:
            supervisor.stop()


def compressed(instance: bytes) -> bytes:
    """Return the image as an archive has it that compresses: this site's decoders crash at it."""
    dataset = pydicom.dcmread(BytesIO(instance))
    dataset.compress(RLELossless, generate_instance_uid=False)
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@pytest.fixture(scope="module")
def after_the_poison(site: Site) -> Site:
    """Ask for one study that kills its worker, in a line with ten others; return once all ended."""
    line = (*GOOD[:5], POISON, *GOOD[5:])
    for patient in line:
        site.admit(patient, compressed if patient == POISON else bytes)
    with site.with_the_workers_held():  # so that they all wait together
        for patient in line:
            site.open_chart(patient)
    until(lambda: not any(site.state(patient) == "open" for patient in line))
    return site


@pytest.mark.parametrize(
    ("patient", "method", "path", "written"),
    [
        pytest.param("h-fetch", "GET", "/dicom-web/", 0, id="the-archive-answers"),
        pytest.param("h-write", "POST", "/fhir", 1, id="the-record-has-written"),
    ],
)
def test_a_worker_killed_in_mid_job_is_replaced_and_leaves_one_observation(
    site: Site, patient: str, method: str, path: str, written: int
) -> None:
    site.admit(patient)
    until(site.is_whole)
    before = site.workers()
    with holding(site, method, path) as held:
        site.open_chart(patient)
        assert held.reached.wait(WAIT_S)

        pid = site.holder(patient)
        os.kill(pid, signal.SIGKILL)
        until(lambda: not is_alive(pid))
        assert pid in before and len(site.observations(patient)) == written

    until(lambda: site.state(patient) == "done")
    job = site.job(patient)
    assert (job["crashes"], job["attempts"]) == (1, 2)
    assert len(site.observations(patient)) == 1
    until(site.is_whole)
    assert site.said(f"worker {pid} ended with exit code -9") == 1


def test_every_good_study_beside_a_poisonous_one_is_done_at_its_first_try(
    after_the_poison: Site,
) -> None:
    jobs = [after_the_poison.job(patient) for patient in GOOD]

    assert {(job["state"], job["crashes"], job["attempts"]) for job in jobs} == {("done", 0, 1)}
    assert [len(after_the_poison.observations(patient)) for patient in GOOD] == [1] * len(GOOD)


def test_the_poisonous_one_is_quarantined_after_two_dead_workers(after_the_poison: Site) -> None:
    job = after_the_poison.job(POISON)

    assert (job["state"], job["crashes"], job["attempts"]) == ("quarantined", 2, 2)
    assert job["error"] == "WorkerCrashed"
    assert after_the_poison.said("ended with exit code -11") == 2
    assert after_the_poison.observations(POISON) == []


def test_the_pool_has_its_processes_again_and_goes_on(after_the_poison: Site) -> None:
    site = after_the_poison
    until(site.is_whole)

    site.admit("h-later")
    site.open_chart("h-later")

    until(lambda: site.state("h-later") == "done")
    assert site.said("ended with exit code -11") == 2


def test_the_card_says_that_it_was_not_analysed_and_asks_for_no_third_try(
    after_the_poison: Site,
) -> None:
    [card] = after_the_poison.open_chart(POISON)

    assert card["summary"].endswith(" was not analysed: technical problem")
    assert card["indicator"] == "info"
    assert "The analysis stopped because of a technical problem." in card["detail"]
    assert "tried again" not in card["detail"] and "score" not in json.dumps(card)
    assert after_the_poison.state(POISON) == "quarantined"


def test_the_app_says_that_it_broke_off_twice(after_the_poison: Site, page: Page) -> None:
    page.goto(after_the_poison.hospital.launch(POISON))

    expect(page.locator("body")).to_contain_text(
        "The analysis broke off twice, so it is not tried again by itself."
    )
    expect(page.get_by_role("button", name="Analyse again")).to_be_visible()
