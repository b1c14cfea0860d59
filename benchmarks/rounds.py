"""A round: calls sent at one pace under one condition, and the arithmetic over their answers."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.figures import Figure, percentile
from benchmarks.paced_requests import Answer

DEADLINE_MS = 450.0  # the service's own, which a site may set
HEADING = (
    f"{'service':<11} {'EHR':>7} {'Redis':<5} {'calls':<15} {'n':>4} {'p50':>6} {'p99':>6}"
    f" {'max':>6} {'late':>4}  answers; worker"
)


@dataclass(frozen=True, slots=True)
class Round:
    """The answers of one service to calls of one kind.

    ehr_ms   how long the EHR and the archive took for an answer
    is_known the findings and the study list came with the call or are in the ledger
    """

    service: str
    ehr_ms: int
    redis: str
    calls: str
    is_known: bool
    answers: Sequence[Answer] = field(repr=False)
    worker: str = ""

    def at(self, share: float) -> float:
        """Return the time since the call was due that `share` (0..1) of the answers keep, in ms.

        A known result that brought no card counts as endless, so that an error cannot look fast.
        """
        return percentile([self._time(answer) for answer in self.answers], share)

    @property
    def late(self) -> int:
        """Count the answers after the deadline."""
        return sum(answer.since_due_ms > DEADLINE_MS for answer in self.answers)

    @property
    def refused(self) -> int:
        """Count the calls that got anything but HTTP 200."""
        return sum(answer.code != "200" for answer in self.answers)

    @property
    def condition(self) -> str:
        """Name the round in a sentence."""
        return f"{self.calls}, EHR {self.ehr_ms} ms, Redis {self.redis}"

    def __str__(self) -> str:
        kinds = Counter(answer.kind for answer in self.answers)
        said = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        times = " ".join(f"{self.at(share):>6.3g}" for share in (0.5, 0.99, 1.0))
        return (
            f"{self.service:<11} {self.ehr_ms:>4} ms {self.redis:<5} {self.calls:<15}"
            f" {len(self.answers):>4} {times} {self.late:>4}  {said}; {self.worker}"
        )

    def _time(self, answer: Answer) -> float:
        return math.inf if self.is_known and not answer.cards else answer.since_due_ms


def slowest_at(rounds: Sequence[Round], share: float, goal_ms: float, name: str) -> Figure:
    """Return the percentile of the round where it was longest."""
    worst = max(rounds, key=lambda one: one.at(share))
    among = f"the longest of {len(rounds)} rounds, n {len(worst.answers)}"
    return Figure(name, worst.at(share), "ms", goal_ms, f"{among}: {worst.condition}")


def counted(rounds: Sequence[Round], what: str, name: str) -> Figure:
    """Add up `what` ("late" or "refused") over the rounds; the goal is none at all."""
    counts = {one.condition: int(getattr(one, what)) for one in rounds}
    calls = sum(len(one.answers) for one in rounds)
    where = "; ".join(f"{count} with {condition}" for condition, count in counts.items() if count)
    return Figure(name, sum(counts.values()), "", 0.0, f"of {calls} calls; {where or 'none'}")
