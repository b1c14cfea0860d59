"""One study of an EHR, its patient and its images, by its UID."""

import pytest

from cds_service.domain.accession import IndexedStudy
from cds_service.domain.audit import AuditAction
from cds_service.domain.study import PatientFacts, StudyReference
from cds_service.domain.tenant import Vendor
from cds_service.errors import ArchiveFailed, NotFound
from cds_service.usecases.read_study import AGENT, read_study
from tests.builders import NOW, a_tenant
from tests.fakes.imaging import FakeArchive, FakeIndex
from tests.fakes.ledger import FakeAuditLog
from tests.fakes.neighbours import FakeEhrRecord
from tests.unit.cards.builders import a_patient_resource, a_study_resource
from tests.unit.cards.test_studies_by_accession import SCOPE, an_order

UID = "1.2.840.99999.1"
RECORD = (a_patient_resource(birthDate="2023-01-01"), a_study_resource())


def test_the_study_is_that_of_its_subject_and_every_read_is_audited() -> None:
    record, audit = FakeEhrRecord(*RECORD), FakeAuditLog()

    study, patient, images = read_study(
        UID,
        a_tenant(archive_base="https://archive.example.org"),
        record=record,
        index=FakeIndex(),
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
            index=FakeIndex(),
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
            index=FakeIndex(),
            archive=FakeArchive(fails_with=ArchiveFailed("The archive gave no images.")),
            audit=audit,
            clock=lambda: NOW,
        )

    assert [one.outcome for one in audit.events] == ["success", "ArchiveFailed"]


def test_where_no_archive_is_registered_the_study_s_own_endpoint_names_it() -> None:
    named = ("https://x.example.org/Endpoint/x", "Endpoint/v", f"{a_tenant().fhir_base}/Endpoint/e")
    study = a_study_resource(endpoint=[{"reference": one} for one in named])
    viewer = {"resourceType": "Endpoint", "id": "v", "connectionType": {"code": "ihe-iid"}}
    address = "https://ehr.example.org/dicom-web"
    archive = viewer | {
        "id": "e",
        "connectionType": {"code": "dicom-wado-rs"},
        "address": address,
    }
    elsewhere = archive | {"id": "x", "address": f"{address}/of-another-study"}

    found, _, _ = read_study(
        UID,
        a_tenant(archive_base=None),
        record=FakeEhrRecord(a_patient_resource(), study, viewer, elsewhere, archive),
        index=FakeIndex(),
        archive=FakeArchive({UID: [b"film"]}),
        audit=FakeAuditLog(),
        clock=lambda: NOW,
    )

    assert found.archive_url == address


# --- an EHR without ImagingStudy ---------------------------------------------------------------

ORACLE = a_tenant(vendor=Vendor.ORACLE, archive_base="https://archive.example.org")


def listed(uid: str = UID, patient: str = "MRN-1") -> IndexedStudy:
    return IndexedStudy(uid, str(ORACLE.archive_base), patient, modalities=("DX",))


def of_patient(
    index: FakeIndex, patient_id: str = "p-1"
) -> tuple[StudyReference, PatientFacts | None, list[bytes]]:
    orders = (an_order(f"A-{day}", day) for day in range(1, 13))
    return read_study(
        UID,
        ORACLE,
        patient_id=patient_id,
        record=FakeEhrRecord(a_patient_resource(), *orders, own_scope=SCOPE),
        index=index,
        archive=FakeArchive({UID: [b"film"]}),
        audit=FakeAuditLog(),
        clock=lambda: NOW,
    )


def test_the_numbers_of_a_patient_s_orders_lead_there_the_newest_first() -> None:
    index = FakeIndex({"A-2": [listed()], "A-11": [listed("1.2.3")]})

    study, patient, images = of_patient(index, "Patient/p-1")

    assert (study.study_uid, study.accessions, study.patient_id) == (UID, ("A-2",), "p-1")
    assert patient is not None and images == [b"film"]
    assert index.asked == [f"A-{day}" for day in range(12, 1, -1)]


@pytest.mark.parametrize(
    "found",
    [[], [listed("1.2.3")], [listed(patient="MRN-8")], [listed(), listed("1.2.3", "MRN-8")]],
    ids=["nothing", "another study", "another patient's", "several patients'"],
)
def test_a_study_that_no_number_leads_to_is_not_found(found: list[IndexedStudy]) -> None:
    with pytest.raises(NotFound, match="No archive has this study"):
        of_patient(FakeIndex({"A-2": found}))


@pytest.mark.parametrize("patient_id", ["p-1/../p-2", "p-1?x=1", ""])
def test_what_is_no_id_of_a_patient_is_asked_of_nobody(patient_id: str) -> None:
    index = FakeIndex({"A-2": [listed()]})

    with pytest.raises(NotFound, match="no such patient"):
        of_patient(index, patient_id)

    assert index.asked == []
