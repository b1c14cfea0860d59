"""What archives ask for: the same on the fake, SQLite and PostgreSQL; and after an upgrade."""

import pytest
from sqlalchemy.engine import Engine

from cds_service.adapters.ledger import SqlTenants, upgrade
from cds_service.domain.archive_credential import AccessKind, ArchiveCredential
from cds_service.errors import NotFound
from tests.builders import a_tenant
from tests.contract.ledgers import Ledger
from tests.contract.test_ledger_trust_upgrade import old as old
from tests.contract.test_ledger_trust_upgrade import registered_then

ARCHIVE, FEED = "https://pacs.example.org/dicom-web", "https://pacs.example.org/feed"
BASIC = ArchiveCredential(ARCHIVE, AccessKind.BASIC, b"\x00sealed\xff", "sightline")
BEARER = ArchiveCredential(ARCHIVE, AccessKind.BEARER, b"another")
AZURE = ArchiveCredential(
    FEED,
    AccessKind.CLIENT_CREDENTIALS,
    b"a third",
    "client-1",
    "https://login.example.org/token",
    "https://dicom.example.org/.default",
)


@pytest.fixture
def registered(ledger: Ledger) -> Ledger:
    ledger.tenants.add(a_tenant(archive_base=ARCHIVE))
    return ledger


def kept(ledger: Ledger) -> tuple[ArchiveCredential, ...]:
    return ledger.tenants.get("t-1").archive_credentials


def test_each_base_has_its_own(registered: Ledger) -> None:
    registered.tenants.set_archive_credential("t-1", BASIC)
    registered.tenants.set_archive_credential("t-1", AZURE)

    assert kept(registered) == (BASIC, AZURE)


def test_a_second_one_takes_the_place_of_the_first(registered: Ledger) -> None:
    registered.tenants.set_archive_credential("t-1", BASIC)
    registered.tenants.set_archive_credential("t-1", BEARER)

    assert kept(registered) == (BEARER,)


def test_one_that_was_removed_is_gone_and_the_others_stay(registered: Ledger) -> None:
    registered.tenants.set_archive_credential("t-1", BASIC)
    registered.tenants.set_archive_credential("t-1", AZURE)

    assert registered.tenants.remove_archive_credential("t-1", ARCHIVE)

    assert kept(registered) == (AZURE,)
    assert not registered.tenants.remove_archive_credential("t-1", ARCHIVE)


def test_without_the_registration_there_is_no_place_for_one(ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        ledger.tenants.set_archive_credential("t-1", BASIC)
    with pytest.raises(NotFound):
        ledger.tenants.remove_archive_credential("t-1", ARCHIVE)


def test_a_changed_registration_keeps_them(registered: Ledger) -> None:
    registered.tenants.change(a_tenant(archive_base=ARCHIVE, archive_credentials=(BASIC,)))

    assert kept(registered) == (BASIC,)


def test_another_change_feed_forgets_those_of_the_feed_before(registered: Ledger) -> None:
    registered.tenants.set_change_feed("t-1", FEED)
    registered.tenants.set_archive_credential("t-1", AZURE)
    registered.tenants.set_archive_credential("t-1", BASIC)

    registered.tenants.set_change_feed("t-1", FEED + "/v2")

    assert kept(registered) == (BASIC,)


def test_a_removed_registration_leaves_none_behind(registered: Ledger) -> None:
    registered.tenants.set_archive_credential("t-1", BASIC)

    registered.tenants.remove("t-1")
    registered.tenants.add(a_tenant(archive_base=ARCHIVE))

    assert kept(registered) == ()


def test_an_older_registration_is_asked_with_the_token_of_the_ehr_as_before(old: Engine) -> None:
    registered_then(old, "generic", None)

    upgrade(old)

    [tenant] = SqlTenants(old).all()
    assert tenant.archive_credentials == ()
