"""Programs as users write them: helpers, recursion, exceptions, nesting, and misuse with its errors."""

import contextvars
import itertools
import traceback

import pytest

from grammars import Choice, ContradictionError, PPLError, Regex
from inference import SMC, Enumerate, Importance, TableLM, infer
from ppl import (
    Categorical,
    InvalidArgument,
    OutsideInference,
    ProgramError,
    ReplayDivergence,
    condition,
    factor,
    memo,
    observe,
    program,
    sample,
)

LM = TableLM.random(["a", "b"], seed=0)
OTHER = TableLM.random(["a", "c"], seed=1, name="other")


def helper(prompt: str) -> str:
    return sample(LM(prompt, max_tokens=1), name="helped")


@program
def recursive(depth: int) -> str:
    if depth == 0:
        return ""
    return helper(str(depth)) + sample(recursive(depth - 1))


def test_helpers_recursion_and_nested_programs():
    posterior = infer(recursive(3), Enumerate())
    assert posterior.log_evidence < 0
    assert {len(value) for value, *_ in posterior} <= {0, 1, 2, 3}
    assert [choice.address.name for choice in next(iter(posterior)).trace] == ["helped"] * 3


def test_several_models_and_prompts_built_from_samples():
    @program
    def chain():
        first = sample(LM("x", max_tokens=1))
        second = sample(OTHER(first, max_tokens=1))
        third = sample(LM(first + second, max_tokens=1))
        return first, second, third

    posterior = infer(chain(), SMC(64, 1.0), seed=0)
    assert any("c" in value[1] for value, *_ in posterior)
    assert posterior.cost.lm_calls > 0


def test_loops_whose_length_is_random():
    @program
    def loop():
        for n in itertools.count():
            if sample(LM(str(n), max_tokens=1)) != "a" or n == 3:
                return n
        return None

    assert infer(loop(), Enumerate()).expectation(float) > 0


def test_exceptions_inside_a_program_are_the_users_own():
    @program
    def catches():
        text = sample(LM("x", max_tokens=1))
        try:
            return int(text)
        except ValueError:
            return text

    assert infer(catches(), Importance(4), seed=0).mode() in ("", "a", "b")


def test_an_escaping_exception_names_particle_and_texts_and_keeps_its_traceback():
    @program
    def breaks():
        text = sample(LM("x", max_tokens=1) & Choice(["a"]))
        condition({"b": 1}[text])

    with pytest.raises(ProgramError) as raised:
        infer(breaks(), SMC(4), seed=0)
    message = str(raised.value)
    assert "particle 0" in message
    assert "KeyError" in message
    assert "'a'" in message
    assert "hint" in message
    assert isinstance(raised.value.__cause__, KeyError)
    assert 'condition({"b": 1}[text])' in "".join(traceback.format_exception(raised.value.__cause__))


@pytest.mark.parametrize(
    "call",
    [
        lambda: sample(LM("x")),
        lambda: condition(True),
        lambda: factor(0.0),
        lambda: observe(LM("x"), "a"),
        lambda: memo(len, "x"),
    ],
)
def test_primitives_outside_inference_say_so(call):
    with pytest.raises(OutsideInference, match="outside inference"):
        call()


def test_primitives_inside_memo_are_refused():
    @program
    def wrong():
        return memo(lambda: sample(LM("x")))

    with pytest.raises(ProgramError, match="inside memo"):
        infer(wrong(), SMC(2))


def test_a_program_that_depends_on_more_than_its_samples_diverges():
    clock = itertools.count()

    @program
    def impure():
        first = sample(LM("x", max_tokens=1))
        factor(5.0 * (first == "a"))
        second = sample(LM(f"{next(clock)}", max_tokens=1))
        return first + second + sample(LM("z", max_tokens=1))

    with pytest.raises(ReplayDivergence) as raised:
        infer(impure(), SMC(8, 1.0), seed=0)
    message = str(raised.value)
    assert message.count("test_programs.py:") == 2
    assert "memo" in message


def test_memo_makes_it_replayable():
    clock = itertools.count()

    @program
    def recorded():
        first = sample(LM("x", max_tokens=1))
        factor(5.0 * (first == "a"))
        second = sample(LM(f"{memo(next, clock)}", max_tokens=1))
        return first + second + sample(LM("z", max_tokens=1))

    assert len(infer(recorded(), SMC(8, 1.0), seed=0)) > 0


def test_context_variables_are_those_of_the_caller():
    language = contextvars.ContextVar("language", default="none")
    language.set("ours")

    @program
    def reads():
        sample(LM("x", max_tokens=1))
        return language.get()

    assert infer(reads(), SMC(4, 1.0)).mode() == "ours"


