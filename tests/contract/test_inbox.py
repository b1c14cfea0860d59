"""The inbox on real disks and databases: what is taken, what is refused, who may read it."""

import stat
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)
from sqlalchemy import text
from sqlalchemy.engine import Engine

from cds_service.adapters.inbox_files import InboxFiles
from cds_service.adapters.inbox_header import identify
from cds_service.adapters.ledger import SqlInbox, SqlPushCredentials, SqlTenants
from cds_service.domain.inbox import CredentialKind, Failure, Quota
from cds_service.domain.intake import Door
from cds_service.errors import InboxFull, InstanceRefused, NotFound
from cds_service.intake.inbox import Inbox
from tests.builders import a_tenant
from tests.pushed import (
    QUOTA,
    SERIES_UID,
    STUDY_UID,
    Clock,
    a_pushed_film,
    an_inbox,
    an_index,
    as_pushed,
    files_in,
    push,
)

QUIET, ASK_AGAIN = timedelta(seconds=5), timedelta(minutes=1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def index(engine: Engine, clock: Clock) -> SqlInbox:
    return an_index(engine, clock)


@pytest.fixture
def inbox(engine: Engine, tmp_path: Path, index: SqlInbox) -> Inbox:
    return an_inbox(engine, tmp_path / "inbox", index)


def with_quota(inbox: Inbox, quota: Quota) -> Inbox:
    return Inbox(inbox.tenants, inbox.files, inbox.index, inbox.identify, quota)


# --- files --------------------------------------------------------------------------------------


def test_a_pushed_file_is_kept_under_its_digest_for_this_user_only(
    inbox: Inbox, tmp_path: Path
) -> None:
    data = as_pushed(a_pushed_film())

    taken = push(inbox, data)

    (kept,) = files_in(tmp_path / "inbox")
    assert kept.name == sha256(data).hexdigest() and kept.read_bytes() == data
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert (taken.study_uid, taken.sop_uid) == (STUDY_UID, f"{SERIES_UID}.1")


def test_a_program_in_the_preamble_is_written_as_zeros(inbox: Inbox, tmp_path: Path) -> None:
    data = as_pushed(a_pushed_film())

    push(inbox, b"MZ\x90" + b"\xcc" * 125 + data[128:])

    (kept,) = files_in(tmp_path / "inbox")
    assert kept.read_bytes() == bytes(128) + data[128:]


def test_what_is_refused_or_cut_off_leaves_no_file(inbox: Inbox, tmp_path: Path) -> None:
    with pytest.raises(InstanceRefused):
        push(inbox, b"no DICOM at all" * 100)
    with inbox.begin("t-1") as arrival:
        arrival.write(as_pushed(a_pushed_film())[:500])

    assert files_in(tmp_path / "inbox") == []


def test_what_a_killed_process_left_is_erased_in_time(inbox: Inbox, tmp_path: Path) -> None:
    files = InboxFiles(tmp_path / "inbox")
    with files.begin("t-1", 1000) as arrival:
        arrival.write(b"half")

        assert files.remove_abandoned(after_s=3600) == 0
        assert files.remove_abandoned(after_s=-1) == 1
        assert files_in(tmp_path / "inbox") == []


def test_a_kept_file_that_no_index_names_is_erased_in_time(
    inbox: Inbox, index: SqlInbox, tmp_path: Path, clock: Clock
) -> None:
    files = InboxFiles(tmp_path / "inbox")
    push(inbox, as_pushed(a_pushed_film(1)))
    clock.now += QUIET
    (study,) = index.overdue(QUIET)
    push(inbox, as_pushed(a_pushed_film(2, StudyInstanceUID="1.2.3")))

    index.forget(study)  # and the process is killed before it erases the file

    assert files.remove_unknown(index.is_known, after_s=3600) == 0
    assert files.remove_unknown(index.is_known, after_s=-1) == 1
    assert len(files_in(tmp_path / "inbox")) == 1


def test_nothing_is_written_past_the_room_that_is_left(inbox: Inbox, tmp_path: Path) -> None:
    files = InboxFiles(tmp_path / "inbox")

    with files.begin("t-1", 1000) as arrival:
        arrival.write(bytes(600))
        with pytest.raises(InboxFull):
            arrival.write(bytes(401))

        assert arrival.size == 600


def test_a_disk_that_is_nearly_full_takes_nothing(tmp_path: Path) -> None:
    left = [10**12]
    files = InboxFiles(tmp_path / "inbox", free=lambda _folder: left[0])

    with files.begin("t-1", 10**9) as arrival:
        left[0] = 1000
        with pytest.raises(InboxFull):
            for _ in range(5):
                arrival.write(bytes(1024 * 1024))
    with pytest.raises(InboxFull):
        files.begin("t-1", 10**9)

    assert files_in(tmp_path / "inbox") == []


def test_a_folder_that_cannot_be_written_is_a_full_inbox(tmp_path: Path) -> None:
    (tmp_path / "inbox").write_text("a file where the folder should be")

    with pytest.raises(InboxFull):
        InboxFiles(tmp_path / "inbox").begin("t-1", 1000)


# --- what it is ---------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_header_is_read_in_every_native_encoding(syntax: Any) -> None:
    film = a_pushed_film()
    film.file_meta.TransferSyntaxUID = syntax

    found = identify(as_pushed(film))

    assert (found.study_uid, found.accession) == (STUDY_UID, "ACC-1")


def test_a_header_is_read_without_the_rest_of_the_file() -> None:
    data = as_pushed(a_pushed_film())

    assert identify(data[: data.index(b"\x28\x00\x02\x00")]) == identify(data)


@pytest.mark.parametrize(
    "syntax",
    [DeflatedExplicitVRLittleEndian, "1.2.840.10008.1.2.8.1", "1.2.3.4", "1.2.840.113619.5.2"],
)
def test_deflated_and_private_syntaxes_are_refused_before_anything_is_inflated(
    syntax: str,
) -> None:
    film = a_pushed_film()
    data = as_pushed(film)
    real = str(film.file_meta.TransferSyntaxUID).encode().ljust(20, b"\0")
    wanted = str(syntax).encode()
    wanted += b"\0" * (len(wanted) % 2)
    element = b"\x02\x00\x10\x00UI"
    spoiled = data.replace(
        element + len(real).to_bytes(2, "little") + real,
        element + len(wanted).to_bytes(2, "little") + wanted,
    )
    assert spoiled != data

    with pytest.raises(InstanceRefused) as refusal:
        identify(spoiled)

    assert refusal.value.failure == Failure.TRANSFER_SYNTAX


@pytest.mark.parametrize(
    "changes",
    [
        {"StudyInstanceUID": None},
        {"SeriesInstanceUID": None},
        {"StudyInstanceUID": "../../../etc/passwd"},
        {"SeriesInstanceUID": "1.2/../3"},
        {"StudyInstanceUID": "1." * 40 + "1"},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore")
def test_an_identifier_that_is_no_uid_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InstanceRefused) as refusal:
        identify(as_pushed(a_pushed_film(**changes)))

    assert refusal.value.failure == Failure.NOT_UNDERSTOOD
    assert "passwd" not in str(refusal.value)


@pytest.mark.parametrize("spoil", [lambda data: data[:60], lambda _: b"", lambda d: d[132:]])
def test_what_is_no_dicom_file_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(InstanceRefused) as refusal:
        identify(spoil(as_pushed(a_pushed_film())))

    assert refusal.value.failure == Failure.NOT_UNDERSTOOD


def test_deep_sequences_are_refused_and_cost_nothing() -> None:
    film = a_pushed_film()
    data = as_pushed(film)
    at = data.index(b"\x08\x00\x16\x00UI")
    nested = b"".join(
        b"\x08\x00\x06\x00SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
        for _ in range(3000)
    )

    with pytest.raises(InstanceRefused):
        identify(data[:at] + nested + data[at:])


@pytest.mark.parametrize(
    ("element", "kind"),
    [
        (b"\x08\x00\x18\x00UI", b"FD"),  # SOP Instance UID of a length that no FD has
        (b"\x20\x00\x0d\x00UI", b"U1"),  # Study Instance UID of no kind that there is
        (b"\x08\x00\x50\x00SH", b"FD"),  # Accession Number
    ],
)
def test_an_element_of_another_kind_is_refused_and_its_value_is_said_nowhere(
    element: bytes, kind: bytes, recwarn: pytest.WarningsRecorder
) -> None:
    data = as_pushed(a_pushed_film(AccessionNumber="A-1234567"))

    with pytest.raises(InstanceRefused) as refusal:
        identify(data.replace(element, element[:4] + kind))

    assert refusal.value.failure == Failure.NOT_UNDERSTOOD
    assert "1.2.840" not in str(refusal.value) and list(recwarn) == []


@pytest.mark.parametrize("private", [b"\x08\x00\x06\x00SQ", b"\x09\x00\x40\x11UN"])
def test_a_mebibyte_of_empty_items_is_given_up_early(private: bytes) -> None:
    data = as_pushed(a_pushed_film())
    at = data.index(b"\x08\x00\x16\x00UI")
    items = private + b"\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\0\0\0\0" * 60_000
    closed = items + b"\xfe\xff\xdd\xe0\0\0\0\0"  # so that nothing but their number is odd

    with pytest.raises(InstanceRefused) as refusal:
        identify(data[:at] + closed + data[at:])

    assert refusal.value.failure == Failure.NOT_UNDERSTOOD


def test_an_image_that_was_made_of_two_thousand_others_is_taken() -> None:
    sources = []
    for number in range(2000):
        source = Dataset()
        source.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        source.ReferencedSOPInstanceUID = f"{SERIES_UID}.9.{number}"
        sources.append(source)

    instance = identify(as_pushed(a_pushed_film(SourceImageSequence=sources)))

    assert instance.study_uid == STUDY_UID


def test_a_file_meta_of_another_instance_is_refused() -> None:
    data = as_pushed(a_pushed_film(1))
    other = data.replace(b"1.2.840.99999.1.1.1", b"1.2.840.99999.1.1.9", 1)

    with pytest.raises(InstanceRefused) as refusal:
        identify(other)

    assert refusal.value.failure == Failure.MISMATCH


@pytest.mark.parametrize("accession", ["A|B", "A,B", "A&x=1", "", "a" * 17])
@pytest.mark.filterwarnings("ignore")
def test_an_accession_number_that_could_change_a_search_is_not_used(accession: str) -> None:
    assert identify(as_pushed(a_pushed_film(AccessionNumber=accession))).accession is None


# --- the index ----------------------------------------------------------------------------------


def test_an_accession_number_is_sealed_in_the_ledger(
    inbox: Inbox, index: SqlInbox, engine: Engine, clock: Clock
) -> None:
    push(inbox, as_pushed(a_pushed_film()))

    clock.now += QUIET
    (held,) = index.quiet(QUIET, ASK_AGAIN)
    with engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM inbox_study")).one()
    assert held.accession == "ACC-1"
    assert b"ACC-1" not in bytes(row.sealed_accession) and "ACC-1" not in repr(held)


def test_a_study_is_quiet_only_when_nothing_comes_any_more(
    inbox: Inbox, index: SqlInbox, clock: Clock
) -> None:
    push(inbox, as_pushed(a_pushed_film(1)))
    clock.now += QUIET - timedelta(seconds=1)
    push(inbox, as_pushed(a_pushed_film(2)))
    clock.now += QUIET - timedelta(seconds=1)

    assert index.quiet(QUIET, ASK_AGAIN) == []
    clock.now += timedelta(seconds=1)
    (study,) = index.quiet(QUIET, ASK_AGAIN)
    assert (study.study_uid, study.instances, study.patient_id) == (STUDY_UID, 2, None)


def test_a_study_that_nobody_knew_is_asked_for_again_later_and_at_once_when_more_comes(
    inbox: Inbox, index: SqlInbox, clock: Clock
) -> None:
    push(inbox, as_pushed(a_pushed_film(1)))
    clock.now += QUIET
    (study,) = index.quiet(QUIET, ASK_AGAIN)

    index.asked(study)

    assert index.quiet(QUIET, ASK_AGAIN) == []
    clock.now += ASK_AGAIN
    assert len(index.quiet(QUIET, ASK_AGAIN)) == 1
    index.asked(study)
    push(inbox, as_pushed(a_pushed_film(2)))
    clock.now += QUIET
    assert len(index.quiet(QUIET, ASK_AGAIN)) == 1


def test_a_study_is_read_only_as_its_patients_and_not_while_more_comes(
    inbox: Inbox, index: SqlInbox, clock: Clock
) -> None:
    data = as_pushed(a_pushed_film(1))
    push(inbox, data)
    clock.now += QUIET
    (study,) = index.quiet(QUIET, ASK_AGAIN)
    assert index.digests("t-1", STUDY_UID, "p-1") == []

    assert index.bind(study, "p-1")

    assert index.digests("t-1", STUDY_UID, "p-1") == [sha256(data).hexdigest()]
    assert index.digests("t-1", STUDY_UID, "p-2") == index.digests("t-2", STUDY_UID, "p-1") == []
    clock.now += QUIET
    push(inbox, as_pushed(a_pushed_film(2)))
    assert index.digests("t-1", STUDY_UID, "p-1") == index.bound() == []
    assert not index.bind(study, "p-1")


def test_a_study_to_which_more_came_is_not_forgotten(
    inbox: Inbox, index: SqlInbox, clock: Clock
) -> None:
    push(inbox, as_pushed(a_pushed_film(1)))
    clock.now += QUIET
    (seen,) = index.overdue(QUIET)
    push(inbox, as_pushed(a_pushed_film(2)))

    assert index.forget(seen) == []
    clock.now += QUIET
    (study,) = index.overdue(QUIET)
    assert len(index.forget(study)) == 2 and index.overdue(timedelta()) == []


def test_the_same_file_twice_is_held_once(inbox: Inbox, index: SqlInbox, tmp_path: Path) -> None:
    data = as_pushed(a_pushed_film())

    assert push(inbox, data) == push(inbox, data)

    assert len(files_in(tmp_path / "inbox")) == 1


def test_other_bytes_under_the_same_identifier_are_refused(inbox: Inbox, tmp_path: Path) -> None:
    push(inbox, as_pushed(a_pushed_film(1)))

    with pytest.raises(InstanceRefused) as refusal:
        push(inbox, as_pushed(a_pushed_film(1, PatientID="SOMEBODY-ELSE")))

    assert refusal.value.failure == Failure.PROCESSING
    assert len(files_in(tmp_path / "inbox")) == 1


def test_a_tenants_quota_of_instances_and_of_bytes_holds_and_is_its_own(
    inbox: Inbox, tmp_path: Path
) -> None:
    data = as_pushed(a_pushed_film(1))
    two = with_quota(inbox, Quota(bytes=10**9, instances=2))
    small = with_quota(inbox, Quota(bytes=len(data) + 10, instances=10))

    push(small, data)
    with pytest.raises(InboxFull):
        push(small, as_pushed(a_pushed_film(2)))
    push(two, as_pushed(a_pushed_film(2)))
    with pytest.raises(InboxFull):
        push(two, as_pushed(a_pushed_film(3)))
    push(two, data, tenant_id="t-2")

    assert len(files_in(tmp_path / "inbox")) == 3


def test_two_that_arrive_at_once_do_not_pass_the_quota(inbox: Inbox, tmp_path: Path) -> None:
    one = with_quota(inbox, Quota(bytes=10**9, instances=1))
    with one.begin("t-1") as first, one.begin("t-1") as second:
        first.write(as_pushed(a_pushed_film(1)))
        second.write(as_pushed(a_pushed_film(2)))

        one.take("t-1", first, one.look(first))
        with pytest.raises(InboxFull):
            one.take("t-1", second, one.look(second))

    assert len(files_in(tmp_path / "inbox")) == 1


def test_an_instance_of_another_study_or_of_another_name_is_refused(inbox: Inbox) -> None:
    data = as_pushed(a_pushed_film())
    for expected in ({"study_uid": "1.2.3"}, {"said": ("1.2.840.10008.5.1.4.1.1.2", "1.2.3")}):
        with pytest.raises(InstanceRefused) as refusal:
            push(inbox, data, **expected)
        assert refusal.value.failure == Failure.MISMATCH


def test_a_door_is_closed_until_it_is_opened(inbox: Inbox, engine: Engine) -> None:
    tenants = SqlTenants(engine)
    tenants.add(a_tenant())
    with pytest.raises(NotFound):
        inbox.tenant_at(Door.STOW_RS, "t-1")

    tenants.set_door("t-1", Door.STOW_RS, is_open=True)

    assert inbox.tenant_at(Door.STOW_RS, "t-1").id == "t-1"
    with pytest.raises(NotFound):
        inbox.tenant_at(Door.DIMSE, "t-1")


def test_a_credential_names_its_tenant_until_it_is_taken_back(engine: Engine) -> None:
    credentials = SqlPushCredentials(engine)

    assert credentials.add("t-1", CredentialKind.TOKEN, "d" * 64)

    assert not credentials.add("t-2", CredentialKind.TOKEN, "d" * 64)
    assert credentials.tenant_of(CredentialKind.TOKEN, "d" * 64) == "t-1"
    assert credentials.tenant_of(CredentialKind.CERTIFICATE, "d" * 64) is None
    assert credentials.remove_all("t-1") == 1
    assert credentials.tenant_of(CredentialKind.TOKEN, "d" * 64) is None


def test_the_quota_of_one_instance_is_part_of_the_room(index: SqlInbox) -> None:
    assert index.room("t-1", Quota(10_000, 5, instance_bytes=700)) == 700
    assert index.room("t-1", QUOTA) == QUOTA.bytes
