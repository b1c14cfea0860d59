"""A hook call: what the CDS client asked, with every prefetch key in one of four states.

Source: CDS Hooks 2.0 "HTTP Request", "Prefetch Template", "FHIR Resource Access".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class PrefetchState(StrEnum):
    """What the client did about one prefetch key."""

    PRESENT = "present"  # a resource or a searchset Bundle
    NULL = "null"  # the client found no data; for a study list this is "unverified"
    FAILED = "failed"  # an OperationOutcome with severity error or fatal
    ABSENT = "absent"  # not attempted


@dataclass(frozen=True, slots=True)
class Prefetch:
    """One prefetch key. `resource` is set when, and only when, the state is PRESENT."""

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

    def prefetched(self, key: str) -> Prefetch:
        """Return the key's state; a key that the client did not send is ABSENT."""
        return self.prefetch.get(key, Prefetch(PrefetchState.ABSENT))
