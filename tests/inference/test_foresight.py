"""Foresight: drafts from a rough model, drawn with the randomness of the draws to come, change no law."""

import numpy as np
import pytest
import torch

from grammars import Choice, Regex
from inference import SMC, Importance, LocallyConstrained, TableLM, WarpedLM, infer
from inference.foresight import length
from inference.testing import check_unbiased
from inference.testing.enum_rng import EnumRng, paths
from inference.testing.programs import rough
from inference.testing.suite import run_copies
from inference.testing.switching import check_switching
from ppl import Categorical, condition, potential, program, sample
from ppl.rng import Rng
from tests.inference.shared_programs import checked, free, masked


def foreseeing(seed, rough_seed=None, *, pass_cost=64.0, rough_cost=1.0):
    """A random model; the rough one is the same, or another."""
    lm = TableLM.random(["a", "b"], seed=seed)
    lm.rough = TableLM.random(["a", "b"], seed=seed if rough_seed is None else rough_seed)
    lm.pass_cost, lm.rough_cost = pass_cost, rough_cost
    return lm


LM = foreseeing(41, 42)


@program
def two_texts():
    kind = sample(Categorical(["one", "two"], [1, 2]))
    first = sample(LM("ba", max_tokens=2, stop="ab") & Choice(["a", "b", "ba"]))
    if kind == "two":
        second = sample(LM(first, max_tokens=1) ** 2)
        condition(second != "b")
        return first, second
    return first


@program
def weighed():
    return sample(LM("aa", max_tokens=3) ** 0.5 * potential(lambda text: 0.4 * text.count("a"), at="token"))


@program
def warped():
    return sample(WarpedLM(LM, temperature=0.5)("aa", max_tokens=3) & Regex("[ab]{1,3}"))


@program
def pinned():
    return sample(LM("ab", max_tokens=3) & Regex("a(ba|ab)?").by_mask())


MODELS = [masked(LM), free(LM), two_texts(), weighed(), warped(), checked(LM)]


@pytest.mark.parametrize("model", MODELS[:-1], ids=repr)
def test_guesses_are_made_and_come_true(model):
    posteriors = [infer(model, SMC(4), seed=seed) for seed in range(5)]
    assert sum(p.cost.rough_calls for p in posteriors) > 0
    assert sum(site.guessed for p in posteriors for site in p.sites) > 0


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_the_law_is_the_same(model):
    check_unbiased(model, Importance(1), max_paths=3_000_000)


@pytest.mark.parametrize("model", [rough(), masked(LM)], ids=repr)
def test_the_law_of_particles_that_are_resampled_is_the_same(model):
    check_unbiased(model, SMC(2, 1.0), max_paths=3_000_000)


def test_copies_draw_with_numbers_of_their_own():
    run_copies()


@pytest.mark.parametrize("rough", [False, True])
def test_what_looking_ahead_costs_may_decide_between_masks_and_checks(rough):
    check_switching(rough=rough)


def test_models_with_and_without_rough_ones():
    other = TableLM.random(["a", "b"], seed=8)
    other.pass_cost = 16.0

    @program
    def both():
        first = sample(Categorical(["here", "there"], [1, 1]))
        return sample((LM if first == "here" else other)("ab", max_tokens=4))

    costs = [infer(both(), SMC(6), seed=seed).cost for seed in range(4)]
    assert any(cost.rough_calls for cost in costs)


def test_an_error_of_the_rough_model_ends_its_guesses():
    """Only the rough one would divide by 0."""
    zero = TableLM.random(["a", "b"], seed=3)
    zero.rough, zero.pass_cost, zero.rough_cost = TableLM(["a", "b"], lambda *_: [1.0, 0.0, 0.0]), 64.0, 1.0

    @program
    def divided(model):
        return sample(model("ab", max_tokens=4) ** -0.5)

    for seed in range(5):
        infer(divided(zero), SMC(2), seed=seed)
    assert infer(divided(zero), SMC(1), seed=0).cost.rough_calls > 0


@pytest.mark.parametrize("method", [SMC(1), LocallyConstrained(1), Importance(1)], ids=repr)
@pytest.mark.parametrize("model", [free(LM), weighed(), pinned()], ids=repr)
def test_one_particle_writes_the_same_text(model, method):
    for seed in range(10):
        with_drafts, without = (infer(model, method, seed=seed, drafts=on) for on in (True, False))
        assert [s.value for s in with_drafts.samples] == [s.value for s in without.samples]
        assert with_drafts.log_evidence == pytest.approx(without.log_evidence, abs=1e-12)
        assert without.cost.rough_calls == 0


