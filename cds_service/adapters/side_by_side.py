"""Several fetches of one study at once: in order, under one budget, and none left behind.

Source: architecture "One job through the house", step 2 (byte and instance budgets).
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock

from cds_service.errors import EndpointNotAllowed, StudyTooLarge, UpstreamFailed
from cds_service.usecases.ports import Budget

FETCHES = 4  # at once, of one study: the archive has other clients
ENVELOPE_BYTES = 1024 * 1024  # boundaries and header fields of all answers


class Allowance:
    """What is left of a budget that fetches share, for what they keep and what is on its way.

    It also knows which archives failed: another one's part must not pass for the whole.
    """

    def __init__(self, budget: Budget, stated: int | None = None) -> None:
        """`stated`: how many instances there are, as the EHR says; None: it does not."""
        self._lock = Lock()
        self._kept_bytes = self._kept_instances = self._coming = 0
        self._budget, self.most = budget, budget.bytes
        self._is_over = False
        self._stated = stated
        self.failed: dict[str, UpstreamFailed] = {}  # archives, and why

    @property
    def left(self) -> int:
        """How many bytes of instances may still be kept."""
        return self._budget.bytes - self._kept_bytes

    @contextmanager
    def answer(self) -> Iterator["Answer"]:
        """Count one answer of the archive, until it is read or given up."""
        one = Answer(self)
        try:
            yield one
        finally:
            with self._lock:
                self._coming -= one.coming

    def pass_over(self, archive: str, error: UpstreamFailed) -> None:
        """Note that this archive failed, so that the next one is asked.

        Raises the error where nobody would see that the next one has less.
        """
        if self._stated is None or isinstance(error, EndpointNotAllowed):
            raise error
        self.failed.setdefault(archive, error)

    def require_whole(self) -> None:
        """Raise why an archive failed unless as much came as the EHR states."""
        if self.failed and self._kept_instances < (self._stated or 0):
            raise next(iter(self.failed.values()))

    def end(self) -> None:
        """Let no fetch go on that is still under way."""
        with self._lock:
            self._is_over = True

    def _receive(self, answer: "Answer", size: int) -> None:
        with self._lock:
            answer.coming += size
            self._coming += size
            room = self._budget.bytes + ENVELOPE_BYTES - self._kept_bytes - self._coming
            if self._is_over or room < 0:
                raise too_large()

    def _keep(self, answer: "Answer", size: int) -> None:
        with self._lock:
            answer.coming -= size
            self._coming -= size
            self._kept_bytes += size
            self._kept_instances += 1
            if self.left < 0 or self._kept_instances > self._budget.instances:
                raise too_large()


class Answer:
    """One answer, counted against an allowance; every method raises StudyTooLarge past it."""

    def __init__(self, allowance: Allowance) -> None:
        self.allowance = allowance
        self.coming = 0  # bytes that are here and not kept
        self.limit_bytes = allowance.left  # of its instances
        # Of its body, and for each answer the same: a session's connections are kept per limit.
        self.body_bytes = allowance.most + ENVELOPE_BYTES

    def receive(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Pass on what arrives, counted before anybody holds more of it."""
        for chunk in chunks:
            self.arrive(len(chunk))
            yield chunk

    def arrive(self, size: int) -> None:
        """Count bytes that are here."""
        self.allowance._receive(self, size)

    def keep(self, instance: bytes) -> bytes:
        """Count a whole instance, and return it."""
        self.allowance._keep(self, len(instance))
        return instance


def side_by_side(
    fetches: Sequence[Callable[[], Iterator[bytes]]], allowance: Allowance
) -> Iterator[bytes]:
    """Yield what the first fetch yields, then the second's; up to FETCHES of them run at once.

    Raises what the first that fails raises. The others have ended when this has.
    """
    with ThreadPoolExecutor(min(FETCHES, len(fetches)), "archive") as pool:
        running = [pool.submit(_all_of, fetch) for fetch in fetches]
        try:
            for one in running:
                yield from one.result()
        except BaseException:
            allowance.end()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _all_of(fetch: Callable[[], Iterator[bytes]]) -> list[bytes]:
    return list(fetch())


def too_large() -> StudyTooLarge:
    """Return the refusal of a study past its budget."""
    return StudyTooLarge("too-large", "it is larger than this service reads")
