"""A hook call: what the CDS client asked, with every prefetch key in one of four states.

Source: CDS Hooks 2.0 "HTTP Request", "Prefetch Template", "FHIR Resource Access", "Update Stale
Guidance" (one service id under several hooks, ch2:210-213); CDS Hooks Library 1.0.1.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


class Hook(StrEnum):
    """The hooks that we answer."""

    PATIENT_VIEW = "patient-view"
    ORDER_SELECT = "order-select"
    ORDER_SIGN = "order-sign"
    ORDER_DISPATCH = "order-dispatch"  # the only one without a userId
    ENCOUNTER_START = "encounter-start"
    ENCOUNTER_DISCHARGE = "encounter-discharge"
    APPOINTMENT_BOOK = "appointment-book"


FINDINGS_SERVICE = "imaging-ai-findings"
ORDER_SERVICE = "imaging-order-check"
# A service is its id and a hook; the same id says that a later hook's cards replace earlier ones.
OFFERED: Mapping[str, tuple[Hook, ...]] = {
    FINDINGS_SERVICE: tuple(Hook),
    ORDER_SERVICE: (Hook.ORDER_SELECT, Hook.ORDER_SIGN),
}


class PrefetchState(StrEnum):
    """What the client did about one prefetch key."""

    PRESENT = "present"  # a resource or a searchset Bundle
    NULL = "null"  # the client found no data; for a study list this is "unverified"
    FAILED = "failed"  # an OperationOutcome with severity error or fatal
    ABSENT = "absent"  # not attempted


@dataclass(frozen=True, slots=True)
class Prefetch:
    """One prefetch key. `resource` is set when the state is PRESENT.

    When it is FAILED, it is what the client found in spite of the error, or None.
    """

    state: PrefetchState
    resource: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class FhirAuthorization:
    """The token that came with the hook: used for this call, never stored, never logged."""

    access_token: str = field(repr=False)
    scope: str
    expires_in_s: int
    patient: str | None = None


@dataclass(frozen=True, slots=True)
class HookCall:
    """One parsed hook request. Unknown context fields are kept in `context`."""

    tenant_id: str
    service_id: str
    hook: str
    hook_instance: str
    patient_id: str  # context.patientId
    user_id: str | None  # context.userId, "Type/id"
    context: Mapping[str, Any] = field(repr=False)
    fhir_server: str | None = None
    authorization: FhirAuthorization | None = None
    prefetch: Mapping[str, Prefetch] = field(default_factory=dict, repr=False)

    @property
    def encounter_id(self) -> str | None:
        """context.encounterId, when it is the id of one."""
        given = self.context.get("encounterId")
        return given if isinstance(given, str) and _ID.fullmatch(given) else None

    def prefetched(self, key: str) -> Prefetch:
        """Return the key's state; a key that the client did not send is ABSENT."""
        return self.prefetch.get(key, Prefetch(PrefetchState.ABSENT))
