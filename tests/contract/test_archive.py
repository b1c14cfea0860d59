"""What every archive does, the fake and the DICOMweb client alike; and what only a client meets.

Source: DICOM PS3.18 10.4 (Retrieve Transaction).
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from threading import Event
from typing import Any

import pytest
import requests

from cds_service.adapters.archive import TRIES, DicomWebArchive
from cds_service.adapters.egress import Egress
from cds_service.adapters.kept_token import Bearer
from cds_service.adapters.side_by_side import ENVELOPE_BYTES, Allowance, side_by_side
from cds_service.domain.study import SeriesReference
from cds_service.domain.tenant import Tenant
from cds_service.errors import (
    ArchiveFailed,
    ArchiveRefused,
    EndpointNotAllowed,
    HostileInstance,
    StudyIncomplete,
    StudyTooLarge,
)
from cds_service.usecases.ports import Archive, Budget
from tests.builders import a_study, a_tenant
from tests.contract.wado_server import WadoServer, multipart, wado_server
from tests.fakes.imaging import STUDY_UID, FakeArchive
from tests.real.servers import orthanc
from tests.unit.imaging.dicom import a_film, as_file

SERIES, ANOTHER = "1.2.840.99999.1.1", "1.2.840.99999.1.2"
FIRST, SECOND = b"first instance" * 100, b"\r\n--b0un\r\n\r\n--" * 50
Given = Callable[[list[bytes]], tuple[Archive, Tenant]]


def real(server: WadoServer, token: str | None = None) -> DicomWebArchive:
    auth = Bearer(token) if token else None
    return DicomWebArchive(Egress().session_for, lambda *_, **__: auth)


@pytest.fixture
def server() -> Iterator[WadoServer]:
    with wado_server() as running:
        yield running


@pytest.fixture(params=["fake", "DICOMweb"])
def given(request: pytest.FixtureRequest) -> Iterator[Given]:
    with ExitStack() as stack:

        def make(instances: list[bytes]) -> tuple[Archive, Tenant]:
            if request.param == "fake":
                return FakeArchive({STUDY_UID: instances}), a_tenant()
            server = stack.enter_context(wado_server())
            server.studies[STUDY_UID] = instances
            return real(server), a_tenant(archive_base=server.base)

        yield make


def test_every_instance_comes_once_and_as_stored(given: Given) -> None:
    archive, tenant = given([FIRST, SECOND])

    instances = list(archive.instances(tenant, a_study(), Budget()))

    assert instances == [FIRST, SECOND]


def test_one_instance_comes_as_stored(given: Given) -> None:
    archive, tenant = given([FIRST])

    assert archive.instance(tenant, a_study(), "1.2.3", "1.2.3.4") == FIRST


def test_a_study_that_is_not_there_is_incomplete(given: Given) -> None:
    archive, tenant = given([FIRST])

    with pytest.raises(StudyIncomplete) as refusal:
        list(archive.instances(tenant, a_study(study_uid="1.2.3"), Budget()))

    assert refusal.value.code == "not-in-archive" and refusal.value.retryable


def test_a_study_without_an_archive_is_incomplete(given: Given) -> None:
    archive, _ = given([FIRST])

    with pytest.raises(StudyIncomplete, match="the EHR names no archive for it") as refusal:
        list(archive.instances(a_tenant(archive_base=None), a_study(), Budget()))

    assert refusal.value.code == "no-endpoint"


@pytest.mark.parametrize(
    "budget", [Budget(instances=1), Budget(bytes=len(FIRST) + len(SECOND) - 1)], ids=str
)
def test_nothing_past_the_budget_is_handed_out(given: Given, budget: Budget) -> None:
    archive, tenant = given([FIRST, SECOND])
    seen = []

    with pytest.raises(StudyTooLarge):
        for instance in archive.instances(tenant, a_study(), budget):
            seen.append(instance)

    assert seen == [FIRST]


def test_a_study_that_just_fits_the_budget_is_read(given: Given) -> None:
    archive, tenant = given([FIRST, SECOND])
    budget = Budget(bytes=len(FIRST) + len(SECOND), instances=2)

    assert len(list(archive.instances(tenant, a_study(), budget))) == 2


# --- what only a client of a real archive meets ------------------------------------------------


def fetch(server: WadoServer, **study: str) -> list[bytes]:
    tenant = a_tenant(archive_base=server.base)
    return list(real(server).instances(tenant, a_study(**study), Budget()))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (204, StudyIncomplete),
        (206, StudyIncomplete),
        (302, ArchiveFailed),
        (401, ArchiveRefused),
        (403, ArchiveRefused),
        (410, StudyIncomplete),
        (429, ArchiveFailed),
        (500, ArchiveFailed),
        (503, ArchiveFailed),
    ],
)
def test_each_status_is_one_of_our_errors_and_repeats_nothing_of_the_body(
    server: WadoServer, status: int, error: type[Exception]
) -> None:
    server.studies[STUDY_UID], server.status = [FIRST], status

    with pytest.raises(error) as raised:
        fetch(server)

    assert "secret" not in str(raised.value) and STUDY_UID not in str(raised.value)


@pytest.mark.parametrize("cut", [1, 5, 30, 700, 1500])
def test_a_short_multipart_is_a_failure_and_not_a_smaller_study(
    server: WadoServer, cut: int
) -> None:
    server.studies[STUDY_UID] = [FIRST]
    server.body = multipart([FIRST, SECOND])[: -cut - len("--\r\n")]

    with pytest.raises(ArchiveFailed):
        fetch(server)


def test_an_answer_that_is_no_multipart_is_a_failure(server: WadoServer) -> None:
    server.studies[STUDY_UID], server.content_type = [FIRST], "text/html"

    with pytest.raises(ArchiveFailed):
        fetch(server)


def test_an_archive_that_is_away_is_a_failure() -> None:
    with wado_server() as server:
        pass

    with pytest.raises(ArchiveFailed):
        fetch(server)


def test_an_instance_without_an_envelope_is_read(server: WadoServer) -> None:
    server.studies[STUDY_UID] = [FIRST]
    server.body, server.content_type = FIRST, "application/dicom"

    assert fetch(server) == [FIRST]


def test_the_studys_own_endpoint_is_used_but_only_when_it_is_registered(
    server: WadoServer,
) -> None:
    server.studies[STUDY_UID] = [FIRST]
    registered = server.base.replace("dicom-web", "dicom-web/")

    assert fetch(server, archive_url=registered) == [FIRST]
    assert fetch(server, archive_url="http://127.0.0.2:80/dicom-web") == [FIRST]


def test_a_study_that_the_first_archive_does_not_have_is_asked_of_the_others(
    server: WadoServer,
) -> None:
    with wado_server() as second:
        second.studies[STUDY_UID] = [FIRST]
        tenant = a_tenant(archive_base=server.base, other_archives=(second.base,))

        assert list(real(server).instances(tenant, a_study(), Budget())) == [FIRST]
        assert real(server).instance(tenant, a_study(), "1.2.3", "1.2.3.4") == FIRST
        named = a_study(archive_url=second.base)
        server.asked.clear()
        assert list(real(server).instances(tenant, named, Budget())) == [FIRST]

    assert server.asked == []


def test_only_the_series_that_are_wanted_are_fetched(server: WadoServer) -> None:
    server.studies[STUDY_UID] = [FIRST]
    tenant = a_tenant(archive_base=server.base)
    two = Budget(series=("1.2.3.1", "1.2.3.2"))

    instances = list(real(server).instances(tenant, a_study(), two))

    assert instances == [FIRST, FIRST]
    asked = [path for path, _ in server.asked]
    # Side by side, so either may be first.
    assert sorted(asked) == [f"studies/{STUDY_UID}/series/1.2.3.{number}" for number in (1, 2)]


def test_the_budget_is_one_for_all_series(server: WadoServer) -> None:
    server.studies[STUDY_UID] = [FIRST]
    tenant, series = a_tenant(archive_base=server.base), ("1.2.3.1", "1.2.3.2")

    for budget in (Budget(instances=1, series=series), Budget(bytes=len(FIRST), series=series)):
        with pytest.raises(StudyTooLarge):
            list(real(server).instances(tenant, a_study(), budget))


def test_series_that_no_archive_has_are_incomplete(server: WadoServer) -> None:
    tenant = a_tenant(archive_base=server.base)

    with pytest.raises(StudyIncomplete):
        list(real(server).instances(tenant, a_study(), Budget(series=("1.2.3.1", "1.2.3.2"))))


def test_the_series_of_a_study_are_listed_page_after_page(server: WadoServer) -> None:
    server.films = films(1) | films(3, ANOTHER)
    server.modalities, server.page_size = {ANOTHER: "CT"}, 1
    tenant = a_tenant(archive_base=server.base)

    assert real(server).series(tenant, a_study()) == (
        SeriesReference(SERIES, "DX", instance_count=1),
        SeriesReference(ANOTHER, "CT", instance_count=3),
    )


def test_the_next_archive_is_asked_where_the_first_lists_nothing(server: WadoServer) -> None:
    server.films = films(1)
    with wado_server() as empty:
        tenant = a_tenant(archive_base=empty.base, other_archives=(server.base,))
        [series] = real(server).series(tenant, a_study())

    assert series.uid == SERIES


@pytest.mark.parametrize("status", [401, 500])
def test_an_archive_that_fails_keeps_no_other_from_giving_the_study(
    server: WadoServer, status: int
) -> None:
    server.films = films(1)
    with wado_server() as failing:
        failing.status = status
        tenant = a_tenant(archive_base=failing.base, other_archives=(server.base,))
        study = a_study(instance_count=1)

        assert list(real(server).instances(tenant, study, Budget())) == [*films(1).values()]
        assert real(server).instance(tenant, study, SERIES, f"{SERIES}.1")


def test_what_is_perhaps_in_an_archive_that_is_away_is_not_called_absent(
    server: WadoServer,
) -> None:
    with wado_server() as away:
        pass
    tenant = a_tenant(archive_base=away.base, other_archives=(server.base,))

    with pytest.raises(ArchiveFailed):
        list(real(server).instances(tenant, a_study(), Budget()))
    with pytest.raises(ArchiveFailed):
        list(real(server).instances(tenant, a_study(), Budget(series=(SERIES, ANOTHER))))
    with pytest.raises(ArchiveFailed):
        real(server).instance(tenant, a_study(), SERIES, f"{SERIES}.1")


def test_an_archive_that_failed_is_not_asked_again_for_each_instance(server: WadoServer) -> None:
    server.films, server.cut_at = films(4), 1000
    with wado_server() as failing:
        failing.status = 503
        tenant = a_tenant(archive_base=failing.base, other_archives=(server.base,))

        study = a_study(instance_count=4)
        assert list(real(server).instances(tenant, study, Budget())) == [*films(4).values()]
        assert len(failing.asked) == 1


def test_a_list_with_a_row_that_names_no_series_is_none(server: WadoServer) -> None:
    server.films = films(1) | {("../../evil", "1.2.3"): FIRST}

    assert real(server).series(a_tenant(archive_base=server.base), a_study()) == ()


def test_an_archive_without_a_search_fails_to_list(server: WadoServer) -> None:
    server.studies[STUDY_UID] = [FIRST]

    with pytest.raises(ArchiveFailed):
        real(server).series(a_tenant(archive_base=server.base), a_study())


@pytest.mark.real
@pytest.mark.xdist_group("orthanc")
def test_orthanc_lists_the_series_of_a_study(tmp_path_factory: pytest.TempPathFactory) -> None:
    film = a_film()
    with orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        server.upload(as_file(film))
        tenant = a_tenant(archive_base=server.dicom_web)
        archive = DicomWebArchive(Egress().session_for)

        listed = archive.series(tenant, a_study(study_uid=film.StudyInstanceUID))

    assert listed == (SeriesReference(film.SeriesInstanceUID, film.Modality, instance_count=1),)


# --- cut off, and side by side -------------------------------------------------------------------


def films(count: int, series: str = SERIES) -> dict[tuple[str, str], bytes]:
    uids = [f"{series}.{number}" for number in range(1, count + 1)]
    return {
        (series, uid): as_file(a_film(SeriesInstanceUID=series, SOPInstanceUID=uid)) for uid in uids
    }


def alone(server: WadoServer) -> list[str]:
    """Return the UIDs of the instances that were asked for one by one."""
    paths = [path.split("/") for path, _ in server.asked]
    return [path[5] for path in paths if len(path) > 5]


@pytest.mark.parametrize(("whole", "page_size"), [(0, 100), (2, 100), (2, 1), (4, 100)])
def test_what_was_cut_off_is_asked_for_alone_and_what_came_is_not_fetched_again(
    server: WadoServer, whole: int, page_size: int
) -> None:
    server.films, server.page_size = films(4), page_size
    server.cut_at = len(multipart(list(server.films.values())[:whole])) + 40

    instances = fetch(server)

    assert instances == list(server.films.values())
    assert alone(server) == [f"{SERIES}.{number}" for number in range(whole + 1, 5)]


def test_a_series_that_was_cut_off_is_completed_within_itself(server: WadoServer) -> None:
    server.films = films(2) | films(2, ANOTHER)
    server.cut_at = 1000
    tenant = a_tenant(archive_base=server.base)

    instances = list(real(server).instances(tenant, a_study(), Budget(series=(ANOTHER,))))

    assert instances == list(films(2, ANOTHER).values())


@pytest.mark.parametrize("failures", [TRIES - 1, TRIES])
def test_a_few_instances_may_be_cut_off_again_and_no_more(
    server: WadoServer, failures: int
) -> None:
    server.films, server.cut_at, server.failures = films(3), 1000, failures

    if failures < TRIES:
        assert fetch(server) == list(server.films.values())
    else:
        with pytest.raises(ArchiveFailed):
            fetch(server)
        assert len(alone(server)) == TRIES


def test_the_budget_counts_what_came_before_and_after_the_cut(server: WadoServer) -> None:
    server.films = films(3)
    size = len(server.films[SERIES, f"{SERIES}.1"])
    server.cut_at = size + size // 2
    tenant, seen = a_tenant(archive_base=server.base), []

    with pytest.raises(StudyTooLarge):
        for one in real(server).instances(tenant, a_study(), Budget(bytes=3 * size - 1)):
            seen.append(one)

    assert len(seen) == 2


def test_series_come_in_the_order_that_was_asked_for_whichever_is_there_first(
    server: WadoServer,
) -> None:
    many = [f"1.2.840.99999.1.{number}" for number in range(1, 10)]
    for series in many:
        server.films |= films(2, series)
    first_waits = Event()

    def hold(path: str) -> None:
        if path.endswith(f"series/{many[0]}"):
            assert first_waits.wait(60)
        elif path.endswith(f"series/{many[3]}"):
            first_waits.set()  # so four of them were under way at once

    server.before_answer = hold
    tenant = a_tenant(archive_base=server.base)

    instances = list(real(server).instances(tenant, a_study(), Budget(series=tuple(many))))

    assert instances == list(server.films.values())


def test_series_side_by_side_hold_no_more_than_the_budget_together() -> None:
    """Each of four fits alone; what is on its way counts before any of them is whole."""
    budget = Budget(bytes=100)
    allowance = Allowance(budget)
    with allowance.answer() as one, allowance.answer() as other:
        held = [*one.receive(iter([b"x" * 100])), *other.receive(iter([b"x" * ENVELOPE_BYTES]))]

        with pytest.raises(StudyTooLarge):
            list(other.receive(iter([b"x"])))

    with allowance.answer() as again:  # what nobody kept is counted no longer
        assert list(again.receive(iter([b"x" * 100]))) == held[:1]


def test_the_other_fetches_end_when_one_of_them_fails() -> None:
    allowance = Allowance(Budget())
    broken = FakeArchive(fails_with=ArchiveFailed("The archive did not answer."))
    started, ended = Event(), Event()

    def fails() -> Iterator[bytes]:
        assert started.wait(60)
        return broken.instances(a_tenant(), a_study(), Budget())

    def endless() -> Iterator[bytes]:
        started.set()
        try:
            with allowance.answer() as answer:
                yield from answer.receive(iter(lambda: b"", None))
        finally:
            ended.set()

    with pytest.raises(ArchiveFailed):
        list(side_by_side([fails, endless], allowance))

    assert ended.is_set()


@pytest.mark.parametrize("stated", [None, 2])
@pytest.mark.parametrize("series", [(), (SERIES,), (SERIES, ANOTHER)])
def test_an_archive_that_fails_is_not_passed_over_for_one_that_has_less(
    server: WadoServer, stated: int | None, series: tuple[str, ...]
) -> None:
    server.status = 503
    with wado_server() as second:
        second.films = films(1)
        tenant = a_tenant(archive_base=server.base, other_archives=(second.base,))
        listed = tuple(SeriesReference(one, "DX", instance_count=stated) for one in series)
        study = a_study(instance_count=stated, series=listed)

        with pytest.raises(ArchiveFailed):
            list(real(server).instances(tenant, study, Budget(series=series)))


def test_an_unregistered_endpoint_is_refused_where_no_archive_is_registered(
    server: WadoServer,
) -> None:
    server.studies[STUDY_UID] = [FIRST]

    study = a_study(archive_url="http://127.0.0.2:80/dicom-web")

    with pytest.raises(EndpointNotAllowed):
        list(real(server).instances(a_tenant(archive_base=None), study, Budget()))


@pytest.mark.parametrize("uid", ["../../admin", "1.2/../3", "1.2?x=1", "", "1" * 65, "1..2"])
def test_an_identifier_that_is_no_uid_never_reaches_an_address(
    server: WadoServer, uid: str
) -> None:
    with pytest.raises(HostileInstance):
        fetch(server, study_uid=uid)

    assert server.asked == []


def test_the_token_is_sent_and_instances_are_asked_for_as_stored(server: WadoServer) -> None:
    server.studies[STUDY_UID] = [FIRST]
    tenant = a_tenant(archive_base=server.base)

    list(real(server, token="t0ken").instances(tenant, a_study(), Budget()))

    path, headers = server.asked[0]
    assert path == f"studies/{STUDY_UID}" and headers["Authorization"] == "Bearer t0ken"
    assert 'type="application/dicom"; transfer-syntax=*' in headers["Accept"]


@pytest.mark.real
@pytest.mark.xdist_group("orthanc")
def test_orthanc_gives_back_what_it_was_given(tmp_path_factory: pytest.TempPathFactory) -> None:
    films = [a_film(SOPInstanceUID=f"1.2.840.99999.1.1.{number}") for number in (1, 2)]
    with orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        server.upload(*map(as_file, films))
        tenant = a_tenant(archive_base=server.dicom_web)
        archive = DicomWebArchive(Egress().session_for)

        study = a_study(study_uid=films[0].StudyInstanceUID)
        instances = list(archive.instances(tenant, study, Budget()))
        one = archive.instance(tenant, study, films[1].SeriesInstanceUID, films[1].SOPInstanceUID)
        with pytest.raises(StudyIncomplete):
            list(archive.instances(tenant, a_study(study_uid="1.2.3"), Budget()))

    assert sorted(instances) == sorted(map(as_file, films)) and one == as_file(films[1])


class Breaking(requests.Session):
    """A session whose connection breaks in the middle of a study or a series, and then no more."""

    def __init__(self, through: requests.Session, after: int) -> None:
        super().__init__()
        self.through, self.after = through, after

    def get(self, url: str | bytes, **how: Any) -> requests.Response:
        answer = self.through.get(url, **how)
        if "/instances" not in str(url):
            answer.iter_content = partial(self._broken, answer.iter_content)  # type: ignore[method-assign]
        return answer

    def _broken(self, content: Callable[[int], Iterator[bytes]], size: int) -> Iterator[bytes]:
        yield next(content(self.after))
        raise requests.ConnectionError("reset")


@pytest.mark.real
@pytest.mark.xdist_group("orthanc")
@pytest.mark.parametrize("series", [(), (SERIES,), (SERIES, ANOTHER)], ids=len)
def test_what_orthanc_could_not_send_at_once_is_complete_all_the_same(
    tmp_path_factory: pytest.TempPathFactory, series: tuple[str, ...]
) -> None:
    held = films(3) | films(3, ANOTHER)
    with orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        server.upload(*held.values())
        tenant = a_tenant(archive_base=server.dicom_web)
        broken = len(multipart([held[SERIES, f"{SERIES}.1"]])) + 2000
        archive = DicomWebArchive(
            lambda tenant, **limits: Breaking(Egress().session_for(tenant, **limits), broken)
        )

        instances = list(archive.instances(tenant, a_study(), Budget(series=series)))

    wanted = [one for (uid, _), one in held.items() if uid in (series or (SERIES, ANOTHER))]
    assert sorted(instances) == sorted(wanted)
