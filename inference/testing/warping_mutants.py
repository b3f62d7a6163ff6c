"""Mutants of warped models and of drawing: mistakes in temperature, nucleus and length, and in the order of choices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from inference import batching, drawing
from inference.engines import warped
from inference.engines.base import Context, NextTokens
from inference.engines.warped import WarpedLM
from inference.resampling import systematic
from inference.testing.mutant import mutant
from ppl.lm import LM


@mutant("a temperature multiplies log-probabilities")
def temperature_inverted() -> Iterator[None]:
    original = WarpedLM._warped

    def inverted(self: WarpedLM, logprobs: Tensor) -> Tensor:
        return original(self, logprobs * self.temperature**2)

    with patch.object(WarpedLM, "_warped", inverted):
        yield


@mutant("what a warp leaves is not normalised")
def warp_unnormalised() -> Iterator[None]:
    with patch.object(warped, "_normalised", lambda logprobs: logprobs):
        yield


@mutant("the token that fills the nucleus is left out")
def nucleus_too_small() -> Iterator[None]:
    def nucleus(logprobs: Tensor, top_p: float) -> Tensor:
        ranked, order = logprobs.sort(dim=-1, descending=True, stable=True)
        kept = torch.where(ranked.exp().cumsum(dim=-1) < top_p, ranked, -torch.inf)
        kept[..., 0] = ranked[..., 0]
        return torch.empty_like(logprobs).scatter_(-1, order, kept)

    with patch.object(warped, "_nucleus", nucleus):
        yield


@mutant("a warped model ends texts a token late")
def ended_late() -> Iterator[None]:
    original = WarpedLM.warp

    def warp(self: WarpedLM, following: NextTokens, contexts: Sequence[Context]) -> NextTokens:
        late = [c.parent if c.parent is not None else c for c in contexts]
        return original(self, following, late)

    with patch.object(WarpedLM, "warp", warp):
        yield


@mutant("given texts are scored without the end that a length forces")
def end_unscored() -> Iterator[None]:
    with patch.object(WarpedLM, "warp_along", lambda self, table: self._warped(table)):
        yield


@mutant("choices are told in the order of the samples")
def choices_in_order() -> Iterator[None]:
    with patch.object(drawing, "_turned", lambda drawn, rng: drawn):
        yield


@mutant("the first choice is drawn, the others are copies of it")
def choices_copied() -> Iterator[None]:
    with patch.object(drawing, "systematic", lambda w, n, rng: np.repeat(systematic(w, 1, rng), n)):
        yield


@mutant("among other runs a warped model answers as the one that it warps")
def warp_forgotten_in_batches() -> Iterator[None]:
    def unchanged(lm: LM, sort: str, part: Sequence[Any], answer: Any) -> Any:
        return answer

    with patch.object(batching, "_warped", unchanged):
        yield
