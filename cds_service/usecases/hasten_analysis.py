"""Hasten an analysis that nobody waited for until now: an intake door asked for it.

Source: `domain/line.py`; issue "Imaging pipeline", point 7.
"""

from collections.abc import Iterable

from cds_service.domain.job import Job
from cds_service.domain.line import Priority
from cds_service.usecases.ports import JobLine


def hasten_analysis(found: Iterable[Job], *, line: JobLine) -> None:
    """Let those of these jobs that are still to be done go as what somebody waits for.

    Writes only where something changes, once for each job. Raises LedgerUnavailable.
    """
    routine = [job.id for job in found if job.is_analysing and job.priority > Priority.ASKED]
    if routine:
        line.hasten(routine, Priority.ASKED)
