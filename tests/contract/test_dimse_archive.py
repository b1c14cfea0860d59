"""What every archive does, of one that speaks C-FIND and C-GET; and what only such a one meets.

Source: DICOM PS3.4 C.4 (C-FIND, C-GET), PS3.8 9 (associations).
"""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind as FIND,
)

from cds_service.adapters.dimse.client import Patience
from cds_service.adapters.dimse.connection import PDU_BYTES
from cds_service.adapters.dimse.index import DimseIndex
from cds_service.adapters.dimse.retrieval import ASSOCIATIONS, DimseArchive, storage_contexts
from cds_service.adapters.egress import Egress
from cds_service.adapters.side_by_side import Answer
from cds_service.domain.instance_digest import instance_digest
from cds_service.domain.study import SeriesReference
from cds_service.domain.tenant import Tenant
from cds_service.errors import (
    ArchiveFailed,
    ArchiveRefused,
    EndpointNotAllowed,
    HostileInstance,
    StudyIncomplete,
    StudyTooLarge,
    UnreadableInstance,
)
from cds_service.usecases.ports import Budget
from tests.builders import a_study, a_tenant
from tests.contract.dimse_archive import DimseServer, as_films, cutting_relay, dimse_server
from tests.fakes.imaging import STUDY_UID
from tests.intake.dimse import tidied as tidied
from tests.real.servers import free_port, orthanc
from tests.unit.imaging.dicom import a_film, as_file

FIRST_SERIES, SECOND_SERIES = f"{STUDY_UID}.1", f"{STUDY_UID}.2"
WAIT_S = 60.0


def a_file(number: int = 1, series_uid: str = FIRST_SERIES, **changes: object) -> bytes:
    return as_file(
        a_film(
            SeriesInstanceUID=series_uid,
            SOPInstanceUID=f"{series_uid}.{number}",
            AccessionNumber="A-1",
            **changes,
        )
    )


FIRST, SECOND = a_file(1), a_file(2)


@pytest.fixture
def server() -> Iterator[DimseServer]:
    before = threading.active_count()
    with dimse_server() as running:
        yield running
    waited = threading.Event()
    while threading.active_count() > before:  # none of ours is left behind
        waited.wait(0.05)


def real(**patience: float) -> DimseArchive:
    return DimseArchive(Egress().addresses, replace(Patience(), **patience))


def at(server: DimseServer) -> Tenant:
    return a_tenant(archive_base=server.base)


def fetch(server: DimseServer, budget: Budget | None = None, **patience: float) -> list[bytes]:
    return list(real(**patience).instances(at(server), a_study(), budget or Budget()))


def same(one: bytes, other: bytes) -> bool:
    """Tell whether both are the same instance, whoever wrote the file meta."""
    return instance_digest(one) == instance_digest(other)


# --- what every archive does --------------------------------------------------------------------


def test_every_instance_comes_once_and_as_stored(server: DimseServer) -> None:
    server.films = as_films(FIRST, SECOND)

    instances = fetch(server)

    assert len(instances) == 2
    assert all(map(same, instances, (FIRST, SECOND)))


def test_one_instance_comes_as_stored(server: DimseServer) -> None:
    server.films = as_films(FIRST, SECOND)

    instance = real().instance(at(server), a_study(), FIRST_SERIES, f"{FIRST_SERIES}.2")

    assert same(instance, SECOND)


def test_a_study_that_is_not_there_is_incomplete(server: DimseServer) -> None:
    with pytest.raises(StudyIncomplete) as refusal:
        fetch(server)

    assert refusal.value.code == "not-in-archive" and refusal.value.retryable


def test_an_instance_that_is_not_there_is_incomplete(server: DimseServer) -> None:
    with pytest.raises(StudyIncomplete) as refusal:
        real().instance(at(server), a_study(), FIRST_SERIES, f"{FIRST_SERIES}.9")

    assert refusal.value.code == "not-in-archive"


def test_a_study_without_an_archive_is_incomplete() -> None:
    with pytest.raises(StudyIncomplete, match="the EHR names no archive for it") as refusal:
        list(real().instances(a_tenant(archive_base=None), a_study(), Budget()))

    assert refusal.value.code == "no-endpoint"


