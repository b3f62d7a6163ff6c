"""Powers, products, guidance, ensembles and potentials against brute force, to 1e-10."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grammars import Choice, Regex, prefix_predicate
from inference import SMC, Enumerate, Importance, LocallyConstrained, TableLM, infer
from inference.bridging import exponents
from inference.kernels import KERNELS
from inference.testing import check_kernel, check_unbiased, measure, target_measure
from inference.testing.strategies import pools, text_targets, toy_lms
from inference.text import TextState
from ppl import (
    Categorical,
    InvalidArgument,
    PotentialError,
    ProgramError,
    UnboundedTarget,
    condition,
    guide,
    observe,
    potential,
    power_mean,
    program,
    sample,
    score,
)
from ppl.compiler.normal_form import normal_form
from ppl.compiler.plan import plan_text

LM = TableLM.random(["a", "b"], seed=11)
OTHER = TableLM.random(["a", "b"], seed=12)
WIDE = TableLM.random(["a", "ab", "b", "bb"], seed=13)
P, Q = LM("p", max_tokens=2), LM("q", max_tokens=2)
R = OTHER("r", max_tokens=2)


def many_a(text: str) -> float:
    return 0.5 * text.count("a")


def no_double_a(text: str) -> float:
    return -math.inf if "aa" in text else 0.2


@prefix_predicate
def few_b(text: str) -> bool:
    return text.count("b") <= 1


TARGETS = {
    "sharpened": P**2,
    "flattened": P**0.3,
    "uniform": P**0,
    "product of prompts": P * Q,
    "product of models": P * R,
    "geometric mixture": P**0.25 * Q**0.75,
    "guided": guide(P, Q, 0.7),
    "guided, masked": guide(P, Q, 0.7) & Regex("a*b?"),
    "ensemble": power_mean([P, Q, R], 1),
    "harmonic": power_mean([P, Q], -1, [1, 2]),
    "minimum": power_mean([P, Q], -math.inf),
    "ensemble of products": power_mean([P * Q, R**0.5], 2) ** 1.5 * Q,
    "masked power": P**2 & Choice(["a", "ab", "b"]),
    "rejected product": P * Q & few_b,
    "masked and rejected": P**1.5 * R & Regex("[ab]+") & few_b,
    "reward": P * potential(many_a),
    "reward at tokens": P**0.5 * potential(many_a, "token") & few_b,
    "two rewards": P * Q * potential(many_a, "token") * potential(no_double_a, "a"),
    "powers of rewards": (P * potential(many_a, "(?<=a)b")) ** 2,
    "score": P * score(LM("q", max_tokens=2), at="token"),
    "score of a model with other tokens": P * score(WIDE("w")) & few_b,
    "product of models with other tokens": P**0.5 * WIDE("w", max_tokens=2),
    "ensemble judged by a model with other tokens": power_mean([P, Q], 1) * WIDE("w", max_tokens=2),
    "stop": LM("s", stop="ab", max_tokens=2) ** 2
    * LM("t", stop="ab", max_tokens=2)
    * potential(many_a, "token"),
    "limits": LM("s", max_tokens=1) * LM("t", max_tokens=2),
    "finite": Categorical({"a": 1, "b": 2}) ** 2 * Categorical({"b": 3, "a": 1, "c": 1}),
}


@program
def drawn(target):
    return sample(target)


@program
def ragged(target):
    kind = sample(Categorical(["one", "two"], [1, 2]))
    text = sample(target) if kind == "two" else sample(LM("x", max_tokens=1))
    condition(text != "b")
    return kind, text


@pytest.mark.parametrize("name", TARGETS)
def test_every_method_has_the_law(name):
    target = TARGETS[name]
    assert sum(target_measure(target).values()) > 0.0
    check_unbiased(drawn(target), Enumerate())
    check_unbiased(drawn(target), Importance(1))


@pytest.mark.parametrize("name", ["guided", "two rewards", "masked power", "stop", "limits"])
@pytest.mark.parametrize("model", [drawn, ragged], ids=repr)
def test_two_particles_that_are_resampled(name, model):
    check_unbiased(model(TARGETS[name]), SMC(2, 1.0), max_paths=1_000_000)


BRIDGED = [
    "sharpened",
    "uniform",
    "guided, masked",
    "ensemble of products",
    "masked and rejected",
    "two rewards",
    "stop",
]


@pytest.mark.parametrize("length", [1, 2, 5])
@pytest.mark.parametrize("name", BRIDGED)
def test_bridging_changes_neither_target_nor_evidence(name, length):
    check_unbiased(drawn(TARGETS[name]), SMC(1, bridge=length))


@pytest.mark.parametrize("length", [2, 3])
@pytest.mark.parametrize("name", ["guided, masked", "stop", "geometric mixture"])
def test_bridged_particles_that_are_resampled(name, length):
    check_unbiased(drawn(TARGETS[name]), SMC(2, 1.0, bridge=length), max_paths=1_000_000)


def test_exponents_move_from_the_first_expert_to_the_target():
    pool = normal_form(guide(P, Q, 0.5)).pool
    assert exponents(pool, 0, 4).tolist() == [1.0, 0.0]
    assert exponents(pool, 2, 4).tolist() == [1.25, -0.25]
    assert exponents(pool, 9, 4).tolist() == [1.5, -0.5]
    with pytest.raises(InvalidArgument, match="bridge"):
        SMC(2, bridge=0)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_targets(data):
    target = data.draw(text_targets(data.draw(toy_lms())))
    check_unbiased(
        drawn(target), data.draw(st.sampled_from([Enumerate(), Importance(1), SMC(1), SMC(1, bridge=2)]))
    )


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_corrector_is_properly_weighted_token_by_token(data):
    """E[w 1{v}] is the mass of the texts so far with v, over that of the text so far."""
    target = data.draw(pools(data.draw(toy_lms())))
    form = normal_form(target)
    state = TextState.begin(plan_text(form))
    while not state.finished:
        expected = {}
        for token in range(state.vocabulary.size):
            mass = 1.0
            for text, share in _log_linear(target):
                p = float(text.lm.logprobs(text.prompt, state.contexts[0].generated()).exp()[token])
                mass = 0.0 if mass == 0.0 or (p == 0.0 and share > 0.0) else mass * p**share
            expected[token] = mass if token == state.vocabulary.end or not state.at_limit else 0.0
        if not form.pool.plain and all(hasattr(m, "index") for m, _ in form.pool.terms):
            check_kernel(KERNELS[state.kernel], state, expected)
        if not any(expected.values()):
            break
        state.advance(data.draw(st.sampled_from([v for v, m in expected.items() if m > 0.0])))


def _log_linear(target):
    form = normal_form(target)
    return [(form.texts[m.index], a) for m, a in form.pool.terms if hasattr(m, "index")]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (P**1, P),
        (P * P, P**2),
        (guide(P, Q, 0), P),
        (P * Q**0, P),
        ((P**2) ** 0.5, P),
        ((P & few_b) ** 2, P**2 & few_b),
        (P * (Q & few_b), P * Q & few_b),
        (power_mean([P, Q], 0), P**0.5 * Q**0.5),
        (power_mean([P], -1), P),
        (P * potential(lambda text: 0.0, "token"), P),
        ((P * potential(many_a)) ** 2, P**2 * potential(lambda text: 2 * many_a(text))),
        (P * potential(many_a) * potential(many_a), P * potential(lambda text: 2 * many_a(text))),
        (potential(many_a) * P, P * potential(many_a, at="token")),
    ],
)
def test_reductions(left, right):
    assert target_measure(left) == pytest.approx(target_measure(right), abs=1e-12)
    a, b = infer(drawn(left), SMC(4), seed=3), infer(drawn(right), SMC(4), seed=3)
    assert measure(drawn(left)) == pytest.approx(measure(drawn(right)), abs=1e-12)
    assert math.isfinite(a.log_evidence)
    assert math.isfinite(b.log_evidence)


@pytest.mark.parametrize("target", [P**1, guide(P, Q, 0), P * Q**0, (P**2) ** 0.5, power_mean([P], 3)])
def test_what_reduces_to_the_model_has_weights_of_one(target):
    plan = plan_text(normal_form(target))
    assert plan.kernel == "direct"
    posterior = infer(drawn(P), Importance(8), seed=1)
    assert [s.log_weight for s in infer(drawn(target), Importance(8), seed=1).samples] == [
        s.log_weight for s in posterior.samples
    ]


def test_a_reward_of_zero_leaves_weights_of_one():
    @program
    def free(text):
        return sample(text)

    long = LM("p", max_tokens=40)
    for at in ("end", "token", "word", "a"):
        posterior = infer(free(long * potential(lambda text: 0.0, at)), Importance(16), seed=2)
        assert {s.log_weight for s in posterior.samples} == {0.0}


@pytest.mark.parametrize(
    "name", ["sharpened", "guided", "product of models", "ensemble", "stop", "two rewards"]
)
def test_observe_gives_the_density(name):
    """With one token per character and one way to stop, a text has one sequence of tokens."""
    target = TARGETS[name]

    @program
    def seen(text):
        observe(target, text)

    for text, mass in target_measure(target).items():
        assert infer(seen(text), Enumerate()).log_evidence == pytest.approx(math.log(mass), abs=1e-10)


def test_weights_thrown_away_are_another_law():
    """What is called temperature elsewhere: the same proposals without the weights."""
    exact = infer(drawn(P**3), Enumerate())
    local = infer(drawn(P**3), LocallyConstrained(4000), seed=0)
    distance = 0.5 * sum(abs(local.probability(lambda v, t=t: v == t) - p) for t, p in exact.top(20))
    assert distance > 0.04  # 0.01 by chance


def test_potentials_are_asked_once_for_each_text_and_together():
    batches = []

    def scores(texts):
        batches.append(list(texts))
        return [0.3 * len(text) for text in texts]

    infer(drawn(P * potential(scores, "token", batched=True)), SMC(16), seed=0)
    asked = [text for batch in batches for text in batch]
    assert len(asked) == len(set(asked))
    assert len(batches) <= 4


def test_all_prompts_of_a_model_are_one_batch_and_equal_contexts_are_asked_once():
    cost = infer(drawn(LM("p", max_tokens=6) * LM("q", max_tokens=6) & Regex("[ab]{6}")), SMC(8), seed=0).cost
    assert cost.lm_calls == 7
    assert cost.tokens == 8 * 7
    twice = infer(drawn(P * potential(many_a) * P), Importance(4), seed=0).cost
    once = infer(drawn(P**2 * potential(many_a)), Importance(4), seed=0).cost
    assert twice.lm_tokens == once.lm_tokens


def test_lookahead_changes_neither_target_nor_evidence():
    far = P * potential(many_a, "token", lookahead=1)
    check_unbiased(drawn(far), Enumerate())
    check_unbiased(drawn(far), SMC(1))
    few = LM("p", max_tokens=1) * potential(no_double_a, "token", lookahead=2, rollouts=1)
    check_unbiased(drawn(few), SMC(2, 1.0), max_paths=1_000_000)
    stopped = LM("p", max_tokens=2, stop="ab") * potential(many_a, "a", lookahead=1, rollouts=2)
    check_unbiased(drawn(stopped), SMC(1), max_paths=1_000_000)


def test_lookahead_sees_what_comes():
    """After "x" good things may come, after "y" never: a look ahead tells, the text so far does not."""
    fork = TableLM(
        ["x", "y", "+", "-"],
        {
            (): [0.5, 0.5, 0, 0, 0],
            (0,): [0, 0, 0.9, 0.1, 0],
            (1,): [0, 0, 0, 1, 0],
            **{(v, w): [0, 0, 0, 0, 1] for v in (0, 1) for w in (2, 3)},
        },
    )
    reward = {"at": "token", "lookahead": 1, "rollouts": 4}
    model = drawn(fork("", max_tokens=2) * potential(lambda text: 6.0 * text.count("+"), **reward))
    posterior = infer(model, SMC(32, ess_threshold=1.0), seed=0)
    assert posterior.steps[1].ess < 24  # the weights after the first token tell the two apart
    assert posterior.probability(lambda text: text.startswith("x")) > 0.9


def test_the_beginning_of_a_stop_string_is_not_yet_text():
    target = LM("p", max_tokens=3, stop="ab") * potential(
        lambda t: -math.inf if "a" in t else 0.1, at="token"
    )
    check_unbiased(drawn(target), Enumerate())
    check_unbiased(drawn(target), SMC(1))


def test_an_early_score_of_zero_does_not_rule_out_what_comes():
    """The judge never writes "a" by itself, but "ab" in one token."""
    judge = TableLM(["a", "ab"], lambda prompt, ids: [0.0, 0.5, 0.5])
    check_unbiased(
        drawn(LM("p", max_tokens=3) * score(judge("", max_tokens=3), at="token") & Regex("(ab)*")),
        Enumerate(),
    )


def test_boundaries():
    lines = potential(len, at="line")
    assert lines.boundary("one\ntwo\nth", 0) == 8
    assert lines.boundary("one\ntwo\nth", 8) is None
    words = potential(len, at="word")
    assert words.boundary("one tw", 0) == 3
    assert words.boundary("one", 0) is None
    sentences = potential(len, at="sentence")
    assert sentences.boundary('He said "Go." Then', 0) == 13
    assert sentences.boundary("It costs 3.50", 0) is None
    assert potential(len, at=r"\d").boundary("a1b2c", 2) == 4
    assert potential(len, at="token").boundary("abc", 0) == 3


def test_a_lambda_in_a_program_is_the_same_potential_in_its_replay():
    @program
    def rewarded(strength):
        first = sample(P * potential(lambda text: strength * len(text), at="token"))
        return first, sample(LM(first, max_tokens=1))

    check_unbiased(rewarded(0.4), SMC(2, 1.0), max_paths=1_000_000)


def test_what_has_no_meaning_is_refused():
    for make, message in [
        (lambda: P ** float("nan"), "finite"),
        (lambda: P ** "2", "finite"),
        (lambda: normal_form((P & few_b) ** 0), "forbids"),
        (lambda: normal_form(guide(P, Q & few_b, 1.0)), "forbids"),
        (lambda: normal_form(P * Categorical(["a"])), "parts of"),
        (lambda: normal_form(power_mean([P & few_b, Q], 1)), "parts of"),
        (lambda: normal_form(Categorical(["a"]) * potential(len)), "factor"),
        (lambda: normal_form(P * LM("q", stop="a")), "end alike"),
        (lambda: normal_form(guide(P, LM("q", max_tokens=3), 1)), "max_tokens"),
        (lambda: normal_form(power_mean([P, WIDE("w")], 1)), "different tokens"),
        (lambda: score(lambda text: 0.0), "a target"),
        (lambda: power_mean([], 1), "at least one"),
        (lambda: power_mean([P, Q], 1, [1, 0]), "positive"),
        (lambda: P & Regex("a") * Q, "binds before"),
        (lambda: P & Regex("a") * potential(len), "binds before"),
        (lambda: potential(3), "function"),
        (lambda: potential(len, at="("), "regular expression"),
        (lambda: potential(len, at="end", lookahead=3), "at the end"),
        (lambda: potential(len, at="token", rollouts=0), "at least 1"),
    ]:
        with pytest.raises(InvalidArgument, match=message):
            make()
    with pytest.raises(TypeError):
        P * 2


def test_dividing_by_zero_is_told():
    zero = TableLM(["a", "b"], lambda prompt, ids: [0.5, 0.0, 0.5])
    with pytest.raises(UnboundedTarget, match="'b'"):
        infer(drawn(guide(P, zero("x", max_tokens=2), 1.0)), SMC(2))
    with pytest.raises(ProgramError, match=r"UnboundedTarget.*'b'"):
        infer(drawn(guide(Categorical(["a", "b"]), Categorical(["a"]), 1.0)), SMC(2))
    assert infer(drawn(zero("x", max_tokens=2) * P**-1), Enumerate()).log_evidence > -math.inf


def test_potentials_that_fail():
    for f, message in [
        (lambda text: math.nan, "nan"),
        (lambda text: math.inf, "inf"),
        (lambda text: "x", "could not convert"),
        (lambda text: 1 / 0, "ZeroDivisionError"),
    ]:
        with pytest.raises(PotentialError, match=message):
            infer(drawn(P * potential(f)), SMC(2))
    with pytest.raises(PotentialError, match="2 values"):
        infer(drawn(P * potential(lambda texts: [0.0, 0.0], batched=True) & Choice(["a"])), SMC(2))


def test_explain_names_the_experts_and_the_kernel():
    shown = str(drawn(guide(P, Q, 0.5)).explain())
    assert "random-11('p', max_tokens=2)^1.5 · random-11('q', max_tokens=2)^-0.5" in shown
    assert "corrector" in shown
    shown = str(drawn((guide(P, Q, 0.5) & Regex("a+")) * potential(many_a, at="token")).explain())
    assert "masked" in shown
    assert "exp(many_a, at='token')" in shown
