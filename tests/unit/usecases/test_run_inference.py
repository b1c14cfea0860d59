"""A job from the ledger through archive, model and EHR, and what a failure at each step leaves."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from cds_service.domain.audit import AuditAction
from cds_service.domain.finding import AnalysisStatus, Coding
from cds_service.domain.job import JobState, JobStep, Lease
from cds_service.domain.publication import PublicationState
from cds_service.domain.study import PatientFacts, SeriesReference, StudyReference
from cds_service.errors import (
    ArchiveFailed,
    ArchiveRefused,
    EhrRefused,
    EhrTimedOut,
    InferenceFailed,
    LedgerUnavailable,
    SightlineError,
)
from cds_service.usecases.list_series import with_series
from cds_service.usecases.ports import Budget
from cds_service.usecases.publish_reviews import ReviewBench
from cds_service.usecases.run_inference import PUBLISH_FOR, Workbench, run_inference
from tests.builders import a_model, a_patient, a_study, a_tenant
from tests.fakes.imaging import STUDY_UID, FakeArchive, FakeClassifier, FakeReader, a_header
from tests.fakes.ledger import (
    FakeAuditLog,
    FakeClock,
    FakeJobs,
    FakePublications,
    FakeResults,
    FakeTenants,
)
from tests.fakes.record import FakeEhrWriter
from tests.fakes.reviews import FakeReviews

ATTEMPTS = 3
EFFUSION = Coding("http://snomed.info/sct", "60046008", "Pleural effusion")


@dataclass
class House:
    """A worker's surroundings, with one open job in the ledger."""

    clock: FakeClock = field(default_factory=FakeClock)
    tenants: FakeTenants = field(default_factory=lambda: FakeTenants(a_tenant()))
    reader: FakeReader = field(default_factory=FakeReader)
    classifier: FakeClassifier = field(default_factory=FakeClassifier)
    writer: FakeEhrWriter = field(default_factory=FakeEhrWriter)
    audit: FakeAuditLog = field(default_factory=FakeAuditLog)
    study: StudyReference = field(default_factory=a_study)
    patient: PatientFacts = field(default_factory=a_patient)

    def __post_init__(self) -> None:
        self.jobs = FakeJobs(attempts=ATTEMPTS, clock=self.clock)
        self.results = FakeResults(self.jobs)
        self.publications = FakePublications(self.jobs)
        self.archive = FakeArchive({STUDY_UID: [self.reader.holding(b"film", 0.93)]})
        self.job_id = self.jobs.open("k-1", self.study, self.patient, "cxr_pneumonia_peds")[0].id

    @property
    def reviewing(self) -> ReviewBench:
        reviews = FakeReviews(self.clock)
        ledger = (self.tenants, self.results, reviews, reviews.writes)
        return ReviewBench(*ledger, self.writer, self.audit, self.clock)

    @property
    def bench(self) -> Workbench:
        return Workbench(
            tenants=self.tenants,
            leases=self.jobs,
            results=self.results,
            publications=self.publications,
            archive=self.archive,
            reader=self.reader,
            classifiers=lambda _model_id: self.classifier,
            writer=self.writer,
            audit=self.audit,
            clock=self.clock,
            new_id=lambda: f"r-{len(self.results.all) + 1}",
            attempts=ATTEMPTS,
            budget=Budget(),
            reviews=self.reviewing,
        )

    def work(self, owner: str = "worker-1") -> str:
        return run_inference(self.job_id, owner, self.bench)

    @property
    def state(self) -> JobState:
        return self.jobs.get(self.job_id).state

    @property
    def observations(self) -> list[str]:
        return [name for name in self.writer.stored if name.startswith("Observation/")]

    def audited(self) -> list[tuple[AuditAction, str]]:
        return [(event.action, event.outcome) for event in self.audit.events]


@pytest.fixture
def house() -> House:
    return House()


