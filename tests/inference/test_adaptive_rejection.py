"""Adaptive rejection sampling: exact and independent samples whatever was learned, to 1e-10."""

import math

import numpy as np
import pytest

from grammars import Regex, prefix_predicate
from inference import (
    AWRS,
    AdaptiveRejection,
    BoundExceeded,
    Rejection,
    TableLM,
    infer,
)
from inference.attempts import Attempts
from inference.mass_trie import Node
from inference.methods.adaptive_rejection import log_rate_of_points
from inference.progress import Progress
from inference.runtime import Runtime
from inference.testing import check_together, check_unbiased, expectation, measure
from ppl import Categorical, InvalidArgument, condition, factor, observe, potential, program, sample
from tests.inference.shared_programs import looking_ahead, scattered

LM = TableLM.random(["a", "b"], seed=5)


@program
def checked():
    text = sample(LM("r", max_tokens=1) & Regex("a?").by_check())
    factor(-0.4 * len(text))
    return text


@program
def masked():
    text = sample(LM("r", max_tokens=2) & Regex("a|ab"))
    factor(-0.4 * len(text))
    return text


@program
def finite():
    first = sample(Categorical(["x", "y"], [2, 1]))
    second = sample(Categorical(["x", "y"], [1, 3]) & Regex("x|y"))
    condition((first, second) != ("x", "y"))
    factor(0.4 if first == "x" else -0.3)
    return first, second


@program
def sites():
    kind = sample(Categorical(["x", "y"], [2, 1]))
    text = sample(LM(kind, max_tokens=1) & Regex("a"))
    observe(LM(text, max_tokens=1), "b")
    factor(0.4 if kind == "x" else 0.0)
    return kind, text


@program
def pooled():
    return sample(LM("p", max_tokens=1) ** 2 * potential(lambda text: 0.3 * len(text), at="token"))


MODELS = [(checked(), 0.0), (masked(), 0.0), (finite(), 0.4), (sites(), 0.4), (pooled(), 0.3)]


def run(model, method, rng):
    with Runtime() as runtime:
        return method.run(model, rng, runtime, Progress())


def law(model):
    masses = measure(model)
    return {value: mass / sum(masses.values()) for value, mass in masses.items() if mass > 0.0}


@pytest.mark.parametrize(("model", "log_bound"), MODELS, ids=repr)
def test_first_and_second_sample_are_independent_posterior_draws(model, log_bound):
    method = AdaptiveRejection(2, log_bound=log_bound, batch=1)

    def pair(rng):
        return {tuple(p.value for p in run(model, method, rng).particles): 1.0}

    exact = law(model)
    expected = {(x, y): p * q for x, p in exact.items() for y, q in exact.items()}
    assert expectation(pair) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(("model", "log_bound"), MODELS, ids=repr)
def test_the_evidence_is_unbiased(model, log_bound):
    check_unbiased(model, AdaptiveRejection(2, log_bound=log_bound, batch=1))


def test_attempts_that_advance_together_are_independent():
    check_unbiased(checked(), AdaptiveRejection(2, batch=2))
    check_unbiased(finite(), AdaptiveRejection(2, batch=2, log_bound=0.4))


def test_a_later_sample_needs_fewer_attempts(monkeypatch):
    made = []
    original = Attempts.__init__

    def counted(self, *arguments):
        made.append(1)
        original(self, *arguments)

    monkeypatch.setattr(Attempts, "__init__", counted)

    def attempts(samples):
        def count(rng):
            made.clear()
            run(checked(), AdaptiveRejection(samples, batch=1), rng)
            return {"attempts": float(len(made))}

        return expectation(count)["attempts"]

    evidence = sum(measure(checked()).values())
    first, both = attempts(1), attempts(2)
    assert 1.0 < both - first < first < 1.0 / evidence


