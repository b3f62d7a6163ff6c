"""Worker processes for slow checks.

Each worker runs one check at a time. A check that crashes its worker or exceeds its time is the outcome of
that check alone: the worker is replaced, the others go on. The pool has no thread of its own: it moves on when
a check is submitted or asked for.

Workers are spawned, never forked: the process of a language model has threads, and a fork copies the locks
that they hold. So a worker imports the functions by their names, as `pickle` does.
"""

from __future__ import annotations

import os
import pickle
import signal
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import RLock
from time import monotonic
from types import FunctionType
from weakref import finalize

from typing_extensions import override

from grammars.errors import GrammarError, PredicateError
from grammars.importable import Importable
from grammars.predicate_checks import Check, Failure, Outcome, Runner, name_of
from grammars.predicate_server import serve

_START_LIMIT = 300.0  # seconds; importing a module with a large library takes up to a minute on a slow disk
_GUARD = (
    "the workers import the module of the predicate, and the main script: see that both import without error, "
    'and begin what the script does with `if __name__ == "__main__":`'
)


class WorkerPool(Runner):
    """Runs checks in worker processes, started when there is work for them.

    Parameters
    ----------
    functions:
        The functions; module-level ones, or objects that can be pickled.
    workers:
        Number of processes, at least 1.
    timeout:
        Seconds that a check may run, or None.
    """

    def __init__(
        self, functions: tuple[Callable[..., object], ...], workers: int, timeout: float | None
    ) -> None:
        super().__init__(functions)
        self._limit = workers
        self._timeout = timeout
        self._payload = b""
        self._workers: list[_Worker] = []
        self._queue: OrderedDict[Check, None] = OrderedDict()
        self._broken: PredicateError | None = None
        self._lock = RLock()
        finalize(self, _stop, self._workers)

    @override
    def ready(self) -> None:
        if not self._payload:
            self._payload = pickle.dumps(tuple(map(_portable_function, self.functions)))

    @override
    def submit(self, check: Check) -> bool:
        with self._lock, self._undisturbed():
            self._queue[check] = None
            self._pump(0.0)
        return True

    @override
    def withdraw(self, check: Check) -> bool:
        with self._lock:
            waiting = check in self._queue
            self._queue.pop(check, None)
        return waiting

    @override
    def run(self, check: Check) -> Outcome:
        with self._lock, self._undisturbed():
            while check.outcome is None:
                if check not in self._queue and all(worker.check is not check for worker in self._workers):
                    self._queue[check] = None
                if check in self._queue:
                    self._queue.move_to_end(check, last=False)  # others have only been announced
                self._pump(None)
                if check.outcome is None and self._broken is not None:
                    error, self._broken = self._broken, None
                    raise error
            return check.outcome

    @override
    def close(self) -> None:
        with self._lock:
            _stop(self._workers)
            self._queue.clear()

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Start afresh if interrupted, since a worker may then have a question that was not noted."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _pump(self, seconds: float | None) -> None:
        """Hand out checks, take in outcomes; wait for one at most `seconds`, or until the next deadline."""
        self._assign()
        deadlines = [worker.deadline for worker in self._workers if worker.deadline is not None]
        if seconds is None and deadlines:
            seconds = max(0.0, min(deadlines) - monotonic())
        if not self._workers:
            return
        by_connection = {worker.connection: worker for worker in self._workers}
        for connection in wait(list(by_connection), seconds):
            self._receive(by_connection[connection])  # type: ignore[index]
        for worker in tuple(self._workers):
            if worker.deadline is not None and worker.deadline < monotonic():
                if worker.connection.poll():
                    self._receive(worker)
                else:
                    self._expire(worker)
        self._assign()

    def _assign(self) -> None:
        """Give queued checks to idle workers, first come first served, and start workers for the others."""
        if any(worker.owner != os.getpid() for worker in self._workers):
            self._workers.clear()  # this process is a fork; they are the workers of its parent
        for worker in list(self._workers):
            if not self._queue:
                return
            if worker.ready and worker.check is None:
                check = next(iter(self._queue))
                try:
                    worker.connection.send((check.function, check.arguments, check.text))
                except OSError:  # it died while idle
                    self._remove(worker)
                    continue
                del self._queue[check]
                worker.check = check
                worker.deadline = None if self._timeout is None else monotonic() + self._timeout
        starting = sum(not worker.ready for worker in self._workers)
        for _ in range(min(len(self._queue) - starting, self._limit - len(self._workers))):
            if self._broken is None:
                self._start()

    def _start(self) -> None:
        self.ready()
        context = get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=serve, args=(there, self._payload), daemon=True)
        try:
            process.start()
        except Exception as error:
            here.close()
            self._break(f"a worker process did not start: {error}")
        else:
            self._workers.append(_Worker(process, here, os.getpid(), deadline=monotonic() + _START_LIMIT))
        finally:
            there.close()

    def _receive(self, worker: _Worker) -> None:
        if worker not in self._workers:
            return  # stopped since
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            self._died(worker)
            return
        if worker.check is not None:
            elapsed, outcome = message
            late = self._timeout is not None and elapsed > self._timeout
            self._settle(worker, self._timed_out() if late else outcome)
        elif message is None:
            worker.ready, worker.deadline = True, None
        else:
            self._break(f"a worker process cannot import the predicate\n{message}")

    def _settle(self, worker: _Worker, outcome: Outcome) -> None:
        assert worker.check is not None
        self.calls += 1
        worker.check.outcome = outcome
        worker.check = worker.deadline = None

    def _died(self, worker: _Worker) -> None:
        code = self._remove(worker, patience=5.0)
        if worker.check is not None:
            what = f"crashed its worker process ({_exit(code)})"
            self._settle(worker, Failure(what, "call it on this text by itself to see why"))
        elif not worker.ready:
            self._break(f"a worker process ended before its first check ({_exit(code)})")

    def _expire(self, worker: _Worker) -> None:
        self._remove(worker)
        if worker.check is not None:
            self._settle(worker, self._timed_out())
        else:
            self._break(f"a worker process was not ready after {_START_LIMIT:.0f} s")

    def _timed_out(self) -> Failure:
        return Failure(
            f"ran for more than its timeout of {self._timeout} s",
            "raise `timeout=`, or let the predicate give up by itself and return True where it is undecided",
        )

    def _remove(self, worker: _Worker, patience: float = 0.0) -> int | None:
        self._workers.remove(worker)
        return worker.stop(patience)

    def _break(self, what: str) -> None:
        """Note why there are no workers; raised to the next who asks for an outcome."""
        _stop(self._workers)
        self._broken = PredicateError(f"predicate {name_of(self.functions[0])}: {what}", hint=_GUARD)


