"""The files of the inbox: pushed bytes go straight to disk, under a limit, named by digest.

A sender names nothing here: not the file, not the folder. The preamble of a DICOM file may hold a
program (CVE-2019-11687), so it is written as zeros; no file can be executed.

Source: DICOM PS3.10 7.1 (preamble); threats T12 and T18.
"""

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from types import TracebackType

from cds_service.errors import InboxFull

PREAMBLE_BYTES = 128
HEAD_BYTES = 1024 * 1024  # of a file, in which its header must say what it is
DISK_RESERVE_BYTES = 1024 * 1024 * 1024  # left free, for the ledger and the logs
_LOOK_AT_DISK_EVERY = 4 * 1024 * 1024  # bytes
_ARRIVING, _PART = "arriving", ".part"


def free_bytes(folder: Path) -> int:
    """Return how much room the disk of this folder has."""
    return shutil.disk_usage(folder).free


class InboxFiles:
    """One folder for this user only; below it one for each tenant and one for what arrives."""

    def __init__(self, folder: Path, free: Callable[[Path], int] = free_bytes) -> None:
        self._folder, self._free = folder, free

    def begin(self, tenant_id: str, limit_bytes: int) -> "Arrival":
        """Open a new file; raise InboxFull."""
        arriving, kept = self._folder / _ARRIVING, self._of(tenant_id)
        try:
            for folder in (self._folder, arriving, kept):
                folder.mkdir(mode=0o700, exist_ok=True)
            self.require_room()
            return Arrival(arriving / f"{token_hex(16)}{_PART}", kept, limit_bytes, self)
        except OSError as error:
            raise InboxFull("The inbox cannot be written.") from error

    def require_room(self) -> None:
        """Raise InboxFull when the disk is nearly full."""
        if self._free(self._folder) < DISK_RESERVE_BYTES:
            raise InboxFull("The disk of the inbox is full.")

    def read(self, tenant_id: str, digest: str) -> bytes | None:
        """Return a kept file; None when it has been removed."""
        try:
            return (self._of(tenant_id) / digest).read_bytes()
        except FileNotFoundError:
            return None

    def has(self, tenant_id: str, digest: str) -> bool:
        """Tell whether this file was kept and not removed."""
        return (self._of(tenant_id) / digest).is_file()

    def remove(self, tenant_id: str, digest: str) -> None:
        """Erase a kept file; harmless when it is gone."""
        (self._of(tenant_id) / digest).unlink(missing_ok=True)

    def remove_abandoned(self, after_s: float) -> int:
        """Erase what a process that was killed left half-written; return how many files."""
        removed = 0
        for path in (self._folder / _ARRIVING).glob(f"*{_PART}"):
            with suppress(FileNotFoundError):  # finished or erased by its own process meanwhile
                if time.time() - path.stat().st_mtime > after_s:
                    path.unlink()
                    removed += 1
        return removed

    def remove_unknown(self, is_known: Callable[[str], bool], after_s: float) -> int:
        """Erase kept files that no index names, as a process leaves that is killed while erasing.

        is_known   of a digest
        after_s    since it was kept: its line may be on the way

        Returns how many files.
        """
        removed = 0
        for path in self._folder.glob("*/*"):
            with suppress(FileNotFoundError):  # erased by another process meanwhile
                is_old = time.time() - path.stat().st_mtime > after_s
                if path.suffix != _PART and is_old and not is_known(path.name):
                    path.unlink()
                    removed += 1
        return removed

    def _of(self, tenant_id: str) -> Path:
        return self._folder / sha256(tenant_id.encode()).hexdigest()[:32]


class Arrival:
    """One instance that is arriving; it leaves no trace unless it is kept.

    `write` and `keep` raise InboxFull.
    """

    def __init__(self, path: Path, kept: Path, limit_bytes: int, files: InboxFiles) -> None:
        self._path, self._kept, self._limit, self._files = path, kept, limit_bytes, files
        self._digest = sha256()
        self._look_at = _LOOK_AT_DISK_EVERY
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        self.size = 0
        self.head = bytearray()  # its first MiB, as kept

    def __enter__(self) -> "Arrival":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()

    @property
    def digest(self) -> str:
        """SHA-256 of what has come, 64 hex digits."""
        return self._digest.hexdigest()

    def write(self, chunk: bytes) -> None:
        """Append; nothing past the limit is ever written."""
        if self.size + len(chunk) > self._limit:
            raise InboxFull("The instance is larger than the room that is left.")
        if self.size < PREAMBLE_BYTES:
            blank = min(PREAMBLE_BYTES - self.size, len(chunk))
            chunk = bytes(blank) + chunk[blank:]
        if self.size + len(chunk) >= self._look_at:
            self._files.require_room()
            self._look_at += _LOOK_AT_DISK_EVERY
        try:
            self._file.write(chunk)
        except OSError as error:
            raise InboxFull("The disk of the inbox is full.") from error
        self.head += chunk[: HEAD_BYTES - len(self.head)]
        self._digest.update(chunk)
        self.size += len(chunk)

    def keep(self) -> None:
        """Put it on disk for good, under its digest."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._path.rename(self._kept / self.digest)
        except OSError as error:
            raise InboxFull("The disk of the inbox is full.") from error

    def discard(self) -> None:
        """Erase it unless it was kept."""
        with suppress(OSError):  # closing writes what is left, and the disk may be full
            self._file.close()
        self._path.unlink(missing_ok=True)
