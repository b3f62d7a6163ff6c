"""Worker: the one thread in which the models run, and the bounded queue before it.

Up to `concurrency` requests run together: their runs share the calls of the models (`inference.batching`), each with
the result that it has alone. Between two calls, which is between two tokens, requests whose clients have left are
dropped and waiting ones begin. Whoever finds neither a place to run nor one to wait is told when to come back.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Generic, TypeVar

from inference.batching import Batcher
from inference.server.errors import RequestError
from inference.tasks import Task

T = TypeVar("T")

logger = logging.getLogger(__name__)

_LONGEST_WAIT = 60


class Job(Generic[T]):
    """A piece of work that waits or runs; who cancels its future has it dropped.

    Parameters
    ----------
    work:
        What is done, as of `Task`.
    """

    def __init__(self, work: Callable[[Task[T]], T]) -> None:
        self.work = work
        self.future: Future[T] = Future()
        self.started = math.nan

    def settle(self, task: Task[T]) -> None:
        """Hand on what the task came to."""
        if task.error is not None:
            self.fail(task.error)
            return
        assert task.result is not None
        with suppress(InvalidStateError):  # cancelled in this moment
            self.future.set_result(task.result)

    def fail(self, error: Exception) -> None:
        """Hand on an error, if somebody still waits."""
        with suppress(InvalidStateError):
            self.future.set_exception(error)


class Worker:
    """The thread of the models.

    Parameters
    ----------
    concurrency:
        Jobs that run together at most; memory grows with it.
    queue:
        Jobs that wait at most.
    """

    def __init__(self, concurrency: int, queue: int) -> None:
        self.concurrency = concurrency
        self.queue = queue
        self.rounds = 0
        """Calls of models that the jobs in flight have shared so far."""
        self._waiting: deque[Job[object]] = deque()
        self._flying: dict[Task[object], Job[object]] = {}
        self._seconds = 1.0  # that a job took of late
        self._closing = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="ppl-models", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(self, *jobs: Job[T]) -> None:
        """Put the jobs of a request into the queue: all of them or none.

        Raises
        ------
        RequestError
            With status 429 and when to try again, if there are not as many places; with 400 if there never are; with
            503 while the server closes.
        """
        places = self.concurrency + self.queue
        if len(jobs) > places:
            raise RequestError(
                f"{len(jobs)} prompts are more than the {places} that run and wait on this server",
                hint="several requests, or ppl serve --queue",
                param="prompt",
                code="too_much",
            )
        with self._wake:
            if self._closing:
                raise _closing()
            self._waiting = deque(job for job in self._waiting if not job.future.cancelled())
            if len(self._waiting) + len(self._flying) + len(jobs) > places:
                wait = self._seconds * (1 + len(self._waiting) / self.concurrency)
                raise RequestError(
                    f"{len(self._flying)} requests are running and {len(self._waiting)} waiting",
                    hint="try again later",
                    status=429,
                    code="queue_full",
                    headers={"Retry-After": str(min(math.ceil(wait), _LONGEST_WAIT))},
                )
            self._waiting.extend(jobs)  # type: ignore[arg-type]
            self._wake.notify()

    @property
    def waiting(self) -> int:
        """The number of jobs that wait."""
        return sum(not job.future.cancelled() for job in tuple(self._waiting))

    @property
    def running(self) -> int:
        """The number of jobs that run."""
        return len(self._flying)

    @property
    def alive(self) -> bool:
        """Whether jobs get done."""
        return self._thread.is_alive() and not self._closing

    def drop(self) -> None:
        """Refuse new jobs, and have those that wait or run fail with status 503."""
        with self._wake:
            self._closing = True
            self._wake.notify()

    def close(self) -> None:
        """Drop everything, and wait until the thread has ended."""
        self.drop()
        self._thread.join()

    def _run(self) -> None:
        while self._await_work():
            try:
                with Batcher[object]() as batcher:  # whose caches are given back when there is nothing to do
                    self._work(batcher)
            except Exception as error:
                logger.exception("the runs in flight have failed")
                for job in self._flying.values():
                    job.fail(error)
                self._flying = {}
        for job in (*self._waiting, *self._flying.values()):
            job.fail(_closing())

    def _await_work(self) -> bool:
        """Return when there is a job, with False when there will be none."""
        with self._wake:
            self._wake.wait_for(lambda: self._waiting or self._closing)
            return not self._closing

    def _work(self, batcher: Batcher[object]) -> None:
        """Run jobs until there are none."""
        while not self._closing:
            for task, job in list(self._flying.items()):
                if job.future.cancelled():
                    batcher.cancel(task)
                    del self._flying[task]
            while len(self._flying) < self.concurrency and (job_ := self._next()) is not None:
                self._start(batcher, job_)
            if not self._flying:
                return
            self.rounds += 1
            for task in batcher.advance():
                self._end(task)

    def _next(self) -> Job[object] | None:
        """Return the next job that somebody still waits for."""
        with self._wake:
            while self._waiting:
                job = self._waiting.popleft()
                if not job.future.cancelled():
                    return job
        return None

    def _start(self, batcher: Batcher[object], job: Job[object]) -> None:
        task = Task(self.rounds, job.work)
        job.started = time.monotonic()
        self._flying[task] = job
        batcher.start(task)
        if task.ended:
            self._end(task)

    def _end(self, task: Task[object]) -> None:
        job = self._flying.pop(task)
        self._seconds += 0.2 * (time.monotonic() - job.started - self._seconds)
        job.settle(task)


def _closing() -> RequestError:
    return RequestError("the server is closing", status=503, code="closing")
