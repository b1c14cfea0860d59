"""The sandbox's image archive: DICOM files named by their digest, and an index to find them.

Source: DICOM PS3.18 10.4 to 10.6 (retrieve, store, search); the bytes are kept as they came.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import RLock

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID

from cds_service.sandbox.archive_index import (
    INSTANCE_KEYWORDS,
    SERIES_KEYWORDS,
    STUDY_KEYWORDS,
    DicomJson,
    attributes_of,
    text_of,
)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS instance (
    sop_uid TEXT PRIMARY KEY, series_uid TEXT NOT NULL, study_uid TEXT NOT NULL,
    sop_class_uid TEXT NOT NULL, transfer_syntax_uid TEXT NOT NULL,
    digest TEXT NOT NULL, size INTEGER NOT NULL,
    patient_id TEXT NOT NULL, accession TEXT NOT NULL, study_date TEXT NOT NULL,
    modality TEXT NOT NULL, attributes TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS instance_by_study ON instance (study_uid, series_uid);
CREATE INDEX IF NOT EXISTS instance_by_patient ON instance (patient_id);
"""
_COLUMNS = (
    "sop_uid, series_uid, study_uid, sop_class_uid, transfer_syntax_uid, digest, size, attributes"
)


class InstanceRefused(Exception):
    """The archive cannot keep these bytes; `reason` is a DICOM failure reason.

    Source: DICOM PS3.18 table 10.5.3-1 and PS3.4 annex B.2.3.
    """

    def __init__(self, reason: int, message: str) -> None:
        super().__init__(message)
        self.reason = reason


CANNOT_UNDERSTAND = 0xC000
DUPLICATE_INSTANCE = 0x0111


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """One instance as the archive holds it; `attributes` is DICOM JSON for searches."""

    sop_uid: str
    series_uid: str
    study_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    digest: str
    size: int
    attributes: DicomJson


class ArchiveStore:
    """DICOM instances by study, series and SOP instance UID. Thread-safe and persistent."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = RLock()
        self._db = sqlite3.connect(folder / "index.sqlite", check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the index; the store is of no use afterwards."""
        with self._lock:
            self._db.close()

    def store(self, dicom: bytes) -> StoredInstance:
        """Keep one DICOM Part 10 file, unchanged; the same file again changes nothing.

        Raises InstanceRefused for what is no complete Part 10 file, and for other bytes under a
        SOP Instance UID already held: an archive never swaps one image for another.
        """
        header = _header(dicom)
        digest = hashlib.sha256(dicom).hexdigest()
        instance = _described(header, digest, len(dicom))
        with self._lock:
            held = self._select("sop_uid = ?", [instance.sop_uid])
            if held and held[0].digest != digest:
                raise InstanceRefused(DUPLICATE_INSTANCE, "other bytes under a known instance UID")
            if not held:
                self._keep(instance, dicom, header)
        return instance

    def instances(
        self, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None
    ) -> list[StoredInstance]:
        """Return the instances of a study, of one of its series, or the one named; [] if none."""
        wanted = {"study_uid": study_uid, "series_uid": series_uid, "sop_uid": sop_uid}
        given = {column: value for column, value in wanted.items() if value is not None}
        return self._select(" AND ".join(f"{column} = ?" for column in given), given.values())

    def find(
        self, matches: Mapping[str, str], date_range: tuple[str, str] | None
    ) -> list[StoredInstance]:
        """Return every instance whose columns equal `matches` and whose study date lies inside.

        matches      column of the index -> wanted value
        date_range   first and last day as YYYYMMDD, both inclusive, "" = open
        """
        where = ["1 = 1", *(f"{column} = ?" for column in matches)]
        values = [*matches.values()]
        if date_range is not None:
            where.append("study_date != '' AND study_date >= ? AND study_date <= ?")
            values += [date_range[0], date_range[1] or "99999999"]
        return self._select(" AND ".join(where), values)

    def studies_with_modality(self, modality: str) -> set[str]:
        """Return the UIDs of the studies that hold at least one series of this modality."""
        return {instance.study_uid for instance in self._select("modality = ?", [modality])}

    def content(self, instance: StoredInstance) -> bytes:
        """Return the stored bytes of an instance."""
        return self._path(instance.digest).read_bytes()

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / f"{digest}.dcm"

    def _keep(self, instance: StoredInstance, dicom: bytes, header: Dataset) -> None:
        path = self._path(instance.digest)
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".part").write_bytes(dicom)
        path.with_suffix(".part").replace(path)
        with self._db:
            self._db.execute(
                f"INSERT INTO instance ({_COLUMNS}, patient_id, accession, study_date, modality)"  # noqa: S608  fixed names
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    instance.sop_uid,
                    instance.series_uid,
                    instance.study_uid,
                    instance.sop_class_uid,
                    instance.transfer_syntax_uid,
                    instance.digest,
                    instance.size,
                    json.dumps(instance.attributes),
                    text_of(header, "PatientID"),
                    text_of(header, "AccessionNumber"),
                    text_of(header, "StudyDate"),
                    text_of(header, "Modality"),
                ),
            )

    def _select(self, where: str, values: Iterable[str]) -> list[StoredInstance]:
        with self._lock:
            rows = self._db.execute(
                f"SELECT {_COLUMNS} FROM instance WHERE {where}"  # noqa: S608  fixed names
                " ORDER BY study_date DESC, study_uid, series_uid, sop_uid",
                list(values),
            ).fetchall()
        return [
            StoredInstance(**{**row, "attributes": json.loads(row["attributes"])}) for row in rows
        ]


def _header(dicom: bytes) -> Dataset:
    try:
        return dcmread(BytesIO(dicom), stop_before_pixels=True)
    except Exception:  # pydicom raises whatever a broken file makes it stumble over
        raise InstanceRefused(CANNOT_UNDERSTAND, "not a readable DICOM Part 10 file") from None


def _described(header: Dataset, digest: str, size: int) -> StoredInstance:
    uids = {
        keyword: text_of(header, keyword)
        for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "SOPClassUID")
    }
    syntax = text_of(header.file_meta, "TransferSyntaxUID")
    if not syntax or not all(UID(uid).is_valid for uid in uids.values()):
        raise InstanceRefused(CANNOT_UNDERSTAND, "an identifying UID is missing or malformed")
    try:
        attributes = attributes_of(header, STUDY_KEYWORDS + SERIES_KEYWORDS + INSTANCE_KEYWORDS)
    except Exception:  # values are only decoded here
        raise InstanceRefused(CANNOT_UNDERSTAND, "an attribute cannot be decoded") from None
    return StoredInstance(
        uids["SOPInstanceUID"],
        uids["SeriesInstanceUID"],
        uids["StudyInstanceUID"],
        uids["SOPClassUID"],
        syntax,
        digest,
        size,
        attributes,
    )
