"""Hooks at 50 a second while the worker is busy, the EHR slow and Redis away; HealthChain beside.

Each condition has rounds of known results, of unknown ones (no prefetch: the service asks the slow
EHR itself), and of both in turn, where the unknown must not hold up the known.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import cycle, islice
from pathlib import Path

from benchmarks.busy_worker import keep_busy, stand_in
from benchmarks.ehr import Ehr, HookRequest
from benchmarks.figures import Figure, MeasurementFailed
from benchmarks.healthchain import DOES, healthchain, versions
from benchmarks.paced_requests import NOT_READ, Answer
from benchmarks.redis_outage import redis_gone, redis_hung
from benchmarks.rounds import DEADLINE_MS, HEADING, Round, counted, slowest_at
from benchmarks.running_demo import RunningDemo, running_demo
from benchmarks.slow_ehr import SlowEhr, slow_ehr

RATE = 50.0  # calls per second
ROUND_S = 4.0
WARM_UP_CALLS = 100  # of each kind, not counted: each web process builds much at its first calls
BUSY_PATIENTS = 240  # made beforehand, to keep the worker busy
NEW_PATIENTS = 25  # made beforehand for each condition, so that its unknown studies are new
P50_GOAL_MS, P99_GOAL_MS = 15.0, 50.0
KNOWN_TIMEOUT_S = 60.0
RECOVERY_TIMEOUT_S = 60.0
RECOVERED = 8  # reads in a row: both web processes had some of them
SIGHTLINE, HEALTHCHAIN = "Sightline", "HealthChain"

Call = tuple[HookRequest, bool]  # and whether it is about the known result
Outage = Callable[[RunningDemo], AbstractContextManager[None]]
OUTAGES: dict[str, Outage] = {
    "up": lambda _demo: nullcontext(),
    "hung": redis_hung,
    "gone": redis_gone,
}
# Redis; what the EHR and the archive take for an answer, in ms; the rounds. Redis goes last: the
# worker comes back to it only after a pause.
CONDITIONS: dict[str, dict[int, tuple[str, ...]]] = {
    "up": {delay_ms: ("known", "mix", "unknown") for delay_ms in (0, 300, 2000)},
    "hung": {0: ("mix",)},
    "gone": {0: ("known", "mix"), 300: ("mix",), 2000: ("mix",)},
}


def hook_latency(round_s: float = ROUND_S) -> Iterator[str | Figure]:
    """Run every condition and yield a line for each round, then the figures over all of them."""
    with ExitStack() as stack:
        demo = stack.enter_context(running_demo())
        slow = stack.enter_context(slow_ehr(demo))
        services = {SIGHTLINE: f"{demo.service}/cds-services/imaging-ai-findings"}
        try:
            services[HEALTHCHAIN] = stack.enter_context(healthchain())
            yield f"beside Sightline, in the same run: {versions()}\n{DOES}"
        except MeasurementFailed as error:
            yield f"HealthChain is not measured: {error}"
        bench = Bench.prepare(demo, slow, services, round_s)
        yield (
            f"hooks: {RATE:g}/s for {round_s:g} s a round, a connection and a JWT for each; ms from"
            f" the moment each was due; late is after {DEADLINE_MS:g} ms"
        )
        yield HEADING
        rounds: list[Round] = []
        for redis in CONDITIONS:
            for one in bench.rounds(redis):
                rounds.append(one)
                yield str(one)
        yield from figures([one for one in rounds if one.service == SIGHTLINE])


def figures(rounds: Sequence[Round]) -> Iterator[Figure]:
    """Hold the rounds against the goals: the worst of them, never their mean."""
    known = [one for one in rounds if one.is_known]
    unknown = [one for one in rounds if not one.is_known]
    yield slowest_at(known, 0.5, P50_GOAL_MS, "hook: known result, p50, worst round")
    yield slowest_at(known, 0.99, P99_GOAL_MS, "hook: known result, p99, worst round")
    yield slowest_at(unknown, 1.0, DEADLINE_MS, "hook: unknown result, slowest answer")
    yield counted(unknown, "late", "hook: unknown result, answers after the deadline")
    yield counted(rounds, "refused", "hook: calls refused or failed")


@dataclass(frozen=True, slots=True)
class Bench:
    """A running service, its slow EHR, and patients of each kind."""

    demo: RunningDemo
    slow: SlowEhr
    ehr: Ehr
    services: dict[str, str]  # name: address of the patient-view service
    known: str  # id of a patient whose finding is in the ledger
    busy: list[str]
    new: list[str]
    round_s: float

    @classmethod
    def prepare(
        cls, demo: RunningDemo, slow: SlowEhr, services: dict[str, str], round_s: float
    ) -> "Bench":
        """Make the patients, analyse one of them, and warm every web process up."""
        ehr = Ehr(slow.addresses, slow.records)
        [known], busy = ehr.add_patients(1), ehr.add_patients(BUSY_PATIENTS)
        new = ehr.add_patients(NEW_PATIENTS * sum(len(delays) for delays in CONDITIONS.values()))
        bench = cls(demo, slow, ehr, services, known, busy, new, round_s)
        bench._analyse_the_known()
        for has_prefetch in (True, False):
            warm_up = ehr.hook_requests(known, WARM_UP_CALLS, has_prefetch=has_prefetch)
            for address in services.values():
                send([replace(call, url=address) for call in warm_up])
        return bench

    def rounds(self, redis: str) -> Iterator[Round]:
        """Yield the rounds with Redis in this state."""
        with ExitStack() as stack:
            stack.enter_context(OUTAGES[redis](self.demo))
            if redis != "up":
                stack.enter_context(stand_in())
            for ehr_ms, kinds in CONDITIONS[redis].items():
                self.slow.answer_after(ehr_ms)
                patients = [self.new.pop() for _ in range(NEW_PATIENTS)]
                for kind in kinds:
                    if kind == "mix":
                        self._let_the_ehr_recover(patients[0], ehr_ms)
                    for service in self._services(kind, redis):
                        calls = self._calls(kind, patients)
                        answers, worker = self._send(service, [call for call, _ in calls], redis)
                        yield from rounds_of(service, ehr_ms, redis, calls, answers, worker)

    def _services(self, kind: str, redis: str) -> list[str]:
        """HealthChain asks neither Redis nor the EHR: it answers where both could tell."""
        is_for_both = redis == "up" and kind != "unknown"
        return [name for name in self.services if is_for_both or name == SIGHTLINE]

    def _calls(self, kind: str, patients: list[str]) -> list[Call]:
        """Return the calls of one lot, in the order in which they are due."""
        count = int(RATE * self.round_s)
        are_known = [kind == "known" or (kind == "mix" and nth % 2 == 0) for nth in range(count)]
        known = iter(self.ehr.hook_requests(self.known, sum(are_known)))
        unknown = (
            call
            for patient in islice(cycle(patients), count)
            for call in self.ehr.hook_requests(patient, has_prefetch=False)
        )
        return [(next(known if is_known else unknown), is_known) for is_known in are_known]

    def _send(self, service: str, calls: list[HookRequest], redis: str) -> tuple[list[Answer], str]:
        """Send them to the service while the worker is busy, and say how busy it was."""
        said = "stand-in"

        def watch(process: "subprocess.Popen[bytes]") -> None:
            nonlocal said
            if redis == "up":
                said = str(keep_busy(self.demo, self.ehr, self.busy, process))

        address = self.services[service]
        return send([replace(call, url=address) for call in calls], watch), said

    def _let_the_ehr_recover(self, patient: str, ehr_ms: int) -> None:
        """Make both web processes read from the EHR again: they left it alone while it was slow."""
        self.slow.answer_after(0)
        deadline, in_a_row = time.monotonic() + RECOVERY_TIMEOUT_S, 0
        while in_a_row < RECOVERED:
            if time.monotonic() > deadline:
                raise MeasurementFailed("the service did not ask the EHR again")
            [hook] = self.ehr.hook_requests(patient, has_prefetch=False)
            summaries = [card["summary"] for card in self.ehr.send(hook)["cards"]]
            in_a_row = 0 if any(NOT_READ in summary for summary in summaries) else in_a_row + 1
            time.sleep(0.1)
        self.slow.answer_after(ehr_ms)

    def _analyse_the_known(self) -> None:
        deadline = time.monotonic() + KNOWN_TIMEOUT_S
        while time.monotonic() < deadline:
            [hook] = self.ehr.hook_requests(self.known)
            if [card["indicator"] for card in self.ehr.send(hook)["cards"]] == ["warning"]:
                return
            time.sleep(0.1)
        raise MeasurementFailed("the known patient's study was not analysed")


def rounds_of(
    service: str,
    ehr_ms: int,
    redis: str,
    calls: Sequence[Call],
    answers: Sequence[Answer],
    worker: str,
) -> Iterator[Round]:
    """Split the answers to one lot of calls: the known and the unknown are rounds of their own."""
    for is_known, name in ((True, "known"), (False, "unknown")):
        pairs = zip(answers, calls, strict=True)
        those = [answer for answer, (_, its_known) in pairs if its_known is is_known]
        if those:
            name = name if len(those) == len(calls) else f"{name}, mixed"
            yield Round(service, ehr_ms, redis, name, is_known, those, worker)


def send(
    calls: Sequence[HookRequest],
    watch: "Callable[[subprocess.Popen[bytes]], None]" = lambda _process: None,
) -> list[Answer]:
    """Send the calls at RATE from a process of its own; `watch` it meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        calls_file, answers_file = Path(folder) / "calls", Path(folder) / "answers"
        calls_file.write_text("\n".join(json.dumps(asdict(call)) for call in calls))
        command = [sys.executable, "-m", "benchmarks.paced_requests", str(calls_file), str(RATE)]
        with subprocess.Popen([*command, str(answers_file)]) as process:
            watch(process)
        if process.returncode:
            raise MeasurementFailed("the process that sends the calls failed")
        lines = answers_file.read_text().splitlines()
    return [Answer(**json.loads(line)) for line in lines]
