"""Ring again for every job that nobody works on: the net under the doorbell.

Source: architecture "a failed ring leaves the job to the sweeper".
"""

from cds_service.errors import DoorbellSilent
from cds_service.usecases.ports import Doorbell, OverdueJobs


def sweep_jobs(*, overdue: OverdueJobs, doorbell: Doorbell) -> int:
    """Return how many jobs were rung; many supervisors may sweep at once.

    A silent doorbell ends the sweep: the next one rings the rest.
    Raises LedgerUnavailable.
    """
    waiting = overdue.reclaim()
    for rung, job_id in enumerate(waiting):
        try:
            doorbell.ring(job_id)
        except DoorbellSilent:
            overdue.unrung(waiting[rung:])
            return rung
    return len(waiting)
