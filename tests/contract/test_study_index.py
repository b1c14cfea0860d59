"""What every index of studies does, the fake and QIDO-RS alike; and what only QIDO-RS meets.

Source: DICOM PS3.18 10.6 (search for studies).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, date, datetime
from typing import Any

import pytest

from cds_service.adapters.archive_json import ArchiveJson
from cds_service.adapters.egress import Egress
from cds_service.adapters.qido_index import QidoIndex
from cds_service.domain.accession import IndexedStudy
from cds_service.domain.tenant import Tenant
from cds_service.errors import ArchiveFailed, ArchiveRefused
from cds_service.usecases.ports import StudyIndex
from tests.builders import a_tenant
from tests.contract.wado_server import WadoServer, wado_server
from tests.fakes.imaging import STUDY_UID, FakeIndex
from tests.real.servers import orthanc
from tests.unit.imaging.dicom import a_film, as_file

Given = Callable[[str], tuple[StudyIndex, Tenant]]


def a_row(
    elements: Mapping[str, list[Any]] | None = None, uid: str = STUDY_UID, number: str = "A-1"
) -> dict[str, Any]:
    values = {"0020000D": [uid], "00080050": [number], **(elements or {})}
    return {tag: {"vr": "UN", "Value": value} for tag, value in values.items()}


def real() -> QidoIndex:
    return QidoIndex(ArchiveJson(Egress().session_for))


@pytest.fixture
def server() -> Iterator[WadoServer]:
    with wado_server() as running:
        yield running


def at(server: WadoServer) -> Tenant:
    return a_tenant(archive_base=server.base)


@pytest.fixture(params=["fake", "QIDO-RS"])
def given(request: pytest.FixtureRequest) -> Iterator[Given]:
    """An archive with one study, under this number."""
    with ExitStack() as stack:

        def make(number: str) -> tuple[StudyIndex, Tenant]:
            if request.param == "fake":
                tenant = a_tenant()
                study = IndexedStudy(STUDY_UID, tenant.archive_base or "")
                return FakeIndex({number: [study]}), tenant
            server = stack.enter_context(wado_server())
            server.rows = [a_row(number=number)]
            return real(), at(server)

        yield make


def test_a_study_is_found_under_its_number_and_where_it_lies(given: Given) -> None:
    index, tenant = given("A-1")

    [study] = index.of_accession(tenant, "A-1")

    assert (study.study_uid, study.archive_url) == (STUDY_UID, tenant.archive_base)


def test_no_study_is_found_under_another_number(given: Given) -> None:
    index, tenant = given("A-1")

    assert index.of_accession(tenant, "A-2") == []


def test_without_a_registered_archive_there_is_none(given: Given) -> None:
    index, _ = given("A-1")

    assert index.of_accession(a_tenant(archive_base=None), "A-1") == []


# --- what only a client of a real archive meets ------------------------------------------------


def test_what_the_row_states_is_kept_but_for_its_description(server: WadoServer) -> None:
    server.rows = [
        a_row(
            {
                "00100020": ["MRN-1"],
                "00100030": ["20220601"],
                "00100040": ["F"],
                "00080020": ["20260102"],
                "00080030": ["083015.25"],
                "00081030": ["Chest X-ray"],
                "00080061": ["dx", "SR", "DX"],
                "00201206": [2],
                "00201208": [3],
            }
        )
    ]

    [study] = real().of_accession(at(server), "A-1")

    assert study == IndexedStudy(
        STUDY_UID,
        server.base,
        "MRN-1",
        datetime(2026, 1, 2, 8, 30, 15, tzinfo=UTC),
        ("DX", "SR"),
        2,
        3,
        "A-1",
        date(2022, 6, 1),
        "F",
    )


@pytest.mark.parametrize(
    ("date", "time", "started"),
    [
        ("20260102", "", datetime(2026, 1, 2, tzinfo=UTC)),
        ("20260102", "25", datetime(2026, 1, 2, tzinfo=UTC)),
        ("20261112", "11", datetime(2026, 11, 12, 11, tzinfo=UTC)),
        ("2026", "083015", None),
    ],
)
def test_an_odd_date_or_time_costs_itself_alone(
    server: WadoServer, date: str, time: str, started: datetime | None
) -> None:
    server.rows = [a_row({"00080020": [date], "00080030": [time], "00201206": ["x"]})]

    [study] = real().of_accession(at(server), "A-1")

    assert (study.started, study.series_count) == (started, None)


@pytest.mark.parametrize(
    "row",
    [
        a_row(number="A-12"),
        a_row(number=""),
        a_row(uid="../../x"),
        {"0020000D": "1.2.3", "00080050": {"Value": "A-1"}},
    ],
)
def test_a_row_of_another_number_or_without_a_uid_is_no_study(
    server: WadoServer, row: dict[str, Any]
) -> None:
    server.rows = [row]

    assert real().of_accession(at(server), "A-1") == []


def test_a_wildcard_in_a_number_finds_nothing_else(server: WadoServer) -> None:
    server.rows = [a_row(number="A-1"), a_row(number="A-*", uid="1.2.3")]

    assert [one.study_uid for one in real().of_accession(at(server), "A-*")] == ["1.2.3"]


def test_every_registered_archive_is_asked_and_the_first_that_has_it_counts(
    server: WadoServer,
) -> None:
    server.rows = [a_row()]
    with wado_server() as second:
        second.rows = [a_row(), a_row(uid="1.2.3")]
        tenant = a_tenant(archive_base=server.base, other_archives=(second.base,))

        found = real().of_accession(tenant, "A-1")

    assert [(one.study_uid, one.archive_url) for one in found] == [
        (STUDY_UID, server.base),
        ("1.2.3", second.base),
    ]


@pytest.mark.parametrize(("status", "error"), [(500, ArchiveFailed), (403, ArchiveRefused)])
def test_an_archive_that_fails_has_not_said_that_there_is_none(
    server: WadoServer, status: int, error: type[Exception]
) -> None:
    server.status = status

    with pytest.raises(error):
        real().of_accession(at(server), "A-1")


@pytest.mark.real
@pytest.mark.xdist_group("orthanc")
def test_orthanc_finds_a_study_by_its_accession_number(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    film = a_film(AccessionNumber="A-7", StudyDate="20260102", StudyTime="083000")
    other = a_film(StudyInstanceUID="1.2.840.99999.8", AccessionNumber="A-70")
    with orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        server.upload(as_file(film), as_file(other))
        tenant = a_tenant(archive_base=server.dicom_web)

        [study] = real().of_accession(tenant, "A-7")
        nothing = real().of_accession(tenant, "A-8")

    assert study.study_uid == film.StudyInstanceUID and nothing == []
    assert (study.patient_id, study.modalities) == (film.PatientID, (film.Modality,))
    assert (study.series_count, study.instance_count) == (1, 1)
    assert study.started == datetime(2026, 1, 2, 8, 30, tzinfo=UTC)
