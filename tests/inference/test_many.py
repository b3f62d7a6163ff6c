"""Many programs together: the same posteriors as alone, in as few calls as the longest needs."""

import gc
import itertools
import threading
import weakref
from collections import Counter
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grammars import ContradictionError, Regex
from inference import (
    AWRS,
    SMC,
    Enumerate,
    Importance,
    LocallyConstrained,
    ParticleGibbs,
    Rejection,
    TableLM,
    TemperedSMC,
    infer,
    infer_many,
    program_seed,
)
from inference.batching import Batcher
from inference.engines.table_session import TableSession
from inference.infer import posterior_of
from inference.progress import Progress
from inference.runtime import Runtime
from inference.site import Site
from inference.tasks import Task, TaskSessions
from inference.testing import check_together
from inference.testing.programs import MODELS, corrected, filled, foreseen, guessed, pooled, rejected
from inference.testing.strategies import programs
from ppl import (
    Categorical,
    InvalidArgument,
    ProgramError,
    condition,
    observe,
    potential,
    program,
    sample,
    score,
)

LM = TableLM.random(["a", "b"], seed=3)
OTHER = TableLM.random(["a", "b"], seed=4)


@program
def text(length, lm=LM):
    return sample(lm("x", max_tokens=length) & Regex(f"[ab]{{{length}}}"))


@program
def silent(weight=0.0):
    return sample(Categorical(["a", "b"], [1, 2]))


@program
def dead():
    condition(False)
    return sample(LM("x"))


@program
def several_models(first):
    a = sample(LM(first, max_tokens=2))
    b = sample(OTHER(a, max_tokens=2) * LM("y", max_tokens=2))
    observe(OTHER(b, max_tokens=3), "ab")
    return a, b


@program
def scored():
    return sample(LM("x", max_tokens=3) * score(OTHER("y", max_tokens=3), at="token"))


@program
def ahead():
    return sample(LM("x", max_tokens=3) * potential(lambda t: 0.3 * t.count("a"), at="token", lookahead=2))


@program
def broken(length):
    sample(LM("x", max_tokens=length) & Regex(f"[ab]{{{length}}}"))
    raise ValueError("broken")


@program
def contradictory():
    return sample(LM("x", max_tokens=2) & Regex("a{3}") & Regex("b"))


RAGGED = (
    text(5),
    silent(),
    dead(),
    several_models("p"),
    scored(),
    ahead(),
    broken(2),
    contradictory(),
    *MODELS,
    corrected(),
    pooled(),
    filled(),
    rejected(),
    foreseen(),
    guessed(),
    several_models("q"),
    text(1),
)

METHODS = (
    SMC(4),
    SMC(3, 1.0, "multinomial", bridge=2),
    Importance(5),
    Rejection(6, batch=4, log_bound=5.0),
    Enumerate(),
    TemperedSMC(4),
    TemperedSMC(3, (0.4, 1.0), moves=2, start=0.5),
    LocallyConstrained(4),
)


@pytest.mark.parametrize("concurrency", [1, 3, 30])
@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
def test_together_is_as_alone(method, concurrency):
    check_together(RAGGED, method, seed=1, concurrency=concurrency)


def test_settings_of_awrs_reach_all():
    check_together([rejected(), rejected()], SMC(4), awrs=AWRS(max_accepts=3))


@settings(max_examples=25)
@given(
    st.lists(programs(), min_size=1, max_size=5), st.sampled_from([SMC(3, 0.8), Importance(2), Enumerate()])
)
def test_random_programs_together_are_as_alone(random, method):
    check_together([r.model() for r in random], method, concurrency=4)


class Calls:
    """Counts the calls of toy models, and the contexts that each asks for."""

    def __init__(self, monkeypatch):
        self.count = 0
        self.sizes = []
        original = TableSession.next_tokens

        def next_tokens(session, contexts):
            self.count += 1
            self.sizes.append(len(contexts))
            return original(session, contexts)

        monkeypatch.setattr(TableSession, "next_tokens", next_tokens)


def test_there_are_as_many_calls_as_the_longest_program_needs(monkeypatch):
    calls = Calls(monkeypatch)
    models = [text(length) for length in (1, 7, 3, 5, 7, 2)]
    posteriors = list(infer_many(models, SMC(4), concurrency=6))
    assert calls.count == 8  # seven tokens and the end
    assert [p.cost.lm_calls for p in posteriors] == [2, 8, 4, 6, 8, 3]
    assert calls.sizes == [24, 24, 20, 16, 12, 12, 8, 8]


