"""Posteriors: reading, printing, and keeping them."""

import json
import math

import numpy as np
import pytest
from pydantic import BaseModel

from grammars import Regex
from inference import SMC, Enumerate, Importance, NoSurvivors, Posterior, Rejection, TableLM, infer
from inference.errors import BoundExceeded, BudgetExceeded
from ppl import Categorical, InvalidArgument, condition, factor, program, sample

LM = TableLM.random(["a", "b"], seed=0)


class Pair(BaseModel):
    text: str
    n: int


@program
def pairs():
    text = sample(LM("<x>", max_tokens=2), name="text")
    n = sample(Categorical([1, 2, 3]))
    condition(len(text) < n)
    return Pair(text=text, n=n)


@program
def impossible():
    text = sample(LM("x", max_tokens=1))
    condition(text == "no such text")


def test_reading():
    posterior = infer(pairs(), Enumerate())
    assert sum(p for _, p in posterior.top(100)) == pytest.approx(1.0)
    assert posterior.mode() == posterior.top(1)[0].value
    assert posterior.probability(posterior.mode()) == pytest.approx(posterior.top(1)[0].probability)
    assert posterior.probability(lambda v: v.n > 0) == pytest.approx(1.0)
    assert posterior.expectation(lambda v: np.array([v.n, v.n])) == pytest.approx(
        [posterior.expectation(lambda v: v.n)] * 2
    )
    assert sum(weight for _, weight, _ in posterior) == pytest.approx(1.0)
    assert next(iter(posterior)).trace["text"].value == posterior.samples[0].value.text
    assert isinstance(posterior.sample(), Pair)
    assert len(posterior.sample(5, seed=1)) == 5
    assert 1 <= posterior.ess <= len(posterior)


def test_draws_from_a_posterior_do_not_repeat_those_that_made_it():
    """With one stream for both, the first particle would be drawn exactly where it is "a": 3 times in 4."""

    @program
    def coin():
        return sample(Categorical(["a", "b"]))

    drawn = [infer(coin(), SMC(2), seed=seed).sample(seed=seed) for seed in range(400)]
    assert 0.4 < drawn.count("a") / len(drawn) < 0.6


def test_equal_unhashable_values_are_one_value():
    top = infer(pairs(), SMC(64), seed=0).top(100)
    assert len({v.model_dump_json() for v, _ in top}) == len(top)


def test_same_seed_same_result():
    first, again, other = (infer(pairs(), SMC(16), seed=s) for s in (3, 3, 4))
    assert first.to_dict() | {"cost": 0} == again.to_dict() | {"cost": 0}
    assert first.log_evidence != other.log_evidence


@pytest.mark.parametrize("model", [pairs(), impossible()], ids=repr)
def test_json_round_trip(model):
    posterior = infer(model, SMC(8, 1.0), seed=0)
    text = posterior.to_json()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    again = Posterior.from_json(text, Pair)
    assert again.to_dict() == posterior.to_dict()
    assert again.log_evidence == posterior.log_evidence
    assert [s.value for s in again.samples] == [s.value for s in posterior.samples]
    assert [s.resampled for s in again.steps] == [s.resampled for s in posterior.steps]


def test_no_survivors_names_site_and_reason():
    posterior = infer(impossible(), SMC(4))
    assert posterior.log_evidence == -math.inf
    assert posterior.ess == 0.0
    assert len(posterior) == 0
    assert "no survivors" in repr(posterior)
    assert "no survivors" in posterior._repr_html_()
    for read in (posterior.mode, lambda: posterior.top(1), lambda: list(posterior), posterior.sample):
        with pytest.raises(NoSurvivors, match="impossible") as raised:
            read()
        assert "condition" in str(raised.value)


def test_printing():
    posterior = infer(pairs(), SMC(16), seed=0)
    assert "log evidence" in repr(posterior)
    assert "tokens/s" in repr(posterior)
    page = posterior._repr_html_()
    assert "<table>" in page
    assert page.count("<script") == 0

    @program
    def hostile():
        return sample(Categorical(["<script>alert(1)</script>"]))

    assert "<script>" not in infer(hostile(), Enumerate())._repr_html_()


def test_steps_tell_the_story():
    @program
    def three_tokens():
        factor(1.0)
        return sample(LM("x", max_tokens=3) & Regex("(a|ab)+"))

    posterior = infer(three_tokens(), SMC(32, 1.0), seed=0)
    assert [s.tick for s in posterior.steps] == list(range(1, len(posterior.steps) + 1))
    assert any(s.resampled for s in posterior.steps)
    assert sum(s.log_increment for s in posterior.steps) == pytest.approx(posterior.log_evidence)
    assert posterior.cost.tokens >= 32
    exact = infer(three_tokens(), Enumerate())
    assert sum(s.log_increment for s in exact.steps) == pytest.approx(exact.log_evidence)
    assert not any(s.resampled for s in infer(three_tokens(), SMC(32, 0.0), seed=0).steps)


def test_enumeration_keeps_to_its_budget():
    with pytest.raises(BudgetExceeded, match="max_paths=5"):
        infer(pairs(), Enumerate(max_paths=5))


def test_rejection_keeps_equal_weights_and_checks_its_bound():
    posterior = infer(pairs(), Rejection(64), seed=0)
    assert set(np.round([w for _, w, _ in posterior], 12)) == {round(1 / len(posterior), 12)}

    @program
    def unbounded():
        factor(1.0)

    with pytest.raises(BoundExceeded, match="log_bound"):
        infer(unbounded(), Rejection(4))


def test_methods_agree():
    exact = infer(pairs(), Enumerate()).log_evidence
    for method in (SMC(2000), Importance(2000), Rejection(2000)):
        assert infer(pairs(), method, seed=0).log_evidence == pytest.approx(exact, abs=0.15)


def test_what_json_cannot_hold_is_kept_or_refused():
    @program
    def value(x):
        return sample(Categorical([x]))

    text = infer(value(math.inf), SMC(2)).to_json()
    json.loads(text, parse_constant=pytest.fail)
    assert Posterior.from_json(text, float).mode() == math.inf
    with pytest.raises(InvalidArgument, match="no JSON form"):
        infer(value(b"\xff"), SMC(2)).to_json()


def test_rejection_without_acceptance_says_why():
    @program
    def unlikely():
        text = sample(LM("x", max_tokens=1))
        factor(-50.0)
        return text

    posterior = infer(unlikely(), Rejection(4), seed=0)
    assert posterior.log_evidence == -math.inf
    with pytest.raises(NoSurvivors, match="all 4 attempts were rejected"):
        posterior.mode()


@pytest.mark.parametrize(
    ("values", "distinct"),
    [
        ([{1: 0}, {"1": 0}], 2),
        ([[(2,)], [[2]]], 2),
        ([{0, 8}, {8, 0}], 1),
        ([[1], [1.0], [True]], 1),
        ([np.array([1, 2]), np.array([1, 2]), np.array([1, 3])], 2),
        ([np.zeros(2), np.zeros(3)], 2),
    ],
    ids=str,
)
def test_values_are_distinct_as_python_says(values, distinct):
    @program
    def one_of():
        return sample(Categorical(values))

    posterior = infer(one_of(), Enumerate())
    assert len(posterior.top()) == distinct
    assert sum(p for _, p in posterior.top()) == pytest.approx(1.0)


def test_numpy_seeds_are_seeds():
    assert json.loads(infer(pairs(), SMC(2), seed=np.int64(3)).to_json())["seed"] == 3