def test_a_job_ends_with_a_result_that_the_ehr_has(house: House) -> None:
    assert house.work() == "done"

    (result,) = house.results.all
    publication = house.publications.of(result.id)
    assert result.analysis.findings[0].probability == 0.93
    assert publication is not None and publication.state is PublicationState.DONE
    job = house.jobs.get(house.job_id)
    assert (job.state, job.step, job.result_id) == (JobState.DONE, JobStep.DONE, result.id)
    assert house.audited() == [
        (AuditAction.STUDY_FETCHED, "success"),
        (AuditAction.RESULT_PUBLISHED, "done"),
    ]


def test_a_job_that_is_done_is_left_at_once(house: House) -> None:
    house.work()

    assert house.work() == "not-mine"
    assert house.writer.calls == 1


def test_the_same_images_are_never_run_through_the_model_twice(house: House) -> None:
    house.writer = FakeEhrWriter(fails_first=1)
    assert house.work() == "postponed"
    house.classifier.fails_with = InferenceFailed("The model would have run again.")

    assert house.work() == "done"

    assert len(house.results.all) == 1
    assert len(house.observations) == 1


def test_a_second_job_about_the_same_images_finds_the_first_one_s_result(house: House) -> None:
    house.work()
    house.classifier.fails_with = InferenceFailed("The model would have run again.")
    house.job_id = house.jobs.open("k-2", a_study(), a_patient(), "cxr_pneumonia_peds")[0].id

    assert house.work() == "done"

    assert len(house.results.all) == 1 and house.writer.calls == 1


def test_two_models_on_one_study_have_a_result_each_and_neither_runs_twice(house: House) -> None:
    models = {
        "cxr_pneumonia_peds": house.classifier,
        "other": FakeClassifier(identity=a_model(id="other"), finding=EFFUSION),
    }
    bench = replace(house.bench, classifiers=models.__getitem__)
    second = house.jobs.open("k-2", a_study(), a_patient(), "other")[0]

    for job_id in (house.job_id, second.id):
        assert run_inference(job_id, "worker", bench) == "done"
    for model in models.values():
        model.fails_with = InferenceFailed("The model would have run again.")
    for name, model_id in (("k-3", "cxr_pneumonia_peds"), ("k-4", "other")):
        job, _ = house.jobs.open(name, a_study(), a_patient(), model_id)
        assert run_inference(job.id, "worker", bench) == "done"

    assert {one.analysis.model.id for one in house.results.all} == set(models)
    assert len(house.results.all) == 2 and len(house.observations) == 2


