"""Nested programs against brute force: the measure of the inner program, by estimates and by exact masses."""

import math
from dataclasses import replace

import pytest

from grammars import Regex, text_predicate
from inference import (
    SMC,
    AdaptiveRejection,
    BeamSearch,
    BestOfN,
    BudgetExceeded,
    Enumerate,
    Importance,
    LocallyConstrained,
    ParticleGibbs,
    ParticleIndependentMH,
    Rejection,
    ResampleMoveSMC,
    SingleSiteMH,
    SteeringSMC,
    SuffixMCMC,
    TableLM,
    TemperedSMC,
    Until,
    infer,
    nested,
    normalised,
)
from inference.testing import check_invariant, check_together, check_unbiased
from inference.testing.rejuvenation import check_rejuvenation
from ppl import Categorical, InvalidArgument, condition, factor, observe, potential, program, sample

LM = TableLM.random(["a", "b"], seed=12)


@program
def inner(prompt):
    """A program whose evidence is far from 1 and depends on its argument."""
    text = sample(LM(prompt, max_tokens=1) & Regex("a|b"))
    factor(0.9 * len(prompt) if text == "a" else -0.4)
    return text


@program
def inside(method):
    """A nested program between a value that it depends on, and a text that depends on it."""
    prompt = sample(Categorical(["", "b"], [1, 2]))
    text = sample(nested(inner(prompt), method))
    factor(0.5 if text == prompt else 0.0)
    return prompt, text, sample(LM(text, max_tokens=1) & Regex("a?"))


@program
def judged(method):
    """The mass that a nested program gives to a value."""
    prompt = sample(Categorical(["", "b"], [1, 2]))
    observe(nested(inner(prompt), method), "a")
    return prompt


@program
def posterior_inside(method):
    prompt = sample(Categorical(["", "b"], [1, 2]))
    return prompt, sample(normalised(inner(prompt), method))


@program
def posterior_judged(method):
    prompt = sample(Categorical(["", "b"], [1, 2]))
    observe(normalised(inner(prompt), method), "a")
    return prompt


INNER = (
    Importance(1),
    Importance(2),
    SMC(2, 1.0),
    SteeringSMC(1),
    ResampleMoveSMC(1, every=1),
    TemperedSMC(1, (0.5, 1.0)),
    Rejection(2, log_bound=1.0),
    Enumerate(),
)


@pytest.mark.parametrize("method", INNER, ids=repr)
def test_it_is_the_measure_of_the_inner_program(method):
    check_unbiased(inside(method), Importance(1))
    check_unbiased(judged(method), Importance(1))


@pytest.mark.parametrize(
    "outer",
    [SMC(2, 1.0), SteeringSMC(1), SteeringSMC(2), TemperedSMC(1, (0.5, 1.0)), Rejection(1, log_bound=2.0)],
    ids=repr,
)
def test_outer_methods_that_sample(outer):
    check_unbiased(inside(Importance(1)), outer, max_paths=200_000)
    check_unbiased(judged(Importance(1)), outer)


@pytest.mark.parametrize(
    "outer", [Enumerate(), BeamSearch(100), AdaptiveRejection(2, batch=1, log_bound=3.0)], ids=repr
)
def test_outer_methods_that_need_exact_masses(outer):
    check_unbiased(judged(Enumerate()), outer)
    if not isinstance(outer, AdaptiveRejection):
        check_unbiased(inside(Enumerate()), outer)
        check_unbiased(posterior_inside(Enumerate()), outer)
    for model in (inside(SMC(2)), judged(SMC(2)), posterior_inside(Rejection(4, log_bound=1.0))):
        with pytest.raises(
            InvalidArgument, match=r"sample at .*its masses are estimates|masses are estimates"
        ):
            infer(model, outer)


GIBBS = ParticleGibbs(2, 1, start_particles=1, ess_threshold=1.0)
SUFFIX = SuffixMCMC(1, 1, start_particles=1)
SINGLE = SingleSiteMH(1, 1, start_particles=1)


@program
def coin():
    side = sample(Categorical("xy", [1, 2]))
    factor(0.7 if side == "x" else -0.2)
    return side


@program
def around_a_coin():
    side = sample(nested(coin(), Importance(1)))
    return side, sample(LM(side, max_tokens=1) & Regex("a?"))


@program
def judged_coin():
    text = sample(LM("", max_tokens=1) & Regex("a?"))
    observe(nested(coin(), Importance(2)), "x")
    return text


@pytest.mark.parametrize(
    "chain", [GIBBS, SUFFIX, replace(SUFFIX, cut="entropy"), ParticleIndependentMH(1, 1), SINGLE], ids=repr
)
@pytest.mark.parametrize("model", [around_a_coin(), judged_coin()], ids=repr)
def test_chains_are_pseudo_marginal(chain, model):
    check_invariant(model, chain)


def test_moves_of_partial_runs():
    check_rejuvenation(around_a_coin(), 1)


def test_the_posterior_of_the_inner_program():
    check_unbiased(posterior_inside(Enumerate()), Importance(1))
    check_unbiased(posterior_judged(Enumerate()), Importance(1))
    assert infer(posterior_inside(None), Enumerate()).log_evidence == pytest.approx(0.0, abs=1e-12)

    @program
    def around(method):
        return sample(normalised(coin(), method))

    exact = infer(coin(), Enumerate())
    for method in (Rejection(40, log_bound=0.7), AdaptiveRejection(1, log_bound=0.7)):
        drawn = infer(around(method), Importance(400), seed=1)
        assert drawn.log_evidence == pytest.approx(0.0, abs=1e-12)
        assert drawn.probability("x") == pytest.approx(exact.probability("x"), abs=0.08)


