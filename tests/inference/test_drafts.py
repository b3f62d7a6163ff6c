"""Drafts: the law is the same, passes are fewer."""

import numpy as np
import pytest

from grammars import Choice
from inference import SMC, Enumerate, Importance, LocallyConstrained, TableLM, TemperedSMC, infer
from inference.testing import check_unbiased
from ppl import Categorical, condition, guide, observe, potential, program, sample
from tests.inference.shared_programs import checked, free, masked


def drafting(seed: int) -> TableLM:
    lm = TableLM.random(["a", "b"], seed=seed)
    lm.pass_cost = 16.0
    return lm


LM = drafting(31)


@program
def ragged():
    kind = sample(Categorical(["one", "two"], [1, 2]))
    first = sample(LM("ba", max_tokens=2, stop="ab") & Choice(["a", "b", "ba"]))
    if kind == "two":
        second = sample(LM(first, max_tokens=1) ** 2)
        condition(second != "b")
        return first, second
    observe(LM(first, max_tokens=2), "a")
    return first


@program
def guided():
    target = guide(LM("aa", max_tokens=3), LM("bb", max_tokens=3), 0.5)
    return sample(target * potential(lambda text: 0.4 * text.count("a"), at="token"))


MODELS = [masked(LM), free(LM), ragged(), guided(), checked(LM)]


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_the_law_is_the_same(model):
    assert any(infer(model, SMC(n), seed=seed).cost.lm_drafted > 0 for n in (2, 8) for seed in range(9))
    check_unbiased(model, Importance(1), max_paths=3_000_000)
    if model.program is not checked:  # whose paths of two particles are too many
        check_unbiased(model, SMC(2, 1.0), max_paths=3_000_000)


def test_exponents_that_move_and_paths_of_temperature():
    check_unbiased(guided(), SMC(1, bridge=2))
    check_unbiased(guided(), TemperedSMC(1, (0.5, 1.0), start=0.5))


@pytest.mark.parametrize("method", [SMC(1), LocallyConstrained(1), Importance(1)], ids=repr)
@pytest.mark.parametrize("model", MODELS[:3], ids=repr)
def test_one_particle_writes_the_same_text(model, method):
    for seed in range(10):
        with_drafts, without = (infer(model, method, seed=seed, drafts=on) for on in (True, False))
        assert [s.value for s in with_drafts.samples] == [s.value for s in without.samples]
        assert with_drafts.log_evidence == pytest.approx(without.log_evidence, abs=1e-12)
        assert with_drafts.cost.lm_calls <= without.cost.lm_calls
        assert without.cost.lm_drafted == 0


def test_forced_text_takes_no_passes():
    lm = drafting(32)

    @program
    def forced():
        return sample(lm("p", max_tokens=20) & Choice(["abbabaabbaab"]))

    with_drafts, without = (infer(forced(), SMC(4), drafts=on) for on in (True, False))
    assert without.cost.lm_calls == 13
    assert with_drafts.cost.lm_calls < 4
    assert with_drafts.log_evidence == pytest.approx(without.log_evidence, abs=1e-10)
    assert "came true" in str(with_drafts.sites[0])
    assert with_drafts.sites[0].guessed > 8


def test_what_was_written_before_is_guessed():
    """A model that goes round in a circle: once the prompt has shown it, a pass gives many tokens."""
    turn = {"a": [0, 1, 0, 0], "b": [0, 0, 1, 0], "c": [0.9, 0, 0, 0.1]}
    lm = TableLM(
        ["a", "b", "c"],
        lambda prompt, ids: np.array(turn["abc"[ids[-1]] if ids else prompt[-1]]),
        pass_cost=64.0,
    )

    @program
    def circle():
        return sample(lm("c", max_tokens=60))

    long = next(s for s in range(100) if infer(circle(), SMC(1), seed=s, drafts=False).cost.tokens > 40)
    posterior = infer(circle(), SMC(1), seed=long)
    assert posterior.cost.lm_calls < 0.3 * posterior.cost.tokens


def test_many_rows_make_few_drafts():
    """With n rows the gain of a pass that is saved is shared: no draft unless it is likely enough."""
    lm = TableLM.random(["a", "b"], seed=33)
    lm.pass_cost = 1.0

    @program
    def long():
        return sample(lm("ab", max_tokens=12))

    cost = infer(long(), SMC(64), seed=0).cost
    assert cost.lm_drafted < 0.2 * cost.tokens


def test_enumeration_guesses_nothing():
    assert infer(masked(LM), Enumerate()).cost.lm_drafted == 0
