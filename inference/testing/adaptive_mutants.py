"""Mutants of adaptive rejection sampling: plausible mistakes in learned bounds and in what corrects for them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from unittest.mock import patch

import numpy as np

from inference import attempts
from inference.attempts import Attempts
from inference.kernels.base import Tokens
from inference.mass_trie import Node
from inference.methods import adaptive_rejection
from inference.testing.mutant import mutant
from inference.text import TextState
from inference.weights import Floats, log_mean_exp
from ppl.rng import Rng


@mutant("ASAp: choices are tilted by the bounds, and no test corrects for it")
def test_left_out() -> Iterator[None]:
    with patch.object(Attempts, "_passes", lambda self, i, log_sum: log_sum > -math.inf):
        yield


@mutant("one dead child takes the bound of its siblings with it")
def bound_too_low() -> Iterator[None]:
    original = Node.sum_of_children

    def sum_of_children(self: Node) -> float:
        dead = any(child.log_bound == -math.inf for child in self.children.values())
        return -math.inf if dead else original(self)

    with patch.object(Node, "sum_of_children", sum_of_children):
        yield


@mutant("a known child counts with its bound, the unknown ones not at all")
def unknown_left_out() -> Iterator[None]:
    def sum_of_children(self: Node) -> float:
        total = math.fsum(c.share * math.exp(c.log_bound - self.level) for c in self.children.values())
        return self.level + math.log(total) if total > 0.0 else -math.inf

    with patch.object(Node, "sum_of_children", sum_of_children):
        yield


@mutant("a token that a check would refuse is written all the same")
def check_left_out() -> Iterator[None]:
    original = attempts._Tilted.draw

    def draw(self: attempts._Tilted, rng: Rng, states: Sequence[TextState]) -> tuple[Tokens, Floats]:
        tokens, log_weights = original(self, rng, states)
        return tokens, np.zeros(len(log_weights))

    with patch.object(attempts._Tilted, "draw", draw):
        yield


@mutant("an attempt is not tested for what others have found since it began")
def root_forgotten() -> Iterator[None]:
    original = Attempts._passes

    def passes(self: Attempts, i: int, log_sum: float) -> bool:
        if self._nodes[i].parent is None:
            return log_sum > -math.inf
        return original(self, i, log_sum)

    with patch.object(Attempts, "_passes", passes):
        yield


@mutant("the evidence is the share of attempts that were accepted, though it says when they stop")
def stopping_ignored() -> Iterator[None]:
    def log_rate(points: int, log_rates: Floats) -> float:
        return math.log(points / len(log_rates)) + log_mean_exp(log_rates)

    with patch.object(adaptive_rejection, "log_rate_of_points", log_rate):
        yield


@mutant("the evidence forgets that the bound fell while the attempts were made")
def rates_forgotten() -> Iterator[None]:
    original = adaptive_rejection.log_rate_of_points

    def log_rate(points: int, log_rates: Floats) -> float:
        return original(points, np.full(len(log_rates), log_rates[-1]))

    with patch.object(adaptive_rejection, "log_rate_of_points", log_rate):
        yield
