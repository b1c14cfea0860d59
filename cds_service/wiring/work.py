"""What a worker process and its supervisor are built of."""

import logging
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from cds_service.adapters import ledger
from cds_service.adapters.asked_syntax import Unable
from cds_service.adapters.ehr_writer import FhirWriter
from cds_service.adapters.inbox_archive import InboxFirst
from cds_service.adapters.model_shelf import ModelShelf, identity_of
from cds_service.adapters.queue import (
    SESSION_TIMEOUT_S,
    RingWorker,
    redis_client,
    ring_worker,
    worker_redis_client,
)
from cds_service.adapters.redis_keeping import unkept
from cds_service.domain.finding import ModelIdentity
from cds_service.settings import Settings
from cds_service.usecases.ports import Budget, OverdueJobs
from cds_service.usecases.publish_reviews import ReviewBench
from cds_service.usecases.run_inference import Workbench
from cds_service.usecases.sweep_jobs import sweep_jobs
from cds_service.worker_machine import control_groups, free_memory_mb
from cds_service.worker_plan import (
    Row,
    WorkerPlan,
    measured_once,
    plan_of,
    probe_apart,
    provider_of,
)

if TYPE_CHECKING:  # heavy, or an extra
    from cds_service.adapters.probe import Pace


from cds_service.wiring.dispatch import open_doorbell
from cds_service.wiring.house import clock, new_id, open_house
from cds_service.wiring.images import archive
from cds_service.wiring.intake import inbox_archive

log = logging.getLogger(__name__)

MODELS_IN_MEMORY = 8  # of one worker process, with their sessions


def sweep(settings: Settings) -> Callable[[], int]:
    """Return what the supervisor calls now and then."""
    house = open_house(settings)
    doorbell = open_doorbell(settings)
    waiting: tuple[OverdueJobs, ...] = (house.jobs, ledger.SqlReviewWrites(house.engine))
    return lambda: sum(sweep_jobs(overdue=overdue, doorbell=doorbell) for overdue in waiting)


def warn_of_redis(settings: Settings) -> None:
    """Log one warning when the queue's Redis may lose keys, as far as it tells."""
    with redis_client(settings.redis_url, timeout_s=SESSION_TIMEOUT_S) as redis:
        found = unkept(redis)
    if found:
        log.warning(
            "Redis may lose launches and rings: %s (appendonly yes and maxmemory-policy noeviction "
            "keep them)",
            ", ".join(f"{name} is {value}" for name, value in found.items()),
        )


def plan_workers(settings: Settings) -> WorkerPlan:
    """Choose workers, threads and execution provider; the first time it takes two seconds."""

    def measure() -> list[Row]:
        shelf = ModelShelf(settings.data, settings.model_id)
        card = shelf.card(shelf.enabled().everywhere[0])
        return measured_once(settings.data, card.digest, partial(probe_apart, settings))

    return plan_of(settings, measure, free_memory_mb(control_groups()))


def probe(settings: Settings, cores: int, budget_s: float) -> "Iterator[Pace]":
    """Measure the first model that is enabled, in this process."""
    from cds_service.adapters.probe import measured

    shelf = ModelShelf(settings.data, settings.model_id)
    return measured(shelf.package(shelf.enabled().everywhere[0]), cores, budget_s)


def workbench(settings: Settings) -> Workbench:
    """Build what a worker process needs, with the model loaded."""
    from cds_service.adapters.decoder_probe import decoders_once
    from cds_service.adapters.pixels import DicomReader  # decoders: in worker processes only
    from cds_service.adapters.runtime import OnnxClassifier

    house = open_house(settings)
    shelf = house.shelf

    @lru_cache(maxsize=MODELS_IN_MEMORY)
    def loaded(model: ModelIdentity) -> OnnxClassifier:
        return OnnxClassifier(
            shelf.package(model.id),
            threads=settings.worker_threads or 1,
            provider=provider_of(settings),
        )

    def classifier(model_id: str) -> OnnxClassifier:
        return loaded(identity_of(shelf.card(model_id)))

    for model_id in shelf.enabled().all():
        classifier(model_id).warm_up()
    writer = FhirWriter(house.egress.session_for, house.tokens.auth)
    return Workbench(
        tenants=house.tenants,
        leases=house.jobs,
        results=house.results,
        publications=ledger.SqlPublications(house.engine),
        archive=InboxFirst(inbox_archive(settings, house), archive(house, Unable())),
        reader=DicomReader(decoders_once(settings.data)),
        classifiers=classifier,
        writer=writer,
        audit=house.audit,
        clock=clock,
        new_id=new_id,
        attempts=settings.job_attempts,
        budget=Budget(),
        reviews=ReviewBench(
            tenants=house.tenants,
            results=house.results,
            reviews=ledger.SqlReviews(house.engine, house.vault),
            writes=ledger.SqlReviewWrites(house.engine),
            writer=writer,
            audit=house.audit,
            clock=clock,
        ),
    )


def queue_worker(settings: Settings) -> RingWorker:
    """Build RQ's part of a worker process."""
    redis = worker_redis_client(settings.redis_url)
    return ring_worker(redis, name=f"sightline-{new_id()}")
