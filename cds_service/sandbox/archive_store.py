"""The sandbox's image archive: DICOM files named by their digest, and an index to find them.

Source: DICOM PS3.18 10.4 to 10.6 (retrieve, store, search); the bytes are kept as they came.
"""

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import RLock

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID

from cds_service.sandbox.archive_index import INDEXED, DicomJson, attributes_of

_SCHEMA = """
CREATE TABLE IF NOT EXISTS instance (
    sop_uid TEXT PRIMARY KEY, series_uid TEXT NOT NULL, study_uid TEXT NOT NULL,
    sop_class_uid TEXT NOT NULL, transfer_syntax_uid TEXT NOT NULL,
    patient_id TEXT NOT NULL, accession TEXT NOT NULL, study_date TEXT NOT NULL,
    modality TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL, attributes TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS instance_by_study ON instance (study_uid, series_uid);
CREATE INDEX IF NOT EXISTS instance_by_patient ON instance (patient_id);
"""

# DICOM failure reasons, PS3.18 table I.2-2 and PS3.4 table B.2-1.
PROCESSING_FAILURE = 0x0110
DUPLICATE_INSTANCE = 0x0111
CANNOT_UNDERSTAND = 0xC000


class InstanceRefused(Exception):
    """The archive does not keep these bytes; `reason` is a DICOM failure reason."""

    def __init__(self, reason: int, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInstance:
    """One instance as the archive holds it; `attributes` is DICOM JSON for searches."""

    sop_uid: str
    series_uid: str
    study_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    patient_id: str
    accession: str
    study_date: str
    modality: str
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

    def store(self, dicom: bytes, study_uid: str | None = None) -> StoredInstance:
        """Keep one DICOM Part 10 file, unchanged; the same file again changes nothing.

        Raises InstanceRefused for what is no complete Part 10 file, for another study than
        `study_uid`, and for other bytes under a SOP Instance UID already held: an archive never
        swaps one image for another.
        """
        instance = _described(dicom)
        if study_uid not in (None, instance.study_uid):
            raise InstanceRefused(PROCESSING_FAILURE, "the instance is of another study")
        with self._lock:
            held = self.find({"sop_uid": [instance.sop_uid]})
            if held and held[0].digest != instance.digest:
                raise InstanceRefused(DUPLICATE_INSTANCE, "other bytes under a known instance UID")
            if not held:
                self._keep(instance, dicom)
        return instance

    def instances(
        self, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None
    ) -> list[StoredInstance]:
        """Return the instances of a study, of one of its series, or the one named; [] if none."""
        wanted = {"study_uid": study_uid, "series_uid": series_uid, "sop_uid": sop_uid}
        return self.find({column: [uid] for column, uid in wanted.items() if uid is not None})

    def find(
        self, matches: Mapping[str, Sequence[str]], days: tuple[str, str] | None = None
    ) -> list[StoredInstance]:
        """Return every matching instance, newest study first, series by series.

        matches   field of StoredInstance -> any of these values
        days      first and last study date as YYYYMMDD, inclusive, "" = open
        """
        where = ["1 = 1"]
        values: list[str] = []
        for column, wanted in matches.items():
            where.append(f"{column} IN ({', '.join('?' * len(wanted))})")
            values += wanted
        if days is not None:
            where.append("study_date != '' AND study_date BETWEEN ? AND ?")
            values += [days[0], days[1] or "99999999"]
        with self._lock:
            rows = self._db.execute(
                f"SELECT * FROM instance WHERE {' AND '.join(where)}"  # noqa: S608  our columns
                " ORDER BY study_date DESC, study_uid, series_uid, sop_uid",
                values,
            ).fetchall()
        return [
            StoredInstance(**{**row, "attributes": json.loads(row["attributes"])}) for row in rows
        ]

    def content(self, instance: StoredInstance) -> bytes:
        """Return the stored bytes of an instance."""
        return self._path(instance.digest).read_bytes()

    def metadata(self, instance: StoredInstance) -> DicomJson:
        """Return all of an instance's attributes but its pixels, as DICOM JSON."""
        return attributes_of(dcmread(self._path(instance.digest), stop_before_pixels=True))

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / f"{digest}.dcm"

    def _keep(self, instance: StoredInstance, dicom: bytes) -> None:
        path = self._path(instance.digest)
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".part").write_bytes(dicom)
        path.with_suffix(".part").replace(path)
        row = {field: getattr(instance, field) for field in StoredInstance.__dataclass_fields__} | {
            "attributes": json.dumps(instance.attributes)
        }
        with self._db:
            self._db.execute(
                f"INSERT INTO instance ({', '.join(row)})"  # noqa: S608  our columns
                f" VALUES ({', '.join('?' * len(row))})",
                list(row.values()),
            )


def _described(dicom: bytes) -> StoredInstance:
    try:
        header = dcmread(BytesIO(dicom), stop_before_pixels=True)
        instance = StoredInstance(
            sop_uid=_text(header, "SOPInstanceUID"),
            series_uid=_text(header, "SeriesInstanceUID"),
            study_uid=_text(header, "StudyInstanceUID"),
            sop_class_uid=_text(header, "SOPClassUID"),
            transfer_syntax_uid=_text(header.file_meta, "TransferSyntaxUID"),
            patient_id=_text(header, "PatientID"),
            accession=_text(header, "AccessionNumber"),
            study_date=_text(header, "StudyDate"),
            modality=_text(header, "Modality"),
            digest=hashlib.sha256(dicom).hexdigest(),
            size=len(dicom),
            attributes={
                tag: value for tag, value in attributes_of(header).items() if tag in INDEXED
            },
        )
    except Exception:  # pydicom raises whatever a broken file makes it stumble over
        raise InstanceRefused(CANNOT_UNDERSTAND, "not a readable DICOM Part 10 file") from None
    uids = (instance.sop_uid, instance.series_uid, instance.study_uid, instance.sop_class_uid)
    if not instance.transfer_syntax_uid or not all(uid and UID(uid).is_valid for uid in uids):
        raise InstanceRefused(CANNOT_UNDERSTAND, "an identifying UID is missing or malformed")
    return instance


def _text(dataset: Dataset, keyword: str) -> str:
    return str(dataset.get(keyword) or "")
