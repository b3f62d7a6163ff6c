"""Sessions: one session per language model of a run, opened when first needed, closed together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Self

from torch import Tensor

from inference.engines.base import Context, Engine, Guess, NextTokens, Session, Usage
from ppl.errors import InvalidArgument
from ppl.lm import LM

Ids = tuple[int, ...]


class Sessions:
    """The open sessions of a run; a context manager that gives all their memory back."""

    def __init__(self) -> None:
        self._open: dict[LM, Session] = {}

    def __getitem__(self, lm: LM) -> Session:
        if lm not in self._open:
            if not isinstance(lm, Engine):
                raise InvalidArgument(
                    f"{lm!r} is a language model that cannot compute",
                    hint='use an engine, for example inference.load("smollm2")',
                )
            self._open[lm] = lm.session()
        return self._open[lm]

    def next_tokens(
        self,
        asked: Mapping[LM, Sequence[Context]],
        drafts: Mapping[LM, Sequence[Sequence[int]]] | None = None,
        guesses: Mapping[LM, Guess] | None = None,
    ) -> dict[LM, NextTokens]:
        """Ask each language model what may come next after its contexts, see `Session.next_tokens`.

        Ask for a tick's contexts of all models at once: then runs that are batched (`inference.batching`) stay in step.
        """
        drafts, guesses = drafts or {}, guesses or {}
        return {
            lm: self[lm].next_tokens(contexts, drafts.get(lm, ()), guesses.get(lm))
            if self[lm].pass_cost > 0.0
            else self[lm].next_tokens(contexts)
            for lm, contexts in asked.items()
        }

    def recall(self, asked: Mapping[LM, Sequence[Context]]) -> dict[LM, NextTokens]:
        """Ask each language model for what it knows, see `Session.recall`."""
        return {lm: self[lm].recall(contexts) for lm, contexts in asked.items()}

    def along(self, asked: Mapping[LM, Sequence[tuple[Ids, Ids]]]) -> dict[LM, list[Tensor]]:
        """Ask each language model for its distributions along given texts, see `Session.along`."""
        return {lm: self[lm].along(requests) for lm, requests in asked.items()}

    def apart(self) -> Sessions:
        """Return sessions of their own, for contexts that must not take the places of these in a cache."""
        return Sessions()

    def __contains__(self, lm: LM) -> bool:
        return lm in self._open

    def keep(self, lms: Collection[LM]) -> None:
        """Close the sessions of all other language models."""
        for lm in self._open.keys() - set(lms):
            self._open.pop(lm).close()

    @property
    def usage(self) -> Usage:
        """What all sessions have spent so far."""
        return sum((session.usage for session in self._open.values()), Usage())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.keep(())
