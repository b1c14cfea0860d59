"""How an EHR is tried, and what is said about it.

Source: docs/how-to/connect-an-ehr.md "Then check it".
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from cds_service.domain.intake import Door
from cds_service.domain.tenant import Tenant
from cds_service.usecases.ports import Resource


class Outcome(StrEnum):
    """How a check ended; the value stands on the command line."""

    OK = "ok"
    WARNING = "warning"  # it may work all the same
    FAILED = "failed"
    NOT_SET_UP = "not set up"


@dataclass(frozen=True, slots=True)
class Said:
    """One line: what was tried, how it ended, and what to do next.

    Texts are ours: nothing that an EHR or an archive answered stands in them.
    """

    check: str  # stable, lower case, dashes
    outcome: Outcome
    text: str
    advice: str = ""  # what to do next; "": nothing


@dataclass(frozen=True, slots=True)
class Scopes:
    """What Sightline asks an EHR's token endpoint for, as "system/Type.rights"."""

    reading: tuple[str, ...]
    reading_orders: tuple[str, ...]  # where there is no ImagingStudy
    writing: tuple[str, ...]
    subscribing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Installation:
    """Our own side; each callable raises SightlineError where it does not work."""

    public_url: str
    publishes_our_keys: Callable[[str], bool]  # at this address
    workers: Callable[[], int]  # that live, as Redis knows


@dataclass(frozen=True, slots=True)
class Probes:
    """How each thing is tried; each callable raises SightlineError where it does not work."""

    statement: Callable[[Tenant], Resource]  # its CapabilityStatement
    sign_in: Callable[[Tenant], frozenset[str]]  # capabilities of one good enough for a launch
    key_kinds: Callable[[Tenant, str | None], frozenset[str]]  # at an address; None: pinned
    granted: Callable[[Tenant], str]  # scope of our own token
    granted_to_subscribe: Callable[[Tenant], str]
    archive: Callable[[Tenant, str], None]  # at this registered base
    feed: Callable[[Tenant, Door], None]
    models: Callable[[Tenant], int]  # that are enabled; raises for one that cannot be read
    scopes: Scopes
    installation: Installation | None  # None: its settings are not known here
