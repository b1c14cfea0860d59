"""The inbox as an archive, held to the contract of the Archive port, and before a real archive."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from cds_service.adapters.inbox_archive import InboxFirst
from cds_service.errors import StudyIncomplete, StudyTooLarge
from cds_service.usecases.ports import Archive, Budget
from tests.builders import a_study, a_tenant
from tests.fakes.imaging import FakeArchive
from tests.pushed import (
    SERIES_UID,
    STUDY_UID,
    Clock,
    a_pushed_film,
    an_archive,
    an_inbox,
    an_index,
    as_pushed,
    files_in,
    push,
)

FILMS = [as_pushed(a_pushed_film(number)) for number in (1, 2)]
Given = Callable[[list[bytes]], Archive]


@pytest.fixture(params=["fake", "inbox", "inbox first"])
def given(request: pytest.FixtureRequest, engine: Engine, tmp_path: Path) -> Given:
    def make(instances: list[bytes]) -> Archive:
        if request.param == "fake":
            return FakeArchive({STUDY_UID: instances})
        clock = Clock()
        index = an_index(engine, clock)
        inbox = an_inbox(engine, tmp_path, index)
        for instance in instances:
            push(inbox, instance)
            clock.now += timedelta(seconds=1)
        (study,) = index.quiet(timedelta(), timedelta())
        index.bind(study, "p-1")
        held = an_archive(index, tmp_path)
        return held if request.param == "inbox" else InboxFirst(held, FakeArchive())

    return make


def test_every_instance_comes_once_and_as_stored(given: Given) -> None:
    assert list(given(FILMS).instances(a_tenant(), a_study(), Budget())) == FILMS


def test_one_instance_comes_as_stored(given: Given) -> None:
    archive = given(FILMS[:1])

    assert archive.instance(a_tenant(), a_study(), SERIES_UID, f"{SERIES_UID}.1") == FILMS[0]


def test_a_study_that_is_not_there_is_incomplete(given: Given) -> None:
    with pytest.raises(StudyIncomplete) as refusal:
        list(given(FILMS).instances(a_tenant(), a_study(study_uid="1.2.3"), Budget()))

    assert refusal.value.code == "not-in-archive" and refusal.value.retryable


@pytest.mark.parametrize(
    "budget", [Budget(instances=1), Budget(bytes=sum(map(len, FILMS)) - 1)], ids=str
)
def test_nothing_past_the_budget_is_handed_out(given: Given, budget: Budget) -> None:
    archive, seen = given(FILMS), []

    with pytest.raises(StudyTooLarge):
        for instance in archive.instances(a_tenant(), a_study(), budget):
            seen.append(instance)

    assert seen == FILMS[:1]


# --- what only the inbox meets --------------------------------------------------------------------


def test_nothing_is_read_before_the_study_is_bound_nor_by_another_patient(
    engine: Engine, tmp_path: Path
) -> None:
    index = an_index(engine)
    push(an_inbox(engine, tmp_path, index), FILMS[0])
    elsewhere = FakeArchive({STUDY_UID: [b"of the real archive"]})
    archive = InboxFirst(an_archive(index, tmp_path), elsewhere)

    before = list(archive.instances(a_tenant(), a_study(), Budget()))
    (study,) = index.quiet(timedelta(), timedelta())
    index.bind(study, "p-1")

    assert before == [b"of the real archive"]
    assert list(archive.instances(a_tenant(), a_study(), Budget())) == FILMS[:1]
    other = a_study(patient_id="p-2")
    assert list(archive.instances(a_tenant(), other, Budget())) == [b"of the real archive"]
    assert list(archive.instances(a_tenant(id="t-2"), a_study(tenant_id="t-2"), Budget())) == [
        b"of the real archive"
    ]


@pytest.mark.parametrize(
    ("base", "counted", "read"),
    [
        ("https://pacs.example/dicom-web", 2, [b"of the real archive"]),
        ("https://pacs.example/dicom-web", 1, FILMS[:1]),
        ("https://pacs.example/dicom-web", None, FILMS[:1]),  # the EHR does not count
        (None, 2, FILMS[:1]),  # and nobody has the rest
    ],
)
def test_a_study_that_was_pushed_in_part_is_the_archive_s_where_there_is_one(
    engine: Engine, tmp_path: Path, base: str | None, counted: int | None, read: list[bytes]
) -> None:
    index = an_index(engine)
    push(an_inbox(engine, tmp_path, index), FILMS[0])
    (held,) = index.quiet(timedelta(), timedelta())
    index.bind(held, "p-1")
    elsewhere = FakeArchive({STUDY_UID: [b"of the real archive"]})
    archive = InboxFirst(an_archive(index, tmp_path), elsewhere)

    study = a_study(instance_count=counted, archive_url=None)

    assert list(archive.instances(a_tenant(archive_base=base), study, Budget())) == read


def test_a_file_that_is_gone_is_an_incomplete_study(engine: Engine, tmp_path: Path) -> None:
    index = an_index(engine)
    push(an_inbox(engine, tmp_path / "inbox", index), FILMS[0])
    (study,) = index.quiet(timedelta(), timedelta())
    index.bind(study, "p-1")
    for path in files_in(tmp_path / "inbox"):
        path.unlink()

    with pytest.raises(StudyIncomplete):
        list(an_archive(index, tmp_path / "inbox").instances(a_tenant(), a_study(), Budget()))


def test_a_study_of_which_a_file_is_gone_is_the_archive_s_where_there_is_one(
    engine: Engine, tmp_path: Path
) -> None:
    index = an_index(engine)
    for film in FILMS[:2]:
        push(an_inbox(engine, tmp_path / "inbox", index), film)
    (held,) = index.quiet(timedelta(), timedelta())
    index.bind(held, "p-1")
    files_in(tmp_path / "inbox")[0].unlink()
    elsewhere = FakeArchive({STUDY_UID: [b"of the real archive"]})
    archive = InboxFirst(an_archive(index, tmp_path / "inbox"), elsewhere)
    study = a_study(instance_count=None, archive_url=None)

    assert list(archive.instances(a_tenant(), study, Budget())) == [b"of the real archive"]
    with pytest.raises(StudyIncomplete):
        list(archive.instances(a_tenant(archive_base=None), study, Budget()))


def test_an_instance_that_was_not_pushed_is_incomplete(engine: Engine, tmp_path: Path) -> None:
    index = an_index(engine)
    push(an_inbox(engine, tmp_path, index), FILMS[0])
    (study,) = index.quiet(timedelta(), timedelta())
    index.bind(study, "p-1")

    with pytest.raises(StudyIncomplete):
        an_archive(index, tmp_path).instance(a_tenant(), a_study(), SERIES_UID, "1.2.3")
