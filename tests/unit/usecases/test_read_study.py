"""One study of an EHR, its patient and its images, by its UID."""

import pytest

from cds_service.domain.audit import AuditAction
from cds_service.errors import ArchiveFailed, NotFound
from cds_service.usecases.read_study import AGENT, read_study
from tests.builders import NOW, a_tenant
from tests.fakes.imaging import FakeArchive
from tests.fakes.ledger import FakeAuditLog
from tests.fakes.neighbours import FakeEhrRecord
from tests.unit.cards.builders import a_patient_resource, a_study_resource

UID = "1.2.840.99999.1"
RECORD = (a_patient_resource(birthDate="2023-01-01"), a_study_resource())


def test_the_study_is_that_of_its_subject_and_every_read_is_audited() -> None:
    record, audit = FakeEhrRecord(*RECORD), FakeAuditLog()

    study, patient, images = read_study(
        UID,
        a_tenant(archive_base="https://archive.example.org"),
        record=record,
        archive=FakeArchive({UID: [b"film"]}),
        audit=audit,
        clock=lambda: NOW,
    )

    assert (study.study_uid, study.patient_id, images) == (UID, "p-1", [b"film"])
    assert patient is not None and patient.birth_date is not None
    assert [path for path, _ in record.reads][1:] == ["Patient/p-1"]
    assert [(one.action, one.agent, one.study_uid) for one in audit.events] == [
        (AuditAction.EHR_READ, AGENT, UID),
        (AuditAction.STUDY_FETCHED, AGENT, UID),
    ]


def test_a_study_that_the_ehr_does_not_have_is_not_found() -> None:
    with pytest.raises(NotFound, match="no such study"):
        read_study(
            "1.2.3",
            a_tenant(),
            record=FakeEhrRecord(*RECORD),
            archive=FakeArchive(),
            audit=FakeAuditLog(),
            clock=lambda: NOW,
        )


def test_a_fetch_that_fails_is_audited_too() -> None:
    audit = FakeAuditLog()

    with pytest.raises(ArchiveFailed):
        read_study(
            UID,
            a_tenant(archive_base="https://archive.example.org"),
            record=FakeEhrRecord(*RECORD),
            archive=FakeArchive(fails_with=ArchiveFailed("The archive gave no images.")),
            audit=audit,
            clock=lambda: NOW,
        )

    assert [one.outcome for one in audit.events] == ["success", "ArchiveFailed"]
