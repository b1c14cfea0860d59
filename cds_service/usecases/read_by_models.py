"""What each model that reads a study has said about it, and what is still to be asked for.

Source: docs/reference/routing.md; architecture "Three keys".
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cds_service.domain.finding import ModelIdentity, Result
from cds_service.domain.job import Job, JobState
from cds_service.domain.routing import Route
from cds_service.domain.standing import codes_of, standing_results
from cds_service.domain.study import StudyReference
from cds_service.usecases.wants_analysis import wants_analysis


@dataclass(frozen=True, slots=True)
class Reading:
    """One study and one model that reads it."""

    study: StudyReference
    model: ModelIdentity
    said: Result | None  # that stands: its own, or the one whose place it is to take
    own: Result | None  # its newest, also one that does not stand
    job: Job | None  # its newest

    @property
    def key(self) -> tuple[str, str]:
        """Study UID and model id."""
        return self.study.study_uid, self.model.id

    @property
    def is_done(self) -> bool:
        """Whether its job is over, so that asking means asking again."""
        return self.job is not None and self.job.state is JobState.DONE

    @property
    def is_by_another_model(self) -> bool:
        """Whether what stands is not of this very model and version."""
        return self.said is not None and not self.model.is_same_version_as(self.said.analysis.model)

    def wants_analysis(self, now: datetime) -> bool:
        """Tell whether a job has to be asked for."""
        return wants_analysis(self.study, self.job, self.said or self.own, self.model, now)


def readings_of(
    study: StudyReference, routes: Sequence[Route], results: Sequence[Result], jobs: Sequence[Job]
) -> list[Reading]:
    """Return a reading for each model that reads the study, in the order in which they are asked.

    results, jobs   the newest of each model, of any studies

    No result is said twice. What models left behind that read the study no more stands until one
    of these has a result.
    """
    mine = [one for one in results if one.study_uid == study.study_uid]
    own = {one.analysis.model.id: one for one in mine}
    own_jobs = {one.model_id: one for one in jobs if one.study.study_uid == study.study_uid}
    left = list(standing_results(mine))
    asked = {route.model.id for route in routes}
    readings = []
    for route in routes:
        said = next((one for one in left if _is_of(one, route, asked)), None)
        left = [one for one in left if one is not said]
        model = route.model
        readings.append(Reading(study, model, said, own.get(model.id), own_jobs.get(model.id)))
    if left and readings and all(one.said is None for one in readings):
        readings[0] = replace(readings[0], said=left[0])
    return readings


def _is_of(result: Result, route: Route, asked: set[str]) -> bool:
    """Tell whether it is this model's, or of one that is not asked and looked for the same."""
    author = result.analysis.model.id
    if author in asked:
        return author == route.model.id
    return not codes_of(result).isdisjoint(route.looks_for)
