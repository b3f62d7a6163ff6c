"""Tasks: runs that are suspended whenever they ask a language model something.

A task runs in a greenlet of its own. Its sessions hand every question to whoever resumed it, and the answer comes with
the next `resume`; nothing of the run itself knows of that. `inference.batching` answers the questions of many together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from greenlet import GreenletExit, getcurrent, greenlet
from torch import Tensor
from typing_extensions import override

from inference.engines.base import Context, Guess, NextTokens, Session
from inference.engines.ledger import Ledger
from inference.engines.warped import unwarped
from inference.sessions import Ids, Sessions
from ppl.lm import LM

T = TypeVar("T")
Sort = Literal["next", "ahead", "along"]
"""The next tokens of populations, those of lookaheads, distributions along given texts."""


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
