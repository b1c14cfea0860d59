"""The EHR's writable record in memory, held to the same contract test as the real writer."""

from copy import deepcopy
from typing import Any

from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrTimedOut
from cds_service.fhir.finding_resources import references_in
from cds_service.usecases.ports import Resource


class FakeEhrWriter:
    """The EhrWriter port. `fails_first` times out that often before it answers."""

    def __init__(self, *, fails_first: int = 0, error: Exception | None = None) -> None:
        self.stored: dict[str, Resource] = {}  # by reference, "Type/n"
        self.calls = 0
        self._fails_first = fails_first
        self._error = error

    def publish(self, tenant: Tenant, bundle: Resource) -> tuple[str, ...]:
        return self._write(bundle, verifies=False)

    def verify(self, tenant: Tenant, bundle: Resource) -> tuple[str, ...]:
        return self._write(bundle, verifies=True)

    def _write(self, bundle: Resource, *, verifies: bool) -> tuple[str, ...]:
        self.calls += 1
        if self._error is not None:
            raise self._error
        if self.calls <= self._fails_first:
            raise EhrTimedOut("The EHR gave no answer in time.")
        written: dict[str, str] = {}  # fullUrl -> reference
        is_new = verifies
        for entry in deepcopy(list(bundle["entry"])):
            resource = entry["resource"]
            for reference in references_in(resource):
                reference["reference"] = written.get(reference["reference"], reference["reference"])
            known = self._find(resource, verifies=verifies)
            if known is not None:
                written[entry["fullUrl"]] = known
                if self._is_news(self.stored[known], resource, verifies=verifies):
                    self.stored[known], is_new = resource, True
            elif "identifier" in resource or is_new:  # a Provenance only of something written
                written[entry["fullUrl"]] = f"{resource['resourceType']}/{len(self.stored) + 1}"
                self.stored[written[entry["fullUrl"]]], is_new = resource, True
        return tuple(written.values())

    def _find(self, resource: dict[str, Any], *, verifies: bool) -> str | None:
        for reference, known in self.stored.items():
            if "identifier" in resource:
                if resource["identifier"] == known.get("identifier"):
                    return reference
            elif verifies and all(
                resource.get(part) == known.get(part) for part in ("target", "agent", "entity")
            ):
                return reference
        return None

    @staticmethod
    def _is_news(known: Resource, resource: Resource, *, verifies: bool) -> bool:
        is_open = verifies or known.get("status") not in ("final", "entered-in-error")
        return is_open and known != resource
