"""Session of a tabular language model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from inference.engines.base import Context, Guess, NextTokens, Session
from inference.engines.errors import SessionClosed
from inference.engines.ledger import Ledger

if TYPE_CHECKING:
    from inference.engines.table import TableLM

Ids = tuple[int, ...]


class TableSession(Session):
    """A session of a `TableLM`; it counts what an engine with a perfect cache would have evaluated."""

    def __init__(self, engine: TableLM) -> None:
        super().__init__()
        self._engine: TableLM | None = engine
        self.pass_cost = engine.pass_cost
        self.rough_cost = 0.0 if engine.rough is None else engine.rough_cost
        self._ledger = Ledger(self.usage)
        self._ahead: set[tuple[Ids, Ids]] = set()

    def knows(self, context: Context) -> bool:
        """Return whether a context was in a draft of the last call."""
        return (context.prompt, context.generated()) in self._ahead

    def recall(self, contexts: Sequence[Context]) -> NextTokens:
        """Return the distributions after contexts that are known."""
        return self._answer([(c.prompt, c.generated()) for c in contexts])

    def next_tokens(
        self,
        contexts: Sequence[Context],
        drafts: Sequence[Sequence[int]] = (),
        guess: Guess | None = None,
    ) -> NextTokens:
        """Return the (U, V) float64 distributions after the U distinct ones of `contexts`."""
        asked = [(c.prompt, c.generated()) for c in contexts]
        given = [tuple(draft) for draft in drafts or [()] * len(asked)]
        drafts = given if guess is None else self._guessed(asked, given, guess)
        limit = self._open().context_length or math.inf
        ahead = [
            (prompt, (*generated, *draft[: n + 1]))
            for (prompt, generated), draft in zip(asked, drafts, strict=True)
            for n in range(len(draft))
            if len(prompt) + len(generated) + n < limit
        ]
        for context in contexts:
            self._open().check_fits(context.prompt, context.length)
        self._ledger.next_tokens(contexts, drafts)
        self.usage.drafted += len(set(ahead))
        self._ahead = set(ahead)
        return self._answer(asked)

    def _guessed(self, asked: Sequence[tuple[Ids, Ids]], drafts: Sequence[Ids], guess: Guess) -> list[Ids]:
        """Return the drafts, with guessed ones for those that have none."""
        rough, result = self._open().rough, list(drafts)
        assert rough is not None
        going = [i for i, draft in enumerate(drafts) if not draft and guess.lengths[i]]
        while going:
            self.usage.rough += 1
            laws = [rough.logprobs(asked[i][0], asked[i][1] + result[i]) for i in going]
            tokens = guess(NextTokens(torch.stack(laws), np.arange(len(laws))), going)
            for i, token in zip(going, tokens, strict=True):
                result[i] += (token,) if token >= 0 else ()
            going = [
                i
                for i, token in zip(going, tokens, strict=True)
                if token >= 0 and len(result[i]) < guess.lengths[i]
            ]
        return result

    def _answer(self, asked: Sequence[tuple[Ids, Ids]]) -> NextTokens:
        engine = self._open()
        rows: dict[tuple[Ids, Ids], int] = {}
        index = [rows.setdefault(key, len(rows)) for key in asked]
        logprobs = torch.stack([engine.logprobs(prompt, generated) for prompt, generated in rows])
        return NextTokens(logprobs, np.array(index, dtype=np.int64))

    def along(self, requests: Sequence[tuple[Ids, Ids]]) -> list[Tensor]:
        """Return for each (prompt, continuation) its (len(continuation) + 1, V) log-probabilities."""
        engine = self._open()
        for prompt, continuation in requests:
            engine.check_fits(prompt, len(continuation))
        self._ledger.along(requests)
        return [torch.stack([engine.logprobs(p, c[:i]) for i in range(len(c) + 1)]) for p, c in requests]

    def close(self) -> None:
        """Forget what was seen."""
        self._engine = None
        self._ledger = Ledger(self.usage)

    def _open(self) -> TableLM:
        if self._engine is None:
            raise SessionClosed("this session is closed", hint="ask the engine for a fresh session()")
        return self._engine
