"""Choice laws: what the examples of `inference.strategies` follow, by enumeration.

Hypothesis distorts what it draws on purpose, so the claim is about the numbers being independent and uniform. With
allowed(x) what may come after the prefix x (the end among it), and share(v | x) the part of its weight that v has in
allowed(x),

    P(text) = Π share(v_t | v_1 ... v_{t-1}),

where the weights are those of `inference.strategies.kinds` or the model's probabilities, and all of it up to 1 / G for
each draw. Where a check refuses some of allowed(x) only when asked, what passes has *at least* its share. So each text
has positive probability, and none outside the language has any.

A draw is a step function of its number. If its breaks are multiples of 1 / `grid`, the middles of the cells stand for
all numbers, and the law is a finite sum. Needs the extra `testing`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

from hypothesis.errors import HypothesisDeprecationWarning, UnsatisfiedAssumption
from hypothesis.strategies import DrawFn

from grammars.choice import Choice
from grammars.constraint import Constraint
from grammars.predicate import prefix_predicate
from inference.engines.table import TableLM
from inference.strategies.bytewise import BytewiseTexts
from inference.strategies.choices import GRAIN
from inference.strategies.runs import _value
from inference.testing.enum_rng import expectation
from ppl.primitives import sample
from ppl.program import program
from ppl.rng import Rng

T = TypeVar("T")
END = ""
"""The end of a text, among the characters that may come."""


def choice_law(draw: Callable[[DrawFn], T], grid: int) -> dict[T | None, float]:
    """Return the law of a function of Hypothesis's choices, if these are uniform; None: the example is rejected."""

    def run(rng: Rng) -> dict[T | None, float]:
        def number(_: Any) -> bytes:
            unit = rng.uniform([k / grid for k in range(1, grid)])
            return int(unit * GRAIN).to_bytes(3, "big")

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HypothesisDeprecationWarning)  # `reject` outside of a test
            try:
                return {draw(number): 1.0}  # type: ignore[arg-type]
            except UnsatisfiedAssumption:
                return {None: 1.0}

    return expectation(run)


def shares(
    language: Collection[str], weights: Callable[[str, Collection[str]], Mapping[str, float]]
) -> dict[str, float]:
    """Return P of each text of a finite language, by its definition; `weights(x, allowed)` gives those after x."""
    law = {}
    for text in language:
        law[text], written = 1.0, ""
        for sign in (*text, END):
            allowed = {(*other[len(written) :], END)[0] for other in language if other.startswith(written)}
            after = weights(written, allowed)
            law[text] *= after[sign] / sum(after.values())
            written += sign
    return law


def byte_weights(_: str, allowed: Collection[str]) -> dict[str, float]:
    """Return the weights of `inference.strategies.kinds` of a, b and the end."""
    letters = 3.0 / max(len(set(allowed) - {END}), 1)
    return {sign: 2.0 if sign == END else letters for sign in allowed}


def check_byte_law(language: Collection[str]) -> None:
    """Check the law of texts without a model, for a finite language over a and b."""
    texts = BytewiseTexts(Choice(list(language)), max_length=16)
    _check_equal(choice_law(texts.draw, 10), shares(language, byte_weights))


def check_refusals(language: Collection[str], among: Collection[str]) -> None:
    """Check that what passes a check has at least its share, for a language over a and b within another."""
    texts = BytewiseTexts(Choice(list(among)) & beginning_of(language), max_length=16)
    law, least = choice_law(texts.draw, 10), shares(among, byte_weights)
    assert set(law) == set(language), f"expected the texts {sorted(language)}, got {law}"
    for text in language:
        assert law[text] >= least[text] - 1e-10, f"{text!r}: at least {least[text]}, got {law[text]}"


def beginning_of(language: Collection[str]) -> Constraint:
    """Return the constraint of a finite language that only checks."""

    @prefix_predicate(complete=lambda text: text in language)
    def beginning(text: str) -> bool:
        return any(other.startswith(text) for other in language)

    return beginning


PROBABILITIES = {"": (0.25, 0.25, 0.5), "a": (0.25, 0.5, 0.25), "b": (0.5, 0.25, 0.25)}
"""Of a, b and the end after each context of one token; whichever of them are allowed, the shares are twelfths."""
LM = TableLM(["a", "b"], lambda _, text: list(PROBABILITIES["ab"[text[-1]] if text else ""]))


def model_weights(written: str, allowed: Collection[str]) -> dict[str, float]:
    """Return the model's probabilities of what is allowed."""
    return {
        sign: dict(zip("ab", PROBABILITIES[written[-1:]], strict=False)).get(
            sign, PROBABILITIES[written[-1:]][2]
        )
        for sign in allowed
    }


def check_token_law(language: Collection[str]) -> None:
    """Check the law of texts of a model, for a language of texts over a and b of up to two signs."""
    _check_equal(choice_law(_drawing(language), 12), shares(language, model_weights))


def _drawing(language: Collection[str]) -> Callable[[DrawFn], str]:
    """Return how a text of a model is drawn."""

    @program
    def text() -> str:
        return sample(LM("", max_tokens=5) & Choice(list(language)))

    return lambda draw: _value(draw, text())


def check_simplest(language: Collection[str]) -> None:
    """Check that the lowest numbers end a text where they can, and else take a before b, or the likelier of them."""
    simplest: dict[Callable[[DrawFn], str], Callable[[str], Iterable[str]]] = {
        BytewiseTexts(Choice(list(language)), max_length=16).draw: lambda _: "ab",
        _drawing(language): lambda written: sorted(
            "ab", key=lambda sign: -PROBABILITIES[written[-1:]]["ab".index(sign)]
        ),
    }
    for draw, order in simplest.items():
        expected = ""
        while expected not in language:
            expected += next(
                v for v in order(expected) if any(text.startswith(expected + v) for text in language)
            )
        found = draw(lambda _: bytes(3))  # type: ignore[arg-type]
        assert found == expected, f"expected {expected!r}, got {found!r}"


def check_finished(language: Collection[str]) -> None:
    """Check that texts that reach the length limit are finished within the language."""
    for constraint in (Choice(list(language)), beginning_of(language)):
        law = choice_law(BytewiseTexts(constraint, max_length=1).draw, 10)
        assert set(law) <= set(language), f"expected texts of {sorted(language)}, got {law}"


def _check_equal(law: Mapping[str | None, float], expected: Mapping[str, float]) -> None:
    for text in {*law, *expected}:
        found, right = law.get(text, 0.0), expected.get(text, 0.0) if text is not None else 0.0
        assert abs(found - right) < 1e-10, f"{text!r}: expected {right}, got {found}"


LANGUAGES = (("a", "ab", "bb"), ("", "a"), ("aa", "ab", "b", "ba"), ("", "b", "ab"))


def check_strategies() -> None:
    """Run the checks that the mutants of strategies must fail."""
    for language in LANGUAGES:
        check_byte_law(language)
        check_token_law(language)
        check_refusals(language, ("", "a", "b", "aa", "ab", "ba", "bb"))
        check_simplest(language)
        check_finished(language)
