"""Checks: what a user's function says about a text, asked at most once while the answer is remembered.

A check never fails where it runs. It gives an `Outcome`, True, False or a `Failure`, and whoever asks for the
outcome gets the answer or the error. So it makes no difference where it ran, or how long before it was asked
for: checks that are announced (`Answers.prefetch`) and never asked for raise nothing.
"""

from __future__ import annotations

import reprlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import RLock
from typing import Any, TypeAlias

import numpy as np

from grammars.errors import PredicateError

REMEMBERED = 65_536
"""Answers kept per function and arguments; the least recently used go first."""
ANNOUNCED = 4_096
"""Announced checks kept per function and arguments."""

Arguments: TypeAlias = tuple[tuple[Any, ...], tuple[tuple[str, Any], ...]]
"""What a function is called with after the text: by position, and by name."""


@dataclass(frozen=True)
class Failure:
    """Why a check has no answer.

    Parameters
    ----------
    what:
        What the function did, to follow its name in a sentence.
    hint:
        What the user can do about it.
    cause:
        The exception that it raised, if it did.
    """

    what: str
    hint: str
    cause: BaseException | None = None

    def error(self, name: str, text: str) -> PredicateError:
        """Return the error of the function called `name` on `text`."""
        return PredicateError(
            f"predicate {name} {self.what}\n  text: {shown(text)}", hint=self.hint, text=text
        )


Outcome: TypeAlias = bool | Failure


def shown(text: str) -> str:
    """Return `text` as Python writes it; of a long one the beginning and the end."""
    if len(text) <= 400:
        return repr(text)
    return f"{text[:100]!r} ... {text[-200:]!r} ({len(text)} characters)"


def name_of(function: Callable[..., Any]) -> str:
    """Return the name by which messages call a function."""
    return getattr(function, "__qualname__", None) or reprlib.repr(function)


def call(function: Callable[..., object], *args: Any, **kwargs: Any) -> Any:
    """Return what a function returns, or the `Failure` if it raises."""
    try:
        return function(*args, **kwargs)
    except (Exception, SystemExit) as error:
        return Failure(
            f"raised {type(error).__name__}: {error}",
            "it must answer for every text: catch what a text may cause",
            error,
        )


def judge(value: object) -> Outcome:
    """Return what a function returned if it is a bool; a `Failure` stays one."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, Failure):
        return value
    hint = "return True or False on every path, such as `return bool(...)`"
    return Failure(f"returned {reprlib.repr(value)}, which is no bool", hint)


def evaluate(function: Callable[..., object], arguments: Arguments, text: str) -> Outcome:
    """Ask a function about `text` and return the outcome, whatever it does."""
    positional, named = arguments
    return judge(call(function, text, *positional, **dict(named)))


class Check:
    """One question to one function; `outcome` is None until it has run."""

    __slots__ = ("arguments", "function", "outcome", "text")

    def __init__(self, function: int, arguments: Arguments, text: str) -> None:
        self.function = function
        """Index among the functions of the runner."""
        self.arguments = arguments
        self.text = text
        self.outcome: Outcome | None = None


class Runner:
    """Runs the checks of a few functions in this process, each when its outcome is asked for.

    `WorkerPool` runs them in other processes, and starts them when they are submitted.
    """

    def __init__(self, functions: tuple[Callable[..., object], ...]) -> None:
        self.functions = functions
        self.calls = 0
        """How many times a function was called."""

    def ready(self) -> None:
        """Raise `GrammarError` if the functions cannot be run."""

    def submit(self, check: Check) -> bool:
        """Start a check if it can run elsewhere meanwhile; return whether it can."""
        return False

    def withdraw(self, check: Check) -> bool:
        """Take back a check that nobody will ask for; return whether it had not begun."""
        return True

    def run(self, check: Check) -> Outcome:
        """Return the outcome of a check."""
        self.calls += 1
        check.outcome = evaluate(self.functions[check.function], check.arguments, check.text)
        return check.outcome

    def close(self) -> None:
        """Give back what is held; it is taken again when needed."""


class Answers:
    """The answers of one function with given arguments, shared by all who ask.

    Failures are not remembered: what failed is tried again when it is asked again.
    """

    def __init__(self, runner: Runner, function: int, arguments: Arguments) -> None:
        self.runner = runner
        self._function = function
        self._arguments = arguments
        self._known: OrderedDict[str, bool] = OrderedDict()
        self._announced: OrderedDict[str, Check] = OrderedDict()
        self._lock = RLock()

    def ask(self, text: str) -> bool:
        """Return the answer for `text`.

        Raises
        ------
        PredicateError
            If the check failed.
        """
        with self._lock:
            known = self._known.get(text)
            if known is not None:
                self._known.move_to_end(text)
                return known
            check = self._announced.pop(text, None) or Check(self._function, self._arguments, text)
        outcome = self.runner.run(check) if check.outcome is None else check.outcome
        if isinstance(outcome, Failure):
            name = name_of(self.runner.functions[self._function])
            raise outcome.error(name, text) from outcome.cause
        with self._lock:
            self._known[text] = outcome
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return outcome

    def prefetch(self, text: str) -> bool:
        """Announce that `text` will be asked about; return whether its check is under way because of it."""
        with self._lock:
            if text in self._known or text in self._announced:
                return False
            check = Check(self._function, self._arguments, text)
            if not self.runner.submit(check):
                return False
            self._announced[text] = check
            if len(self._announced) > ANNOUNCED:
                self.runner.withdraw(self._announced.popitem(last=False)[1])
            return True

    def withdraw(self, texts: Iterable[str]) -> None:
        """Take back the announcement of `texts`, except of those whose check has begun."""
        with self._lock:
            for text in texts:
                check = self._announced.get(text)
                if check is not None and self.runner.withdraw(check):
                    del self._announced[text]
