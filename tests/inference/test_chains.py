"""Markov chains over whole runs against brute force: πK = π, detailed balance, and the evidence that they report."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from grammars import Choice, Regex, prefix_predicate
from inference import (
    AWRS,
    Enumerate,
    NoSurvivors,
    ParticleGibbs,
    ParticleIndependentMH,
    Posterior,
    SuffixMCMC,
    TableLM,
    TableMDM,
    infer,
)
from inference.conditional import CONDITIONAL_SCHEMES, conditional_resample
from inference.progress import Progress
from inference.runtime import Runtime
from inference.testing import (
    TooManyPaths,
    check_conditional_resampling,
    check_invariant,
    check_unbiased,
    expectation,
)
from inference.testing.programs import corrected, foreseen, ragged, uneven
from inference.testing.strategies import programs
from ppl import Categorical, InvalidArgument, condition, factor, potential, program, sample
from ppl.rng import Rng

LM = TableLM.random(["a", "b"], seed=31)
MDM = TableMDM.random("ab", seed=6)

GIBBS = ParticleGibbs(2, 1, start_particles=1, ess_threshold=1.0)
SUFFIX = SuffixMCMC(1, 1, start_particles=1)
METHODS = (
    GIBBS,
    replace(GIBBS, ess_threshold=0.7),
    ParticleIndependentMH(1, 1),
    SUFFIX,
    replace(SUFFIX, cut="entropy"),
    replace(SUFFIX, cut="start"),
)


def _appealing(text: str) -> float:
    return 0.6 * text.count("a") - 0.1


@prefix_predicate
def no_b(text: str) -> bool:
    return "b" not in text


@program
def chosen_last():
    """Finite choices before, between and after texts; a run may die at the end."""
    first = sample(Categorical("xy", [1, 3]))
    text = sample(LM(first, max_tokens=1) & Choice(["a", "b"]))
    last = sample(Categorical("xyz", [1, 2, 3]) & Choice(["x", "z"]))
    factor(0.8 if last == "x" else -0.3)
    condition(text != "b" or last == first)
    return first, text, last


@program
def checked():
    """Checks only, so that weights are random."""
    text = sample(LM("c", max_tokens=2) & no_b)
    factor(0.5 * len(text))
    return text


@program
def shuffled():
    """Masked diffusion in random order, sharpened, with a reward on the way."""
    return sample(MDM(length=2, order="random") ** 2 * potential(_appealing, at="token"))


@program
def no_draws():
    """Nothing is random."""
    factor(-1.0)
    return 1


PROGRAMS = (uneven(), ragged(), chosen_last(), checked(), corrected(), foreseen(), shuffled(), no_draws())


@pytest.mark.parametrize("method", METHODS, ids=repr)
@pytest.mark.parametrize("model", PROGRAMS, ids=repr)
def test_a_sweep_leaves_the_posterior_invariant(model, method):
    check_invariant(model, method)


@pytest.mark.parametrize("scheme", CONDITIONAL_SCHEMES)
def test_conditional_smc_is_right_with_every_scheme_that_it_offers(scheme):
    check_invariant(uneven(), replace(GIBBS, resampling=scheme))


@program
def tossed():
    """A weight, and then a token."""
    side = sample(Categorical("xy", [2, 1]))
    factor(1.0 if side == "x" else -0.7)
    return side, sample(LM(side, max_tokens=1) & Choice(["a", "b"]))


def test_three_particles():
    check_invariant(tossed(), replace(GIBBS, particles=3))


def test_populations_of_several_particles_are_proposed():
    check_invariant(tossed(), ParticleIndependentMH(2, 1, ess_threshold=1.0))


@pytest.mark.parametrize("awrs", [AWRS(max_accepts=1), AWRS(max_rejects=1), AWRS(2, 1, "counts")], ids=repr)
@pytest.mark.parametrize("method", [GIBBS, SUFFIX], ids=repr)
def test_random_weights_are_part_of_the_state(method, awrs):
    check_invariant(checked(), method, awrs=awrs)


@program
def stopped():
    text = sample(LM("r", max_tokens=2, stop="ab") & Choice(["", "a", "ba"]) & Regex("b?a?").by_check())
    factor(0.4 if text == "ba" else 0.0)
    return text


@pytest.mark.parametrize("method", [GIBBS, SUFFIX], ids=repr)
def test_masks_with_checks_and_stop_strings(method):
    check_invariant(stopped(), method)


def test_chains_side_by_side_do_not_disturb_one_another():
    check_invariant(tossed(), replace(SUFFIX, chains=2))


@settings(max_examples=25)
@given(programs(max_statements=3), st.sampled_from(METHODS))
def test_sweeps_leave_the_posteriors_of_random_programs_invariant(random, method):
    try:
        check_invariant(random.model(), method, max_paths=800)
    except TooManyPaths:
        reject()


@pytest.mark.parametrize("method", [GIBBS, SUFFIX], ids=repr)
def test_after_several_sweeps_a_chain_has_still_the_weight_of_its_start(method):
    """E[Ẑ f(X_s)] = γ(f): what `check_unbiased` asks of weighted samples."""
    check_unbiased(tossed(), replace(method, sweeps=2))
    check_unbiased(tossed(), replace(method, start_particles=2))


def test_the_estimates_of_all_proposals_are_averaged():
    @program
    def often_dead():
        text = sample(LM("d", max_tokens=1))
        condition(text == "a")
        return text

    method = ParticleIndependentMH(1, 2)
    estimates = expectation(lambda rng: {"evidence": _evidence(often_dead(), method, rng)})
    exact = math.exp(infer(often_dead(), Enumerate()).log_evidence)
    assert estimates["evidence"] == pytest.approx(exact, abs=1e-12)


def _evidence(model, method, rng):
    with Runtime() as runtime:
        return math.exp(method.run(model, rng, runtime, Progress()).log_evidence)


@settings(max_examples=40)
@given(
    st.lists(st.floats(0.01, 1.0), min_size=2, max_size=3),
    st.booleans(),
    st.sampled_from(CONDITIONAL_SCHEMES),
)
def test_conditional_resampling_is_resampling_given_that_the_first_is_retained(weights, dead, scheme):
    check_conditional_resampling(scheme, np.array([*weights, 0.0] if dead else weights), tolerance=1e-9)


LONG = TableLM.random(["a", "b"], seed=22)


@program
def long():
    text = sample(LONG("p", max_tokens=8) * potential(_appealing, at="token"))
    condition(len(text) > 2)
    return text


@pytest.mark.parametrize(
    "method",
    [
        ParticleGibbs(8, 400, 20),
        ParticleGibbs(8, 400, 20, resampling="systematic"),
        ParticleIndependentMH(8, 400, 20),
        SuffixMCMC(8, 200, 20),
        SuffixMCMC(8, 200, 20, cut="entropy"),
    ],
    ids=repr,
)
def test_long_chains_agree_with_the_exact_answer(method):
    exact, posterior = infer(long(), Enumerate()), infer(long(), method, seed=1)
    assert len(posterior) == (method.sweeps - 20) * getattr(method, "chains", 1)
    assert posterior.expectation(len) == pytest.approx(exact.expectation(len), abs=0.25)
    assert posterior.probability(lambda text: "b" in text) == pytest.approx(
        exact.probability(lambda text: "b" in text), abs=0.08
    )
    assert posterior.log_evidence == pytest.approx(exact.log_evidence, abs=1.0)
    assert len(posterior.steps) == method.sweeps + 1
    assert posterior.steps[0].moved is None
    assert 0.1 < np.mean([step.moved for step in posterior.steps[1:]]) <= 1.0
    assert sum(step.log_increment for step in posterior.steps) == pytest.approx(posterior.log_evidence)
    assert Posterior.from_json(posterior.to_json()).steps == posterior.steps
    assert f"{len(posterior)} states of Markov chains that moved in " in repr(posterior)


def test_samples_carry_the_traces_of_their_runs():
    posterior = infer(chosen_last(), SuffixMCMC(2, 20), seed=3)
    assert {(s.trace[0].outcome, s.trace[1].outcome, s.trace[2].outcome) for s in posterior.samples} == {
        s.value for s in posterior.samples
    }


def test_a_chain_says_when_it_moved():
    """A copy of the retained run that parts with the very last draw is another run."""

    stopping = TableLM.random(["a", "ba"], seed=4)

    @program
    def one_token():
        factor(sample(Categorical([0.0, 1.0])))
        return sample(stopping("p", stop="a", max_tokens=3))  # "" or "b", without another token for the end

    method = ParticleGibbs(4, 50, ess_threshold=1.0)
    posterior = infer(one_token(), method, seed=2)
    values = [s.value for s in posterior.samples]
    changes = [a != b for a, b in pairwise(values)]
    moved = [step.moved for step in posterior.steps[2:]]
    assert any(changes)
    assert all(m == 1.0 for m, changed in zip(moved, changes, strict=True) if changed)


@pytest.mark.parametrize("scheme", CONDITIONAL_SCHEMES)
@pytest.mark.parametrize("weights", [[1e-40, 1.0, 0.0], [0.0, 0.5, 0.5], [1e-17, 1.0, 0.0], [1.0, 0.0, 0.0]])
def test_the_retained_run_survives_whatever_its_weight(scheme, weights):
    for seed in range(20):
        ancestors = conditional_resample(scheme, np.array(weights), Rng(seed))
        assert len(ancestors) == 3
        assert ancestors[0] == 0
        assert not any(weights[a] == 0.0 for a in ancestors[1:])


def test_a_scheme_whose_conditional_law_is_not_known_is_refused():
    with pytest.raises(InvalidArgument, match="ssp"):
        conditional_resample("ssp", np.array([0.5, 0.5]), Rng(0))


@program
def never():
    condition(sample(LM("p", max_tokens=1)) == "q")


@pytest.mark.parametrize(
    "method", [ParticleGibbs(2, 3), ParticleIndependentMH(2, 3), SuffixMCMC(1, 3)], ids=repr
)
def test_a_chain_without_a_run_has_no_samples(method):
    posterior = infer(never(), method)
    assert posterior.log_evidence == -math.inf
    with pytest.raises(NoSurvivors, match="the condition was false"):
        posterior.top()


def test_a_chain_has_one_kernel_for_all_sweeps():
    seen = []

    class Watched(SuffixMCMC):
        def sweep(self, runs, model, rng, runtime):
            seen.append((runtime.adaptive, runtime.drafts))
            return super().sweep(runs, model, rng, runtime)

    infer(uneven(), Watched(1, 2))
    assert seen == [(False, None), (False, None)]


@pytest.mark.parametrize("method", [ParticleGibbs(2, 2), SuffixMCMC(1, 2)], ids=repr)
def test_runs_that_go_on_from_others_are_not_recorded(method):
    with pytest.raises(InvalidArgument, match="record=True"):
        infer(uneven(), method, record=True)
    assert infer(uneven(), ParticleIndependentMH(2, 2), record=True).record is not None


def test_an_invariance_check_that_fails_shows_both_masses():
    class AlwaysMoves(ParticleIndependentMH):
        def sweep(self, runs, model, rng, runtime):
            return self.start(model, rng, runtime)

    with pytest.raises(AssertionError, match="after a sweep: expected"):
        check_invariant(uneven(), AlwaysMoves(1, 1))


@pytest.mark.parametrize(
    "make",
    [
        lambda: ParticleGibbs(1),
        lambda: ParticleGibbs(4, resampling="ssp"),
        lambda: ParticleGibbs(4, start_particles=0),
        lambda: ParticleGibbs(4, ess_threshold=2.0),
        lambda: ParticleGibbs(4, sweeps=5, burn_in=5),
        lambda: ParticleIndependentMH(0),
        lambda: ParticleIndependentMH(4, burn_in=-1),
        lambda: SuffixMCMC(0),
        lambda: SuffixMCMC(sweeps=0),
        lambda: SuffixMCMC(cut="middle"),
    ],
)
def test_bad_parameters(make):
    with pytest.raises(InvalidArgument):
        make()
