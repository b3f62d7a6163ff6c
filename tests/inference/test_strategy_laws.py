"""The law of strategies, by enumeration of Hypothesis's choices; what they reach, and what they shrink to."""

import random
from itertools import product

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from grammars import Choice, PPLError
from inference.strategies import from_constraint
from inference.strategies.bytewise import BytewiseTexts
from inference.testing.choice_laws import (
    check_byte_law,
    check_finished,
    check_refusals,
    check_simplest,
    check_strategies,
    check_token_law,
    choice_law,
)
from inference.testing.strategy_mutants import STRATEGY_MUTANTS

TEXTS = ["".join(signs) for length in range(4) for signs in product("ab", repeat=length)]
SHORT = [text for text in TEXTS if len(text) < 3]


def languages(texts):
    """Draw a finite language of these texts."""
    return st.sets(st.sampled_from(texts), min_size=1).map(sorted)


@settings(max_examples=25, deadline=None)
@given(languages(TEXTS))
def test_texts_without_a_model_follow_their_law(language):
    check_byte_law(language)
    check_simplest(language)


@settings(max_examples=15, deadline=None)
@given(languages(SHORT))
def test_texts_of_a_model_follow_their_law(language):
    check_token_law(language)


@settings(max_examples=25, deadline=None)
@given(languages(SHORT))
def test_checks_leave_at_least_the_share(language):
    check_refusals(language, SHORT)
    check_finished(language)


def test_the_suite_passes():
    check_strategies()


@pytest.mark.parametrize("mutant", STRATEGY_MUTANTS, ids=lambda m: m.name)
def test_the_suite_kills(mutant):
    with mutant.planted(), pytest.raises((AssertionError, PPLError)):
        check_strategies()
    assert mutant.description


def follow(texts, script):
    """Return the text that these choices make."""
    left = iter(script)
    return texts.draw(lambda _: next(left))


@settings(max_examples=20, deadline=None)
@given(languages(TEXTS), st.integers(0, 2**32))
def test_a_text_is_a_function_of_its_choices(language, seed):
    """Whatever was drawn before, which tables and matchers keep."""
    used, numbers = BytewiseTexts(Choice(language), 16), random.Random(seed)
    for _ in range(5):
        script = [numbers.randbytes(3) for _ in range(8)]
        first, again, fresh = (
            follow(texts, script) for texts in (used, used, BytewiseTexts(Choice(language), 16))
        )
        assert first == again == fresh


@pytest.mark.parametrize("seed", range(20))
def test_a_failure_is_shrunk_to_the_simplest_text_that_fails(seed):
    """The simplest: of the fewest choices, then of the lowest numbers."""
    numbers = random.Random(seed)
    language = numbers.sample(TEXTS, numbers.randint(2, 10))
    failing = numbers.sample(language, numbers.randint(1, len(language)))
    simplest = {}

    def keyed(draw):
        numbers = []
        text = BytewiseTexts(Choice(language), 16).draw(lambda s: numbers.append(draw(s)) or numbers[-1])
        simplest[text] = min(simplest.get(text, (99, [])), (len(numbers), numbers))
        return text

    choice_law(keyed, 10)
    found = find(
        from_constraint(Choice(language)),
        failing.__contains__,
        settings=settings(database=None, max_examples=500),
    )
    assert found == min(failing, key=simplest.__getitem__)
