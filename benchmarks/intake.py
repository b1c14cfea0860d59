"""The intake doors end to end: from a study's arrival in archive and EHR to its known result.

Nobody opens the chart meanwhile: what is measured is how long before that a card is ready.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from secrets import token_urlsafe
from threading import Event, Thread

import requests

from benchmarks.ehr import Ehr
from benchmarks.figures import Figure, MeasurementFailed, percentile
from benchmarks.processes import tree
from benchmarks.running_demo import RunningDemo
from cds_service import wiring
from cds_service.adapters.ledger import SqlIntakeBells
from cds_service.domain.intake import Bell, Door
from cds_service.settings import Settings

STUDIES = 20
EVERY_S = 1.0
LOOK_S = 0.025
TIMEOUT_S = 60.0


def intake(demo: RunningDemo, ehr: Ehr) -> Iterator[Figure]:
    """Measure STUDIES new studies by each door; every door is closed in the end."""
    settings = replace(demo.settings(), redis_url=_redis_of(demo.pid))
    house = wiring.open_house(settings)
    [tenant] = [one for one in house.tenants.all() if one.fhir_base == demo.fhir]

    def is_known(patient_id: str) -> bool:
        return bool(house.results.studies_of(tenant.id, patient_id))

    def measured(after_arrival: Callable[[], None]) -> list[float]:
        return [_one(ehr, is_known, after_arrival) for _ in range(STUDIES)]

    with _opened(house, tenant.id, Door.SUBSCRIPTION):
        yield from _figures("subscription", measured(_bell(demo, house, tenant.id)), "rung at once")
    asked = f"asked every {EVERY_S:g} s by one poller; `sightline intake run` asks every 15 s"
    for door in (Door.FHIR_POLLING, Door.DICOMWEB_POLLING):
        with _opened(house, tenant.id, door), _polling(settings):
            yield from _figures(door.value, measured(lambda: None), asked)


def _one(ehr: Ehr, is_known: Callable[[str], bool], after_arrival: Callable[[], None]) -> float:
    patient_id = ehr.add_patient()
    started = time.monotonic()
    after_arrival()
    while (seconds := time.monotonic() - started) < TIMEOUT_S:
        if is_known(patient_id):
            return seconds
        time.sleep(LOOK_S)
    raise MeasurementFailed(f"no result within {TIMEOUT_S:.0f} s")


def _figures(door: str, seconds: list[float], how: str) -> Iterator[Figure]:
    conditions = (
        f"n {STUDIES}, one at a time; from the moment when the archive and the EHR both have the"
        f" study until the ledger has its result; {how}; 1 image of 12 bits per study"
    )
    for name, share in (("median", 0.5), ("p95", 0.95)):
        yield Figure(f"intake: {door}, {name}", percentile(seconds, share), "s", None, conditions)


def _bell(demo: RunningDemo, house: wiring.House, tenant_id: str) -> Callable[[], None]:
    """Hang a bell, and return what rings it as the EHR would."""
    path, header = token_urlsafe(16), f"Bearer {token_urlsafe(16)}"
    digests = (sha256(text.encode()).hexdigest() for text in (path, header))
    SqlIntakeBells(house.engine).hang(Bell(tenant_id, *digests))
    url = f"{demo.service}/intake/subscription/{path}"

    def ring() -> None:
        requests.post(url, headers={"Authorization": header}, timeout=TIMEOUT_S).raise_for_status()

    return ring


@contextmanager
def _opened(house: wiring.House, tenant_id: str, door: Door) -> Iterator[None]:
    house.tenants.set_door(tenant_id, door, is_open=True)
    try:
        yield
    finally:
        house.tenants.set_door(tenant_id, door, is_open=False)


@contextmanager
def _polling(settings: Settings) -> Iterator[None]:
    stop = Event()
    poller = wiring.intake_poller(settings, every_s=EVERY_S)
    thread = Thread(target=poller.run, args=(stop, EVERY_S / 10), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _redis_of(pid: int) -> str:
    """Return the address of the demo's own Redis, which the demo tells nobody."""
    title = Path(f"/proc/{tree(pid, 'redis')[0]}/cmdline").read_text()
    match = re.search(r"(?:--port\0|127\.0\.0\.1:)(\d+)", title)  # its own title, once it runs
    if match is None:
        raise MeasurementFailed("the demo's Redis does not say where it listens")
    return f"redis://127.0.0.1:{match[1]}/0"
