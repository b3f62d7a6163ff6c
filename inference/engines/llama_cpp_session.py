"""Session of a llama.cpp model: particles are sequences that fork inside the memory of llama.cpp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from inference.engines.base import Context, Guess, NextTokens, Session
from inference.engines.errors import PromptTooLong, SessionClosed
from inference.engines.llama_cpp_population import Population

if TYPE_CHECKING:
    from inference.engines.llama_cpp import LlamaCppEngine

Ids = tuple[int, ...]

CROWD = 192
"""Most contexts of one population; more are shared out to several, each with a memory of its own."""


class LlamaCppSession(Session):
    """Populations of contexts, one as a rule.

    llama.cpp tells 256 sequences apart in one memory. Where more contexts are asked for, each goes to the
    population that has its parent, as long as there is room, and else to another, which evaluates what it lacks of it.

    The tensors returned are shared with the session: do not write to them.
    """

    def __init__(self, engine: LlamaCppEngine) -> None:
        super().__init__()
        self._engine: LlamaCppEngine | None = engine
        self._populations: list[Population] = []

    @torch.inference_mode()
    def next_tokens(
        self,
        contexts: Sequence[Context],
        drafts: Sequence[Sequence[int]] = (),
        guess: Guess | None = None,
    ) -> NextTokens:
        """Return the (U, V) float32 distributions after the U distinct ones of `contexts`; `drafts` are not used.

        Raises
        ------
        PromptTooLong
            If a context does not fit the model.
        SessionFull
            If there is no memory for a context.
        """
        engine = self._open()
        for context in contexts:
            _check_fits(engine, context)
        shares = self._share_out(dict.fromkeys(contexts))
        answers, rows, offset = list[Tensor](), dict[Context, int](), 0
        for population, share in zip(self._populations, shares, strict=True):
            logprobs, places = population.next_tokens(share)
            rows |= {context: offset + place for context, place in places.items()}
            offset += len(logprobs)
            answers.append(logprobs)
        logprobs = answers[0] if len(answers) == 1 else torch.cat(answers)
        return NextTokens(logprobs, np.array([rows[c] for c in contexts], dtype=np.int64))

    @torch.inference_mode()
    def along(self, requests: Sequence[tuple[Ids, Ids]]) -> list[Tensor]:
        """Return for each (prompt, continuation) its (len(continuation) + 1, V) log-probabilities."""
        engine = self._open()
        for prompt, continuation in requests:
            engine.check_fits(prompt, len(continuation))
        if not self._populations:
            self._populations.append(Population(engine, self.usage))
        distinct = list(dict.fromkeys(requests))
        answers = dict(zip(distinct, self._populations[0].along(distinct), strict=True))
        return [answers[request] for request in requests]

    def close(self) -> None:
        """Give back the memory of all sequences."""
        self._engine = None
        for population in self._populations:
            population.close()
        self._populations = []

    def _open(self) -> LlamaCppEngine:
        if self._engine is None:
            raise SessionClosed("this session is closed", hint="ask the engine for a fresh session()")
        return self._engine

    def _share_out(self, contexts: dict[Context, None]) -> list[list[Context]]:
        """Return the contexts that each population answers for; open another if all are full."""
        shares: list[list[Context]] = [[] for _ in self._populations]
        homeless = []
        for context in contexts:
            home = next((i for i, p in enumerate(self._populations) if p.is_home_of(context)), None)
            if home is None or len(shares[home]) == CROWD:
                homeless.append(context)
            else:
                shares[home].append(context)
        for context in homeless:
            room = next((i for i, share in enumerate(shares) if len(share) < CROWD), len(shares))
            if room == len(shares):
                self._populations.append(Population(self._open(), self.usage))
                shares.append([])
            shares[room].append(context)
        return shares


def _check_fits(engine: LlamaCppEngine, context: Context) -> None:
    engine.check_fits(context.prompt)
    if engine.context_length is not None and len(context.prompt) + context.length > engine.context_length:
        raise PromptTooLong(
            f"a text has filled the context of {engine.name!r}, {engine.context_length} tokens",
            hint="shorten the prompt, lower max_tokens, or load a model with a longer context",
        )
