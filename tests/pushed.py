"""What an archive pushes, and an inbox that takes it: real files, a real ledger."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydicom import Dataset
from sqlalchemy.engine import Engine

from cds_service.adapters.inbox_archive import InboxArchive
from cds_service.adapters.inbox_files import InboxFiles
from cds_service.adapters.inbox_header import identify
from cds_service.adapters.ledger import SqlInbox, SqlTenants
from cds_service.adapters.vault import Vault
from cds_service.domain.inbox import PushedInstance, Quota
from cds_service.intake.inbox import Inbox
from tests.unit.imaging.dicom import a_film
from tests.unit.imaging.dicom import as_file as as_pushed  # noqa: F401  for those that push

STUDY_UID, SERIES_UID = "1.2.840.99999.1", "1.2.840.99999.1.1"
QUOTA = Quota(bytes=10_000_000, instances=100)


def a_pushed_film(number: int = 1, **changes: Any) -> Dataset:
    """A film with a SOP Instance UID of its own and an accession number."""
    values = {"SOPInstanceUID": f"{SERIES_UID}.{number}", "AccessionNumber": "ACC-1"}
    return a_film(**(values | changes))


class Clock:
    """A clock that stands until a test moves it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def an_index(engine: Engine, clock: Clock | None = None) -> SqlInbox:
    return SqlInbox(engine, Vault(os.urandom(32)), clock=clock)


def an_inbox(engine: Engine, folder: Path, index: SqlInbox, quota: Quota = QUOTA) -> Inbox:
    return Inbox(SqlTenants(engine), InboxFiles(folder), index, identify, quota)


def push(inbox: Inbox, data: bytes, tenant_id: str = "t-1", **expected: Any) -> PushedInstance:
    """Push one file in pieces, as the doors do."""
    with inbox.begin(tenant_id) as arrival:
        for start in range(0, len(data), 1000):
            arrival.write(data[start : start + 1000])
        instance = inbox.look(arrival)
        inbox.take(tenant_id, arrival, instance, **expected)
    return instance


def an_archive(index: SqlInbox, folder: Path) -> InboxArchive:
    return InboxArchive(index, InboxFiles(folder), identify)


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
