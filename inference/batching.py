"""Batching: the language-model calls of many runs, made together.

Each run is a task that goes on until it asks a language model something (`inference.tasks`). A round answers the
questions of all tasks that wait: one call for each language model, of which every run gets its own rows. So a run sees
nothing of the others, and a model sees one population. Runs come and go in between.

Contexts that are left out of a call lose their place in the model's cache. So the populations' next tokens are asked
for when *all* runs wait for them, and what some ask in between, densities of given texts and lookaheads, is answered
first. Then each run makes one tick in each such call, and the cache sees of every run what it would see of it alone.

Reference: Yu et al. (2022), *Orca: a distributed serving system for transformer-based generative models*, where it is
called iteration-level scheduling.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.engines.base import Context, NextTokens, Session
from inference.engines.warped import WarpedLM, unwarped
from inference.sessions import Ids, Sessions
from inference.tasks import Sort, Task
from ppl.errors import InvalidArgument
from ppl.lm import LM

T = TypeVar("T")

_LOGITS = 1 << 26
"""Most logits along given texts that are answered in one round, if several runs ask: they are all in memory at once."""


class Batcher(Generic[T]):
    """The tasks in flight, and the sessions that they share; a context manager that ends them all."""

    def __init__(self) -> None:
        self._tasks: list[Task[T]] = []
        self._sessions = {"next": Sessions(), "ahead": Sessions()}
        self._thread = threading.get_ident()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, task: Task[T]) -> None:
        """Run a task to its first question; it is in flight then, unless it has ended."""
        self._check_thread()
        task.resume()
        if not task.ended:
            self._tasks.append(task)

    def cancel(self, task: Task[T]) -> None:
        """Abandon a task in flight; with the next call its rows leave the caches."""
        self._check_thread()
        self._tasks.remove(task)
        task.cancel()

    def advance(self) -> list[Task[T]]:
        """Make one round; return the tasks that have ended in it."""
        self._check_thread()
        due = self._due()
        answers = self._answers(due)
        for task in due:
            task.resume(answers.pop(task))
        self._tasks = [task for task in self._tasks if not task.ended]
        return [task for task in due if task.ended]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        tasks, self._tasks = self._tasks, []
        for sessions in self._sessions.values():
            sessions.__exit__(kind, error, traceback)
        if threading.get_ident() == self._thread:
            for task in tasks:
                task.cancel()
        elif tasks and kind is GeneratorExit:  # closed elsewhere, where they cannot be ended
            self._check_thread()

    def _due(self) -> list[Task[T]]:
        """Return the tasks that are answered in this round."""
        due: list[Task[T]] = []
        logits = 0
        for task in self._tasks:
            assert task.question is not None
            if task.question.sort == "along":
                logits += task.question.logits
                if logits > _LOGITS and due:
                    continue
            if task.question.sort != "next":
                due.append(task)
        return due or list(self._tasks)

    def _answers(self, due: Sequence[Task[T]]) -> dict[Task[T], dict[LM, Any] | Exception]:
        """Return the answer to each task, or the exception that its question alone leads to."""
        groups: defaultdict[tuple[Sort, LM], list[tuple[Task[T], LM, Sequence[Any]]]] = defaultdict(list)
        for task in due:
            assert task.question is not None
            for lm, part in task.question.asked.items():
                groups[task.question.sort, unwarped(lm)].append((task, lm, part))
        answers: dict[Task[T], dict[LM, Any] | Exception] = {task: {} for task in due}
        for (sort, base), asked in groups.items():
            start = time.perf_counter()
            found = self._ask(sort, base, [part for _, _, part in asked])
            share = (time.perf_counter() - start) / len(asked)
            for (task, lm, part), answer in zip(asked, found, strict=True):
                task.charge(share)
                so_far = answers[task]
                if isinstance(answer, Exception):
                    answers[task] = answer
                elif not isinstance(so_far, Exception):
                    so_far[lm] = _warped(lm, sort, part, answer)
        return answers

    def _ask(self, sort: Sort, lm: LM, parts: Sequence[Sequence[Any]]) -> list[Any]:
        """Ask one language model for all; where that fails, for each by itself, so that only the guilty fail."""
        try:
            session = self._session(sort, lm)
            return _along(session, parts) if sort == "along" else _next_tokens(session, parts)
        except Exception as error:
            if len(parts) == 1:
                return [error]
            return [answer for part in parts for answer in self._ask(sort, lm, [part])]

    def _session(self, sort: Sort, lm: LM) -> Session:
        """Return the session to ask; before another is opened, those that no task in flight has asked are closed."""
        sessions = self._sessions["ahead" if sort == "ahead" else "next"]
        if lm not in sessions:
            sessions.keep(set().union(*(task.lms for task in self._tasks)))
        return sessions[lm]

    def _check_thread(self) -> None:
        if threading.get_ident() != self._thread:
            raise InvalidArgument(
                "results of infer_many are taken, or it is closed, in another thread than that of its first result",
                hint="iterate and close in one thread, and hand the posteriors on, through a queue for example",
            )


def _warped(lm: LM, sort: Sort, part: Sequence[Any], answer: Any) -> Any:
    """Return what a model answers, given what the one answers that was asked for it."""
    if not isinstance(lm, WarpedLM):
        return answer
    return [lm.warp_along(table) for table in answer] if sort == "along" else lm.warp(answer, part)


def _next_tokens(session: Session, parts: Sequence[Sequence[Context]]) -> list[NextTokens]:
    """Ask for all contexts together; return for each part the rows that it would get alone."""
    if len(parts) == 1:
        return [session.next_tokens(parts[0])]
    following = session.next_tokens([context for part in parts for context in part])
    ends = np.cumsum([len(part) for part in parts])
    return [_selected(following.logprobs, rows) for rows in np.split(following.rows, ends[:-1])]


def _selected(logprobs: Tensor, rows: NDArray[np.int64]) -> NextTokens:
    """Return a tensor of the distinct rows alone, in the order in which they first occur."""
    distinct, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    order = np.argsort(first)
    chosen = torch.from_numpy(distinct[order]).to(logprobs.device)
    return NextTokens(logprobs[chosen], np.argsort(order)[inverse])


def _along(session: Session, parts: Sequence[Sequence[tuple[Ids, Ids]]]) -> list[list[Tensor]]:
    tables = iter(session.along([request for part in parts for request in part]))
    return [[next(tables) for _ in part] for part in parts]
