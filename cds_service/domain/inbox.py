"""The inbox: images that an archive pushed, held until their study is analysed or given up.

Source: DICOM PS3.4 B.2.3 and PS3.18 I.2.2 (why an instance is not taken).
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum

MEBIBYTE = 1024 * 1024


class Failure(IntEnum):
    """The status of a C-STORE and the Failure Reason (0008,1197) of STOW-RS."""

    PROCESSING = 0x0110
    SOP_CLASS = 0x0122
    OUT_OF_RESOURCES = 0xA700
    MISMATCH = 0xA900  # not what the sender said that it is
    NOT_UNDERSTOOD = 0xC000
    TRANSFER_SYNTAX = 0xC122


class CredentialKind(StrEnum):
    """How a pushing archive shows who it is; the value stands in the ledger."""

    TOKEN = "token"  # noqa: S105  a kind, no secret
    CERTIFICATE = "certificate"


@dataclass(frozen=True, slots=True)
class Quota:
    """How much one tenant's inbox holds at the most."""

    bytes: int
    instances: int
    instance_bytes: int = 512 * MEBIBYTE  # the largest single one


@dataclass(frozen=True, slots=True)
class PushedInstance:
    """What the header of a pushed instance says that it is; every UID has the form of one."""

    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class: str
    accession: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class HeldStudy:
    """One study in the inbox. Times are the ledger's clock, UTC."""

    tenant_id: str
    study_uid: str
    first_at: datetime
    last_at: datetime  # when its newest instance came
    instances: int
    accession: str | None = field(default=None, repr=False)
    patient_id: str | None = None  # of the EHR; None: not bound, so nobody reads it
    asked_at: datetime | None = None  # when the EHR was last asked whose it is
