"""How a hook, a door and the app ask for an analysis."""

from collections.abc import Callable

from cds_service.adapters.model_shelf import enabled_routes
from cds_service.adapters.queue import (
    RING_TIMEOUT_S,
    RqDoorbell,
    redis_client,
)
from cds_service.domain.finding import ModelIdentity
from cds_service.domain.job import Job, JobState
from cds_service.domain.line import Priority
from cds_service.domain.routing import routes_of
from cds_service.domain.study import PatientFacts, StudyReference
from cds_service.settings import Settings
from cds_service.usecases.dispatch_inference import dispatch_inference
from cds_service.wiring.house import House


def dispatcher(settings: Settings, house: House) -> Callable[..., Job]:
    """Return what asks every model that reads a study, and returns the first job still to do."""
    ask = asker(settings, house)

    def dispatch(study: StudyReference, patient: PatientFacts, again: bool = False) -> Job:
        routes = routes_of(enabled_routes(house.shelf, study.tenant_id), study, patient)
        jobs = [ask(study, patient, route.model, again) for route in routes]
        return next((job for job in jobs if job.state is JobState.OPEN), jobs[0])

    return dispatch


def asker(
    settings: Settings, house: House, usual: Priority = Priority.ASKED
) -> Callable[[StudyReference, PatientFacts, ModelIdentity, bool], Job]:
    """Return what asks one model; one that looks for something urgent goes before the `usual`."""
    doorbell = open_doorbell(settings)

    def ask(study: StudyReference, patient: PatientFacts, model: ModelIdentity, again: bool) -> Job:
        is_urgent = any(one.critical for one in house.shelf.card(model.id).findings)
        return dispatch_inference(
            study,
            patient,
            jobs=house.jobs,
            doorbell=doorbell,
            model=model,
            again=again,
            priority=Priority.CRITICAL if is_urgent else usual,
        )

    return ask


def open_doorbell(settings: Settings) -> RqDoorbell:
    """Return the bell of the workers; it gives up at once when Redis is away."""
    return RqDoorbell(redis_client(settings.redis_url, timeout_s=RING_TIMEOUT_S))