@pytest.mark.parametrize(
    "budget", [Budget(instances=1), Budget(bytes=len(FIRST) + len(SECOND) - 5000)], ids=str
)
def test_nothing_past_the_budget_is_handed_out(server: DimseServer, budget: Budget) -> None:
    server.films = as_films(FIRST, SECOND)
    seen = []

    with pytest.raises(StudyTooLarge):
        for instance in real().instances(at(server), a_study(), budget):
            seen.append(instance)

    assert len(seen) == 1 and same(seen[0], FIRST)


# --- what only a client of such an archive meets ------------------------------------------------


def test_an_instance_past_the_budget_is_cut_off_before_it_is_whole(
    server: DimseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = np.random.default_rng(7).integers(0, 4096, (2048, 1024), dtype=np.uint16)
    server.films = as_films(a_file(pixels=picture))
    whole: list[int] = []
    keep = Answer.keep

    def watched(answer: Answer, instance: bytes) -> bytes:
        whole.append(len(instance))
        return keep(answer, instance)

    monkeypatch.setattr(Answer, "keep", watched)

    with pytest.raises(StudyTooLarge):
        fetch(server, Budget(bytes=picture.nbytes // 4))

    assert whole == []


def test_only_the_wanted_series_are_asked_for(server: DimseServer) -> None:
    server.films = as_films(FIRST, a_file(1, SECOND_SERIES))

    [instance] = fetch(server, Budget(series=(SECOND_SERIES, f"{STUDY_UID}.9")))

    assert dcmread(BytesIO(instance)).SeriesInstanceUID == SECOND_SERIES
    assert [one.SeriesInstanceUID for one in server.asked] == [SECOND_SERIES]


def test_a_series_that_holds_no_images_is_passed_over(server: DimseServer) -> None:
    server.films = as_films(FIRST, a_file(1, SECOND_SERIES, Modality="SR"))

    assert len(fetch(server)) == 1
    assert [one.SeriesInstanceUID for one in server.asked] == [FIRST_SERIES]


def test_a_study_of_reports_alone_holds_no_image(server: DimseServer) -> None:
    server.films = as_films(a_file(1, Modality="SR"))

    with pytest.raises(UnreadableInstance) as refusal:
        fetch(server)

    assert refusal.value.code == "no-image" and not server.asked


def test_the_archive_is_called_by_the_registered_titles(server: DimseServer) -> None:
    server.films = as_films(FIRST)

    fetch(server)

    assert server.titles == ["SIGHTLINE"]


def test_another_called_title_is_refused_for_good(server: DimseServer) -> None:
    tenant = a_tenant(archive_base=server.base.replace("@PACS@", "@OTHER@"))

    with pytest.raises(ArchiveRefused) as raised:
        list(real().instances(tenant, a_study(), Budget()))

    assert not raised.value.retryable


def test_an_archive_without_c_get_is_refused_and_not_asked_for_ever() -> None:
    with dimse_server(FIND) as server, pytest.raises(ArchiveRefused, match="C-GET"):
        fetch(server)


def test_an_archive_that_is_away_is_a_failure_that_is_tried_again() -> None:
    with dimse_server() as server:
        pass

    with pytest.raises(ArchiveFailed) as raised:
        fetch(server)

    assert raised.value.retryable and STUDY_UID not in str(raised.value)


def test_an_archive_that_is_away_keeps_no_other_from_giving_the_study(
    server: DimseServer,
) -> None:
    server.films = as_films(FIRST)
    with dimse_server() as away:
        pass
    tenant = a_tenant(archive_base=away.base, other_archives=(server.base,))

    assert len(list(real().instances(tenant, a_study(instance_count=1), Budget()))) == 1
    for stated in (None, 2):
        with pytest.raises(ArchiveFailed):
            list(real().instances(tenant, a_study(instance_count=stated), Budget()))


def test_an_archive_that_falls_silent_is_left(server: DimseServer) -> None:
    server.films = as_films(FIRST)
    done = threading.Event()
    server.before = lambda _event, _number: done.wait(WAIT_S) and None

    with pytest.raises(ArchiveFailed):
        fetch(server, answer_s=0.5)
    done.set()


def test_an_archive_that_accepts_and_says_nothing_is_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tenant = a_tenant(
            archive_base=f"dicom://SIGHTLINE@PACS@127.0.0.1:{silent.getsockname()[1]}"
        )

        with pytest.raises(ArchiveFailed):
            list(real(answer_s=0.5).instances(tenant, a_study(), Budget()))


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x02\x00" + (PDU_BYTES + 1).to_bytes(4, "big")],
    ids=["no DICOM", "a PDU past the limit"],
)
def test_what_is_no_association_is_a_failure(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as odd:

        def serve() -> None:
            connection, _ = odd.accept()
            with connection:
                connection.recv(PDU_BYTES)
                connection.sendall(answer)
                connection.recv(PDU_BYTES)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = odd.getsockname()[1]

        with pytest.raises(ArchiveFailed):
            tenant = a_tenant(archive_base=f"dicom://SIGHTLINE@PACS@127.0.0.1:{port}")
            list(real(answer_s=5.0).instances(tenant, a_study(), Budget()))
        thread.join(WAIT_S)


@pytest.mark.parametrize("status", [0xA701, 0xA702, 0xC000, 0xFE00])
def test_each_failure_of_a_c_get_is_tried_again(server: DimseServer, status: int) -> None:
    server.films, server.status = as_films(FIRST), status

    with pytest.raises(ArchiveFailed):
        fetch(server)


def test_an_instance_that_the_archive_cannot_send_makes_the_study_incomplete(
    server: DimseServer,
) -> None:
    other = as_films(SECOND)[0]
    other.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"  # a report, in a series of films
    server.films = [*as_films(FIRST), other]

    with pytest.raises(StudyIncomplete) as refusal:
        fetch(server)

    assert refusal.value.code == "partly-in-archive"


def test_more_rows_than_a_study_has_series_are_not_gathered(server: DimseServer) -> None:
    row = Dataset()
    row.StudyInstanceUID, row.SeriesInstanceUID = STUDY_UID, FIRST_SERIES
    row.Modality = "DX"
    server.rows = [row] * 2001

    with pytest.raises(StudyTooLarge):
        fetch(server)


@pytest.mark.parametrize("uid", ["*", "1.2\\1.3", "", "1.2.3/..", "1" * 65])
def test_an_identifier_that_is_no_uid_is_never_asked_for(server: DimseServer, uid: str) -> None:
    with pytest.raises(HostileInstance):
        list(real().instances(at(server), a_study(study_uid=uid), Budget()))

    assert not server.titles


def test_an_address_that_may_not_be_dialled_is_refused_and_reported() -> None:
    refused: list[str] = []
    egress = Egress(
        lambda _tenant, where: refused.append(where),
        resolve=lambda *_asked: [(0, 0, 0, "", ("169.254.169.254", 104))],
    )
    tenant = a_tenant(archive_base="dicom://SIGHTLINE@PACS@pacs.example.org:104")

    with pytest.raises(EndpointNotAllowed):
        list(DimseArchive(egress.addresses).instances(tenant, a_study(), Budget()))

    assert refused == ["dicom://pacs.example.org:104"]


def test_no_deflated_syntax_is_ever_proposed_and_an_association_has_room_for_all() -> None:
    contexts = storage_contexts()

    assert len(contexts) + 2 <= 128
    proposed = {syntax for one in contexts for syntax in one.transfer_syntax}
    assert JPEG2000Lossless in proposed and DeflatedExplicitVRLittleEndian not in proposed


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_over_tls_the_certificate_must_name_the_host(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with dimse_server(tls=context) as server:
        server.films = as_films(FIRST)
        base = f"dicoms://SIGHTLINE@PACS@{name}:{server.port}"
        instances = real().instances(a_tenant(archive_base=base), a_study(), Budget())

        if name == "localhost":
            [instance] = instances
            assert same(instance, FIRST)
        else:
            with pytest.raises(ArchiveFailed):
                list(instances)


# --- cut off ------------------------------------------------------------------------------------


def numbers(server: DimseServer) -> list[str]:
    """Return what each C-GET named last: the number of a series, or of an image in it."""
    return [
        (one.get("SOPInstanceUID") or one.SeriesInstanceUID).removeprefix(f"{STUDY_UID}.")
        for one in server.asked
    ]


def of_both_series(count: int) -> list[bytes]:
    return [
        a_file(number, series)
        for series in (FIRST_SERIES, SECOND_SERIES)
        for number in range(1, count + 1)
    ]


@pytest.mark.parametrize("whole", [1, 2, 4])
def test_a_series_that_was_cut_off_is_completed_and_nothing_comes_twice(
    server: DimseServer, whole: int
) -> None:
    files = [a_file(number) for number in range(1, 6)]
    server.films, server.cuts = as_films(*files), [whole]

    instances = fetch(server)

    assert len(instances) == 5 and all(map(same, instances, files))
    assert numbers(server) == ["1", *(f"1.{number}" for number in range(whole + 1, 6))]


def test_an_archive_that_aborts_in_the_middle_is_asked_for_the_rest(server: DimseServer) -> None:
    server.films = as_films(FIRST, SECOND)
    server.before = lambda event, number: event.assoc.abort() if number else None

    instances = fetch(server)

    assert len(instances) == 2 and all(map(same, instances, (FIRST, SECOND)))


def test_a_series_that_came_whole_is_not_asked_for_again(server: DimseServer) -> None:
    files = of_both_series(3)
    server.films, server.cuts = as_films(*files), [4]

    instances = fetch(server)

    assert len(instances) == 6 and all(map(same, instances, files))
    assert numbers(server) == ["1", "2", "2.2", "2.3"]


def test_a_series_that_had_not_begun_is_asked_for_whole(server: DimseServer) -> None:
    files = of_both_series(2)
    server.films, server.cuts = as_films(*files), [2]

    instances = fetch(server)

    assert len(instances) == 4 and all(map(same, instances, files))
    assert numbers(server) == ["1", "2", "2"]


def test_what_is_completed_may_be_cut_off_once_more_and_then_no_more(server: DimseServer) -> None:
    server.films = as_films(*(a_file(number) for number in range(1, 6)))
    server.cuts = [1] * (ASSOCIATIONS - 1)

    assert len(fetch(server)) == 5

    server.cuts, seen = [1] * ASSOCIATIONS, []
    server.titles.clear()
    with pytest.raises(ArchiveFailed):
        for one in real().instances(at(server), a_study(), Budget()):
            seen.append(instance_digest(one))

    assert len(set(seen)) == len(seen) == ASSOCIATIONS
    assert len(server.titles) == ASSOCIATIONS  # one query of each


def test_an_archive_that_is_cut_off_before_the_first_image_is_not_asked_again(
    server: DimseServer,
) -> None:
    server.films, server.cuts = as_films(FIRST), [0]

    with pytest.raises(ArchiveFailed):
        fetch(server)

    assert len(server.titles) == 1


def test_a_list_without_what_came_completes_nothing(server: DimseServer) -> None:
    server.films, server.cuts = as_films(FIRST, SECOND), [1]
    server.hidden = frozenset({f"{FIRST_SERIES}.1"})

    with pytest.raises(ArchiveFailed):
        fetch(server)


def test_an_archive_that_sends_more_than_the_image_asked_for_gives_each_once(
    server: DimseServer,
) -> None:
    files = [a_file(number) for number in range(1, 4)]
    server.films, server.cuts = as_films(*files), [1]
    server.ignores = ("SOPInstanceUID",)

    instances = fetch(server)

    assert len(instances) == 3 and all(map(same, instances, files))


def test_the_budget_is_one_for_what_came_before_and_after_the_cut(server: DimseServer) -> None:
    server.films = as_films(*(a_file(number) for number in range(1, 6)))
    server.cuts = [2]
    seen = []

    with pytest.raises(StudyTooLarge):
        for one in real().instances(at(server), a_study(), Budget(instances=4)):
            seen.append(one)

    assert len(seen) == 4


# --- the series ---------------------------------------------------------------------------------


def listed(server: DimseServer) -> tuple[SeriesReference, ...]:
    return real().series(at(server), a_study())


def test_the_series_of_a_study_are_listed(server: DimseServer) -> None:
    server.films = as_films(FIRST, SECOND, a_file(1, SECOND_SERIES))

    assert [(one.uid, one.modality) for one in listed(server)] == [
        (FIRST_SERIES, "DX"),
        (SECOND_SERIES, "DX"),
    ]
    assert server.asked == []  # no image came


def test_a_study_that_is_not_there_has_no_series(server: DimseServer) -> None:
    assert listed(server) == ()


def test_a_list_with_a_row_that_names_no_series_is_none(server: DimseServer) -> None:
    server.films = as_films(FIRST)
    [nameless] = as_films(SECOND)
    nameless.SeriesInstanceUID = ""
    server.rows = [nameless]

    assert listed(server) == ()


# --- the index ----------------------------------------------------------------------------------


def test_a_study_is_found_under_its_number_and_where_it_lies(server: DimseServer) -> None:
    server.films = as_films(FIRST)
    index = DimseIndex(Egress().addresses)

    [study] = index.of_accession(at(server), "A-1")

    assert (study.study_uid, study.archive_url) == (STUDY_UID, server.base)
    assert index.of_accession(at(server), "A-2") == []


def test_whose_it_is_is_told_in_the_words_of_the_archive(server: DimseServer) -> None:
    whose = {"PatientID": "MRN-7", "PatientBirthDate": "20220601", "PatientSex": "F"}
    server.films = as_films(a_file(PatientName="Doe^Jane", **whose))

    [study] = DimseIndex(Egress().addresses).of_accession(at(server), "A-1")

    assert (study.patient_id, study.accession, study.patient_sex) == ("MRN-7", "A-1", "F")
    assert (study.patient_birth_date, study.patient_name) == (date(2022, 6, 1), "Doe^Jane")


def test_a_wildcard_is_nobodys_number(server: DimseServer) -> None:
    row = as_films(FIRST)[0]
    server.rows = [row]

    assert DimseIndex(Egress().addresses).of_accession(at(server), "A*") == []


# --- Orthanc ------------------------------------------------------------------------------------


def orthanc_settings(port: int) -> dict[str, object]:
    us = {"AET": "SIGHTLINE", "Host": "127.0.0.1", "Port": 104, "AllowGet": True}
    return {
        "DicomServerEnabled": True,
        "DicomPort": port,
        "DicomAet": "ORTHANC",
        "DicomCheckCalledAet": True,
        "DicomModalities": {"sightline": us},
    }


@pytest.mark.real
@pytest.mark.xdist_group("orthanc")
def test_orthanc_completes_what_was_cut_off(tmp_path: Path) -> None:
    port = free_port()
    picture = np.random.default_rng(7).integers(0, 4096, (256, 256), dtype=np.uint16)
    files = [a_file(number, pixels=picture) for number in range(1, 6)]
    with (
        orthanc(tmp_path, **orthanc_settings(port)) as archive,
        cutting_relay(port, after=2 * len(files[0]) + picture.nbytes // 2) as (relay, callers),
    ):
        archive.upload(*files)
        tenant = a_tenant(archive_base=f"dicom://SIGHTLINE@ORTHANC@127.0.0.1:{relay}")

        instances = list(real().instances(tenant, a_study(), Budget()))

    assert sorted(map(instance_digest, instances)) == sorted(map(instance_digest, files))
    assert len(callers) == 2


@pytest.mark.real
@pytest.mark.xdist_group("orthanc")
def test_orthanc_gives_what_it_has_by_c_get(tmp_path: Path) -> None:
    port = free_port()
    other = a_file(1, SECOND_SERIES)
    with orthanc(tmp_path, **orthanc_settings(port)) as archive:
        archive.upload(FIRST, SECOND, other)
        base = f"dicom://SIGHTLINE@ORTHANC@127.0.0.1:{port}"
        tenant = a_tenant(archive_base=base)

        everything = list(real().instances(tenant, a_study(), Budget()))
        [one] = real().instances(tenant, a_study(), Budget(series=(SECOND_SERIES,)))
        alone = real().instance(tenant, a_study(), FIRST_SERIES, f"{FIRST_SERIES}.2")
        [found] = DimseIndex(Egress().addresses).of_accession(tenant, "A-1")
        listed_there = real().series(tenant, a_study())

        assert sorted(map(instance_digest, everything)) == sorted(
            map(instance_digest, (FIRST, SECOND, other))
        )
        assert same(one, other) and same(alone, SECOND)
        assert (found.study_uid, found.series_count, found.instance_count) == (STUDY_UID, 2, 3)
        assert sorted((one.uid, one.instance_count) for one in listed_there) == [
            (FIRST_SERIES, 2),
            (SECOND_SERIES, 1),
        ]
        with pytest.raises(StudyIncomplete):
            list(real().instances(tenant, a_study(study_uid="1.2.3"), Budget()))
        with pytest.raises(StudyTooLarge):
            list(real().instances(tenant, a_study(), Budget(instances=1)))
        stranger = a_tenant(archive_base=base.replace("SIGHTLINE", "STRANGER"))
        with pytest.raises((ArchiveRefused, ArchiveFailed)):
            list(real().instances(stranger, a_study(), Budget()))
