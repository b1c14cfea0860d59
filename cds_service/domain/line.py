"""The line of waiting jobs: what is critical first, every EHR in its turn, nobody for ever.

A job that has waited for longer than its priority allows counts as critical, and among critical
jobs the EHRs take turns, each with the job that is due first. So a flood of one EHR's studies, or
of critical ones, holds up another's job for its patience and a few turns, and never for good.

Source: issue "Imaging pipeline", point 7; earliest deadline first, and round robin.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum

NEVER = datetime.min.replace(tzinfo=UTC)  # when nobody was served yet


class Priority(IntEnum):
    """How soon a job should be done, the soonest first."""

    CRITICAL = 0  # the model looks for a finding that is urgent
    ASKED = 1  # somebody has the chart open
    ROUTINE = 2  # a new study came, and nobody waits yet

    @property
    def patience(self) -> timedelta:
        """How long such a job may wait before it counts as critical."""
        return {Priority.ASKED: timedelta(minutes=2), Priority.ROUTINE: timedelta(minutes=10)}.get(
            self, timedelta(0)
        )


@dataclass(frozen=True, slots=True)
class Waiting:
    """One job in the line; `due_at` is when it was asked for plus its patience."""

    job_id: str
    tenant_id: str
    priority: Priority
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Backlog:
    """The jobs of one EHR and priority that nobody works on."""

    tenant_id: str
    priority: Priority
    jobs: int
    oldest: timedelta  # for how long the one that has waited longest has done so


def in_turn(
    line: Iterable[Waiting], served: Mapping[str, datetime], now: datetime
) -> list[Waiting]:
    """Return the line in the order in which workers should take it.

    served   when a job of each tenant was last taken; a tenant that is not in it comes first
    """
    groups: dict[tuple[int, str], list[Waiting]] = defaultdict(list)
    for one in sorted(line, key=lambda one: (one.due_at, one.job_id)):
        rank = Priority.CRITICAL if one.due_at <= now else one.priority
        groups[rank, one.tenant_id].append(one)
    turns = [
        (rank, nth, served.get(tenant_id, NEVER), one.due_at, one.job_id, one)
        for (rank, tenant_id), jobs in groups.items()
        for nth, one in enumerate(jobs)
    ]
    return [one for *_, one in sorted(turns, key=lambda turn: turn[:-1])]
