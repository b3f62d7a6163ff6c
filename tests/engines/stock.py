"""Answers of a session next to those of the stock model, which evaluates each context alone and whole."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from inference.engines.base import Context, Session
from inference.engines.transformers import TransformersEngine

TOLERANCE = 1e-4


class Reference:
    """The stock model without a cache, one context at a time."""

    def __init__(self, engine: TransformersEngine) -> None:
        self.engine = engine
        self.known: dict[tuple[int, ...], torch.Tensor] = {}

    def __call__(self, ids: tuple[int, ...]) -> torch.Tensor:
        if ids not in self.known:
            with torch.inference_mode():
                logits = self.engine.forward.model(input_ids=torch.tensor([ids]), use_cache=False).logits[
                    0, -1
                ]
                self.known[ids] = self.engine.softmax(logits)
        return self.known[ids]


def agree(a: torch.Tensor, b: torch.Tensor) -> bool:
    finite = torch.isfinite(b)
    return bool((finite == torch.isfinite(a)).all()) and bool((a[finite] - b[finite]).abs().max() < TOLERANCE)


def check(
    engine: TransformersEngine, session: Session, contexts: Sequence[Context], reference: Reference
) -> None:
    answer = session.next_tokens(contexts)
    assert answer.logprobs.dtype == torch.float32
    assert len(answer.rows) == len(contexts)
    for context, row in zip(contexts, answer.rows, strict=True):
        assert agree(answer.logprobs[row], reference(context.prompt + context.generated()))


def words(rng: random.Random, n: int) -> tuple[int, ...]:
    return tuple(rng.randrange(2, 280) for _ in range(n))
