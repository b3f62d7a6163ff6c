"""Mutants of batching: plausible mistakes in running many programs together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from inference import batching, many
from inference.engines.base import NextTokens
from inference.testing.mutant import mutant


@mutant("the rows of a run are selected in one order and numbered in another")
def rows_misnumbered() -> Iterator[None]:
    def selected(logprobs: Tensor, rows: NDArray[np.int64]) -> NextTokens:
        distinct, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
        return NextTokens(logprobs[distinct], np.argsort(first)[inverse])

    with patch.object(batching, "_selected", selected):
        yield


@mutant("the answers to two runs are exchanged")
def answers_exchanged() -> Iterator[None]:
    original = batching._next_tokens

    def next_tokens(session: Any, parts: Sequence[Any]) -> list[NextTokens]:
        return original(session, parts)[::-1]

    with patch.object(batching, "_next_tokens", next_tokens):
        yield


@mutant("all programs are run with the same seed")
def one_seed() -> Iterator[None]:
    with patch.object(many, "program_seed", lambda seed, index: seed):
        yield