def test_it_is_not_the_unnormalised_measure():
    a, b = infer(inside(Enumerate()), Enumerate()), infer(posterior_inside(Enumerate()), Enumerate())
    assert abs(a.probability(lambda v: v[0] == "b") - b.probability(lambda v: v[0] == "b")) > 0.01
    assert b.probability(lambda v: v[0] == "b") == pytest.approx(2 / 3)


def test_a_nested_estimate_of_a_posterior_would_be_biased():
    """Why `normalised` takes exact methods only: values drawn by the weights of two particles."""
    from inference.nesting import _target

    @program
    def estimated():
        return sample(_target(inner("b"), Importance(2), normalised=True))

    with pytest.raises(AssertionError, match="expected"):
        check_unbiased(estimated(), Importance(1))


@pytest.mark.parametrize(
    "method",
    [
        BeamSearch(2),
        BestOfN(2),
        LocallyConstrained(2),
        TemperedSMC(2),
        ParticleGibbs(2, 2),
        Until(SMC(2), runs=2),
        "SMC",
    ],
    ids=repr,
)
def test_refused_methods(method):
    with pytest.raises(InvalidArgument, match="no unbiased estimate"):
        nested(inner("b"), method)
    with pytest.raises(InvalidArgument, match="not exactly from the posterior"):
        normalised(inner("b"), method)


def test_a_program_is_called_first():
    with pytest.raises(InvalidArgument, match="no model"):
        nested(inner, SMC(2))


@pytest.mark.parametrize(
    "make",
    [
        lambda t: t**2,
        lambda t: t & Regex("a"),
        lambda t: t * t,
        lambda t: t * LM("x"),
        lambda t: t * potential(len),
    ],
)
def test_it_is_no_part_of_another_target(make):
    @program
    def composed():
        return sample(make(nested(inner("b"), SMC(2))))

    with pytest.raises(Exception, match="a nested program is no part of another target"):
        infer(composed(), SMC(2))


@program
def impossible():
    condition(sample(LM("", max_tokens=1)) == "q")


def test_a_nested_program_without_mass():
    @program
    def around(target):
        return sample(target)

    for outer in (SMC(2), SteeringSMC(2), Enumerate(), BeamSearch(2), ParticleGibbs(2, 2)):
        posterior = infer(around(nested(impossible(), Enumerate())), outer)
        assert posterior.log_evidence == -math.inf
        assert "nested program" in posterior.no_survivors
    with pytest.raises(InvalidArgument, match="evidence is 0"):
        infer(around(normalised(impossible())), SMC(2))
    with pytest.raises(BudgetExceeded, match="0 of 1 samples"):
        infer(around(normalised(impossible(), Rejection(3))), SMC(2))


@program
def nested_twice():
    return sample(nested(around_a_coin(), Importance(1)))


def test_nesting_nests():
    check_unbiased(nested_twice(), Importance(1))
    check_unbiased(nested_twice(), SteeringSMC(1))


def test_settings_of_the_outer_run_stay():
    @program
    def powered():
        text = sample(nested(inner("b"), SMC(2)))
        return text, sample(LM(text, max_tokens=2) ** 2 & Regex("[ab]*"))

    posterior = infer(powered(), SMC(4, bridge=2), seed=1)
    assert posterior.record is None
    recorded = infer(powered(), SMC(4), seed=1, record=True)
    total = math.fsum(move.log_weight for move in recorded.record.moves(0))
    assert total == pytest.approx(recorded.samples[0].log_weight, abs=1e-10)


def test_replays_find_the_same_target():
    posterior = infer(inside(SMC(2)), SMC(32, 1.0), seed=3)
    assert any(step.resampled for step in posterior.steps)
    exact = infer(inside(Enumerate()), Enumerate())
    many = infer(inside(SMC(2)), Importance(400), seed=3)
    assert many.log_evidence == pytest.approx(exact.log_evidence, abs=0.2)


def test_costs_are_counted():
    plain, around = infer(inner("b"), SMC(8)), infer(inside(SMC(8)), SMC(4))
    assert around.cost.tokens > 4 * plain.cost.tokens
    assert around.cost.lm_calls > 4
    assert {site.address.split(":")[0] for site in around.sites} == {"inner", "inside"}


def test_exact_masses_are_computed_once():
    calls = []

    @program
    def counted():
        calls.append(0)
        return sample(Categorical("ab"))

    @program
    def around():
        return sample(nested(counted(), Enumerate())), sample(normalised(counted()))

    infer(around(), Importance(16))
    assert len(calls) < 16


def test_together():
    check_together([inside(SMC(2)), judged(SMC(2)), inside(Enumerate()), inside(SteeringSMC(2))], SMC(3))


def test_explain_shows_what_is_inside():
    shown = str(inside(SMC(2)).explain())
    assert "nested: each run of this program computes it" in shown
    assert "nested(inner('" in shown
    assert "SMC(particles=2" in shown
    assert "sample at inner:" in shown
    assert "observe at judged:" in str(judged(SMC(2)).explain())


@text_predicate
def no_b(text: str) -> bool:
    return "b" not in text


@program
def checked():
    return sample(LM("c", max_tokens=1) & no_b)


def test_an_inner_program_with_checks():
    @program
    def around():
        return sample(nested(checked(), Importance(1)))

    check_unbiased(around(), Importance(1))
