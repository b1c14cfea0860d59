"""Let the sandbox's clinician open the charts once, so that the findings are known.

It takes the public way: the EHR fires its hook, the service rings, the worker analyses. Charts
that are not `is_analysed_beforehand` stay closed, so that one first opening shows "running".
"""

import time
from collections.abc import Iterable
from contextlib import suppress

import requests

from cds_service.demo.children import Say
from cds_service.sandbox.patients import PATIENTS, PatientRow
from cds_service.settings import Settings
from cds_service.usecases.ports import Results
from cds_service.wiring import results

TIMEOUT_S = 60.0  # without another result
OPEN_AGAIN_S = 10.0  # a chart whose hook came to nothing, as on a machine that is very busy
HOOK_TIMEOUT_S = 10.0


def prepare_studies(settings: Settings, chart: str, tenant_id: str, say: Say) -> None:
    """Open the charts and wait for their results; say how far it is after each study.

    Goes on without an error when nothing comes any more: the cards then say what is running.
    """
    known = results(settings)
    waiting = [row for row in PATIENTS if row.studies and row.is_analysed_beforehand]
    total = len(waiting)
    opened, progress = float("-inf"), time.monotonic()
    while waiting and time.monotonic() < progress + TIMEOUT_S:
        if time.monotonic() > opened + OPEN_AGAIN_S:
            _open(chart, waiting)
            opened = time.monotonic()
        left = [row for row in waiting if not _is_known(known, tenant_id, row)]
        if len(left) < len(waiting):
            waiting, progress = left, time.monotonic()
            say("studies", f"prepared {total - len(waiting)} of {total} patients")
        time.sleep(0.1)
    if waiting:
        say("studies", f"{len(waiting)} of {total} patients are still being analysed")


def _open(chart: str, rows: Iterable[PatientRow]) -> None:
    for row in rows:
        with suppress(requests.RequestException):
            requests.get(f"{chart}/chart/{row.id}/cards", timeout=HOOK_TIMEOUT_S)


def _is_known(known: Results, tenant_id: str, row: PatientRow) -> bool:
    return len(known.studies_of(tenant_id, row.id)) >= len(row.studies)
