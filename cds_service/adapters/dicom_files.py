"""Find DICOM files in the paths that a person names, and sort them into studies.

Source: DICOM PS3.10 7.1 (file format); PS3.3 C.7.2.1 (Study Instance UID).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cds_service.domain.finding import Reason
from cds_service.domain.study import HeaderOverrides
from cds_service.errors import StudyUnusable
from cds_service.usecases.ports import Budget, ImageReader, SourceInstance

_LARGEST_BYTES = Budget().bytes


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
    counted as skipped. A file that states no study is its own study.
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
        if path.is_dir():
            yield from ((file, False) for file in sorted(path.rglob("*")) if file.is_file())
        else:
            yield path, True


def _look(
    path: Path, reader: ImageReader, *, is_named: bool
) -> tuple[FileStudy | None, str | None]:
    """Return the file's study and its UID; None for a file of a folder that is not DICOM."""
    try:
        if not path.is_file():
            return _problem(path, "no-such-file", "there is no such file"), None
        if path.stat().st_size > _LARGEST_BYTES:
            return _problem(path, "too-large", "the file is larger than is read"), None
        header = reader.header(path.read_bytes())
    except StudyUnusable as refusal:
        is_other_file = refusal.code == "not-dicom" and not is_named
        return None if is_other_file else FileStudy((path,)), None
    except OSError:
        return FileStudy((path,), fault=Reason("file-unreadable", "it could not be read")), None
    return FileStudy((path,)), header.study_uid


def _problem(path: Path, code: str, text: str) -> FileStudy:
    return FileStudy((path,), problem=Reason(code, text))