def test_finally_blocks_of_abandoned_runs_are_executed():
    closed = []

    @program
    def resource():
        try:
            text = sample(LM("x", max_tokens=1))
            condition(text == "a")
            return sample(LM("y", max_tokens=1))
        finally:
            closed.append(1)

    infer(resource(), SMC(8, 1.0), seed=0)
    assert len(closed) >= 8


def test_typed_sites_and_finite_choices():
    digits = TableLM.random(["1", "2", "-"], seed=2)

    @program
    def typed():
        n = sample(digits("n", max_tokens=2), int)
        weight = sample(Categorical({"half": 0.5, "double": 2.0}))
        return n, weight

    values = {value for value, *_ in infer(typed(), Enumerate())}
    assert (12, "half") in values
    assert (-1, "double") in values
    assert all(isinstance(n, int) for n, _ in values)


def test_parsed_values_are_not_shared_between_replays():
    lists = TableLM.random(['["a"]', '["b"]'], seed=4)

    @program
    def mutates():
        items = sample(lists("x", max_tokens=1), list[str])
        items.append("!")
        sample(LM("x", max_tokens=2))
        return tuple(items)

    assert all(len(value) == 2 for value, *_ in infer(mutates(), SMC(8, 1.0), seed=0))


def test_a_false_condition_ends_the_run():
    reached = []

    @program
    def stops():
        condition(False)
        reached.append(1)

    assert infer(stops(), SMC(3)).log_evidence == float("-inf")
    assert not reached


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: LM("x", max_tokens=0), "max_tokens=0"),
        (lambda: LM("x", max_tokens=2.5), "max_tokens=2.5"),
        (lambda: LM("x", stop=""), "stop=''"),
        (lambda: LM("x", stop=5), "stop=5"),
        (lambda: LM(["x"]), "not a text"),
        (lambda: LM("\ud800"), "not a text"),
        (lambda: LM("x", max_tokens=True), "max_tokens=True"),
        (lambda: SMC(ess_threshold="x"), "ess_threshold='x'"),
        (lambda: infer(recursive(1), SMC(2)).sample(-1), "sample"),
        (lambda: LM.chat([{"text": "x"}]), "not a conversation"),
        (lambda: LM.chat([]), "not a conversation"),
        (lambda: infer(recursive(1), SMC(2), seed=-1), "seed=-1"),
        (lambda: infer(recursive(1), SMC(2), seed="x"), "seed='x'"),
        (lambda: SMC(particles=0), "particles=0"),
        (lambda: SMC(particles=2.5), "particles=2.5"),
        (lambda: SMC(ess_threshold=2), "ess_threshold=2"),
        (lambda: SMC(resampling="best"), "resampling='best'"),
        (lambda: Categorical([]), "0 values"),
        (lambda: Categorical(["a"], [-1]), "weights"),
        (lambda: Categorical(["a", "b"], [1]), "2 values and 1 weights"),
        (lambda: infer(recursive, SMC(2)), "call it"),
        (lambda: infer(recursive(1), "smc"), "method='smc'"),
        (lambda: infer("model"), "no model"),
    ],
)
def test_bad_arguments_are_refused_with_a_hint(build, match):
    with pytest.raises(InvalidArgument, match=match) as raised:
        build()
    assert raised.value.hint
    assert isinstance(raised.value, PPLError)


def test_wrong_signatures_and_coroutines_are_refused_at_once():
    with pytest.raises(TypeError):
        recursive()
    with pytest.raises(InvalidArgument, match="coroutine"):

        @program
        async def waits():
            return 1


@pytest.mark.parametrize(
    ("statement", "match"),
    [
        (lambda: factor(float("nan")), "nan"),
        (lambda: factor(float("inf")), "inf"),
        (lambda: sample("a prompt"), "not a target"),
        (lambda: sample(recursive(1), int), "its own type"),
        (lambda: sample(Categorical([1, 2]) & Regex("a")), "not every value is a str"),
    ],
)
def test_bad_statements_are_refused(statement, match):
    @program
    def bad():
        statement()

    with pytest.raises(PPLError, match=match):
        infer(bad(), SMC(2))


