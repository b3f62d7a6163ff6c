"""Resample-move SMC against brute force: moves leave the targets on the way invariant, and the method unbiased."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from grammars import Choice, Regex
from inference import AWRS, SMC, Enumerate, Posterior, ResampleMoveSMC, TableLM, infer
from inference.progress import Progress
from inference.runtime import Runtime
from inference.testing import TooManyPaths, check_together, check_unbiased
from inference.testing.programs import (
    corrected,
    filled,
    foreseen,
    interleaved,
    ragged,
    rejected,
    two_sites,
    uneven,
)
from inference.testing.rejuvenation import check_rejuvenation
from inference.testing.strategies import programs
from ppl import Categorical, InvalidArgument, ProgramError, condition, factor, potential, program, sample
from ppl.rng import Rng

LM = TableLM.random(["a", "b"], seed=31)
METHOD = ResampleMoveSMC(2, every=2, lag=None, ess_threshold=1.0)


@pytest.mark.parametrize("lag", [None, 1, 2])
@pytest.mark.parametrize("ticks", [0, 1, 2])
@pytest.mark.parametrize("model", [interleaved(), two_sites(), corrected(), filled()], ids=repr)
def test_a_move_leaves_the_target_of_its_tick_invariant(model, ticks, lag):
    check_rejuvenation(model, ticks, lag=lag)


@pytest.mark.parametrize("awrs", [AWRS(), AWRS(max_accepts=1), AWRS(max_rejects=1)], ids=repr)
def test_random_weights_are_part_of_what_is_moved(awrs):
    check_rejuvenation(rejected(), 1, awrs=awrs)


def test_runs_that_end_at_different_ticks():
    check_rejuvenation(ragged(), 1)
    check_rejuvenation(uneven(), 2)


def test_lookaheads_are_part_of_what_is_moved():
    check_rejuvenation(foreseen(), 1)


@settings(max_examples=25)
@given(programs(max_statements=3), st.integers(1, 2), st.sampled_from([None, 1]))
def test_moves_leave_the_targets_of_random_programs_invariant(random, ticks, lag):
    try:
        check_rejuvenation(random.model(), ticks, lag=lag, max_paths=1000)
    except TooManyPaths:
        reject()


@program
def two_tokens():
    text = sample(LM("p", max_tokens=2) & Choice(["aa", "b", "ba"]))
    factor(0.4 * len(text))
    return text


@program
def chosen_first():
    side = sample(Categorical("xy", [2, 1]))
    factor(1.0 if side == "x" else -0.7)
    return side, sample(LM(side, max_tokens=1) & Choice(["a", "b"]))


def test_moves_really_move_something():
    flux = check_rejuvenation(uneven(), 1)
    assert sum(mass for (x, y), mass in flux.items() if x != y) > 0.01


def test_two_particles_are_unbiased():
    check_unbiased(two_tokens(), METHOD)
    check_unbiased(chosen_first(), replace(METHOD, lag=1))


def test_one_particle_is_unbiased():
    check_unbiased(interleaved(), ResampleMoveSMC(1, every=2))
    check_unbiased(two_tokens(), ResampleMoveSMC(1, every=1, moves=2))


def test_together():
    check_together([interleaved(), ragged(), two_tokens(), two_sites()], ResampleMoveSMC(3, every=1))


LONG = TableLM.random(["a", "b"], seed=22)


@program
def long():
    """Rewards on the way, so that populations are resampled often."""
    text = sample(LONG("p", max_tokens=12) * potential(lambda text: 0.7 * text.count("b"), at="token"))
    condition(len(text) > 2)
    return text


def test_it_is_consistent_and_moves_are_accepted():
    exact = infer(long(), Enumerate(max_paths=100_000))
    moving = [infer(long(), ResampleMoveSMC(200, every=3), seed=s) for s in range(8)]
    probabilities = [p.probability(lambda text: text.startswith("ab")) for p in moving]
    assert np.mean(probabilities) == pytest.approx(
        exact.probability(lambda text: text.startswith("ab")), abs=0.09
    )
    estimate = float(np.mean([math.exp(p.log_evidence - exact.log_evidence) for p in moving]))
    assert estimate == pytest.approx(1.0, abs=0.25)
    shares = [step.rejuvenated for p in moving for step in p.steps if step.rejuvenated is not None]
    assert 0.1 < np.mean(shares) < 1.0


def test_steps_tell_what_was_accepted():
    posterior = infer(long(), ResampleMoveSMC(8, every=3), seed=1)
    assert [s.tick for s in posterior.steps if s.rejuvenated is not None] == list(
        range(3, len(posterior.steps) + 1, 3)
    )
    assert Posterior.from_json(posterior.to_json()).steps == posterior.steps
    assert "Markov" not in repr(posterior)
    assert posterior.cost.tokens > infer(long(), SMC(8), seed=1).cost.tokens
    assert posterior.cost.lm_calls > len(posterior.steps)  # those of the moves as well


def test_settings_are_fixed_and_sessions_closed():
    with Runtime() as runtime:
        ResampleMoveSMC(4, every=1).run(long(), Rng(0), runtime, Progress())
        assert runtime.drafts is None
        assert not runtime.adaptive
        assert len(runtime._elsewhere) == 1


@program
def never():
    condition(sample(LM("p", max_tokens=2)) == "q")


def test_all_dead_is_an_evidence_of_zero():
    assert infer(never(), ResampleMoveSMC(2, every=1)).log_evidence == -math.inf


def test_an_error_of_a_program_arrives():
    @program
    def broken():
        text = sample(LM("p", max_tokens=1) & Regex("[ab]"))
        if sample(LM(text, max_tokens=2)) == "ba":
            raise RuntimeError("no")
        return text

    with pytest.raises(ProgramError, match="no"):
        infer(broken(), ResampleMoveSMC(64, every=1))


@pytest.mark.parametrize(
    "options", [{"every": 0}, {"moves": 0}, {"lag": 0}, {"ess_threshold": 2.0}, {"particles": 0}]
)
def test_refusals(options):
    with pytest.raises(InvalidArgument):
        ResampleMoveSMC(**options)


def test_it_is_not_recorded():
    with pytest.raises(InvalidArgument, match="record=True"):
        infer(long(), ResampleMoveSMC(2), record=True)