def test_where_everything_is_known_nothing_is_rejected():
    long = TableLM.random(["a", "b", "c"], seed=8)

    @program
    def rare():
        return sample(long("x", max_tokens=3) & Regex("(ab|c)a?").by_check())

    few, many = (infer(rare(), AdaptiveRejection(n), seed=1) for n in (200, 400))
    exact = measure(rare())
    evidence = sum(exact.values())
    assert many.cost.tokens - few.cost.tokens <= 200 * 4
    assert many.log_evidence == pytest.approx(math.log(evidence), abs=0.2)
    for value, mass in exact.items():
        assert many.probability(value) == pytest.approx(mass / evidence, abs=0.1)


def test_it_takes_fewer_tokens_than_rejection():
    @prefix_predicate
    def no_b(text):
        return "b" not in text

    @program
    def kept():
        return sample(LM("r", max_tokens=6) & no_b)

    @program
    def conditioned():
        text = sample(LM("r", max_tokens=6))
        condition("b" not in text)
        return text

    plain = infer(conditioned(), Rejection(2000), seed=0)
    for model in (kept(), conditioned()):
        learned = infer(model, AdaptiveRejection(100), seed=0)
        assert learned.cost.tokens / 100 < plain.cost.tokens / len(plain.samples)


def test_bounds_are_sums_over_children():
    root = Node()
    root.choices = 2
    left, right = root.child(0, 0.25), root.child(1, 0.75)
    left.learn(math.log(0.5))
    assert root.log_bound == pytest.approx(math.log(0.25 * 0.5 + 0.75))
    left.learn(0.0)
    assert left.log_bound == pytest.approx(math.log(0.5)), "a bound never rises"
    right.learn(-math.inf)
    assert root.log_bound == pytest.approx(math.log(0.125))
    left.learn(-math.inf)
    assert root.log_bound == -math.inf


def test_the_rate_of_a_thinned_process():
    for points, attempts, rate in ((2, 2, 0.3), (3, 10, 2.0), (50, 5000, 1e-3)):
        estimate = math.exp(log_rate_of_points(points, np.full(attempts, math.log(rate))))
        assert estimate == pytest.approx(rate * (points - 1) / (attempts - 1), rel=1e-12)
    unequal = log_rate_of_points(2, np.log([1.0, 0.25]))
    assert math.exp(unequal) == pytest.approx(0.25 * math.log(4.0) / 0.75, rel=1e-12)


def test_an_impossible_program_is_found_out():
    @program
    def never():
        text = sample(LM("r", max_tokens=2))
        condition(text == "q")

    posterior = infer(never(), AdaptiveRejection(4))
    assert posterior.log_evidence == -math.inf
    assert posterior.cost.tokens < 100


def test_too_few_attempts_give_fewer_samples():
    posterior = infer(masked(), AdaptiveRejection(50, max_attempts=10, batch=4), seed=0)
    assert 0 < len(posterior.samples) < 10
    assert posterior.log_evidence < 0.0


def test_together_as_alone():
    check_together([checked(), masked(), finite()], AdaptiveRejection(4, log_bound=0.4, batch=3))


def test_a_gain_above_the_bound_is_an_error():
    with pytest.raises(BoundExceeded, match=r"above log_bound=0\.3"):
        infer(finite(), AdaptiveRejection(20, log_bound=0.3))


def test_random_weights_and_orders_are_refused():
    with pytest.raises(InvalidArgument, match="lookahead"):
        infer(looking_ahead(), AdaptiveRejection(2))
    with pytest.raises(InvalidArgument, match="random order"):
        infer(scattered(), AdaptiveRejection(2))


def test_bad_parameters():
    with pytest.raises(InvalidArgument, match="no effect"):
        infer(checked(), AdaptiveRejection(2), awrs=AWRS(max_rejects=3))
    for options in ({"samples": 0}, {"max_attempts": 0}, {"batch": 0}, {"log_bound": -1.0}):
        with pytest.raises(InvalidArgument):
            AdaptiveRejection(**options)
