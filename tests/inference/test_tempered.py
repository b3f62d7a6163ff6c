"""Tempered SMC against brute force."""

import math

import numpy as np
import pytest

from grammars import Choice, Regex, prefix_predicate
from inference import SMC, Enumerate, Importance, TableLM, TemperedSMC, infer
from inference.flattening import Flattened
from inference.runtime import Runtime
from inference.scoring import log_densities
from inference.testing import check_unbiased
from ppl import Categorical, InvalidArgument, condition, factor, potential, program, sample
from ppl.rng import Rng

LM = TableLM.random(["a", "b"], seed=21)


@program
def sharpened():
    return sample(LM("p", max_tokens=1) ** 2)


@program
def masked():
    text = sample(LM("p", max_tokens=2) & Choice(["a", "ab"]))
    factor(0.8 * len(text))
    return text


@program
def conditioned():
    coin = sample(Categorical(["x", "y"], [1, 2]))
    text = sample(LM(coin, max_tokens=1) * potential(lambda text: 0.7 * len(text)))
    condition(text != "b")
    return coin, text


@prefix_predicate
def no_b(text: str) -> bool:
    return "b" not in text


@program
def rejected():
    return sample(LM("p", max_tokens=1) & no_b)


@pytest.mark.parametrize("exponents", [(1.0,), (0.4, 1.0), (0.2, 0.6, 1.0)])
@pytest.mark.parametrize("model", [sharpened(), masked()], ids=repr)
def test_one_particle_is_unbiased_with_fixed_exponents(model, exponents):
    check_unbiased(model, TemperedSMC(1, exponents))


def test_dead_runs_and_random_weights():
    check_unbiased(conditioned(), TemperedSMC(1, (0.5, 1.0)))
    check_unbiased(rejected(), TemperedSMC(1, (0.5, 1.0)), max_paths=1_000_000)


@pytest.mark.parametrize("model", [sharpened(), rejected()], ids=repr)
def test_two_particles_are_unbiased_with_fixed_exponents(model):
    check_unbiased(model, TemperedSMC(2, (0.5, 1.0)), max_paths=2_000_000)


@program
def guided():
    text = sample(LM("p", max_tokens=2) ** 3 * LM("q", max_tokens=2) ** -0.5 & Regex("a|b|ab"))
    coin = sample(Categorical([0.0, 1.0], [1, 2]))
    factor(coin * len(text))
    return text, coin


@program
def rejected_sharpened():
    return sample(LM("p", max_tokens=1) ** 2 & no_b)


@pytest.mark.parametrize("start", [0.5, 2.0])
@pytest.mark.parametrize("exponents", [(1.0,), (0.3, 1.0)])
@pytest.mark.parametrize("model", [sharpened(), guided(), conditioned(), rejected_sharpened()], ids=repr)
def test_a_path_between_powers_is_unbiased(model, exponents, start):
    check_unbiased(model, TemperedSMC(1, exponents, start=start), max_paths=1_000_000)


def test_a_path_between_powers_with_two_particles():
    check_unbiased(sharpened(), TemperedSMC(2, (0.5, 1.0), start=0.5), max_paths=2_000_000)


@pytest.mark.parametrize("start", [0.5, 0.25])
def test_each_target_of_the_path_is_a_power_of_the_model(start):
    """γ_λ is p ** (b0 (1 - λ) + b1 λ) for each text: what weights over the proposal say, run by run."""
    prompt = LM("p", max_tokens=3)

    @program
    def steep():
        return sample(prompt**4)

    with Runtime() as runtime:
        flattened = Flattened(steep(), 50, Rng(0), runtime, start)
        flattened.run()
        asked = [(prompt, run.value) for run in flattened.particles]
        densities = log_densities(asked, runtime.sessions, runtime.twists)
    ratios = flattened.log_weights - flattened.log_starts
    np.testing.assert_allclose(ratios, (4.0 - 4.0 * start) * np.array(densities), atol=1e-10)


def test_steep_powers_are_reached_from_the_model_itself():
    prompt = TableLM.random(["a", "b", "c"], seed=23)("p", max_tokens=6)

    @program
    def steep():
        return sample(prompt**6)

    exact = infer(steep(), Enumerate(max_paths=100_000))
    posterior = infer(steep(), TemperedSMC(400, ess_threshold=0.9, start=1 / 6), seed=0)
    assert len(posterior.steps) > 2
    assert posterior.log_evidence == pytest.approx(exact.log_evidence, abs=0.5)


def test_chosen_exponents_keep_the_effective_sample_size():
    long = TableLM.random(["a", "b"], seed=22)("p", max_tokens=8)

    @program
    def rewarded():
        return sample(long * potential(lambda text: 3.0 * text.count("b")) & Regex("[ab]*"))

    exact = infer(rewarded(), Enumerate(max_paths=100_000))
    posterior = infer(rewarded(), TemperedSMC(400, moves=3), seed=0)
    assert len(posterior.steps) > 1
    assert all(step.ess >= 0.49 * 400 for step in posterior.steps[:-1])
    assert posterior.log_evidence == pytest.approx(exact.log_evidence, abs=1.0)
    errors = []
    for method in (TemperedSMC(64, moves=2), Importance(64)):
        logs = [infer(rewarded(), method, seed=s).log_evidence for s in range(20)]
        errors.append(float(np.mean((np.array(logs) - exact.log_evidence) ** 2)))
    assert errors[0] < errors[1]


def test_all_dead_is_an_evidence_of_zero():
    @program
    def never():
        condition(sample(LM("p", max_tokens=1)) == "q")

    assert infer(never(), TemperedSMC(4)).log_evidence == -math.inf


def test_bad_parameters():
    for options in (
        {"exponents": (0.5,)},
        {"exponents": (0.7, 0.3, 1.0)},
        {"exponents": ()},
        {"ess_threshold": 1.0},
        {"moves": 0},
        {"resampling": "lucky"},
        {"start": 0.0},
        {"start": math.inf},
    ):
        with pytest.raises(InvalidArgument):
            TemperedSMC(4, **options)
    assert infer(sharpened(), SMC(2)).method.startswith("SMC(")