def test_a_rough_model_that_is_exact_foresees_everything():
    lm = foreseeing(43)

    @program
    def long():
        return sample(lm("ab", max_tokens=40) & Regex("[ab]{40}"))

    with_foresight, without = (infer(long(), SMC(1), seed=3, drafts=on) for on in (True, False))
    assert without.cost.lm_calls == 41
    assert with_foresight.cost.lm_calls < 10
    (site,) = with_foresight.sites
    assert site.guessed == site.guesses > 25


def test_the_end_of_a_warped_text_is_foreseen():
    """After so many tokens nothing else can come, whatever the model would write."""
    lm = WarpedLM(foreseeing(43), length=7)

    @program
    def seven():
        return sample(lm("ab", max_tokens=9) & Regex("[ab]{7,}"))

    for seed in range(6):
        (site,) = infer(seven(), SMC(1), seed=seed).sites
        assert site.guessed == site.guesses > 0


def test_a_rough_model_that_is_always_wrong_is_soon_left():
    """A model that goes round in a circle, and a rough one that goes the other way: nothing comes true."""
    turn = {"a": [0, 1, 0, 0], "b": [0, 0, 1, 0], "c": [1, 0, 0, 0]}
    back = {"a": [0, 0, 1, 0], "b": [1, 0, 0, 0], "c": [0, 1, 0, 0]}

    def along(table):
        return lambda prompt, ids: np.array(table["abc"[ids[-1]] if ids else prompt[-1]])

    other = TableLM(["a", "b", "c"], along(back))
    lm = TableLM(["a", "b", "c"], along(turn), pass_cost=8.0, rough_cost=4.0, rough=other)

    @program
    def circle():
        return sample(lm("c", max_tokens=200))

    cost = infer(circle(), SMC(1), seed=0).cost
    assert 0 < cost.rough_calls < 60
    assert cost.tokens == 200


@pytest.mark.parametrize(
    ("probability", "rows", "most"), [(0.0, 1, 0), (0.92, 1, 4), (0.92, 4, 1), (1.0, 1, 8), (0.92, 16, 0)]
)
def test_how_many_tokens_are_guessed(probability, rows, most):
    assert length(probability, rows, 20.0, 7.0)[0] == most


def test_a_rough_model_whose_tokens_are_cheap_is_asked_for_more():
    """Of eight rows the tokens of a rough pass cost more than the pass itself."""
    assert length(0.97, 8, 20.0, 1.0, rough_share=1.0)[0] == 1
    assert length(0.97, 8, 20.0, 1.0, rough_share=0.01)[0] == 3


def test_draws_with_the_same_noise():
    """The law of a draw is the same whatever was drawn with its noise before; equal distributions give equal draws."""
    first, second = (torch.tensor([p], dtype=torch.float64).log() for p in ([0.5, 0.2, 0.3], [0.1, 0.6, 0.3]))
    row = np.zeros(1, dtype=np.int64)

    def both(rng: Rng) -> tuple[int, int, int]:
        noise = rng.noise()
        drawn = [int(rng.categorical(law, row, [noise])[0]) for law in (first, second, first)]
        return drawn[0], drawn[1], drawn[2]

    joint = {}
    for probability, drawn in paths(both):
        joint[drawn] = joint.get(drawn, 0.0) + probability
    assert sum(p for (a, b, c), p in joint.items() if a == c) == pytest.approx(1.0, abs=1e-12)
    for axis, law in ((0, first), (1, second)):
        for v in range(3):
            mass = sum(p for drawn, p in joint.items() if drawn[axis] == v)
            assert mass == pytest.approx(float(law[0, v].exp()), abs=1e-12)
    counts = np.zeros((3, 3))
    for seed in range(4000):
        drawn = both(Rng(seed))
        assert drawn[0] == drawn[2]
        counts[drawn[0], drawn[1]] += 1
    expected = np.zeros((3, 3))
    for (a, b, _), p in joint.items():
        expected[a, b] += p
    assert abs(counts / 4000 - expected).max() < 0.04
    assert EnumRng().noise().high == 1.0
