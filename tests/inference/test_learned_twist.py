"""Learned twists: whatever attempts have learned, SMC has the same target and an unbiased evidence, to 1e-10."""

import math

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from grammars import ContradictionError, Regex
from inference import SMC, LearnedTwist, TableLM, Until, infer, infer_many, learn_twist
from inference.testing import TooManyPaths, check_together, check_unbiased, measure
from inference.testing.programs import (
    corrected,
    dead_ends,
    filled,
    forced,
    ragged,
    rejected,
    relabelled,
    relearned,
    tossed,
    two_sites,
    uneven,
)
from inference.testing.strategies import programs
from ppl import Categorical, InvalidArgument, condition, factor, observe, program, sample
from tests.inference.shared_programs import looking_ahead, scattered

LM = TableLM.random(["a", "b"], seed=5)


@program
def stopped():
    """Stop strings, a finite choice of equal values, an observation and gains."""
    mark = sample(Categorical(["x", "x", "y"], [1, 2, 1]))
    text = sample(LM(mark, max_tokens=2, stop="b"))
    observe(LM(text, max_tokens=1), "a")
    factor(0.7 if mark == "x" else -0.3)
    return mark, text


PROGRAMS = (
    two_sites(), dead_ends(), rejected(), corrected(), filled(), forced(), uneven(), tossed(), relabelled(), stopped(),
)  # fmt: skip
PAIRS = (uneven(), filled(), relearned())
"""Of which two runs can be enumerated soon."""


@pytest.mark.parametrize("attempts", [2, 40])
@pytest.mark.parametrize("model", PROGRAMS, ids=repr)
def test_the_target_stays_the_same_whatever_was_learned(model, attempts):
    twist = learn_twist(model, attempts, batch=2)
    assert 0 < twist.attempts <= attempts
    check_unbiased(model, SMC(1, twist=twist))


@pytest.mark.parametrize("model", PAIRS, ids=repr)
def test_resampling_by_a_twist(model):
    check_unbiased(model, SMC(2, 1.0, twist=learn_twist(model, 6, batch=2)))


@pytest.mark.parametrize("model", [relearned(), tossed()], ids=repr)
def test_a_twist_that_is_learned_in_the_run(model):
    check_unbiased(model, SMC(1, twist=1))
    check_unbiased(model, SMC(1, twist=2), max_paths=20_000)


@settings(max_examples=12)
@given(programs(max_statements=3), st.sampled_from([1, 3, 30]), st.integers(1, 2))
def test_twists_of_random_programs(random, attempts, particles):
    model = random.model()
    try:
        twist = learn_twist(model, attempts, batch=1)
        check_unbiased(model, SMC(particles, 1.0, twist=twist), max_paths=500)
    except (TooManyPaths, ContradictionError):
        reject()


def test_what_is_known_to_fail_is_not_drawn():
    toy = TableLM.random(["a", "b", "c", "d"], seed=3)

    @program
    def rare():
        text = sample(toy("x", max_tokens=4))
        condition(text.endswith("ab"))
        return text

    model, exact = rare(), math.log(sum(measure(rare()).values()))
    twist = learn_twist(model, 300)
    assert exact <= twist.log_bound < -0.5

    def errors(method):
        return [abs(math.exp(infer(model, method, seed=s).log_evidence - exact) - 1.0) for s in range(8)]

    plain, twisted = errors(SMC(16)), errors(SMC(16, twist=twist))
    assert sum(twisted) < 0.5 * sum(plain)


def test_everything_that_is_known_leaves_weights_even():
    @program
    def losing():
        text = sample(LM("x", max_tokens=2) & Regex("a?b?"))
        condition(text != "a")
        factor(-0.4 * len(text))
        return text

    model = losing()
    posterior = infer(model, SMC(8, 0.0, twist=learn_twist(model, 300)), seed=1)
    assert posterior.log_evidence == pytest.approx(math.log(sum(measure(model).values())), abs=1e-6)
    assert posterior.ess == pytest.approx(8.0, abs=1e-6)


def test_an_impossible_program():
    @program
    def never():
        text = sample(LM("r", max_tokens=2))
        condition(text == "q")

    model = never()
    assert learn_twist(model).log_bound == -math.inf
    posterior = infer(model, SMC(4, twist=learn_twist(model)))
    assert posterior.log_evidence == -math.inf
    assert posterior.cost.tokens == 0
    assert "known to fail" in posterior.no_survivors


def test_the_attempts_of_a_run_are_counted():
    without, learned = infer(two_sites(), SMC(4)), infer(two_sites(), SMC(4, twist=20))
    assert learned.cost.tokens > without.cost.tokens


@program
def labelled(label, options=None):
    return sample(LM(label, max_tokens=1) & Regex("a|b"))


@program
def twin(label, options=None):
    return sample(LM(label, max_tokens=1) & Regex("a|b"))


def test_another_program_or_other_arguments_are_refused():
    twist = learn_twist(labelled("x", options={"n": 1}), 3)
    infer(labelled("x", options={"n": 1}), SMC(2, twist=twist))
    others = (
        twin("x", options={"n": 1}),
        labelled("y", options={"n": 1}),
        labelled("x", options={"n": 2}),
        labelled("x", options={"n": True}),
        labelled("x"),
        labelled("x", {"n": 1}),
    )
    for other in others:
        with pytest.raises(InvalidArgument, match="a twist that was learned from labelled"):
            infer(other, SMC(2, twist=twist))
    with pytest.raises(InvalidArgument, match="learned from"):
        list(infer_many([labelled("y")], SMC(2, twist=twist)))


def test_an_argument_that_was_changed_in_place_is_another_one():
    options = {"n": 1}
    model = labelled("x", options=options)
    twist = learn_twist(model, 3)
    options["n"] = 2
    with pytest.raises(InvalidArgument, match="learned from"):
        infer(model, SMC(2, twist=twist))


def test_twists_in_other_methods():
    twist = learn_twist(two_sites(), 10)
    assert infer(two_sites(), Until(SMC(4, twist=twist), runs=3)).log_evidence > -math.inf
    check_together([two_sites(), ragged(), two_sites()], SMC(3, twist=5))


def test_random_weights_and_orders_are_refused():
    with pytest.raises(InvalidArgument, match="lookahead"):
        learn_twist(looking_ahead())
    with pytest.raises(InvalidArgument, match="random order"):
        infer(scattered(), SMC(2, twist=3))


def test_it_cannot_be_recorded():
    with pytest.raises(InvalidArgument, match="record=True"):
        infer(uneven(), SMC(2, twist=2), record=True)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SMC(twist=0),
        lambda: SMC(twist="learned"),
        lambda: SMC(twist=3, bridge=2),
        lambda: learn_twist(labelled),
        lambda: learn_twist(uneven(), 0),
        lambda: learn_twist(uneven(), batch=0),
    ],
)
def test_bad_parameters(make):
    with pytest.raises(InvalidArgument):
        make()


def test_a_twist_says_what_it_is_of():
    twist = learn_twist(uneven(), 3)
    assert isinstance(twist, LearnedTwist)
    assert repr(twist) == "<twist of 3 attempts at uneven()>"
    assert repr(twist) in repr(SMC(2, twist=twist))
