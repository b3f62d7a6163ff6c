"""What the server draws from: the posterior of `infer` with the same seed, choice by choice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammars import JsonSchema, Regex
from inference import SMC, Enumerate, Importance, WarpedLM, infer, program_seed
from inference.drawing import draw
from inference.engines.table import TableLM
from inference.methods import (
    AdaptiveRejection,
    BeamSearch,
    BestOfN,
    LocallyConstrained,
    Method,
    ParticleIndependentMH,
    Rejection,
    TemperedSMC,
)
from inference.testing import check_drawing
from ppl import program, sample
from ppl.rng import Rng
from tests.server.conftest import LM

PATTERN = "[a-z0-3 ,:]{0,2}"


@program
def text(target):
    return sample(target)


def told(reply):
    return reply.model_extra["ppl"]


@pytest.mark.parametrize("n", [1, 3, 5])
@given(masses=st.lists(st.floats(0.01, 1.0), min_size=1, max_size=4))
def test_each_choice_by_itself_has_the_law_of_the_weights(n, masses):
    check_drawing(np.array(masses), n)


@pytest.mark.parametrize(
    ("options", "lm", "method"),
    [
        ({}, LM, SMC(16)),
        ({"particles": 5, "method": "smc:ess_threshold=1.0"}, LM, SMC(5, 1.0)),
        ({"method": "importance", "particles": 7}, LM, Importance(7)),
        ({"method": "enumerate:max_paths=1000"}, LM, Enumerate(1000)),
        ({"method": "rejection"}, LM, Rejection()),
        ({"method": "beam-search:width=3"}, LM, BeamSearch(3)),
        ({"method": "adaptive-rejection:samples=3,max_attempts=400"}, LM, AdaptiveRejection(3, 400)),
        ({"method": "best-of-n", "particles": 9}, LM, BestOfN(9)),
        ({"method": "locally-constrained", "particles": 9}, LM, LocallyConstrained(9)),
        ({"method": "tempered-smc:exponents=[0.5,1.0]", "particles": 5}, LM, TemperedSMC(5, (0.5, 1.0))),
        ({"method": "particle-independent-mh:sweeps=5"}, LM, ParticleIndependentMH(16, 5)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Method) else "",
)
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_a_completion_is_drawn_from_the_posterior_of_infer(toy, options, lm, method, temperature):
    reply = toy.complete(
        "x",
        seed=11,
        n=6,
        max_tokens=4,
        temperature=temperature,
        extra_body={"grammar": {"regex": PATTERN}, **options},
    )
    warped = lm if temperature == 1.0 else WarpedLM(lm, temperature=temperature)
    posterior = infer(text(warped("x", max_tokens=4) & Regex(PATTERN)), method, seed=11, drafts=False)
    chosen = draw(posterior.weights, 6, Rng(program_seed(11, 0)))
    assert [choice.text for choice in reply.choices] == [posterior.samples[i].value for i in chosen]
    assert told(reply)["log_evidence"] == posterior.log_evidence
    assert told(reply)["ess"] == posterior.ess
    assert told(reply)["samples"] == len(posterior)
    assert told(reply)["method"] == repr(method)
    assert told(reply)["weights"] == pytest.approx([posterior.probability(c.text) for c in reply.choices])
    cost = told(reply)["cost"]
    assert (cost["tokens"], cost["lm_tokens"]) == (posterior.cost.tokens, posterior.cost.lm_tokens)


def test_free_text_is_the_beginning_of_what_the_model_writes(toy):
    reply = toy.complete("x", seed=3, n=4, max_tokens=3)
    cut = WarpedLM(LM, length=3)
    posterior = infer(text(cut("x", max_tokens=3)), Importance(4), seed=3, drafts=False)
    assert posterior.log_evidence == pytest.approx(0.0, abs=1e-12)
    assert sorted(c.text for c in reply.choices) == sorted(s.value for s in posterior.samples)
    for choice in reply.choices:
        whole = len(LM.encode(choice.text)) if choice.text else 0
        assert choice.finish_reason in ("length", "stop")
        assert choice.finish_reason == "stop" or whole <= 3
    assert {c.finish_reason for c in toy.complete("x", seed=5, n=64, max_tokens=2).choices} == {
        "length",
        "stop",
    }


def test_a_chat_is_the_chat_of_the_model(toy):
    schema = {"enum": ["a", "b", 1]}
    reply = toy.chat(
        "pick",
        seed=2,
        max_completion_tokens=3,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    )
    posterior = infer(text(LM.chat("pick", max_tokens=3) & JsonSchema(schema)), SMC(16), seed=2, drafts=False)
    assert told(reply)["log_evidence"] == posterior.log_evidence
    (i,) = draw(posterior.weights, 1, Rng(program_seed(2, 0)))
    assert reply.choices[0].message.content == posterior.samples[i].value
    assert reply.choices[0].finish_reason == "stop"


def test_a_nucleus_is_a_model_of_its_own(toy):
    reply = toy.complete(
        "x", seed=4, max_tokens=3, top_p=0.3, extra_body={"grammar": {"regex": "[abc0123n]*"}}
    )
    nucleus = WarpedLM(LM, top_p=0.3)
    posterior = infer(text(nucleus("x", max_tokens=3) & Regex("[abc0123n]*")), SMC(16), seed=4, drafts=False)
    assert told(reply)["log_evidence"] == posterior.log_evidence


def test_temperature_zero_is_greedy_search(toy):
    reply = toy.complete("x", temperature=0, max_tokens=3)
    greedy, ids = [], ()
    for _ in range(3):
        token = int(LM.logprobs(LM.encode_prompt("x"), ids).argmax())
        if token == LM.vocabulary.end:
            break
        ids += (token,)
        greedy.append(LM.vocabulary.tokens[token])
    assert reply.choices[0].text == b"".join(greedy).decode("utf-8", "replace")
    assert told(reply)["method"] == "BeamSearch(width=1)"
    assert reply.choices[0].text == toy.complete("x", temperature=0, max_tokens=3, seed=9).choices[0].text


def test_the_same_seed_gives_the_same_answer_whoever_else_asks(toy):
    ask = {"max_tokens": 4, "extra_body": {"grammar": {"regex": PATTERN}}}
    alone = toy.complete("x", seed=8, n=2, **ask)
    assert told(toy.complete("x", seed=9, n=2, **ask))["log_evidence"] != told(alone)["log_evidence"]
    again = toy.complete("x", seed=8, n=2, **ask)
    assert [c.text for c in again.choices] == [c.text for c in alone.choices]
    drawn = toy.complete("x", n=2, **ask)
    repeated = toy.complete("x", n=2, seed=told(drawn)["seed"], **ask)
    assert [c.text for c in drawn.choices] == [c.text for c in repeated.choices]
    assert told(drawn)["seed"] != told(toy.complete("x", n=2, **ask))["seed"]


def test_log_probabilities_are_those_of_the_model_before_all_else(toy):
    reply = toy.chat(
        "pick", seed=1, temperature=0.5, logprobs=True, top_logprobs=3, max_tokens=4,
        response_format={"type": "json_object"},
    )  # fmt: skip
    prompt, ids = LM.encode_chat([{"role": "user", "content": "pick"}]), ()
    content = reply.choices[0].logprobs.content
    assert b"".join(bytes(t.bytes) for t in content).decode() == reply.choices[0].message.content
    for token in content:
        law = LM.logprobs(prompt, ids)
        expected = [(float(p), int(v)) for p, v in zip(*law.topk(3), strict=True)]
        assert [alternative.logprob for alternative in token.top_logprobs] == [p for p, _ in expected]
        shown = [None if v == LM.vocabulary.end else list(LM.vocabulary.tokens[v]) for _, v in expected]
        assert [alternative.bytes for alternative in token.top_logprobs] == shown
        same = [v for v, t in enumerate(LM.vocabulary.tokens) if t == bytes(token.bytes)]
        assert token.logprob in [float(law[v]) for v in same]
        ids += (same[0],)
    legacy = toy.complete("x", seed=1, logprobs=2, max_tokens=4).choices[0].logprobs
    assert (
        len(legacy.tokens)
        == len(legacy.token_logprobs)
        == len(legacy.top_logprobs)
        == len(legacy.text_offset)
    )
    assert all(len(top) == 2 for top in legacy.top_logprobs)


def test_tokens_of_a_stop_string_have_no_log_probabilities():
    from tests.server.conftest import serve

    lm = TableLM(["a", "b", "ab"], {(): [1, 0, 0, 0], (0,): [0, 0, 1, 0]}, name="stops")
    with serve(lm) as served:
        reply = served.complete("x", seed=1, logprobs=1, max_tokens=4, stop="b")
    assert reply.choices[0].text == "aa"
    assert reply.choices[0].logprobs.tokens == ["a", "ab"]  # the second spells the last a, and the stop
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.completion_tokens == 2