def test_the_steps_are_noted_in_order(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[JobStep] = []
    advance = house.jobs.advance

    def noting(lease: Lease, step: JobStep) -> Lease:
        steps.append(step)
        return advance(lease, step)

    monkeypatch.setattr(house.jobs, "advance", noting)

    house.work()

    assert steps == [JobStep.FETCHING, JobStep.READING, JobStep.INFERRING, JobStep.PUBLISHING]


def test_a_job_that_another_worker_has_is_left_at_once(house: House) -> None:
    house.jobs.take(house.job_id, "worker-2")

    assert house.work() == "not-mine"
    assert house.archive.fetched == [] and house.audited() == []


FOUND_BY_NUMBER = a_study(imaging_study_id=None, series=(), series_count=2, instance_count=301)


def test_of_a_study_without_a_series_list_only_what_the_model_reads_is_fetched() -> None:
    house = House(study=FOUND_BY_NUMBER)
    house.archive.listed = (
        SeriesReference("1.2.3.1", "CT", instance_count=300),
        SeriesReference("1.2.3.2", "DX", instance_count=1),
    )

    assert house.work() == "done"

    assert [budget.series for budget in house.archive.budgets] == [("1.2.3.2",)]
    assert not house.results.all[0].analysis.is_partial


def test_a_study_whose_series_the_ehr_lists_is_not_looked_up(house: House) -> None:
    stated = (SeriesReference("1.2.3.1", "CT"), SeriesReference("1.2.3.2", "DX"))
    study = a_study(series=stated, series_count=2)

    house.archive.listed = (SeriesReference("1.2.3.9", "DX"),)

    assert with_series(study, a_tenant(), house.archive) == study


@pytest.mark.parametrize("error", [ArchiveFailed("It has no list."), ArchiveRefused("Not to us.")])
def test_an_archive_that_lists_no_series_is_asked_for_the_whole_study(
    error: SightlineError,
) -> None:
    house = House(study=FOUND_BY_NUMBER)

    class WithoutList(FakeArchive):
        def series(self, *arguments: object) -> tuple[SeriesReference, ...]:
            raise error

    house.archive = WithoutList({STUDY_UID: [house.reader.holding(b"film", 0.93)]})

    assert house.work() == "done"

    assert [budget.series for budget in house.archive.budgets] == [()]


def test_a_worker_that_lost_its_lease_writes_nothing_more(house: House) -> None:
    class Stolen(FakeArchive):
        def instances(self, *arguments: object) -> object:  # type: ignore[override]
            house.clock.advance(60)
            assert house.jobs.take(house.job_id, "worker-2") is not None
            return iter([b"film"])

    house.archive = Stolen()

    assert house.work() == "lease-lost"
    assert house.results.all == [] and house.writer.calls == 0
    assert house.state is JobState.OPEN


@pytest.mark.parametrize("error", [ArchiveFailed("It was away."), EhrTimedOut("It was slow.")])
def test_a_fault_that_may_pass_is_tried_again_and_then_fails_the_job(
    house: House, error: SightlineError
) -> None:
    house.archive = FakeArchive(fails_with=error)
    name = type(error).__name__

    codes, states = [], []
    for _ in range(ATTEMPTS):
        codes.append(house.work())
        states.append(house.state)

    assert codes == [name] * ATTEMPTS
    assert states == [JobState.OPEN, JobState.OPEN, JobState.FAILED]
    assert set(house.audited()) == {(AuditAction.STUDY_FETCHED, name)}


def test_a_study_that_the_archive_never_gets_is_not_analysed_after_the_last_attempt(
    house: House,
) -> None:
    house.archive = FakeArchive({})

    codes = [house.work() for _ in range(ATTEMPTS)]

    assert codes == ["StudyIncomplete", "StudyIncomplete", "done"]
    (result,) = house.results.all
    assert result.analysis.status is AnalysisStatus.NOT_ANALYSED
    assert result.analysis.reason is not None and result.analysis.reason.code == "not-in-archive"
    assert house.writer.calls == 0


def test_a_study_that_arrives_between_two_attempts_is_analysed(house: House) -> None:
    archive, house.archive = house.archive, FakeArchive({})
    house.work()
    house.archive = archive

    assert house.work() == "done"
    assert house.results.all[0].analysis.status is AnalysisStatus.ANALYSED


def test_an_ehr_that_refuses_ends_the_job_with_the_finding_on_the_card_only(house: House) -> None:
    house.writer = FakeEhrWriter(error=EhrRefused("The EHR answered 403 to a write."))

    assert house.work() == "done"

    publication = house.publications.of(house.results.all[0].id)
    assert publication is not None and publication.state is PublicationState.FAILED


def test_a_result_waits_for_an_ehr_that_is_away_longer_than_any_number_of_attempts(
    house: House,
) -> None:
    house.writer = FakeEhrWriter(fails_first=ATTEMPTS + 2)

    codes = [house.work() for _ in range(ATTEMPTS + 3)]

    assert codes == ["postponed"] * (ATTEMPTS + 2) + ["done"]
    assert len(house.observations) == 1 and len(house.archive.fetched) == 1


def test_a_result_does_not_wait_for_ever(house: House) -> None:
    house.writer = FakeEhrWriter(error=EhrTimedOut("It was slow."))
    house.clock.advance(PUBLISH_FOR.total_seconds() + 1)

    assert house.work() == "done"

    publication = house.publications.of(house.results.all[0].id)
    assert publication is not None and publication.state is PublicationState.FAILED
    assert "EhrTimedOut" in publication.lost[0]


def test_a_model_that_fails_fails_the_job_without_another_try(house: House) -> None:
    house.classifier.fails_with = InferenceFailed("The model could not be run.")

    assert house.work() == "InferenceFailed"
    assert house.state is JobState.FAILED


def test_a_job_of_an_ehr_that_was_removed_fails(house: House) -> None:
    house.tenants.remove("t-1")

    assert house.work() == "NotFound"
    assert house.state is JobState.FAILED and house.archive.fetched == []


def test_images_of_somebody_else_alert_the_administrator_and_name_nobody(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    other = replace(a_header(), patient_id="MRN-OTHER")
    house.archive = FakeArchive({STUDY_UID: [house.reader.holding(b"other", 0.9, other)]})

    assert house.work() == "done"

    (result,) = house.results.all
    assert result.analysis.reason is not None
    assert result.analysis.reason.code == "patient-mismatch"
    assert (AuditAction.PATIENT_MISMATCH, "refused") in house.audited()
    assert "patient mismatch" in caplog.text and "MRN" not in caplog.text
    (alert,) = [one for one in house.audit.events if one.action is AuditAction.PATIENT_MISMATCH]
    assert alert.detail == "patient-id-differs" and alert.study_uid == STUDY_UID


def test_an_accession_number_of_another_study_is_a_mismatch() -> None:
    house = House(study=a_study(accession="A-1", other_accessions=("A-2",)))
    other = a_header(accession="A-3")
    house.archive = FakeArchive({STUDY_UID: [house.reader.holding(b"other", 0.9, other)]})

    assert house.work() == "done"

    assert house.results.all[0].analysis.notes == ("accession-differs",)


def asked_for(house: House, patient: PatientFacts, **study: Any) -> str:
    """Ask for the same images once more, as the EHR states study and patient now."""
    again = a_study(patient_id=patient.patient_id, **study)
    key = f"again-{len(house.jobs.all)}"
    house.job_id = house.jobs.open(key, again, patient, "cxr_pneumonia_peds")[0].id
    return house.work()


def test_a_study_that_the_ehr_gave_to_another_patient_has_no_number_there(house: House) -> None:
    house.work()

    assert asked_for(house, a_patient(patient_id="p-2", identifiers=("MRN-2",))) == "done"

    [moved] = house.results.studies_of("t-1", "p-2")
    assert moved.analysis.reason is not None and not moved.analysis.findings
    assert moved.analysis.reason.code == "patient-mismatch"
    assert house.jobs.get(house.job_id).result_id == moved.id


def test_a_study_that_the_ehr_gave_to_another_patient_stands_for_the_first_no_more(
    house: House,
) -> None:
    house.work()
    own = {"patient_id": "p-2", "identifiers": ("MRN-2",)}
    film = house.reader.holding(b"again", 0.9, a_header(patient_id="MRN-2"))
    house.archive = FakeArchive({STUDY_UID: [film]})

    asked_for(house, a_patient(**own))

    assert house.results.studies_of("t-1", "p-1") == []
    assert [one.patient_id for one in house.results.studies_of("t-1", "p-2")] == ["p-2"]
    alerts = [one for one in house.audit.events if one.action is AuditAction.PATIENT_MISMATCH]
    assert [(one.outcome, one.detail) for one in alerts] == [("refused", "study-moved")]


def test_a_patient_whose_data_were_put_right_is_matched_when_asked_again() -> None:
    house = House(patient=a_patient(identifiers=("MRN-TYPO",)))
    house.work()
    assert [one.analysis.notes for one in house.results.all] == [("patient-id-differs",)]

    asked_for(house, a_patient())

    refused, found = house.results.all
    assert found.analysis.findings and not refused.analysis.findings
    assert house.jobs.get(house.job_id).result_id == found.id


def test_a_known_result_is_not_repeated_for_a_patient_whose_data_now_differ(house: House) -> None:
    house.work()

    asked_for(house, a_patient(identifiers=("MRN-2",)))

    known, refused = house.results.all
    assert known.analysis.findings and refused.analysis.notes == ("patient-id-differs",)
    assert (AuditAction.PATIENT_MISMATCH, "refused") in house.audited()


def test_a_mismatch_that_is_found_again_is_one_alert() -> None:
    house = House(patient=a_patient(identifiers=("MRN-2",)))
    house.work()

    asked_for(house, house.patient)

    assert len(house.results.all) == 1
    assert house.audited().count((AuditAction.PATIENT_MISMATCH, "refused")) == 1


def test_a_name_spelled_otherwise_is_noted_for_the_administrator_and_shown_all_the_same() -> None:
    house = House(patient=a_patient(names=("Meier Anna",)))
    film = house.reader.holding(b"named", 0.9, a_header(patient_name="Smith^John"))
    house.archive = FakeArchive({STUDY_UID: [film]})

    assert house.work() == "done"

    assert house.results.all[0].analysis.findings
    assert (AuditAction.NAME_DIFFERS, "noted") in house.audited()


def test_a_ledger_that_is_away_leaves_the_job_to_the_sweep(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise LedgerUnavailable("The ledger gave no answer.")

    monkeypatch.setattr(house.jobs, "finish", away)
    monkeypatch.setattr(house.jobs, "give_up", away)

    with pytest.raises(LedgerUnavailable):
        house.work()

    assert house.state is JobState.OPEN


# --- crashes ----------------------------------------------------------------------------------

PORTS = (
    *("tenants", "leases", "results", "publications"),
    *("archive", "reader", "writer", "audit"),
)


class Crash(BaseException):
    """The process is gone: nothing of ours catches this."""


class Tripwire:
    """Stands before every port and crashes at one call, before it is made or after."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.calls = 0
        self._at, self._after = at, after

    def made(self, call: Callable[[], Any]) -> Any:
        self.calls += 1
        if self.calls == self._at and not self._after:
            raise Crash
        answer = call()
        if self.calls == self._at:
            raise Crash
        return answer


class Wired:
    """One port behind the tripwire."""

    def __init__(self, port: object, wire: Tripwire) -> None:
        self._port, self._wire = port, wire

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        if not callable(value):
            return value
        return lambda *args, **kwargs: self._wire.made(lambda: value(*args, **kwargs))


def work_with(wire: Tripwire, house: House) -> None:
    bench = house.bench
    wired: dict[str, Any] = {name: Wired(getattr(bench, name), wire) for name in PORTS}
    wired["classifiers"] = lambda model_id: Wired(bench.classifiers(model_id), wire)
    run_inference(house.job_id, "worker-that-dies", replace(bench, **wired))


def calls_of_a_whole_job() -> int:
    wire = Tripwire(0, after=False)
    work_with(wire, House())
    return wire.calls


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, calls_of_a_whole_job() + 1))
def test_a_crash_at_any_call_is_resumed_and_leaves_one_of_each(
    house: House, at: int, after: bool
) -> None:
    with pytest.raises(Crash):
        work_with(Tripwire(at, after=after), house)
    house.clock.advance(60)  # until the lease has run out

    house.work("worker-2")

    (result,) = house.results.all
    publication = house.publications.of(result.id)
    assert house.state is JobState.DONE
    assert publication is not None and publication.state is PublicationState.DONE
    assert len(house.observations) == 1


@pytest.mark.parametrize("later", ["a" * 64, "b" * 64], ids=["the-same", "others"])
def test_a_film_that_decodes_to_other_pixels_than_before_is_refused_and_audited(
    house: House, caplog: pytest.LogCaptureFixture, later: str
) -> None:
    house.reader.sha256 = "a" * 64
    house.work()
    house.classifier.identity = replace(a_model(), version="9.9.9")  # the same film once more
    house.reader.sha256 = later
    house.job_id = house.jobs.open("k-2", house.study, house.patient, "cxr_pneumonia_peds")[0].id

    assert house.work() == "done"

    first, again = (one.analysis for one in house.results.all)
    agrees = later == "a" * 64
    assert first.findings and bool(again.findings) is agrees
    assert [one.code for one in again.instances] == ([] if agrees else ["damaged-pixels"])
    assert again.pixel_digests == first.pixel_digests  # what was first is what counts
    assert ((AuditAction.PIXELS_DIFFER, "refused") in house.audited()) is not agrees
    assert ("pixels differ" in caplog.text) is not agrees
