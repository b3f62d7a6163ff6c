"""Checks in worker processes: the same results as without, and errors that name the text."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from slow_predicates import UnsendableError, alone, ends_with_b, hasty, in_process_of, misbehave

from grammars import (
    Choice,
    ContradictionError,
    GrammarError,
    PredicateError,
    PrefixPredicate,
    Regex,
    Vocabulary,
    check_satisfiable,
    prefix_predicate,
)
from grammars.predicate_checks import Answers

WORDS = Vocabulary((b"a", b"b", b"x", b"E", b"N", b"Q", b"ab", b"\xc3", b"\xa9", None), frozenset({9}))


@pytest.fixture(scope="module", autouse=True)
def _no_worker_survives() -> Iterator[None]:
    yield
    for predicate in (alone, hasty, in_process_of):
        predicate.close()
    assert not multiprocessing.active_children()


@pytest.fixture(scope="module")
def pools() -> Iterator[list[PrefixPredicate]]:
    """The same predicate with 0, 1 and 3 workers."""
    made = [prefix_predicate(complete=ends_with_b, workers=n)(misbehave) for n in (0, 1, 3)]
    yield made
    for predicate in made:
        predicate.close()


def transcript(predicate: PrefixPredicate, announce: bool) -> list[Any]:
    """What a user sees along a few walks: answers, ends and errors, in order."""
    seen: list[Any] = []

    def record(ask: Any, *args: Any) -> Any:
        try:
            seen.append(ask(*args))
        except PredicateError as error:
            seen.append((str(error), error.text, type(error.__cause__), str(error.__cause__)))
        return seen[-1]

    constraint = predicate & Regex("[^b]*[^a]*")
    for walk in ([0, 7, 8, 1, 1], [6, 7, 8, 1], [7, 8, 2, 0]):
        matcher, text = constraint.matcher(WORDS), b""
        for token in walk:
            if announce:
                matcher.prefetch(range(WORDS.size))
            for other in range(WORDS.size):
                record(matcher.allows, other)
            if record(matcher.advance, token) is not True:
                break
            text += WORDS.tokens[token] or b""
            if announce:
                constraint.prefetch(text)
            record(matcher.is_accepting)
            record(constraint.accepts, text)
    return seen


def test_the_same_results_for_any_number_of_workers(pools: list[PrefixPredicate]) -> None:
    expected = transcript(pools[0], announce=False)
    assert {str(entry[0]).partition("\n")[0] for entry in expected if isinstance(entry, tuple)} >= {
        "predicate misbehave raised ValueError: cannot read aE",
        "predicate misbehave returned None, which is no bool",
        "predicate misbehave raised SystemExit: 3",
    }
    for predicate in pools:
        for announce in (False, True):
            assert transcript(predicate, announce) == expected


def test_announced_checks_run_meanwhile_and_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    constraint = in_process_of.bind(str(log))
    constraint.prefetch(b"a")
    constraint.prefetch(b"a")
    assert constraint.accepts(b"a")
    constraint.prefetch(b"a")
    assert not constraint.accepts("éaaa".encode())
    assert in_process_of.bind(log=str(log)).accepts(b"a")
    processes, texts = zip(*(line.split() for line in log.read_text().splitlines()), strict=True)
    assert texts == ("a", "éaaa")
    assert set(processes) <= {str(child.pid) for child in multiprocessing.active_children()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aC", "crashed its worker process (exit code 7)"),
        ("aK", "crashed its worker process (killed by SIGKILL)"),
        ("aT", "ran for more than its timeout of 1 s"),
    ],
)
def test_a_lost_worker_costs_one_check(text: str, message: str) -> None:
    matcher = hasty.matcher(Vocabulary.of_bytes())
    assert matcher.consume(b"a")
    matcher.prefetch([ord(text[1]), ord("b"), ord("x")])
    with pytest.raises(PredicateError) as caught:
        matcher.allows(ord(text[1]))
    assert f"predicate hasty {message}\n  text: {text!r}\n  hint:" in str(caught.value)
    assert caught.value.text == text
    assert matcher.allows(ord("b"))
    assert not matcher.allows(ord("x"))
    assert matcher.advance(ord("b"))


def test_a_late_answer_is_none_even_if_nobody_waited() -> None:
    matcher = hasty.matcher(Vocabulary.of_bytes())
    assert matcher.advance(ord("b"))
    matcher.prefetch(b"L")
    time.sleep(1.6)
    with pytest.raises(PredicateError, match="ran for more than its timeout of 1 s"):
        matcher.allows(ord("L"))


def test_announced_failures_are_raised_only_to_who_asks() -> None:
    matcher = hasty.matcher(Vocabulary.of_bytes())
    for _ in range(3):
        matcher.prefetch(b"TCKE")
        assert matcher.advance(ord("a"))
    with pytest.raises(PredicateError, match="cannot read aaaE"):
        matcher.allows(ord("E"))


def test_what_was_announced_and_not_begun_is_withdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    withdrawn: list[str] = []
    original = Answers.withdraw

    def withdraw(self: Answers, texts: Any) -> None:
        withdrawn.extend(texts)
        original(self, texts)

    monkeypatch.setattr(Answers, "withdraw", withdraw)
    before = alone.calls
    matcher = alone.matcher(Vocabulary.of_bytes())
    tokens = range(ord("a"), ord("x"))
    alone.close()  # a new worker takes a while, so that none of the checks has begun
    matcher.prefetch(tokens)
    assert matcher.fork().advance(tokens[3])
    assert not withdrawn
    assert matcher.advance(tokens[3])
    assert sorted(withdrawn) == [chr(token) for token in tokens]
    assert matcher.advance(ord("y"))
    assert alone.calls <= before + 3  # the two that were asked, and one that the idle worker began in between


def test_exceptions_come_with_their_traceback() -> None:
    with pytest.raises(PredicateError) as caught:
        alone.matches("E")
    assert isinstance(caught.value.__cause__, ValueError)
    assert "in misbehave" in caught.value.__cause__.__notes__[0]
    with pytest.raises(PredicateError, match="raised UnsendableError: one") as caught:
        alone.matches("U")
    assert not isinstance(caught.value.__cause__, UnsendableError)
    assert str(caught.value.__cause__) == "UnsendableError: one"
    assert "in misbehave" in caught.value.__cause__.__notes__[0]


def test_several_threads_may_ask(pools: list[PrefixPredicate]) -> None:
    answers: dict[str, bool] = {}

    def ask(letter: str) -> None:
        for n in range(1, 20):
            answers[letter * n] = pools[2].matches(letter * n + "b")

    threads = [threading.Thread(target=ask, args=(letter,)) for letter in "cdxe"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {letter * n: letter != "x" for letter in "cdxe" for n in range(1, 20)}


def test_partial_functions_and_objects_can_be_sent() -> None:
    predicate = prefix_predicate(workers=1)(partial(misbehave))
    assert predicate.matches("a")
    assert (predicate & Choice(["ax", "b"])).matches("b")
    predicate.close()


def test_a_search_does_not_ask_slow_predicates() -> None:
    before = alone.calls
    check_satisfiable(alone)
    check_satisfiable(alone & Regex("a+"))
    with pytest.raises(ContradictionError, match="no text satisfies Regex"):
        check_satisfiable(alone & Regex("a+") & Regex("b+"))
    assert alone.calls == before


def test_an_interrupted_wait_leaves_the_pool_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(connections: Any, timeout: float | None) -> Any:
        raise KeyboardInterrupt

    matcher = alone.matcher(Vocabulary.of_bytes())
    matcher.prefetch(b"TUV")
    with monkeypatch.context() as patched:
        patched.setattr("grammars.predicate_workers.wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            matcher.allows(ord("W"))
    assert matcher.allows(ord("V"))
    assert matcher.allows(ord("W"))


def undefined(text: str) -> bool:
    return True


def test_what_workers_cannot_import_is_refused() -> None:
    def inner(text: str) -> bool:
        return True

    with pytest.raises(GrammarError, match=r"(?s)<lambda> is a lambda.*hint: define it at the top level"):
        prefix_predicate(workers=1)(lambda text: True)
    with pytest.raises(GrammarError, match="inner is defined within a function"):
        prefix_predicate(workers=1)(inner)
    with pytest.raises(GrammarError, match="is a lambda"):
        prefix_predicate(workers=1, complete=lambda text: True)(misbehave)
    with pytest.raises(GrammarError, match="cannot be sent"):
        prefix_predicate(workers=1)(partial(inner)).matches("")
    with pytest.raises(GrammarError, match="an argument of predicate in_process_of cannot be sent"):
        in_process_of.bind(lambda: 0)
    function = undefined
    predicate = prefix_predicate(workers=1)(function)
    globals()["undefined"] = None
    with pytest.raises(GrammarError, match="undefined is not what other processes import by that name"):
        predicate.matches("")


SCRIPT = """
from grammars import PredicateError, prefix_predicate

@prefix_predicate(workers=1)
def short(text):
    return len(text) < 3

{guard}
    print(short.matches("ab"), short.matches("abc"))
"""


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=root,
        env={"PYTHONPATH": root},
    )


def test_predicates_of_a_script(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(guard='if __name__ == "__main__":'))
    done = run([str(script)])
    assert (done.stdout, done.returncode) == ("True False\n", 0), done.stderr


def test_an_unguarded_script_is_told_what_to_do(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(guard="if True:"))
    done = run([str(script)])
    assert done.returncode == 1
    assert "predicate short: a worker process ended before its first check (exit code 1)" in done.stderr
    assert 'if __name__ == "__main__":' in done.stderr


def test_predicates_of_an_interactive_session_are_refused() -> None:
    done = run(["-c", SCRIPT.format(guard="if True:")])
    assert done.returncode == 1
    assert "GrammarError: short was defined interactively" in done.stderr
