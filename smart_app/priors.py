"""The earlier studies beside a finding: which there are, and the one that is looked at with it.

Source: architecture "it opens the app on the exact study and finding".
"""

from dataclasses import dataclass

from cds_service.domain.finding import Finding, Result
from cds_service.usecases.finding_history import Reading, finding_history, moment
from smart_app.open_launch import OpenLaunch
from smart_app.trend import Trend, trend_of


@dataclass(frozen=True, slots=True)
class Priors:
    """The comparable studies of one finding."""

    earlier: tuple[Reading, ...]  # newest first
    beside: Reading | None  # the one that is shown side by side
    trend: Trend | None  # of all readings, later ones too


def priors_of(
    launch: OpenLaunch, result: Result, finding: Finding, beside_id: str | None
) -> Priors:
    """Return what came before this finding's study.

    beside_id   result of an earlier study to show with it; raises NotFound for another patient's
    """
    if beside_id:
        launch.result(beside_id)
    readings = finding_history(launch.session.facts, finding.coding, results=launch.house.results)
    others = [reading for reading in readings if reading.study_uid != result.study_uid]
    now = moment(result.study_started)
    earlier = [
        reading
        for reading in reversed(others)
        if result.study_started is None or moment(reading.started) <= now
    ]
    beside = next((one for one in earlier if one.result_id == beside_id), None)
    return Priors(tuple(earlier), beside, trend_of(readings, result.id))
