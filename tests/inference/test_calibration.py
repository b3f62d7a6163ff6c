"""Simulation-based calibration: right methods pass, seeded bugs do not, on programs that nobody can enumerate."""

import math

import numpy as np
import pytest

from grammars import Regex
from inference import SMC, AdaptiveRejection, LocallyConstrained, SuffixMCMC, TableLM, infer
from inference.testing import Calibration, calibration, check_calibration
from inference.testing.mutants import MUTANTS
from ppl import Categorical, InvalidArgument, observe, program, sample

LM = TableLM(["a", "b", "c"], lambda prompt, tokens: [0.3, 0.25, 0.25, 0.2])
WORDS = Regex("a{4,}|[bc](b|c|bca*)*")  # a text that begins with "a" has to go on with it


def reading(text):
    """Return the law of what is seen of a text: whether it is long, with errors."""
    return Categorical([True, False], [0.95, 0.05] if len(text) > 1 else [0.1, 0.9])


def word():
    """Draw one of more than 2^24 texts."""
    return sample(LM("", max_tokens=24) & WORDS)


@program
def joint():
    text = word()
    return text, sample(reading(text))


@program
def given(seen):
    text = word()
    observe(reading(text), seen)
    return text


@program
def unseen(_):
    return word()


NUMBERS = {
    "length": lambda text, seen: len(text),
    "likelihood": lambda text, seen: reading(text).probabilities[0 if seen else 1],
}


@pytest.fixture(scope="module")
def pairs():
    return [s.value for s in infer(joint(), AdaptiveRejection(80), seed=7).samples]


@pytest.mark.parametrize("method", [AdaptiveRejection(9), SMC(16)], ids=lambda m: type(m).__name__)
def test_right_methods_are_calibrated(pairs, method):
    check_calibration(pairs[:40], given, NUMBERS, method, draws=9, seed=1, error=1e-3)


def test_locally_constrained_decoding_is_not(pairs):
    with pytest.raises(AssertionError, match="not calibrated"):
        check_calibration(pairs, given, NUMBERS, LocallyConstrained(16), draws=9, error=1e-3)


def test_a_seeded_bug_is_found(pairs):
    (mutant,) = [m for m in MUTANTS if m.name == "mask_weight_dropped"]
    with mutant.planted(), pytest.raises(AssertionError, match="length"):
        check_calibration(pairs, given, NUMBERS, SMC(16), draws=9, error=1e-3)


def test_the_prior_is_told_from_the_posterior_by_the_likelihood_alone(pairs):
    found = calibration(pairs, unseen, NUMBERS, SMC(16), draws=9)
    assert found.p_value("length") > 1e-3
    assert found.p_value("likelihood") < 1e-4


def test_chains_are_thinned(pairs):
    found = calibration(
        pairs[:3], given, NUMBERS, SuffixMCMC(chains=1, sweeps=20, start_particles=2), draws=9
    )
    assert found.ranks["length"].shape == (3,)


def test_ranks_are_counts():
    toy = TableLM(["a", "b"], {(): [0.5, 0.5, 0.0], (0,): [0.0, 0.0, 1.0], (1,): [0.0, 0.0, 1.0]})

    @program
    def letter(_):
        return sample(toy("", max_tokens=1))

    pairs = [("a", None)] * 300
    found = calibration(pairs, letter, {"b": lambda t, _: float(t == "b")}, AdaptiveRejection(3), draws=3)
    shares = np.bincount(found.ranks["b"], minlength=4) / 300
    ties = [math.comb(3, k) / 8 for k in range(4)]  # so many of the three draws are "a" as well
    expected = [sum(ties[k] / (k + 1) for k in range(r, 4)) for r in range(4)]
    assert shares == pytest.approx(expected, abs=0.08)


def test_the_bound_is_that_of_massart():
    uniform = Calibration({"x": np.repeat(np.arange(4), 25)}, 3)
    assert uniform.distance("x") == pytest.approx(0.0)
    assert uniform.p_value("x") == 1.0
    low = Calibration({"x": np.zeros(100, dtype=np.int64)}, 3)
    assert low.distance("x") == pytest.approx(0.75)
    assert low.p_value("x") == pytest.approx(2 * math.exp(-200 * 0.75**2))


def test_what_cannot_be_ranked(pairs):
    with pytest.raises(InvalidArgument, match="0 pairs"):
        calibration([], given, NUMBERS, SMC(4))
    with pytest.raises(InvalidArgument, match="of 19 draws"):
        calibration(pairs[:2], given, NUMBERS, AdaptiveRejection(5))
    with pytest.raises(InvalidArgument, match="error"):
        check_calibration(pairs, given, NUMBERS, SMC(4), error=2.0)