def test_nobody_goes_ahead_while_others_ask_for_densities(monkeypatch):
    calls = Calls(monkeypatch)
    list(infer_many([scored(), text(3)], SMC(4)))
    assert calls.count == 4


def test_models_are_asked_once_for_all_that_write_with_them(monkeypatch):
    calls = Calls(monkeypatch)
    list(infer_many([several_models("p"), text(5), several_models("q")], SMC(4)))
    assert calls.count == 6 + 5  # LM in all ticks, OTHER in those in which somebody writes a second text


def test_a_place_that_becomes_free_is_filled(monkeypatch):
    calls = Calls(monkeypatch)
    list(infer_many([text(3)] * 12, SMC(2), concurrency=4))
    assert calls.count == 3 * 4
    assert set(calls.sizes) == {8}


def test_seeds_tell_how_to_repeat_a_run():
    posteriors = list(infer_many([text(3)] * 3, SMC(4), seed=7))
    assert [p.seed for p in posteriors] == [program_seed(7, i) for i in range(3)]
    assert len({p.seed for p in posteriors}) == 3
    assert program_seed(8, 0) != program_seed(7, 0)
    again = infer(text(3), SMC(4), seed=posteriors[1].seed)
    assert [s.value for s in again.samples] == [s.value for s in posteriors[1].samples]
    assert list(infer_many([text(3)] * 3, SMC(4), seed=7, concurrency=1))[2].top() == posteriors[2].top()


# Laziness.


class Source:
    """Counts how many models have been read."""

    def __init__(self, model):
        self.read = 0
        self.model = model

    def __iter__(self):
        while True:
            self.read += 1
            yield self.model(self.read - 1)


def test_nothing_happens_before_the_first_result_is_asked_for(monkeypatch):
    calls, source = Calls(monkeypatch), Source(lambda i: text(2))
    results = infer_many(source, SMC(2), concurrency=3)
    assert source.read == calls.count == 0
    next(results)
    assert source.read == 3
    made = calls.count
    next(results)
    next(results)
    assert (source.read, calls.count) == (3, made)  # they had finished with the first
    next(results)
    assert source.read == 6


@pytest.mark.parametrize("ordered", [True, False])
def test_an_infinite_stream_is_read_no_further_than_needed(ordered):
    source = Source(lambda i: text(1 + i % 3))
    results = infer_many(source, SMC(2), concurrency=4, ordered=ordered)
    for taken, _ in enumerate(itertools.islice(results, 50), 1):
        assert source.read <= taken + (2 * 4 if ordered else 4)
    assert source.read >= 50


def test_results_that_wait_for_a_slow_one_are_bounded():
    source = Source(lambda i: text(60 if i == 0 else 1))
    results = infer_many(source, SMC(2), concurrency=4)
    next(results)
    assert source.read == 8
    first = [p.mode() for p in itertools.islice(results, 6)]
    assert all(len(mode) == 1 for mode in first)


def test_programs_without_calls_are_not_read_in_advance():
    source = Source(lambda i: silent())
    results = infer_many(source, SMC(2), concurrency=4)
    for i in range(1, 10):
        next(results)
        assert source.read == i


# Order.


def test_results_come_as_they_finish():
    models = [text(12), text(2), silent(), text(1), text(5)]
    results = list(infer_many(models, Enumerate(), ordered=False, concurrency=2))
    assert [index for index, _ in results] == [1, 2, 3, 4, 0]
    for index, posterior in results:
        assert posterior.log_evidence == infer(models[index], Enumerate()).log_evidence


def test_no_models_no_results():
    assert list(infer_many([])) == []
    assert list(infer_many(iter(()), ordered=False)) == []


# Errors.


def test_an_error_is_raised_in_its_turn():
    results = infer_many([text(3), broken(1), text(1)], SMC(2))
    assert next(results).samples
    with pytest.raises(ProgramError, match="broken") as caught:
        next(results)
    assert caught.value.__notes__ == ["in model 1 of infer_many: broken(1)"]
    assert list(results) == []


