"""Warped models: temperature, nucleus and length make another language model, exactly."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grammars import Regex
from inference import SMC, Enumerate, Importance, TableLM, WarpedLM, infer, infer_many
from inference.engines.base import Context
from inference.testing import check_unbiased
from inference.testing.programs import warped
from inference.testing.strategies import toy_lms
from ppl import InvalidArgument, program, sample

LM = TableLM(["a", "b", "c"], lambda prompt, generated: [0.4, 0.3, 0.2, 0.1])


@program
def text(lm, length=3):
    return sample(lm("x", max_tokens=length))


@program
def constrained(lm, length=3):
    return sample(lm("x", max_tokens=length) & Regex("a[abc]*b?"))


def law(lm, *tokens):
    """The next-token probabilities after some tokens, by the session and along the text."""
    prompt, context = lm.encode_prompt("x"), Context(lm.encode_prompt("x"))
    for token in tokens:
        context = context.extend(token)
    with lm.session() as session:
        following = session.next_tokens([context])
        along = session.along([(prompt, tokens)])[0][-1]
    asked = following.logprobs[following.rows[0]]
    assert torch.equal(asked, along)
    return asked.exp().tolist()


def test_a_temperature_is_a_power_of_each_next_token_law():
    masses = [0.4**2, 0.3**2, 0.2**2, 0.1**2]
    assert law(WarpedLM(LM, temperature=0.5)) == pytest.approx([m / sum(masses) for m in masses])


def test_the_nucleus_holds_the_fewest_tokens_of_that_mass():
    assert law(WarpedLM(LM, top_p=0.65)) == pytest.approx([4 / 7, 3 / 7, 0, 0])
    assert law(WarpedLM(LM, top_p=0.75)) == pytest.approx([4 / 9, 3 / 9, 2 / 9, 0])
    assert law(WarpedLM(LM, top_p=0.01)) == [1, 0, 0, 0]
    uniform = TableLM(["a", "b", "c"], lambda prompt, generated: [0.25] * 4)
    assert law(WarpedLM(uniform, top_p=0.4)) == pytest.approx([0.5, 0.5, 0, 0])


def test_a_model_that_is_all_but_frozen_is_greedy():
    assert law(WarpedLM(LM, temperature=1e-6)) == [1, 0, 0, 0]


def test_temperature_comes_before_the_nucleus():
    assert law(WarpedLM(LM, temperature=0.1, top_p=0.9)) == [1, 0, 0, 0]


def test_with_a_length_the_text_is_the_beginning_of_the_models_text():
    posterior = infer(text(WarpedLM(LM, length=2), 2), Enumerate())
    assert posterior.log_evidence == pytest.approx(0.0, abs=1e-12)
    assert posterior.probability("ab") == pytest.approx(0.4 * 0.3)
    assert posterior.probability("c") == pytest.approx(0.2 * 0.1)
    assert law(WarpedLM(LM, length=2), 0, 1) == law(WarpedLM(LM, length=2), 0, 1, 2) == [0, 0, 0, 1]


@given(
    lm=toy_lms(),
    temperature=st.sampled_from([0.3, 1.0, 2.5]),
    top_p=st.sampled_from([0.37, 0.71, 1.0]),
    length=st.none() | st.integers(1, 3),
)
@settings(max_examples=25)
def test_every_method_draws_from_the_warped_law(lm, temperature, top_p, length):
    q = WarpedLM(lm, temperature=temperature, top_p=top_p, length=length)
    for method in (Enumerate(), Importance(1), SMC(2, 1.0)):
        check_unbiased(constrained(q, 2), method)


def test_a_warped_model_stands_beside_the_one_that_it_warps():
    check_unbiased(warped(), Importance(1))


def test_runs_of_different_warps_share_the_calls_of_the_base():
    warps = [LM, *(WarpedLM(LM, temperature=t, length=n) for t in (0.5, 2.0) for n in (2, 3))]
    calls = []
    original = LM.session

    def session():
        opened = original()
        calls.append(opened.usage)
        return opened

    LM.session = session
    try:
        together = list(infer_many([constrained(q) for q in warps], SMC(4), seed=3))
    finally:
        del LM.session
    assert len(calls) == 1
    assert calls[0].calls <= 4 < sum(p.cost.lm_calls for p in together)
    for posterior, q in zip(together, warps, strict=True):
        alone = infer(constrained(q), SMC(4), seed=posterior.seed, drafts=False)
        assert [(s.value, s.log_weight) for s in alone.samples] == [
            (s.value, s.log_weight) for s in posterior.samples
        ]
        assert alone.log_evidence == posterior.log_evidence


def test_drafts_do_not_change_the_law():
    drafting = TableLM.random(["a", "b"], seed=2)
    drafting.pass_cost = 16.0
    check_unbiased(constrained(WarpedLM(drafting, temperature=0.7, length=2), 3), Importance(1))


def test_equal_warps_of_one_model_are_equal():
    other = TableLM(["a"], lambda prompt, generated: [0.5, 0.5])
    assert WarpedLM(LM, temperature=0.5) == WarpedLM(LM, temperature=0.5)
    assert hash(WarpedLM(LM, top_p=0.5)) == hash(WarpedLM(LM, top_p=0.5))
    assert WarpedLM(LM, temperature=0.5) != WarpedLM(LM, temperature=0.4)
    assert WarpedLM(LM) != WarpedLM(other) != LM


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0},
        {"temperature": 1e-300},
        {"temperature": -1},
        {"temperature": math.inf},
        {"temperature": "warm"},
        {"top_p": 0},
        {"top_p": 1.5},
        {"length": 0},
        {"length": 1.5},
        {"length": True},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(InvalidArgument, match=next(iter(settings))):
        WarpedLM(LM, **settings)


def test_a_warp_of_a_warp_is_refused():
    with pytest.raises(InvalidArgument, match="all settings at once"):
        WarpedLM(WarpedLM(LM, temperature=0.5), top_p=0.5)


def test_its_name_says_how_it_is_warped():
    assert WarpedLM(LM, temperature=0.5, top_p=0.9).name == "table (temperature=0.5, top_p=0.9)"
