"""An EHR in memory that answers a search by `_lastUpdated` page by page, as real ones do."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cds_service.domain.hook import FhirAuthorization
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrAnswerInvalid, EhrBusy, SightlineError
from cds_service.usecases.ports import Resource
from tests.unit.cards.builders import a_patient_resource, a_study_resource

_SINCE = re.compile(r"_lastUpdated=ge([^&]+)")


@dataclass
class PagedRecord:
    """EhrRecord; `fails_at` is the number of the search, from 1, that raises `failure`."""

    page: int = 2
    is_sorted: bool = True
    loses_pages: bool = False
    ignores_time: bool = False
    never_ends: bool = False  # its last page names another like it
    failing_patient: str | None = None
    fails_at: int | None = None
    failure: SightlineError = field(default_factory=lambda: EhrAnswerInvalid("410"))
    studies: list[dict[str, Any]] = field(default_factory=list)
    searches: list[str] = field(default_factory=list)

    def add(self, number: int, moment: str) -> None:
        """Store a study that was changed at this time, over an earlier one of this number."""
        self.studies = [one for one in self.studies if one["id"] != f"s-{number}"]
        # Taken on the first days of January: that is no older than doors take.
        study = a_study_resource(number, started="2026-01-04T08:00:00Z")
        self.studies.append(study | {"meta": {"lastUpdated": moment}})

    def read(
        self,
        tenant: Tenant,
        path: str,
        *,
        authorization: FhirAuthorization | None,
        timeout_s: float,
    ) -> Resource:
        if path == f"Patient/{self.failing_patient}":
            raise EhrBusy("The EHR answered 500 to a read.")
        if path.startswith("Patient/"):
            return a_patient_resource()
        since = _SINCE.search(path)
        assert since is not None, path
        return self._answer(since[1], 0)

    def read_on(
        self,
        tenant: Tenant,
        kind: str,
        url: str,
        *,
        authorization: FhirAuthorization | None,
        timeout_s: float,
    ) -> Resource:
        if self.loses_pages:
            self.searches.append(f"lost {url}")
            raise self.failure
        since, _, start = url.partition("?start=")
        return self._answer(since, int(start))

    def _answer(self, since: str, start: int) -> Resource:
        self.searches.append(f"{since} from {start}")
        if len(self.searches) == self.fails_at:
            raise self.failure
        moment = datetime.fromisoformat(since)
        found = [one for one in self.studies if self.ignores_time or _changed(one) >= moment]
        found.sort(key=_changed, reverse=not self.is_sorted)
        if self.never_ends:
            start = min(start, max(len(found) - self.page, 0))
        entries = [{"resource": one} for one in found[start : start + self.page]]
        bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "entry": entries}
        if start + self.page < len(found) or self.never_ends:
            following = f"{since}?start={start + self.page}"
            bundle["link"] = [{"relation": "next", "url": following}]
        return bundle


def _changed(resource: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(resource["meta"]["lastUpdated"])
