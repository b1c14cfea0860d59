"""The doorbell: RQ on Redis wakes a worker with a job id, and carries nothing else.

RQ holds no truth: a ring that is lost, late or doubled changes nothing, since only the
ledger's lease lets a worker begin.

Source: architecture "RQ: one queue per worker"; rq 3.0 (`unique`, the default description and
serializer), redis-py (its retries), both measured; threat T15.
"""

import logging
import signal
import time
from collections.abc import Callable

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue, SimpleWorker
from rq.exceptions import DeserializationError
from rq.job import Job
from rq.serializers import JSONSerializer

from cds_service.errors import DoorbellSilent, SettingsInvalid

log = logging.getLogger(__name__)

QUEUE = "sightline"
JOB_FUNCTION = "cds_service.worker.run_job"
DESCRIPTION = "sightline job"  # RQ's own would print the arguments into Redis and the logs
DAY_S = 86_400
RING_TIMEOUT_S = 0.05  # inside a hook's deadline; a ring that fails is made good by the sweep
SESSION_TIMEOUT_S = 2.0  # somebody waits for a page, and nothing makes a lost session good
FAILURES = 3  # in a row, that open the circuit
OPEN_S = 5.0


def redis_client(url: str, *, timeout_s: float) -> "Redis":
    """Return a client that tries once and waits this long; nothing is opened yet.

    Raises SettingsInvalid.
    """
    return _from_url(
        url,
        socket_connect_timeout=timeout_s,
        socket_timeout=timeout_s,
        # Redis gone: 3.6 s with redis-py's own retries, 3 ms (refused) or `timeout_s` (hung) so.
        retry=Retry(NoBackoff(), 0),
    )


def worker_redis_client(url: str) -> "Redis":
    """Return a client with redis-py's patience, for blocking reads. Raises SettingsInvalid."""
    return _from_url(url, socket_connect_timeout=2.0, health_check_interval=30)


def _from_url(url: str, **options: float | Retry) -> "Redis":
    try:
        return Redis.from_url(url, **options)
    except ValueError:
        raise SettingsInvalid("SIGHTLINE_REDIS_URL is not a redis:// address.") from None


class RqDoorbell:
    """Rings by RQ; after three failures in a row it is silent for 5 s without trying.

    redis       from `redis_client(..., timeout_s=RING_TIMEOUT_S)`
    monotonic   seconds; for tests
    """

    def __init__(self, redis: "Redis", *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._queue = Queue(QUEUE, connection=redis, serializer=JSONSerializer)
        self._monotonic = monotonic
        self._failures = 0
        self._closed_until = 0.0

    def ring(self, job_id: str) -> None:
        """Wake a worker; raise DoorbellSilent."""
        if self._failures >= FAILURES and self._monotonic() < self._closed_until:
            raise DoorbellSilent("The queue is away.")
        try:
            # RQ draws a random id for each ring: a fixed one would be refused for a day
            # after a failure, or run twice at once.
            self._queue.enqueue_call(
                JOB_FUNCTION,
                args=(job_id,),
                description=DESCRIPTION,
                timeout=-1,  # the supervisor kills at the lease's deadline; SIGALRM comes too late
                ttl=DAY_S,
                result_ttl=0,
                failure_ttl=DAY_S,
            )
        except RedisError:
            self._failures += 1
            self._closed_until = self._monotonic() + OPEN_S
            raise DoorbellSilent("The queue is away.") from None
        self._failures = 0


class RingWorker(SimpleWorker):
    """RQ's worker, held to our one function and to its supervisor's signal."""

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Do the job, or throw it away when it names anything but our function.

        RQ imports and calls what a job names, so whoever writes to Redis could name os.system.
        """
        if _is_ring(job):
            super().execute_job(job, queue)
        else:
            log.critical("a job that is no ring was in the queue: thrown away")
            job.delete()

    def _install_signal_handlers(self) -> None:
        # RQ's own takes SIGINT too: at Ctrl-C, which reaches the whole group, the supervisor's
        # SIGTERM would be the second signal and end the job in the middle.
        signal.signal(signal.SIGTERM, self.request_stop)


def ring_worker(redis: "Redis", name: str) -> RingWorker:
    """Build RQ's part of a worker process: one queue, the JSON serializer, no job texts.

    redis   from `worker_redis_client`
    """
    return RingWorker(
        [Queue(QUEUE, connection=redis, serializer=JSONSerializer)],
        name=name,
        connection=redis,
        serializer=JSONSerializer,
        log_job_description=False,
        worker_ttl=30,  # an idle worker does no maintenance for worker_ttl - 15 s
        job_monitoring_interval=5,
        maintenance_interval=30,
    )


def living_workers(redis: "Redis") -> int:
    """Count the workers whose sign of life has not run out; raise DoorbellSilent.

    redis   from `redis_client`
    """
    try:
        queue = Queue(QUEUE, connection=redis, serializer=JSONSerializer)
        names = RingWorker.all_keys(queue=queue)
        return int(redis.exists(*names)) if names else 0
    except RedisError:
        raise DoorbellSilent("Redis gave no answer.") from None


def _is_ring(job: Job) -> bool:
    try:
        name = job.func_name
    except DeserializationError:
        return False
    has_more = job.webhooks or job._success_callback_name or job._failure_callback_name
    return name == JOB_FUNCTION and not has_more
