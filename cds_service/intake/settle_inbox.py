"""Settle the inbox: bind what has come to its patient, ask for its analysis, erase what is over.

Binding is the EHR's word alone. Until then nobody reads the images; a study that no EHR knows waits
for a bounded time, and what is over is erased, each with a line in the audit log.

Source: architecture "One job through the house"; threats T18 and T23.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from threading import Event
from typing import Protocol

from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.finding import Result
from cds_service.domain.inbox import HeldStudy
from cds_service.domain.intake import Clue, Reception
from cds_service.domain.tenant import Tenant
from cds_service.errors import NotFound, ScopeDenied, SightlineError, UpstreamFailed
from cds_service.intake.receive import NO_IMAGES, IntakeDesk, find, take
from cds_service.usecases.ports import Tenants

log = logging.getLogger(__name__)

ASK_AGAIN = timedelta(minutes=1)  # for a study that the EHR did not know
# More, for a study of several patients: each time is a line in the audit log.
REST = timedelta(hours=1)
EVERY_S = 1.0
TIDY_EVERY = 600  # turns
ABANDONED_S = 3600.0  # a file that is still arriving after this never will have


class Index(Protocol):
    """What is held; see `adapters/ledger/inbox`."""

    def quiet(self, quiet_for: timedelta, ask_again: timedelta) -> list[HeldStudy]:
        """Return the unbound studies to which nothing has come for so long."""

    def asked(self, study: HeldStudy, rest: timedelta = timedelta()) -> None:
        """Note that the EHR did not know whose it is; it is not asked for so much longer."""

    def bind(self, study: HeldStudy, patient_id: str) -> bool:
        """Let it be read as this patient's; False when more of it has come meanwhile."""

    def release(self, study: HeldStudy, after: timedelta) -> None:
        """Bind it to nobody, so that the EHR is asked again, once it was bound for so long."""

    def bound(self) -> list[HeldStudy]:
        """Return the studies that are bound to a patient."""

    def overdue(self, after: timedelta) -> list[HeldStudy]:
        """Return the studies to which nothing has come for so long."""

    def is_known(self, digest: str) -> bool:
        """Tell whether any tenant's inbox has a file of this digest."""

    def forget(self, study: HeldStudy) -> list[str]:
        """Forget it unless more of it has come; return the digests of the files to erase."""


class Files(Protocol):
    """Where the bytes are."""

    def remove(self, tenant_id: str, digest: str) -> None:
        """Erase a kept file; harmless when it is gone."""

    def remove_abandoned(self, after_s: float) -> int:
        """Erase what a process that was killed left half-written."""

    def remove_unknown(self, is_known: Callable[[str], bool], after_s: float) -> int:
        """Erase kept files that no index names."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What settling needs."""

    desk: IntakeDesk
    tenants: Tenants
    index: Index
    files: Files
    quiet_for: timedelta  # after which a study is taken as complete
    wait_for: timedelta  # after which one that nobody knows is erased


def settle_inbox(settlement: Settlement) -> int:
    """Do what there is to do now; return how many studies were bound. Raise LedgerUnavailable.

    Safe with many at once: binding and forgetting are conditional, and a job is made once.
    """
    bound = 0
    away: set[str] = set()  # tenants, until the next turn: the others do not wait for them
    for held in settlement.index.quiet(settlement.quiet_for, ASK_AGAIN):
        if held.tenant_id not in away:
            bound += _settle(held, settlement, away)
    for held in settlement.index.bound():
        _look_after(held, settlement)
    for held in settlement.index.overdue(settlement.wait_for):
        _erase(held, settlement, "unmatched" if held.patient_id is None else "failed")
    return bound


def tidy_inbox(settlement: Settlement) -> None:
    """Erase what processes that were killed left on the disk. Raise LedgerUnavailable."""
    removed = settlement.files.remove_abandoned(ABANDONED_S)
    removed += settlement.files.remove_unknown(settlement.index.is_known, ABANDONED_S)
    if removed:
        log.warning("inbox: %d files of processes that were killed are erased", removed)


