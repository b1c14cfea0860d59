"""Ask what every open door has heard, again and again: `sightline intake run`.

An EHR or archive that fails is asked again in the next round, and the others go on beside it.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event

from cds_service.domain.intake import Door, Reception
from cds_service.domain.tenant import Tenant
from cds_service.errors import SightlineError
from cds_service.usecases.ports import Tenants

log = logging.getLogger(__name__)

AT_ONCE = 8  # EHRs that are asked at the same time

Poll = Callable[[Tenant], Counter[Reception]]


@dataclass(frozen=True, slots=True)
class Source:
    """How a door is asked, and how often: a door with a bell is asked in case one was lost."""

    poll: Poll
    every_s: float


@dataclass
class Poller:
    """Asks every door that is open, when it is due."""

    tenants: Tenants
    sources: Mapping[Door, Source]
    timer: Callable[[], float] = time.monotonic
    _asked_at: dict[tuple[str, Door], float] = field(default_factory=dict)

    def run(self, stop: Event, pause_s: float = 1.0) -> None:
        """Ask what is due until `stop` is set."""
        while not stop.is_set():
            try:
                self.round()
            except SightlineError as error:  # the ledger is away
                log.warning("intake waits: %s", type(error).__name__)
            stop.wait(pause_s)

    def round(self) -> Counter[Reception]:
        """Ask each door that is due once; raise LedgerUnavailable when nobody can say which."""
        due = [
            (tenant, [door for door in self.sources if self._is_due(tenant, door)])
            for tenant in self.tenants.all()
        ]
        asked = [(tenant, doors) for tenant, doors in due if doors]
        if not asked:
            return Counter()
        with ThreadPoolExecutor(AT_ONCE, "intake") as pool:
            return sum(pool.map(lambda one: self._ask(*one), asked), Counter())

    def _is_due(self, tenant: Tenant, door: Door) -> bool:
        before = self._asked_at.get((tenant.id, door))
        is_time = before is None or self.timer() - before >= self.sources[door].every_s
        return tenant.opened(door) and is_time

    def _ask(self, tenant: Tenant, doors: list[Door]) -> Counter[Reception]:
        outcomes: Counter[Reception] = Counter()
        for door in doors:
            try:
                heard = self.sources[door].poll(tenant)
            except Exception as error:  # the outermost frame: the other EHRs are asked on
                level = logging.WARNING if isinstance(error, SightlineError) else logging.ERROR
                words = (tenant.id, door, type(error).__name__)
                log.log(level, "door not read: tenant=%s door=%s error=%s", *words)
            else:
                _say(tenant, door, heard)
                outcomes += heard
            self._asked_at[tenant.id, door] = self.timer()
        return outcomes


def _say(tenant: Tenant, door: Door, heard: Counter[Reception]) -> None:
    if heard[Reception.ASKED]:
        counts = " ".join(f"{outcome}={count}" for outcome, count in sorted(heard.items()))
        log.info("studies received: tenant=%s door=%s %s", tenant.id, door, counts)
