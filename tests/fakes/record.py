"""The EHR's writable record in memory: conditional creates by identifier, as the real one."""

from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrTimedOut
from cds_service.usecases.ports import Resource


class FakeEhrWriter:
    """The EhrWriter port. `fails_first` times out that often before it answers."""

    def __init__(self, *, fails_first: int = 0, error: Exception | None = None) -> None:
        self.stored: dict[str, Resource] = {}  # "Type/n" by the identifier's value
        self.calls = 0
        self._fails_first = fails_first
        self._error = error

    def publish(self, tenant: Tenant, bundle: Resource) -> tuple[str, ...]:
        self.calls += 1
        if self._error is not None:
            raise self._error
        if self.calls <= self._fails_first:
            raise EhrTimedOut("The EHR gave no answer in time.")
        references = []
        for entry in bundle["entry"]:
            resource = entry["resource"]
            names = [identifier["value"] for identifier in resource.get("identifier", [])]
            key = f"{resource['resourceType']}|{names[0] if names else ''}"
            self.stored[key] = resource
            references.append(f"{resource['resourceType']}/{sorted(self.stored).index(key)}")
        return tuple(references)
