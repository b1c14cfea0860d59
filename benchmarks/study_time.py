"""One study end to end: from the hook that names it to its Observation in the EHR's search."""

import time

from benchmarks.ehr import Ehr
from benchmarks.figures import Figure, MeasurementFailed, percentile

STUDIES = 30
POLL_S = 0.025
TIMEOUT_S = 30.0
GOAL_S = 1.5


def study_time(ehr: Ehr) -> list[Figure]:
    """Measure STUDIES new studies, one after the other."""
    seconds = [_one(ehr) for _ in range(STUDIES)]
    conditions = (
        f"n {STUDIES}, one at a time; from sending the hook to the first search that finds the"
        f" Observation, asked every {POLL_S * 1000:.0f} ms; 1 image of 12 bits per study"
    )
    return [
        Figure(
            "study: hook to Observation, median", percentile(seconds, 0.5), "s", GOAL_S, conditions
        ),
        Figure(
            "study: hook to Observation, p95", percentile(seconds, 0.95), "s", GOAL_S, conditions
        ),
    ]


def _one(ehr: Ehr) -> float:
    patient_id = ehr.add_patient()
    [hook] = ehr.hook_requests(patient_id)
    reader = ehr.observation_reader(patient_id)
    started = time.monotonic()
    ehr.send(hook)
    while (seconds := time.monotonic() - started) < TIMEOUT_S:
        if reader.finds_any():
            return seconds
        time.sleep(POLL_S)
    raise MeasurementFailed(f"no Observation within {TIMEOUT_S:.0f} s")
