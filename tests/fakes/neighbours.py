"""The EHR's record in memory, held to the same contract test as the real one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from urllib.parse import urljoin

from cds_service.domain.hook import FhirAuthorization
from cds_service.domain.smart_scope import allows
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrAnswerInvalid, EhrRefused, ScopeDenied, SightlineError
from cds_service.usecases.ports import Resource

GOOD_TOKEN = "good-token"
HANGS_S = 60.0  # far longer than any answer takes on a busy machine


class FakeEhrRecord:
    """Answers from a list of resources; a search finds every resource of its type."""

    def __init__(
        self,
        *resources: Resource,
        own_scope: str = "system/Patient.rs system/ImagingStudy.rs system/Endpoint.rs",
    ) -> None:
        self.resources = list(resources)
        self.own_scope = own_scope  # what Backend Services grants us; "" is nothing
        self.failure: SightlineError | None = None
        self.before_answer: Callable[[], None] = lambda: None
        self.reads: list[tuple[str, str | None]] = []  # path, bearer; only calls that went out

    def read(
        self,
        tenant: Tenant,
        path: str,
        *,
        authorization: FhirAuthorization | None,
        timeout_s: float,
    ) -> Resource:
        kind = path.partition("?")[0].partition("/")[0]
        scope = self.own_scope if authorization is None else authorization.scope
        if not allows(scope, kind, "s" if "?" in path else "r"):
            raise ScopeDenied(f"The granted scopes do not allow to read {kind}.")
        self.reads.append((path, authorization.access_token if authorization else None))
        self.before_answer()
        if self.failure is not None:
            raise self.failure
        if authorization is not None and authorization.access_token != GOOD_TOKEN:
            raise EhrRefused("The EHR answered 401 to a read.")
        found = [one for one in self.resources if one["resourceType"] == kind]
        if "?" in path:
            entries = [{"resource": one} for one in found]
            return {"resourceType": "Bundle", "type": "searchset", "entry": entries}
        for one in found:
            if one["id"] == path.partition("/")[2]:
                return one
        raise EhrAnswerInvalid("The EHR answered 404 to a read.")

    def read_on(
        self,
        tenant: Tenant,
        kind: str,
        url: str,
        *,
        authorization: FhirAuthorization | None,
        timeout_s: float,
    ) -> Resource:
        if not urljoin(f"{tenant.fhir_base}/", url).startswith(tenant.fhir_base):
            raise EhrAnswerInvalid("The EHR's next page is at another address.")
        return self.read(tenant, f"{kind}?{url}", authorization=authorization, timeout_s=timeout_s)


@contextmanager
def hanging(record: FakeEhrRecord) -> Iterator[None]:
    """Let every read hang until the block ends; fail if the block waited for one of them."""
    released, waited = Event(), Event()

    def hang() -> None:
        if not released.wait(HANGS_S):
            waited.set()

    record.before_answer = hang
    try:
        yield
        assert not waited.is_set(), "the answer waited for the EHR's"
    finally:
        released.set()
