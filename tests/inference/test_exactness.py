"""Every method, scheme and kernel against brute force, to 1e-10."""

import math

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from grammars import Constraint, Matcher, Regex
from inference import SMC, Enumerate, Importance, Rejection, TableLM, infer
from inference.kernels import KERNELS
from inference.resampling import SCHEMES
from inference.testing import (
    TooManyPaths,
    check_kernel,
    check_replay,
    check_resampling,
    check_unbiased,
    measure,
    target_measure,
)
from inference.testing.programs import ragged, two_sites
from inference.testing.strategies import constraints, programs, text_targets, toy_lms
from inference.text import TextState
from ppl import condition, factor, memo, observe, program, sample
from ppl.compiler.normal_form import normal_form
from ppl.compiler.plan import plan_text
from ppl.rng import Rng

LM = TableLM.random(["a", "b"], seed=3)


@settings(max_examples=80)
@given(programs())
def test_enumerate_gives_the_measure(random):
    check_unbiased(random.model(), Enumerate())


@settings(max_examples=60)
@given(programs(), st.sampled_from([Importance(1), SMC(1), SMC(1, ess_threshold=1.0)]))
def test_one_particle_is_unbiased_on_random_programs(random, method):
    check_unbiased(random.model(), method)


@settings(max_examples=40)
@given(programs(max_statements=3), st.sampled_from(SCHEMES), st.sampled_from([0.0, 0.7, 1.0]))
def test_two_particles_are_unbiased_on_random_programs(random, scheme, threshold):
    try:
        check_unbiased(random.model(), SMC(2, threshold, scheme), max_paths=800)
    except TooManyPaths:
        reject()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("model", [two_sites(), ragged()], ids=repr)
def test_smc_is_unbiased(model, scheme):
    check_unbiased(model, SMC(2, 1.0, scheme))


@pytest.mark.parametrize("model", [two_sites(), ragged()], ids=repr)
def test_importance_is_unbiased(model):
    check_unbiased(model, Importance(2))


@pytest.mark.parametrize("batch", [1, 2])
def test_rejection_is_unbiased(batch):
    check_unbiased(ragged(), Rejection(2, batch=batch))
    check_unbiased(two_sites(), Rejection(1, log_bound=1.4))


@settings(max_examples=60)
@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=4), st.sampled_from(SCHEMES), st.integers(0, 3))
def test_resampling_schemes_are_unbiased(weights, scheme, dead):
    check_resampling(scheme, np.array(weights + [1e-300] * min(dead, 4 - len(weights))))


class OnlyChecks(Constraint):
    """The texts of a regex, offered as a check of single tokens."""

    def __init__(self, pattern: str) -> None:
        self.regex = Regex(pattern)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OnlyChecks) and self.regex == other.regex

    def __hash__(self) -> int:
        return hash(self.regex)

    def matcher(self, vocabulary):
        return OnlyCheckMatcher(self.regex.matcher(vocabulary))


class OnlyCheckMatcher(Matcher):
    def __init__(self, inner: Matcher) -> None:
        super().__init__(inner.vocabulary)
        self.inner = inner

    def consume(self, data: bytes) -> bool:
        return self.inner.consume(data)

    def is_accepting(self) -> bool:
        return self.inner.is_accepting()

    def fork(self):
        return OnlyCheckMatcher(self.inner.fork())


def _next_token_target(state: TextState) -> dict[int, float]:
    """The numerator of the optimal proposal, token by token from the definition."""
    lm = state.plan.text.lm
    probabilities = lm.logprobs(state.contexts[0].prompt, state.contexts[0].generated()).exp().tolist()
    allowed = {}
    for token, p in enumerate(probabilities):
        if token == lm.vocabulary.end:
            constraint = state.plan.constraint
            ok = constraint is None or constraint.matches(state.content)
        else:
            ok = not state.at_limit and (state.matcher is None or state.matcher.allows(token))
        if ok and p > 0.0:
            allowed[token] = p
    return allowed


@settings(max_examples=60)
@given(st.data())
def test_kernels_are_properly_weighted_token_by_token(data):
    lm = data.draw(toy_lms(("a", "b", "ab")))
    constraint = data.draw(
        st.one_of(st.none(), constraints(), st.sampled_from(["a*b", "(ab)*"]).map(OnlyChecks))
    )
    target = lm("x", max_tokens=3)
    plan = plan_text(normal_form(target if constraint is None else target & constraint))
    state = TextState.begin(plan)
    while not state.finished:
        expected = _next_token_target(state)
        check_kernel(KERNELS[state.kernel], state, expected)
        if not expected:
            break
        state.advance(data.draw(st.sampled_from(sorted(expected))))


