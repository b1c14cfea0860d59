"""A registration with archives of both kinds: which is asked, and what follows from its answer."""

from typing import cast

import pytest

from cds_service.adapters.archives import EitherArchive, EitherIndex
from cds_service.adapters.egress import Egress
from cds_service.domain.accession import IndexedStudy
from cds_service.domain.study import SeriesReference
from cds_service.errors import ArchiveFailed, EndpointNotAllowed, StudyIncomplete
from cds_service.usecases.ports import Archive, Budget
from tests.builders import a_study, a_tenant
from tests.fakes.imaging import STUDY_UID, FakeArchive, FakeIndex

WEB, DIMSE = "https://pacs.example.org/dicom-web", "dicom://SIGHTLINE@PACS@10.0.0.1:104"


def either(web: dict[str, list[bytes]], dimse: dict[str, list[bytes]]) -> EitherArchive:
    return EitherArchive(FakeArchive(web), lambda: cast(Archive, FakeArchive(dimse)))


@pytest.mark.parametrize(
    ("archives", "archive_url", "first"),
    [
        ((WEB, DIMSE), None, b"web"),
        ((DIMSE, WEB), None, b"dimse"),
        ((WEB, DIMSE), DIMSE, b"dimse"),
        ((DIMSE, WEB), WEB, b"web"),
        ((DIMSE, WEB), "https://elsewhere.example.org", b"dimse"),
        ((DIMSE,), WEB, b"dimse"),
    ],
)
def test_the_archive_in_which_the_study_was_found_is_asked_first(
    archives: tuple[str, ...], archive_url: str | None, first: bytes
) -> None:
    tenant = a_tenant(archive_base=archives[0], other_archives=archives[1:])
    archive = either({STUDY_UID: [b"web"]}, {STUDY_UID: [b"dimse"]})
    study = a_study(archive_url=archive_url)

    assert list(archive.instances(tenant, study, Budget())) == [first]
    assert archive.instance(tenant, study, "1.2.3", "1.2.3.4") == first


def test_what_the_first_has_not_the_other_is_asked_for() -> None:
    tenant = a_tenant(archive_base=WEB, other_archives=(DIMSE,))

    archive = either({}, {STUDY_UID: [b"dimse"]})

    assert list(archive.instances(tenant, a_study(), Budget())) == [b"dimse"]
    assert archive.instance(tenant, a_study(), "1.2.3", "1.2.3.4") == b"dimse"
    with pytest.raises(StudyIncomplete):
        list(either({}, {}).instances(tenant, a_study(), Budget()))


def test_what_fails_is_passed_over_and_what_it_may_have_is_not_called_absent() -> None:
    tenant = a_tenant(archive_base=WEB, other_archives=(DIMSE,))
    web = FakeArchive(fails_with=ArchiveFailed("The archive answered HTTP 503."))
    there = FakeArchive({STUDY_UID: [b"dimse"]})

    archive = EitherArchive(web, lambda: cast(Archive, there))

    assert list(archive.instances(tenant, a_study(), Budget())) == [b"dimse"]
    assert archive.instance(tenant, a_study(), "1.2.3", "1.2.3.4") == b"dimse"
    for stated in (None, 2):
        with pytest.raises(ArchiveFailed):
            list(archive.instances(tenant, a_study(instance_count=stated), Budget()))
    with pytest.raises(ArchiveFailed):
        list(EitherArchive(web, FakeArchive).instances(tenant, a_study(), Budget()))
    with pytest.raises(ArchiveFailed):
        EitherArchive(web, FakeArchive).instance(tenant, a_study(), "1.2.3", "1.2.3.4")


def test_the_series_are_those_of_the_first_that_lists_any() -> None:
    tenant = a_tenant(archive_base=WEB, other_archives=(DIMSE,))
    web, dimse = FakeArchive(), FakeArchive()
    archive = EitherArchive(web, lambda: cast(Archive, dimse))
    here, there = SeriesReference("1.2.3", "DX"), SeriesReference("1.2.4", "DX")

    assert archive.series(tenant, a_study()) == ()
    dimse.listed = (there,)
    assert archive.series(tenant, a_study()) == (there,)
    web.listed = (here,)
    assert archive.series(tenant, a_study()) == (here,)


def test_nothing_of_the_extra_is_needed_where_no_such_archive_is_registered() -> None:
    def missing() -> Archive:
        raise AssertionError("asked for")

    archive = EitherArchive(FakeArchive({STUDY_UID: [b"web"]}), missing)

    assert list(archive.instances(a_tenant(), a_study(), Budget())) == [b"web"]


def test_both_are_asked_for_an_accession_number_and_a_study_counts_once() -> None:
    web, dimse = IndexedStudy("1.2.3", WEB), IndexedStudy("1.2.3", DIMSE)
    other = IndexedStudy("1.2.4", DIMSE)
    index = EitherIndex(FakeIndex({"A-1": [web]}), lambda: FakeIndex({"A-1": [dimse, other]}))
    tenant = a_tenant(archive_base=WEB, other_archives=(DIMSE,))

    assert index.of_accession(tenant, "A-1") == [web, other]


def test_such_an_archive_opens_no_way_for_http() -> None:
    tenant = a_tenant(archive_base=DIMSE)

    with pytest.raises(EndpointNotAllowed):
        Egress().session_for(tenant).get("http://10.0.0.1:104/")
