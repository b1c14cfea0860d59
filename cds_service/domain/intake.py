"""Intake: the doors through which a study comes before any hook asks for it.

Every one is closed until the administrator of that EHR's registration opens it.

Source: FHIR R4 Subscription, ImagingStudy; DICOM PS3.18 (QIDO-RS, STOW-RS), PS3.4 B (Storage);
threats T7 and T18.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Door(StrEnum):
    """One way in; the value is stable, it stands in the ledger and on the command line."""

    SUBSCRIPTION = "subscription"  # the EHR rings: FHIR R4 rest-hook on ImagingStudy
    FHIR_POLLING = "fhir-polling"  # ImagingStudy by _lastUpdated
    DICOMWEB_POLLING = "dicomweb-polling"  # the archive's newest studies by QIDO-RS
    ORTHANC_CHANGES = "orthanc-changes"  # Orthanc's /changes
    AZURE_CHANGE_FEED = "azure-change-feed"  # the Azure DICOM service's /changefeed
    STOW_RS = "stow-rs"  # the archive pushes over HTTP
    DIMSE = "dimse"  # the archive pushes by C-STORE


# What `sightline intake run` asks, one after the other.
POLLED = (
    Door.FHIR_POLLING,
    Door.DICOMWEB_POLLING,
    Door.ORTHANC_CHANGES,
    Door.AZURE_CHANGE_FEED,
)
CHANGE_FEEDS = frozenset({Door.ORTHANC_CHANGES, Door.AZURE_CHANGE_FEED})
_UID = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*))+")
_UID_LIMIT, _ACCESSION_LIMIT = 64, 64  # characters; PS3.5 6.2 gives an accession number 16


@dataclass(frozen=True, slots=True)
class Clue:
    """What an archive says about a study: enough to look for it in the EHR, and not believed."""

    study_uid: str
    accession: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if len(self.study_uid) > _UID_LIMIT or not _UID.fullmatch(self.study_uid):
            raise ValueError("not a DICOM UID")
        if self.accession is not None and not _is_accession(self.accession):
            raise ValueError("not an accession number")


def clue_of(study_uid: object, accession: object = None) -> Clue | None:
    """Return what an archive said, or None where it named no study by a UID.

    An accession number that cannot be one is left out.
    """
    text = accession.strip() if isinstance(accession, str) else ""
    try:
        return Clue(str(study_uid), text if _is_accession(text) else None)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Heard:
    """What an archive told of since it was last asked, and from where to go on."""

    clues: tuple[Clue, ...]
    place: Mapping[str, Any]  # JSON


def _is_accession(text: str) -> bool:
    return 0 < len(text) <= _ACCESSION_LIMIT and text.isprintable()


@dataclass(frozen=True, slots=True)
class Bell:
    """What an EHR's subscription rings. The digests are SHA-256 in hex, of unguessable texts."""

    tenant_id: str
    path_digest: str
    header_digest: str
    subscription_id: str | None = None  # logical id at the EHR


class Reception(StrEnum):
    """What became of a study that a door told of."""

    ASKED = "asked"  # for its analysis
    KNOWN = "known"  # analysed, or asked for already
    PASSED = "passed"  # no enabled model reads it, or it is old
    UNKNOWN = "unknown"  # the EHR does not know it yet, or says not whose it is
    AMBIGUOUS = "ambiguous"  # the EHR names several patients: nobody's