def test_a_constraint_that_only_checks_is_unbiased():
    @program
    def checked():
        return sample(LM("x", max_tokens=2) & OnlyChecks("a*b") & Regex("[ab]{2,}"))

    assert "awrs" in str(checked().explain())
    for method in (Enumerate(), Importance(2), SMC(2, 1.0)):
        check_unbiased(checked(), method)


@settings(max_examples=60)
@given(st.data())
def test_constraining_is_conditioning(data):
    lm = data.draw(toy_lms())
    target, constraint = data.draw(text_targets(lm)), data.draw(constraints())

    @program
    def constrained():
        return sample(target & constraint)

    @program
    def conditioned():
        x = sample(target)
        condition(x in constraint)
        return x

    a, b = measure(constrained()), measure(conditioned())
    assert a.keys() == b.keys()
    assert all(abs(a[x] - b[x]) < 1e-12 for x in a)
    check_unbiased(conditioned(), Enumerate())


@settings(max_examples=40)
@given(st.data())
def test_conjunction_is_associative_commutative_and_has_a_neutral_element(data):
    lm = data.draw(toy_lms())
    a, b = data.draw(constraints()), data.draw(constraints())
    p = lm("x", max_tokens=2)
    reference = target_measure(p & a & b)
    for other in (p & (a & b), p & b & a, p & a & b & a, p & str & a & b):
        assert target_measure(other) == pytest.approx(reference, abs=1e-12)
    assert normal_form(p & a & b) == normal_form(p & (a & b))
    assert normal_form(p & str) == normal_form(p)


@settings(max_examples=40)
@given(programs())
def test_programs_replay(random):
    check_replay(random.model(), Rng(0))


def test_multi_byte_tokens_and_several_tokenisations():
    lm = TableLM.random(["a", "b", "ab", "é", b"\xc3", b"\xa9"], seed=1)

    @program
    def spelled():
        return sample(lm("x", max_tokens=2) & Regex("a?b?é?"))

    check_unbiased(spelled(), Enumerate())
    check_unbiased(spelled(), SMC(1))
    assert measure(spelled())["é"] > measure(spelled()).get("éé", 0.0)


def test_observe_is_the_density_of_the_text():
    for stop in ((), ("b",), ("ab",), ("ab", "ba")):
        target = LM("x", stop=stop, max_tokens=3)
        for text, mass in target_measure(target).items():

            @program
            def observed(target=target, text=text):
                observe(target, text)
                return text

            from inference import infer

            assert infer(observed(), Enumerate()).log_evidence == pytest.approx(math.log(mass), abs=1e-10)


def test_memoised_calls_are_not_repeated_by_replays():
    calls = []

    @program
    def slow():
        first = sample(LM("x", max_tokens=2))
        factor(memo(lambda: calls.append(first) or float(len(first))))
        return sample(LM(first, max_tokens=2))

    from inference import infer

    infer(slow(), SMC(16, 1.0), seed=1)
    assert len(calls) <= 16


def test_a_tick_without_choices_does_not_resample():
    @program
    def two_tokens():
        return sample(LM("x", max_tokens=2))

    posterior = infer(two_tokens(), SMC(8, ess_threshold=1.0), seed=0)
    *_, last = posterior.steps
    assert last.tick == 3
    assert last.ess < 8
    assert not last.resampled
    assert len(posterior.top()) > 1


def test_a_memoised_exception_is_raised_again_by_replays():
    calls = []

    def fails(text):
        calls.append(text)
        raise ValueError(text)

    @program
    def catches():
        text = sample(LM("x", max_tokens=1))
        try:
            memo(fails, text)
        except ValueError as error:
            factor(0.3 * len(str(error)))
        return text + sample(LM("y", max_tokens=1) & Regex("a|b"))

    check_unbiased(catches(), SMC(2, 1.0))
    calls.clear()
    infer(catches(), Enumerate())
    assert sorted(calls) == ["", "a", "b"]


def test_a_text_that_no_tokens_spell_has_density_0():
    @program
    def unspellable():
        text = sample(LM("x", max_tokens=1))
        observe(LM("y", max_tokens=2), "a" if text == "b" else "z")
        return text

    check_unbiased(unspellable(), SMC(1))
    assert set(measure(unspellable())) == {"b"}
