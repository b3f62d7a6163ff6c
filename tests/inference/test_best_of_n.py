"""Best of N returns what its law says, computed from the exact measures of the proposal and the program."""

import math

import pytest

from grammars import Regex
from inference import BestOfN, Enumerate, Importance, TableLM, infer
from inference.progress import Progress
from inference.runtime import Runtime
from inference.testing import expectation, measure
from ppl import Categorical, InvalidArgument, ProgramError, condition, factor, program, sample

LETTERS = TableLM(
    ["a", "b", "c"],
    lambda prompt, generated: [0.0, 0.0, 0.0, 1.0] if generated else [0.5, 0.2, 0.3, 0.0],
)
"""Texts of one letter, so that the only weights are those that the program gives."""

FACTORS = {"a": -1.0, "b": 0.5, "c": 0.5, "ax": 0.0, "cy": 2.0}


@program
def weighed(weights: bool):
    """Runs of different and of equal weights, some of them without any."""
    letter = sample(LETTERS("x", max_tokens=1))
    coin = sample(Categorical("xy", [0.4, 0.6]))
    if weights:
        factor(FACTORS.get(letter + coin, FACTORS[letter]))
        condition(letter + coin != "by")
    return letter + coin


def law_of_the_best_of_two(proposal, target, by):
    """The probabilities of (first, second) in all orders, and which of the two is kept."""
    law = {}

    def rank(value):
        mass = target.get(value, 0.0)
        return (False, 0.0) if mass == 0.0 else (True, by(value, mass / proposal[value]))

    for first, p in proposal.items():
        for second, q in proposal.items():
            kept = second if rank(second) > rank(first) and not close(rank, first, second) else first
            if target.get(kept, 0.0) > 0.0:
                law[kept] = law.get(kept, 0.0) + p * q
    return law


def close(rank, first, second):
    return math.isclose(rank(first)[1], rank(second)[1]) and rank(first)[0] == rank(second)[0]


def drawn_law(model, method):
    def run(rng):
        with Runtime() as runtime:
            result = method.run(model, rng, runtime, Progress())
        assert len(result.particles) == 1
        return {
            p.value: 1.0 for p, w in zip(result.particles, result.log_weights, strict=True) if w > -math.inf
        }

    return expectation(run)


def preference(value):
    return {"a": 2.0, "b": 5.0, "c": 3.0}[value[0]] + 0.5 * (value[1] == "y")


@pytest.mark.parametrize("ranking", ["weight", "value"])
def test_the_law_is_that_of_the_best_of_two(ranking):
    proposal, target = measure(weighed(False)), measure(weighed(True))
    assert "by" in proposal
    assert "by" not in target
    if ranking == "weight":
        law = law_of_the_best_of_two(proposal, target, lambda value, weight: weight)
        method = BestOfN(2)
    else:
        law = law_of_the_best_of_two(proposal, target, lambda value, weight: preference(value))
        method = BestOfN(2, by=preference)
    assert 0.9 < sum(law.values()) < 1.0  # both may die
    assert drawn_law(weighed(True), method) == pytest.approx(law, abs=1e-10)


def test_masks_weigh_all_runs_alike_and_then_the_first_is_kept():
    @program
    def masked():
        return sample(LETTERS("x", max_tokens=1) & Regex("a|b"))

    assert drawn_law(masked(), BestOfN(2)) == pytest.approx({"a": 5 / 7, "b": 2 / 7}, abs=1e-10)


def test_the_best_of_one_is_a_draw_from_the_proposal():
    proposal = measure(weighed(False))
    del proposal["by"]
    assert drawn_law(weighed(True), BestOfN(1)) == pytest.approx(proposal, abs=1e-10)


def test_it_is_not_the_posterior():
    exact = infer(weighed(True), Enumerate())
    law = drawn_law(weighed(True), BestOfN(2))
    assert abs(law["cy"] / sum(law.values()) - exact.probability("cy")) > 0.05


def test_the_evidence_is_that_of_all_runs():
    best, all_ = infer(weighed(True), BestOfN(8), seed=3), infer(weighed(True), Importance(8), seed=3)
    assert best.log_evidence == all_.log_evidence
    assert best.cost.tokens == all_.cost.tokens
    assert len(best) == 1
    assert best.samples[0].log_weight == max(s.log_weight for s in all_.samples)
    assert infer(weighed(True), BestOfN(8, by=preference), seed=3).mode() == max(
        (s.value for s in all_.samples), key=preference
    )


def test_no_survivors():
    @program
    def never():
        sample(LETTERS("x", max_tokens=1))
        condition(False)

    posterior = infer(never(), BestOfN(3, by=lambda value: 1.0))
    assert posterior.log_evidence == -math.inf
    assert len(posterior) == 0


def test_bad_rankings_are_told():
    for by, shown in [(lambda value: None, "returned None"), (lambda value: math.nan, "returned nan")]:
        with pytest.raises(InvalidArgument, match=shown):
            infer(weighed(True), BestOfN(2, by=by))
    with pytest.raises(ProgramError, match=r"raised KeyError at the value '.x|.y'"):
        infer(weighed(True), BestOfN(2, by=lambda value: {}[value]))
    with pytest.raises(InvalidArgument, match="a function"):
        BestOfN(2, by="reward")
    with pytest.raises(InvalidArgument, match="particles=0"):
        BestOfN(0)