@dataclass(eq=False)
class _Worker:
    """A process and what it does: it starts, is idle, or runs a check until a deadline."""

    process: BaseProcess
    connection: Connection
    owner: int
    ready: bool = False
    check: Check | None = None
    deadline: float | None = None

    def stop(self, patience: float = 0.0) -> int | None:
        """Let the process end by itself for some seconds, then end it; return its exit code."""
        if self.owner != os.getpid():  # this process is a fork; the worker is its parent's
            return None
        self.process.join(patience)
        self.process.kill()
        self.process.join()
        self.connection.close()
        return self.process.exitcode


def _stop(workers: list[_Worker]) -> None:
    while workers:
        workers.pop().stop()


def _exit(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _portable_function(function: Callable[..., object]) -> object:
    """Return what a worker makes the function of."""
    if isinstance(function, FunctionType):
        return Importable.of(function)
    require_picklable(function, f"predicate {name_of(function)}")
    return function


def require_picklable(value: object, what: str) -> None:
    """Raise `GrammarError` unless `value`, called `what`, can be sent to worker processes."""
    try:
        pickle.dumps(value)
    except Exception as error:
        raise GrammarError(
            f"{what} cannot be sent to worker processes: {error}",
            hint="use functions and classes that are defined at the top level of a module, or workers=0",
        ) from error
