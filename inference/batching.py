"""Batching: the language-model calls of many runs, made together.

Each run goes on in a greenlet of its own until it asks a language model something; there it is suspended with its
`Question`. A round answers the questions of all runs that wait: one call for each language model, of which every run
gets its own rows. So a run sees nothing of the others, and a model sees one population. Runs come and go in between.

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
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar

import numpy as np
import torch
from greenlet import GreenletExit, getcurrent, greenlet
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from inference.engines.base import Context, Guess, NextTokens, Session
from inference.engines.ledger import Ledger
from inference.engines.warped import WarpedLM, unwarped
from inference.sessions import Ids, Sessions
from ppl.errors import InvalidArgument
from ppl.lm import LM

T = TypeVar("T")
Sort = Literal["next", "ahead", "along"]
"""The next tokens of populations, those of lookaheads, distributions along given texts."""

_LOGITS = 1 << 26
"""Most logits along given texts that are answered in one round, if several runs ask: they are all in memory at once."""


@dataclass(frozen=True)
class Question:
    """What a run wants to know of language models: contexts, or pairs of prompt and continuation, for each."""

    sort: Sort
    asked: Mapping[LM, Sequence[Any]]

    @property
    def logits(self) -> int:
        """The size of the answer to a question about given texts."""
        return sum(
            (len(continuation) + 1) * lm.vocabulary.size
            for lm, requests in self.asked.items()
            for _, continuation in requests
        )


class Task(Generic[T]):
    """One run: a function that is suspended at each question; in the end it has a `result` or an `error`.

    Attributes
    ----------
    index:
        For who starts it to know it by.
    question:
        What it waits for.
    lms:
        The language models that it has asked; of warped ones, the models that they warp.
    """

    def __init__(self, index: int, work: Callable[[Task[T]], T]) -> None:
        self.index = index
        self.question: Question | None = None
        self.result: T | None = None
        self.error: Exception | None = None
        self.lms: set[LM] = set()
        self._seconds = 0.0
        self._resumed: float | None = None
        self._greenlet = greenlet(lambda: self._run(work))
        self._greenlet.gr_context = copy_context()

    @property
    def ended(self) -> bool:
        """Whether it has a result or an error."""
        return self._greenlet.dead

    def clock(self) -> float:
        """Return the seconds that the run has taken: its own, and its part of the calls that it shared."""
        running = 0.0 if self._resumed is None else time.perf_counter() - self._resumed
        return self._seconds + running

    def charge(self, seconds: float) -> None:
        """Add its part of a shared call."""
        self._seconds += seconds

    def resume(self, answer: Any = None) -> None:
        """Run on to the next question or to the end; an exception as the answer is raised where it was asked."""
        self._greenlet.parent = getcurrent()
        self._resumed = time.perf_counter()
        try:
            if isinstance(answer, Exception):
                self.question = self._greenlet.throw(answer)
            else:
                self.question = self._greenlet.switch(*(() if self.question is None else (answer,)))
        finally:
            self.charge(time.perf_counter() - self._resumed)
            self._resumed = None
        if self.question is not None:
            self.lms |= {unwarped(lm) for lm in self.question.asked}

    def ask(self, question: Question) -> Any:
        """Suspend the run, from inside, until somebody answers."""
        assert getcurrent() is self._greenlet, "a language model was asked from within a program"
        assert self._greenlet.parent is not None
        return self._greenlet.parent.switch(question)

    def cancel(self) -> None:
        """Abandon the run; its `finally` blocks are executed."""
        if not self.ended:
            self._greenlet.parent = getcurrent()
            self._greenlet.throw(GreenletExit)

    def _run(self, work: Callable[[Task[T]], T]) -> None:
        try:
            self.result = work(self)
        except Exception as error:
            self.error = error


class TaskSessions(Sessions):
    """The sessions of one run, which hand on what they are asked; `usage` is that of the run alone."""

    def __init__(self, task: Task[Any], sort: Sort = "next") -> None:
        super().__init__()
        self._task = task
        self._sort = sort

    @override
    def __getitem__(self, lm: LM) -> _TaskSession:
        return self._open.setdefault(lm, _TaskSession(self, lm))  # type: ignore[return-value]

    @override
    def next_tokens(
        self,
        asked: Mapping[LM, Sequence[Context]],
        drafts: Mapping[LM, Sequence[Sequence[int]]] | None = None,
        guesses: Mapping[LM, Guess] | None = None,
    ) -> dict[LM, NextTokens]:
        assert drafts is None, "a call that many runs share has rows enough"
        answers: dict[LM, NextTokens] = self._answers(self._sort, asked)
        for lm, contexts in asked.items():
            self[lm].ledger.next_tokens(contexts)
        return answers

    @override
    def along(self, asked: Mapping[LM, Sequence[tuple[Ids, Ids]]]) -> dict[LM, list[Tensor]]:
        answers: dict[LM, list[Tensor]] = self._answers("along", asked)
        for lm, requests in asked.items():
            self[lm].ledger.along(requests)
        return answers

    @override
    def apart(self) -> TaskSessions:
        return TaskSessions(self._task, "ahead")

    def _answers(self, sort: Sort, asked: Mapping[LM, Sequence[Any]]) -> dict[LM, Any]:
        answers: dict[LM, Any] = self._task.ask(Question(sort, asked)) if asked else {}
        return answers


class _TaskSession(Session):
    """One of them, for who asks a single language model."""

    def __init__(self, sessions: TaskSessions, lm: LM) -> None:
        super().__init__()
        self.ledger = Ledger(self.usage)
        self._sessions = sessions
        self._lm = lm

    @override
    def next_tokens(
        self,
        contexts: Sequence[Context],
        drafts: Sequence[Sequence[int]] = (),
        guess: Guess | None = None,
    ) -> NextTokens:
        return self._sessions.next_tokens({self._lm: contexts})[self._lm]

    @override
    def along(self, requests: Sequence[tuple[Ids, Ids]]) -> list[Tensor]:
        return self._sessions.along({self._lm: requests})[self._lm]

    @override
    def close(self) -> None:
        """Give nothing back: the memory is shared."""


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