@pytest.mark.parametrize(
    ("call", "got", "hint"),
    [
        (lambda: sample(LM("x"), max_tokens=5), "sample got max_tokens=5", "lm(prompt, max_tokens=5)"),
        (lambda: sample(LM("x"), int, stop="b"), "sample got stop='b'", "lm(prompt, stop='b')"),
        (lambda: sample(LM("x"), max_new_tokens=5), "got max_new_tokens=5", "lm(prompt, max_tokens=5)"),
        (lambda: sample(LM("x"), stop_sequences=["b"]), "got stop_sequences=['b']", "lm(prompt, stop=['b'])"),
        (lambda: sample(LM, max_tokens=5), "sample got max_tokens=5", "lm(prompt, max_tokens=5)"),
        (lambda: sample(recursive(1), max_tokens=5), "sample got max_tokens=5", "lm(prompt, max_tokens=5)"),
        (lambda: sample(LM("x"), temperature=0.5), "got temperature=0.5", "WarpedLM(lm, temperature=0.5)"),
        (lambda: sample(LM("x"), top_p=0.9), "sample got top_p=0.9", "WarpedLM(lm, top_p=0.9)"),
        (lambda: sample(LM("x"), n=3), "sample got n=3", "infer(model, SMC(particles=...))"),
        (lambda: sample(LM("x"), seed=1), "sample got seed=1", "infer(model, seed=1)"),
        (lambda: sample(LM("x"), nmae="x"), "sample got nmae='x'", "a target, a type and name="),
        (lambda: observe(LM("x"), "a", max_tokens=5), "observe got max_tokens=5", "lm(prompt, max_tokens=5)"),
        (lambda: observe(LM("x"), "a", b="{}"), "observe got b='{}'", "a target, a value and name="),
        (lambda: LM("x", temperature=0.5), "lm(prompt) got temperature=0.5", "WarpedLM(lm, temperature=0.5)"),
        (lambda: LM("x", max_new_tokens=5), "lm(prompt) got max_new_tokens=5", "lm(prompt, max_tokens=5)"),
        (lambda: LM.chat("x", top_k=5), "lm.chat(messages) got top_k=5", "stop= and max_tokens="),
    ],
)
def test_settings_that_belong_elsewhere_are_refused_with_their_place(call, got, hint):
    @program
    def wrong():
        call()

    with pytest.raises(ProgramError) as raised:
        infer(wrong(), SMC(2))
    assert got in str(raised.value)
    assert hint in raised.value.hint
    assert isinstance(raised.value.__cause__, InvalidArgument)


def test_contradictory_constraints_are_refused_before_any_model_call(monkeypatch):
    monkeypatch.setattr(type(LM.session()), "next_tokens", lambda *_: pytest.fail("the model was called"))

    @program
    def contradictory():
        return sample(LM("x") & Regex("a+") & Regex("b+"))

    with pytest.raises(ContradictionError, match=r"a\+.*b\+"):
        infer(contradictory(), SMC(2))


def test_explain_lists_the_sites_with_kernels_and_reasons():
    @program
    def explained():
        text = sample(LM("x", max_tokens=2) & Regex("a+"), name="letters")
        observe(LM("y", max_tokens=2), text)
        condition(len(text) == 1)
        factor(-1.0)
        return text, sample(Categorical(["u", "v"])), sample(LM("z", max_tokens=1))

    text = str(explained().explain())
    for part in ("letters", "masked", "score", "condition", "factor", "finite choice", "direct", "returned"):
        assert part in text
    assert str(explained().explain()) == text


def test_explain_shows_the_site_at_which_the_walk_ends():
    @program
    def dead_end():
        return sample(LM("x", max_tokens=1) & Regex("a{3}"))

    explanation = dead_end().explain()
    assert explanation.sites[0].kernel == "masked"
    assert explanation.sites[0].example == ""
    assert "dead end" in explanation.ended

    @program
    def contradiction():
        return sample(LM("x") & Regex("a") & Regex("b"))

    assert "no text satisfies" in contradiction().explain().ended

    @program
    def nothing_left():
        return sample(Categorical(["a"]) & Choice(["b"]))

    assert "no value left" in nothing_left().explain().ended


def test_errors_of_targets_are_the_programs_own():
    @program
    def wrong():
        try:
            sample(Categorical([1, 2]) & Regex("a"))
        except InvalidArgument:
            return "caught"

    assert infer(wrong(), Enumerate()).mode() == "caught"

    @program
    def surrogate():
        observe(LM("x"), "\ud800")

    with pytest.raises(ProgramError, match="InvalidArgument: observe got"):
        infer(surrogate(), SMC(1))


def test_finite_values_need_not_compare_and_are_those_of_the_own_run():
    class Plain:
        def __init__(self, n):
            self.n = n

    @program
    def plain():
        choice = sample(Categorical([Plain(0), Plain(1), []]))
        first = sample(LM("x", max_tokens=1))
        factor(3.0 * len(first))
        if isinstance(choice, list):
            choice.append(first)
            return len(choice)
        sample(LM("y", max_tokens=1))
        return choice.n

    posterior = infer(plain(), SMC(32, 1.0), seed=0)
    assert any(step.resampled for step in posterior.steps)
    assert {value for value, _, _ in posterior} <= {0, 1}


def test_the_text_for_which_a_program_raises_is_shown_whole():
    long = "a" * 200

    @program
    def raises():
        text = sample(Categorical([long]))
        raise ValueError(text[:0])

    with pytest.raises(ProgramError, match=long):
        infer(raises(), SMC(1))


def test_weights_that_overflow_are_refused():
    @program
    def huge():
        factor(1e308)
        factor(1e308)

    with pytest.raises(InvalidArgument, match="add up to inf"):
        infer(huge(), SMC(1))
