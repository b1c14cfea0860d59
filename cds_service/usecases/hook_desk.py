"""Everything that answering a hook needs, in one frozen value.

Source: architecture "One hook through the house".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cds_service.domain.finding import ModelIdentity
from cds_service.domain.job import Job
from cds_service.domain.routing import Route
from cds_service.domain.study import PatientFacts, StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.usecases.card_language import ENGLISH, Words
from cds_service.usecases.compose_card import CardWriter
from cds_service.usecases.gather_prefetch import Gatherer
from cds_service.usecases.ports import (
    Alerts,
    AuditLog,
    CardLog,
    Clock,
    JobLine,
    Jobs,
    Results,
    StudyIndex,
)


@dataclass(frozen=True, slots=True)
class HookDesk:
    """The collaborators of every service."""

    gatherer: Gatherer
    index: StudyIndex  # asked where an EHR has no ImagingStudy
    jobs: Jobs
    line: JobLine
    results: Results
    cards: CardLog
    alerts: Alerts
    audit: AuditLog
    # For one model; the last: again.
    dispatch: Callable[[StudyReference, PatientFacts, ModelIdentity, bool], Job]
    routes: Callable[[str], Sequence[Route]]  # the models enabled for a tenant, one at least
    writer: CardWriter
    clock: Clock
    words: Callable[[Tenant], Words] = lambda _tenant: ENGLISH

    def speaking_to(self, tenant: Tenant) -> "HookDesk":
        """Return the same desk, whose cards are in the language of this tenant."""
        return replace(self, writer=replace(self.writer, words=self.words(tenant)))

    def warm_up(self) -> None:
        """Ask the ledger once what every hook asks, about nobody; raise LedgerUnavailable.

        The first time a statement is built takes longer than the statement.
        """
        nobody, nothing = "", ("",)
        self.alerts.policies(nobody)
        self.jobs.newest_for(nobody, nobody, nothing)
        self.jobs.of_models(nobody, nobody, nothing)
        self.results.of_models(nobody, nobody, nothing)
        self.results.studies_of(nobody, nobody)
        self.alerts.reactions(nobody, nothing)
