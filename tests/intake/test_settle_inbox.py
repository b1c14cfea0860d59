"""Pushed studies with a real EHR: bound, analysed once, erased; and nothing is seen before."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import sqlalchemy as sa

from cds_service import wiring
from cds_service.adapters.inbox_files import InboxFiles
from cds_service.adapters.ledger import SqlInbox, schema
from cds_service.domain.audit import AuditAction
from cds_service.domain.finding import AnalysisStatus, Reason
from cds_service.domain.inbox import PushedInstance
from cds_service.domain.intake import Clue, Door, Reception
from cds_service.domain.job import JobState
from cds_service.domain.study import PatientFacts
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrBusy, LedgerUnavailable, StudyIncomplete
from cds_service.intake.inbox import Inbox
from cds_service.intake.receive import receive
from cds_service.intake.settle_inbox import Settlement, keep_settling, settle_inbox
from cds_service.usecases.ports import Budget, EhrRecord, Resource
from tests.builders import a_result, a_study, an_analysis
from tests.fakes.neighbours import FakeEhrRecord
from tests.intake.conftest import Hospital
from tests.intake.dimse import wait_until
from tests.pushed import Clock, a_pushed_film, an_archive, as_pushed, files_in, push

LATER = datetime(2099, 1, 1, tzinfo=UTC)
QUIET, WAIT = timedelta(seconds=5), timedelta(hours=24)
UID = "1.2.840.99999.1"


@dataclass
class Ward:
    """A hospital whose archive pushes; the inbox's clock is the test's."""

    hospital: Hospital
    inbox: Inbox
    index: SqlInbox
    clock: Clock
    settlement: Settlement
    folder: Path

    def push(self, number: int = 1, study: str = UID, **changes: str) -> PushedInstance:
        film = a_pushed_film(number, StudyInstanceUID=study, **changes)
        return push(self.inbox, as_pushed(film))

    def settle(self, after: timedelta = QUIET) -> int:
        self.clock.now += after
        return settle_inbox(self.settlement)

    def read(self, patient: str = "p-1") -> list[bytes]:
        archive = an_archive(self.index, self.folder)
        study = a_study(study_uid=UID, patient_id=patient)
        return list(archive.instances(self.hospital.tenant, study, Budget()))

    @property
    def kept(self) -> list[Path]:
        return files_in(self.folder)

    def audited(self) -> list[tuple[str, str]]:
        with self.hospital.house.engine.connect() as connection:
            rows = connection.execute(
                sa.select(schema.audit_event).order_by(schema.audit_event.c.seq)
            )
            return [(row.action, row.outcome) for row in rows if row.action.startswith("images")]


@pytest.fixture
def ward(hospital: Hospital) -> Ward:
    hospital.open(Door.STOW_RS)
    clock = Clock()
    house, settings = hospital.house, hospital.settings
    index = SqlInbox(house.engine, house.vault, clock=clock)
    inbox = wiring.inbox(settings, house)
    inbox = Inbox(inbox.tenants, inbox.files, index, inbox.identify, inbox.quota)
    files = InboxFiles(settings.inbox)
    settlement = Settlement(hospital.desk, house.tenants, index, files, QUIET, WAIT)
    return Ward(hospital, inbox, index, clock, settlement, settings.inbox)


def finish(ward: Ward, status: AnalysisStatus = AnalysisStatus.ANALYSED, code: str = "") -> None:
    """Let a worker finish the oldest job there is, with such a result."""
    jobs = ward.hospital.house.jobs
    with ward.hospital.house.engine.connect() as connection:
        oldest = sa.select(schema.job.c.id).order_by(schema.job.c.created_at)
        job_id = connection.execute(oldest).scalars().first()
    assert job_id is not None
    lease = jobs.take(job_id, "worker")
    assert lease is not None
    reason = Reason(code, "because") if code else None
    model = wiring.intake_desk(ward.hospital.settings, ward.hospital.house).routes("t-1")[0].model
    analysis = an_analysis(
        study_uid=UID, status=status, reason=reason, model=model, findings=(), instance_digests=()
    )
    result = a_result(
        id=f"r-{code}", key=f"k-{code}", analysis=analysis, computed_at=datetime.now(UTC)
    )
    ward.hospital.house.results.save(result, lease)
    jobs.finish(lease, result.id)


def test_a_study_is_asked_for_when_nothing_more_comes_and_not_before(ward: Ward) -> None:
    ward.hospital.admit()
    ward.push(1)

    assert ward.settle(QUIET / 2) == 0
    ward.push(2)
    assert ward.settle(QUIET / 2) == 0
    assert ward.hospital.asked() == []

    assert ward.settle() == 1
    [study] = ward.hospital.asked()
    assert (study.study_uid, study.patient_id) == (UID, "p-1")
    assert len(ward.read()) == 2


def test_nothing_is_read_or_asked_for_before_the_ehr_says_whose_it_is(ward: Ward) -> None:
    ward.push()

    assert ward.settle() == 0

    assert ward.hospital.asked() == []
    with pytest.raises(StudyIncomplete):
        ward.read()


def test_a_study_that_reaches_the_ehr_later_is_bound_then(ward: Ward) -> None:
    ward.push()
    ward.settle()
    ward.hospital.admit()

    assert ward.settle(timedelta(seconds=1)) == 0  # the EHR is not asked every second
    assert ward.settle(timedelta(minutes=1)) == 1

    assert len(ward.hospital.asked()) == 1


def test_a_study_is_found_by_its_accession_number_where_the_ehr_keeps_no_uid(ward: Ward) -> None:
    accession = {
        "type": {"coding": [{"code": "ACSN"}]},
        "system": "urn:hospital",
        "value": "ACC-1",
    }
    ward.hospital.admit(identifier=[accession])
    ward.push(AccessionNumber="ACC-1")

    assert ward.settle() == 1

    [study] = ward.hospital.asked()
    assert (study.study_uid, study.patient_id) == (UID, "p-1")


def test_two_patients_with_one_study_bind_nobody(ward: Ward) -> None:
    ward.hospital.admit(1)
    ward.hospital.admit(2, "p-2", identifier=[{"system": "urn:dicom:uid", "value": UID}])
    ward.push()

    assert ward.settle() == 0

    assert ward.hospital.asked() == []
    for patient in ("p-1", "p-2"):
        with pytest.raises(StudyIncomplete):
            ward.read(patient)


def test_a_study_of_two_patients_is_not_audited_every_minute(ward: Ward) -> None:
    ward.hospital.admit(1)
    ward.hospital.admit(2, "p-2", identifier=[{"system": "urn:dicom:uid", "value": UID}])
    ward.push()
    ward.settle()

    for _ in range(50):
        ward.settle(timedelta(minutes=1))

    with ward.hospital.house.engine.connect() as connection:
        actions = connection.execute(sa.select(schema.audit_event.c.action)).scalars().all()
    assert actions.count(AuditAction.PATIENT_MISMATCH) == 1


def test_a_study_that_nobody_knows_is_erased_in_time_and_audited(ward: Ward) -> None:
    ward.push()
    ward.settle()
    assert len(ward.kept) == 1

    ward.settle(WAIT)

    assert ward.kept == [] and ward.index.overdue(timedelta()) == []
    assert ward.audited() == [("images-erased", "unmatched")]


def test_images_are_erased_when_their_job_is_done_and_not_before(ward: Ward) -> None:
    ward.hospital.admit()
    ward.push()
    ward.settle()
    ward.settle()
    assert len(ward.kept) == 1

    finish(ward)
    ward.settle(timedelta(seconds=1))

    assert ward.kept == []
    assert ward.audited() == [("images-pushed", "asked"), ("images-erased", "analysed")]


def test_images_of_a_job_that_failed_wait_for_another_attempt_but_not_for_ever(
    ward: Ward,
) -> None:
    ward.hospital.admit()
    ward.push()
    ward.settle()
    with ward.hospital.house.engine.begin() as connection:
        connection.execute(sa.update(schema.job).values(state=JobState.FAILED))

    ward.settle()
    assert len(ward.kept) == 1
    ward.settle(WAIT)

    assert ward.kept == []
    assert ward.audited()[-1] == ("images-erased", "failed")


def states(ward: Ward) -> list[str]:
    with ward.hospital.house.engine.connect() as connection:
        return list(connection.execute(sa.select(schema.job.c.state)).scalars())


def test_a_study_that_was_not_analysed_for_want_of_images_is_done_again_when_they_come(
    ward: Ward,
) -> None:
    ward.hospital.admit()
    assert receive(Clue(UID), ward.hospital.tenant, ward.hospital.desk) is Reception.ASKED
    finish(ward, AnalysisStatus.NOT_ANALYSED, "not-in-archive")

    ward.push()
    ward.settle()

    assert states(ward) == [JobState.OPEN]
    assert len(ward.read()) == 1


def test_a_job_that_looked_for_the_images_just_before_they_came_is_done_again(
    ward: Ward,
) -> None:
    ward.hospital.admit()
    receive(Clue(UID), ward.hospital.tenant, ward.hospital.desk)
    ward.push()
    ward.settle()  # bound, while the job that a hook asked for is at work
    finish(ward, AnalysisStatus.NOT_ANALYSED, "no-endpoint")

    ward.settle(timedelta(minutes=1))  # let go
    ward.settle(timedelta(seconds=1))  # and bound again

    assert states(ward) == [JobState.OPEN]
    assert len(ward.read()) == 1


def test_images_stay_until_every_model_has_its_result(ward: Ward) -> None:
    ward.hospital.admit()
    ward.push()
    ward.settle()
    [study] = ward.hospital.asked()
    ward.hospital.house.jobs.open("key-2", study, PatientFacts("p-1"), "another-model")
    with ward.hospital.house.engine.begin() as connection:  # the first was asked for last
        first = schema.job.c.model_id != "another-model"
        connection.execute(sa.update(schema.job).where(first).values(created_at=LATER))
        connection.execute(sa.update(schema.job).where(first).values(state=JobState.DONE))

    ward.settle()

    assert len(ward.read()) == 1


class Hesitant:
    """An EHR that answers a search and, the first time, not for the patient."""

    def __init__(self, record: EhrRecord) -> None:
        self._record, self._hesitates = record, True

    def read(self, tenant: Tenant, path: str, **asked: Any) -> Resource:
        if path.startswith("Patient/") and self._hesitates:
            self._hesitates = False
            raise EhrBusy("busy")
        return self._record.read(tenant, path, **asked)

    def read_on(self, tenant: Tenant, kind: str, url: str, **asked: Any) -> Resource:
        return self._record.read_on(tenant, kind, url, **asked)


def test_an_ehr_that_fails_after_binding_is_asked_again(ward: Ward) -> None:
    ward.hospital.admit()
    ward.push()
    desk = ward.hospital.desk
    ward.settlement = replace(ward.settlement, desk=replace(desk, record=Hesitant(desk.record)))

    assert ward.settle() == 0
    assert ward.hospital.asked() == []
    ward.settle(timedelta(minutes=1))
    ward.settle(timedelta(seconds=1))

    assert len(ward.hospital.asked()) == 1 and len(ward.read()) == 1


def test_a_study_whose_binder_died_is_not_taken_from_one_that_is_at_work(ward: Ward) -> None:
    ward.hospital.admit()
    ward.push()
    ward.clock.now += QUIET
    [held] = ward.index.quiet(QUIET, timedelta(minutes=1))
    ward.index.bind(held, "p-1")  # and no job is asked for

    ward.settle(timedelta(seconds=30))
    assert len(ward.read()) == 1
    ward.settle(timedelta(seconds=31))
    ward.settle(timedelta(seconds=1))

    assert len(ward.hospital.asked()) == 1


def test_a_study_that_was_analysed_is_not_done_again_because_it_is_pushed_once_more(
    ward: Ward,
) -> None:
    ward.hospital.admit()
    ward.push(1)
    ward.settle()
    finish(ward)
    ward.settle()

    ward.push(1)
    ward.settle()
    ward.settle()

    assert states(ward) == [JobState.DONE] and ward.kept == []


def test_what_no_model_reads_is_erased_at_once(ward: Ward) -> None:
    ward.hospital.admit(series=[{"uid": f"{UID}.1", "modality": {"code": "US"}}])
    ward.push()

    ward.settle()

    assert ward.kept == [] and ward.hospital.asked() == []


def test_images_of_an_ehr_that_is_gone_are_erased(ward: Ward) -> None:
    ward.push()
    ward.hospital.house.tenants.remove("t-1")

    ward.settle()

    assert ward.kept == []


def test_an_ehr_that_is_away_is_asked_again(ward: Ward) -> None:
    ward.hospital.admit()
    ward.push()
    record = FakeEhrRecord()
    record.failure = EhrBusy("The EHR is away.")
    away = replace(ward.hospital.desk, record=record)

    assert settle_inbox(replace(ward.settlement, desk=away)) == 0
    ward.clock.now += QUIET
    assert settle_inbox(replace(ward.settlement, desk=away)) == 0

    assert ward.settle(timedelta(minutes=1)) == 1
    assert len(ward.hospital.asked()) == 1


def test_an_ehr_that_is_away_is_asked_once_in_a_turn(ward: Ward) -> None:
    for number in (1, 2, 3):
        ward.push(number, study=f"{UID}.{number}")
    record = FakeEhrRecord()
    record.failure = EhrBusy("The EHR is away.")
    ward.settlement = replace(ward.settlement, desk=replace(ward.hospital.desk, record=record))

    ward.settle()
    assert len(record.reads) == 1
    ward.settle(timedelta(seconds=1))
    assert len(record.reads) == 2  # another study: one that it cannot answer holds up no other


def test_settling_goes_on_in_its_thread_whatever_fails_once(
    ward: Ward, caplog: pytest.LogCaptureFixture
) -> None:
    ward.hospital.admit()
    ward.push()
    ward.clock.now += QUIET
    stop, turns = Event(), iter([LedgerUnavailable("away"), RuntimeError("PHI")])

    class Tenants:
        def get(self, tenant_id: str) -> Tenant:
            if (failure := next(turns, None)) is not None:
                raise failure
            return ward.hospital.house.tenants.get(tenant_id)

        def all(self) -> list[Tenant]:
            return ward.hospital.house.tenants.all()

    settlement = replace(ward.settlement, tenants=Tenants())
    thread = Thread(target=keep_settling, args=(settlement, stop, 0.01))
    thread.start()
    wait_until(lambda: ward.hospital.asked() != [])
    stop.set()
    thread.join()

    assert "LedgerUnavailable" in caplog.text and "RuntimeError" in caplog.text
    assert "PHI" not in caplog.text
