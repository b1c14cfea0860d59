"""Ring again for every job that nobody works on: the net under the doorbell.

Source: DESIGN "a failed ring leaves the job to the sweeper"; reliability reference 2.
"""

from cds_service.errors import DoorbellSilent
from cds_service.usecases.ports import Doorbell, OverdueJobs


def sweep_jobs(*, overdue: OverdueJobs, doorbell: Doorbell) -> int:
    """Return how many jobs were rung; many supervisors may sweep at once.

    A silent doorbell ends the sweep: the next one, 30 s later, rings the rest.
    Raises LedgerUnavailable.
    """
    rung = 0
    for job_id in overdue.reclaim():
        try:
            doorbell.ring(job_id)
        except DoorbellSilent:
            break
        rung += 1
    return rung
