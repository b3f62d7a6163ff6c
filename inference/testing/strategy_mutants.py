"""Mutants of strategies: plausible mistakes that `choice_laws.check_strategies` must find; a list of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from unittest.mock import patch

from inference.strategies import bytewise, choices, completion, kinds
from inference.strategies.bytewise import BytewiseTexts
from inference.testing.mutant import Mutant, mutant

STRATEGY_MUTANTS: list[Mutant] = []


@mutant("a number is compared with masses that are not normalised", mutants=STRATEGY_MUTANTS)
def masses_not_normalised() -> Iterator[None]:
    def first_above(cumulative: Sequence[float], unit: float) -> int:
        return next((k for k, mass in enumerate(cumulative) if mass > unit), len(cumulative) - 1)

    with patch.object(bytewise, "first_above", first_above):
        yield


@mutant(
    "a model's tokens are taken in the order of their ids, with the masses of another order",
    mutants=STRATEGY_MUTANTS,
)
def masses_of_another_order() -> Iterator[None]:
    original = choices._Order.__init__

    def init(self: Any, logits: Any, state: Any) -> None:
        original(self, logits, state)
        self.indices = sorted(self.indices)

    with patch.object(choices._Order, "__init__", init):
        yield


@mutant("the likeliest token is taken, whatever the number", mutants=STRATEGY_MUTANTS)
def greedy() -> Iterator[None]:
    with patch.object(choices._Order, "at", lambda self, unit: 0):
        yield


@mutant("the end comes last, so examples shrink to long texts", mutants=STRATEGY_MUTANTS)
def end_last() -> Iterator[None]:
    original = kinds.weighted

    def weighted(found: Any) -> tuple[list[bytes], list[float]]:
        options, weights = original(found)
        return options[::-1], weights[::-1]

    with patch.object(bytewise, "weighted", weighted):
        yield


@mutant("the likeliest token comes before the end", mutants=STRATEGY_MUTANTS)
def end_not_first() -> Iterator[None]:
    original = choices._Order.__init__
    with patch.object(choices._Order, "__init__", lambda self, logits, state: original(self, logits, None)):
        yield


@mutant("a text ends where its matcher accepts, without the final check", mutants=STRATEGY_MUTANTS)
def final_check_left_out() -> Iterator[None]:
    with patch.object(BytewiseTexts, "_may_end", lambda self, matcher, data: matcher.is_accepting()):
        yield


@mutant("a text that was left off is finished without the final check", mutants=STRATEGY_MUTANTS)
def completion_unchecked() -> Iterator[None]:
    original = completion.shortest_completion

    def unchecked(matcher: Any, data: bytes, accepts: Any, **options: Any) -> bytes | None:
        return original(matcher, data, lambda text: True, **options)

    with patch.object(bytewise, "shortest_completion", unchecked):
        yield


@mutant("a text that was left off is returned as it is", mutants=STRATEGY_MUTANTS)
def left_off() -> Iterator[None]:
    with patch.object(BytewiseTexts, "_finished", lambda self, trail: trail[-1][0]):
        yield


@mutant("texts hurry to their end from the first byte", mutants=STRATEGY_MUTANTS)
def always_late() -> Iterator[None]:
    original = kinds.kinds_of

    def kinds_of(allowed: Any, hints: Any = (), *, late: bool = False) -> Any:
        return original(allowed, hints, late=True)

    with patch.object(bytewise, "kinds_of", kinds_of):
        yield


@mutant("a model's text hurries to its end from the first token", mutants=STRATEGY_MUTANTS)
def always_in_a_hurry() -> Iterator[None]:
    with patch.object(
        choices, "_hurry", lambda state, _: choices._HURRY * choices._closing(state.vocabulary, False)
    ):
        yield