def keep_settling(settlement: Settlement, stop: Event, every_s: float = EVERY_S) -> None:
    """Settle until `stop` is set, and tidy now and then; what fails is tried again."""
    turn = 0
    while not stop.wait(every_s):
        try:
            settle_inbox(settlement)
            if turn % TIDY_EVERY == 0:
                tidy_inbox(settlement)
        except SightlineError as error:
            log.warning("inbox: not settled: %s", type(error).__name__)
        except Exception as error:  # the outermost frame of its thread; the text may be PHI
            log.error("inbox: not settled: %s", type(error).__name__)
        turn += 1


def _settle(held: HeldStudy, settlement: Settlement, away: set[str]) -> bool:
    """Bind one study if the EHR knows whose it is; an EHR that cannot be asked joins `away`."""
    try:
        tenant = settlement.tenants.get(held.tenant_id)
    except NotFound:
        _erase(held, settlement, "no such EHR any more")
        return False
    try:
        return _bind(held, tenant, settlement)
    except (UpstreamFailed, ScopeDenied) as error:
        log.warning("inbox: EHR not asked: tenant=%s %s", tenant.id, type(error).__name__)
        settlement.index.asked(held)
        away.add(tenant.id)
        return False


def _bind(held: HeldStudy, tenant: Tenant, settlement: Settlement) -> bool:
    desk = settlement.desk
    found = find(Clue(held.study_uid, held.accession), tenant, desk)
    if isinstance(found, Reception):
        settlement.index.asked(held, REST if found is Reception.AMBIGUOUS else timedelta())
        return False
    study, resource = found
    # Before its job is asked for, so that a worker that is quick finds the images.
    if not settlement.index.bind(held, study.patient_id):
        return False
    reception = take(study, resource, tenant, desk, brought=True)
    _note(AuditAction.IMAGES_PUSHED, held, desk, reception.value, study.patient_id)
    log.info("inbox: tenant=%s instances=%d %s", tenant.id, held.instances, reception.value)
    if reception is Reception.PASSED:
        _erase(held, settlement, reception.value)
    return True


def _look_after(held: HeldStudy, settlement: Settlement) -> None:
    """Erase a bound study once every model has its result; ask again where none was asked for.

    A job that failed may be asked for again, until the waiting time is over.
    """
    if held.patient_id is None:
        return
    desk, whose = settlement.desk, (held.tenant_id, held.patient_id, [held.study_uid])
    jobs = desk.jobs.of_models(*whose)
    if any(job.is_analysing or job.is_lost for job in jobs):
        return
    results = desk.results.of_models(*whose)
    # What bound it died before it asked, or the EHR did not answer to its end; or a hook's job
    # looked for the images just before they were here.
    if not (jobs or results) or any(_came_too_early(one, held) for one in results):
        settlement.index.release(held, ASK_AGAIN)
    else:
        _erase(held, settlement, "analysed")


def _came_too_early(result: Result, held: HeldStudy) -> bool:
    reason = result.analysis.reason
    is_newer = held.asked_at is not None and result.computed_at >= held.asked_at
    return is_newer and reason is not None and reason.code in NO_IMAGES


def _erase(held: HeldStudy, settlement: Settlement, outcome: str) -> None:
    digests = settlement.index.forget(held)
    for digest in digests:
        settlement.files.remove(held.tenant_id, digest)
    if digests:
        desk = settlement.desk
        _note(AuditAction.IMAGES_ERASED, held, desk, outcome, held.patient_id)
        log.info("inbox: tenant=%s erased=%d %s", held.tenant_id, len(digests), outcome)


def _note(
    action: AuditAction, held: HeldStudy, desk: IntakeDesk, outcome: str, patient_id: str | None
) -> None:
    desk.audit.record(
        AuditEvent(
            action=action,
            at=desk.clock(),
            tenant_id=held.tenant_id,
            agent="inbox",
            outcome=outcome,
            patient_id=patient_id,
            study_uid=held.study_uid,
            detail=f"{held.instances} instances",
        )
    )