@pytest.mark.parametrize("ordered", [True, False])
def test_errors_can_be_results(ordered):
    models = [contradictory(), text(3), broken(1), "no model", text, text(1)]
    results = list(infer_many(models, SMC(2), ordered=ordered, errors="return"))
    if not ordered:
        assert sorted(index for index, _ in results) == list(range(6))
        results = [result for _, result in sorted(results, key=lambda pair: pair[0])]
    assert isinstance(results[0], ContradictionError)
    assert isinstance(results[2], ProgramError)
    assert isinstance(results[3], InvalidArgument)
    assert "call it" in str(results[4])
    assert [len(results[i].mode()) for i in (1, 5)] == [3, 1]


def test_an_error_of_the_model_hits_who_asked_for_it():
    def probabilities(prompt, generated):
        if prompt == "bad" and len(generated) == 1:
            raise RuntimeError("no row")
        return [0.3, 0.3, 0.4]

    lm = TableLM(["a", "b"], probabilities)

    @program
    def asks(prompt):
        return sample(lm(prompt, max_tokens=3) & Regex("[ab]{3}"))

    results = list(infer_many([asks("x"), asks("bad"), asks("y")], SMC(3), errors="return"))
    assert isinstance(results[1], RuntimeError)
    alone = [infer(asks(p), SMC(3), seed=program_seed(0, i)) for i, p in ((0, "x"), (2, "y"))]
    assert [results[i].top() for i in (0, 2)] == [p.top() for p in alone]


def test_an_error_of_reading_comes_after_the_results():
    def source():
        yield text(4)
        yield text(1)
        raise OSError("the file has ended")

    for ordered in (True, False):
        results = infer_many(source(), SMC(2), ordered=ordered, errors="return")
        assert next(results)
        assert next(results)
        with pytest.raises(OSError, match="ended"):
            next(results)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": text(1)}, "no iterable"),
        ({"models": 3}, "no iterable"),
        ({"concurrency": 0}, "concurrency"),
        ({"errors": "ignore"}, "errors="),
        ({"method": "smc"}, "method="),
        ({"seed": -1}, "seed="),
        ({"awrs": 3}, "awrs="),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments, message):
    with pytest.raises(InvalidArgument, match=message):
        infer_many(**{"models": [text(1)], **arguments})


# Ends.


def test_close_ends_all_runs_and_gives_the_memory_back(monkeypatch):
    left, sessions = Counter(), []

    @program
    def careful(i):
        try:
            sample(LM("x", max_tokens=9) & Regex("[ab]{9}"))
        finally:
            left[i] += 1

    monkeypatch.setattr(
        LM, "session", lambda: sessions.append(TableSession(LM)) or sessions[-1], raising=False
    )
    results = infer_many(
        itertools.chain([silent()], (careful(i) for i in itertools.count())), SMC(3), concurrency=4
    )
    next(results)
    assert not left
    results = infer_many([careful(0), careful(1), text(2)], SMC(3), ordered=False)
    assert next(results)[0] == 2
    assert [session._engine for session in sessions] == [LM]
    results.close()
    assert left == {0: 3, 1: 3}
    assert [session._engine for session in sessions] == [None]
    assert list(results) == []


def test_an_iterator_that_is_dropped_is_closed():
    left = []

    class Held:
        pass

    @program
    def careful(held):
        try:
            sample(LM("x", max_tokens=9) & Regex("[ab]{9}"))
        finally:
            left.append(held)

    held = Held()
    reference = weakref.ref(held)
    results = infer_many([careful(held), text(1)], SMC(2), ordered=False)
    next(results)
    del results
    gc.collect()
    assert left == [held, held]
    left.clear()
    del held
    gc.collect()
    assert reference() is None


def test_an_interrupt_ends_all():
    left = []

    @program
    def careful():
        try:
            sample(LM("x", max_tokens=9) & Regex("[ab]{9}"))
        finally:
            left.append(1)

    @program
    def interrupted():
        sample(LM("x", max_tokens=1))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(infer_many([careful(), interrupted()], SMC(2), errors="return"))
    assert len(left) == 2


@pytest.mark.parametrize("use", [next, lambda results: results.close()], ids=["next", "close"])
def test_another_thread_is_told(use):
    results = infer_many([text(1), text(5)], SMC(2))
    next(results)
    caught = []

    def elsewhere():
        try:
            use(results)
        except InvalidArgument as error:
            caught.append(str(error))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert "in one thread" in caught[0]


def test_runs_within_runs():
    """A program that computes a posterior of its own, one by one and together."""

    @program
    def outer(n):
        inner = [p.mode() for p in infer_many([text(1), text(n)], Enumerate())]
        return sample(LM("".join(inner), max_tokens=2)), infer(text(n), Enumerate()).mode()

    check_together([outer(2), outer(3)], SMC(3))


