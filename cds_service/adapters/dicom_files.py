"""Find DICOM files in the paths that a person names, and sort them into studies.

Source: DICOM PS3.10 7.1 (file format); PS3.3 C.7.2.1 (Study Instance UID).
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cds_service.domain.finding import Reason
from cds_service.domain.study import HeaderOverrides
from cds_service.errors import StudyUnusable
from cds_service.usecases.ports import Budget, ImageReader, SourceInstance

_LARGEST_BYTES = Budget().bytes
_UNREADABLE = Reason("file-unreadable", "it could not be read")


@dataclass(frozen=True, slots=True)
class FileStudy:
    """Files of one study, or one path that is no study and why."""

    paths: tuple[Path, ...]
    problem: Reason | None = None  # not a file that can be used
    fault: Reason | None = None  # the file is there, and this machine cannot read it

    def instances(self, overrides: HeaderOverrides) -> Iterator[SourceInstance]:
        """Read the files one after the other; OSError passes through."""
        for path in self.paths:
            yield SourceInstance(path.read_bytes(), str(path), overrides)


@dataclass(slots=True)
class FoundFiles:
    """The studies in order of their first file, and how many other files were passed over."""

    studies: list[FileStudy] = field(default_factory=list)
    skipped: int = 0


def find_studies(named: Iterable[Path], reader: ImageReader) -> FoundFiles:
    """Look at every named file and every file below the named folders.

    A named file is always a study of its own right, whatever it is; other files in a folder are
    counted as skipped. A file that states no study is its own study; so is a folder that may not
    be listed, as a fault.
    """
    found = FoundFiles()
    by_uid: dict[str, int] = {}
    seen: set[Path] = set()
    for path, is_named in _candidates(named):
        if (real := path.resolve()) in seen:
            continue
        seen.add(real)
        study, uid = _look(path, reader, is_named=is_named)
        if study is None:
            found.skipped += 1
        elif uid is not None and uid in by_uid:
            known = found.studies[by_uid[uid]]
            found.studies[by_uid[uid]] = FileStudy((*known.paths, path))
        else:
            if uid is not None:
                by_uid[uid] = len(found.studies)
            found.studies.append(study)
    return found


def _candidates(named: Iterable[Path]) -> Iterator[tuple[Path, bool]]:
    for path in named:
        if _is_folder(path):
            yield from ((file, False) for file in sorted(_below(path)))
        else:
            yield path, True


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, and each folder that may not be listed."""
    refused: list[Path] = []
    for here, _, names in os.walk(
        folder, onerror=lambda error: refused.append(Path(error.filename))
    ):
        yield from (path for name in names if _is_file(path := Path(here, name)))
    yield from refused


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a folder above may not be searched: `_look` says so
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return True  # `_look` says why it cannot be read


def _look(
    path: Path, reader: ImageReader, *, is_named: bool
) -> tuple[FileStudy | None, str | None]:
    """Return the file's study and its UID; None for a file of a folder that is not DICOM."""
    try:
        if path.is_dir():  # one of `_below` that may not be listed
            return FileStudy((path,), fault=_UNREADABLE), None
        if not path.is_file():
            return _problem(path, "no-such-file", "there is no such file"), None
        if path.stat().st_size > _LARGEST_BYTES:
            return _problem(path, "too-large", "the file is larger than is read"), None
        header = reader.header(path.read_bytes())
    except StudyUnusable as refusal:
        is_other_file = refusal.code == "not-dicom" and not is_named
        return None if is_other_file else FileStudy((path,)), None
    except OSError:
        return FileStudy((path,), fault=_UNREADABLE), None
    return FileStudy((path,)), header.study_uid


def _problem(path: Path, code: str, text: str) -> FileStudy:
    return FileStudy((path,), problem=Reason(code, text))