def test_sessions_of_models_that_nobody_uses_are_closed():
    lms = [TableLM.random(["a", "b"], seed=i) for i in range(6)]
    open_ = []
    with patch.object(TableLM, "session", lambda lm: open_.append(TableSession(lm)) or open_[-1]):
        results = infer_many((text(2, lm) for lm in lms), SMC(2), concurrency=2)
        for _ in range(6):
            next(results)
            assert sum(session._engine is not None for session in open_) <= 3
    assert len(open_) == 6


def test_texts_to_be_scored_are_answered_in_portions(monkeypatch):
    """The tables of all texts would be in memory at once."""
    sizes = []
    original = TableSession.along

    def along(session, requests):
        sizes.append(sum(len(continuation) + 1 for _, continuation in requests))
        return original(session, requests)

    @program
    def observed(length):
        observe(LM("y", max_tokens=9), "a" * length)
        return sample(LM("x", max_tokens=2))

    models = [observed(n) for n in (2, 2, 9, 1)]
    alone = [infer(model, SMC(1), seed=program_seed(0, i)).log_evidence for i, model in enumerate(models)]
    monkeypatch.setattr(TableSession, "along", along)
    monkeypatch.setattr("inference.batching._LOGITS", 7 * LM.vocabulary.size)
    assert [p.log_evidence for p in infer_many(models, SMC(1))] == alone
    assert sizes == [6, 10, 2]


# Cost.


def test_seconds_add_up_to_the_time_that_passed(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("inference.batching.time.perf_counter", lambda: now[0])
    original = TableSession.next_tokens

    def next_tokens(session, contexts):
        now[0] += 1.0
        return original(session, contexts)

    monkeypatch.setattr(TableSession, "next_tokens", next_tokens)
    posteriors = list(infer_many([text(1), text(3)], SMC(2)))
    assert [p.cost.seconds for p in posteriors] == [1.0, 3.0]
    assert now[0] == 4.0


def test_sites_choose_by_the_time_of_their_own_run(monkeypatch):
    clocks = []
    monkeypatch.setattr(Site, "adapt", lambda site: clocks.append(site._clock))
    list(infer_many([text(2), text(2)], SMC(2)))
    assert {clock.__func__ for clock in clocks} == {Task.clock}
    assert len({id(clock.__self__) for clock in clocks}) == 2


def test_progress_is_shown_if_asked_for(monkeypatch):
    shown = []
    monkeypatch.setattr(
        "inference.progress._Line.show", lambda line, text, drawn: shown.append((text, drawn))
    )
    models = [text(1), text(3), broken(2)]
    list(infer_many(models, SMC(2), errors="return", progress=False))
    assert shown == []
    list(infer_many(models, SMC(2), errors="return", progress=True))
    assert shown[0] == ("0 ended  3 in flight", 0)
    assert shown[-1] == ("3 ended  0 in flight", 4 + 8)


def test_a_cancelled_run_is_ended_and_changes_nothing_for_the_others():
    ended = []

    def run(index):
        def work(task):
            runtime = Runtime(None, TaskSessions(task), task.clock, drafts=False)
            try:
                return posterior_of(text(4), SMC(4), index, runtime, Progress())
            finally:
                ended.append(index)

        return Task(index, work)

    with Batcher() as batcher:
        tasks = [run(index) for index in range(3)]
        for task in tasks:
            batcher.start(task)
        batcher.advance()
        batcher.cancel(tasks[1])
        assert ended == [1]
        assert len(batcher) == 2
        while len(batcher):
            batcher.advance()
    assert tasks[1].result is tasks[1].error is None
    for index in (0, 2):
        alone = infer(text(4), SMC(4), seed=index, drafts=False)
        assert tasks[index].result.log_evidence == alone.log_evidence
        assert tasks[index].result.top() == alone.top()


def test_runs_are_recorded_on_request():
    silent_ones = list(infer_many([text(2), text(3)], SMC(3)))
    recorded = list(infer_many([text(2), text(3)], SMC(3), record=True))
    assert all(posterior.record is None for posterior in silent_ones)
    for posterior, other in zip(recorded, silent_ones, strict=True):
        assert posterior.top() == other.top()
        assert len(posterior.record.moves(0)) > 2


def test_what_cannot_be_recorded_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="record=True"):
        list(infer_many(MODELS[:1], ParticleGibbs(2, 2), record=True))
