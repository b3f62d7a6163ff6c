"""Predicates: constraints that are Python functions of the text.

A *prefix predicate* f says of the text so far whether it can still become valid, a *text predicate* g whether a
complete text is valid:

    L(prefix_predicate(f, complete=g)) = {t : f(t) and g(t)}        L(text_predicate(g)) = {t : g(t)}

where t ranges over Unicode texts, encoded as UTF-8. A prefix predicate must be *prefix-closed*: if it rejects a
text it rejects every extension. Then it does not matter at which prefixes it is asked; it is asked once per
token, about the text after the token. One that contradicts itself makes a distribution that depends on how
texts are cut into tokens: `check_consistent` looks for that.

A text may end within a character, since tokens are cut from bytes. The predicate is then asked about the
characters before, and the bytes after them only have to be the beginning of a character (`grammars.utf8`).

Answers are remembered (`grammars.predicate_checks`) and may be found in worker processes
(`grammars.predicate_workers`); neither changes them.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import WRAPPER_ASSIGNMENTS
from threading import RLock
from types import FunctionType
from typing import Any, Self, overload

from typing_extensions import override

from grammars.constraint import Constraint, Matcher
from grammars.errors import GrammarError
from grammars.importable import check_name
from grammars.predicate_checks import Answers, Arguments, Runner, name_of
from grammars.predicate_matcher import PredicateMatcher, ask_bytes, prefetch_bytes
from grammars.predicate_workers import WorkerPool, require_picklable
from grammars.utf8 import Utf8Matcher
from grammars.vocabulary import Vocabulary

Function = Callable[..., bool]
BOUND = 64
"""Number of different arguments per predicate whose answers are kept."""


@dataclass(frozen=True, repr=False)
class Predicate(Constraint):
    """What prefix and text predicates share: a function, its further arguments, and where it runs.

    Equal predicates have the same functions, equal arguments and the same `workers` and `timeout`. Calling one
    calls its function.
    """

    function: Function
    workers: int = 0
    timeout: float | None = None
    arguments: Arguments | None = None
    """The bound arguments, as `bind` sets them; None where some are still missing."""
    _shared: _Shared = field(init=False, compare=False)
    _asked: dict[int, Answers] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        functions = self._functions()
        for function in functions:
            if not callable(function) or isinstance(function, Constraint):
                raise GrammarError(
                    f"a predicate must be a plain function, not {function!r}",
                    hint="give options by name, such as @prefix_predicate(workers=2); join constraints with `&`",
                )
        _check_options(name_of(self.function), functions, self.workers, self.timeout)
        for attribute in WRAPPER_ASSIGNMENTS:
            if hasattr(self.function, attribute):
                object.__setattr__(self, attribute, getattr(self.function, attribute))
        object.__setattr__(self, "__wrapped__", self.function)
        positional, named = self.arguments or ((), ())
        missing = self.arguments is None
        object.__setattr__(self, "arguments", self._given(positional, dict(named), partial=missing))
        object.__setattr__(self, "_shared", _Shared(functions, self.workers, self.timeout))
        object.__setattr__(self, "_asked", {})

    def __call__(self, text: str, *args: Any, **kwargs: Any) -> bool:
        """Call the function, with the bound arguments if no others are given."""
        if args or kwargs or self.arguments is None:
            return self.function(text, *args, **kwargs)
        positional, named = self.arguments
        return self.function(text, *positional, **dict(named))

    def bind(self, *args: Any, **kwargs: Any) -> Self:
        """Return this predicate with arguments for the parameters after the text.

        Equal arguments give equal predicates, which share their answers and workers.

        Raises
        ------
        GrammarError
            If the arguments do not fit the function, cannot be hashed or, with workers, cannot be pickled.
        """
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, arguments=self._given(args, kwargs), _asked={})
        return other

    @property
    @override
    def slow(self) -> bool:
        """Whether checks run in workers, which is what workers are for."""
        return self.workers > 0

    @property
    def calls(self) -> int:
        """How many times a function of this predicate was called, whatever it was bound to."""
        return self._shared.runner.calls

    def close(self) -> None:
        """End the worker processes; they start again when they are needed."""
        self._shared.runner.close()

    def __repr__(self) -> str:
        positional, named = self.arguments or ((), ())
        inner = [*map(repr, positional), *(f"{name}={value!r}" for name, value in named)]
        return name_of(self.function) + (f"({', '.join(inner)})" if inner else "")

    def _functions(self) -> tuple[Function, ...]:
        return (self.function,)

    def _given(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], *, partial: bool = False
    ) -> Arguments | None:
        """Return the arguments in one form, defaults filled in; None if some are missing and may be."""
        try:
            _, *parameters = inspect.signature(self.function).parameters.values()
        except (TypeError, ValueError):  # some builtins have no signature
            parameters = []
        try:
            bound = inspect.Signature(parameters).bind(*args, **kwargs)
        except TypeError as error:
            if partial:
                return None
            raise GrammarError(
                f"predicate {name_of(self.function)}: {error}", hint="its parameters after the text are bound"
            ) from None
        bound.apply_defaults()
        arguments = bound.args, tuple(sorted(bound.kwargs.items()))
        try:
            hash((self.function, arguments))
        except TypeError as error:
            raise GrammarError(
                f"predicate {name_of(self.function)}: what cannot be hashed cannot be part of a constraint: {error}",
                hint="bind immutable values: tuples, frozensets, frozen dataclasses",
            ) from None
        if self.workers:
            require_picklable(arguments, f"an argument of predicate {name_of(self.function)}")
        return arguments

    def _answers(self, function: int) -> Answers:
        if self.arguments is None:
            name = name_of(self.function)
            raise GrammarError(
                f"predicate {name} needs more than the text", hint=f"bind its arguments: {name}.bind(...)"
            )
        if function not in self._asked:
            self._asked[function] = self._shared.answers(function, self.arguments)
        return self._asked[function]


@dataclass(frozen=True, repr=False)
class PrefixPredicate(Predicate):
    """The texts t with f(t) and, if given, complete(t), where f must be prefix-closed.

    Build it with `prefix_predicate`.
    """

    complete: Function | None = None

    @override
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        return PredicateMatcher(vocabulary, self._answers(0))

    @override
    def accepts(self, text: bytes) -> bool:
        return self.complete is None or ask_bytes(self._answers(1), text)

    @override
    def prefetch(self, text: bytes) -> None:
        if self.complete is not None:
            prefetch_bytes(self._answers(1), text)

    @property
    @override
    def final_checks(self) -> tuple[str, ...]:
        return () if self.complete is None else (name_of(self.complete),)

    @override
    def _functions(self) -> tuple[Function, ...]:
        return (self.function,) if self.complete is None else (self.function, self.complete)


@dataclass(frozen=True, repr=False)
class TextPredicate(Predicate):
    """The texts t with g(t), whatever their prefixes.

    Build it with `text_predicate`.
    """

    @override
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        self._answers(0)  # raises if it cannot be asked
        return Utf8Matcher(vocabulary)

    @override
    def accepts(self, text: bytes) -> bool:
        return ask_bytes(self._answers(0), text)

    @override
    def prefetch(self, text: bytes) -> None:
        prefetch_bytes(self._answers(0), text)

    @property
    @override
    def final_checks(self) -> tuple[str, ...]:
        return (repr(self),)


@overload
def prefix_predicate(function: Function, /) -> PrefixPredicate: ...
@overload
def prefix_predicate(
    *, complete: Function | None = None, workers: int = 0, timeout: float | None = None
) -> Callable[[Function], PrefixPredicate]: ...
def prefix_predicate(
    function: Function | None = None,
    /,
    *,
    complete: Function | None = None,
    workers: int = 0,
    timeout: float | None = None,
) -> PrefixPredicate | Callable[[Function], PrefixPredicate]:
    """Make a constraint of `function(text, ...) -> bool`: can the text so far still become valid?

    A decorator, used bare or with options. The function must answer for every text, the empty one included,
    always the same, and never reject a text of which it accepts an extension. It may accept a dead end. What
    else it needs are parameters after `text`, which `Predicate.bind` fills.

    Parameters
    ----------
    function:
        The function, whose first parameter is the text so far.
    complete:
        A function of the same parameters: is this, of which `function` said yes, a complete text? Without it,
        every text that can still become valid is valid now.
    workers:
        Number of processes that run the checks; 0: this process. The functions must be defined at the top level
        of a module, and the script that runs must be guarded by `if __name__ == "__main__":`.
    timeout:
        Seconds that one check may run; needs workers.

    Raises
    ------
    GrammarError
        If an option is invalid, or workers could not import the function.
    PredicateError
        Later, where a check is asked for, if the function raised, crashed, ran out of time or returned no bool.
    """

    def make(function: Function) -> PrefixPredicate:
        return PrefixPredicate(function, workers=workers, timeout=timeout, complete=complete)

    return make if function is None else make(function)


@overload
def text_predicate(function: Function, /) -> TextPredicate: ...
@overload
def text_predicate(
    *, workers: int = 0, timeout: float | None = None
) -> Callable[[Function], TextPredicate]: ...
def text_predicate(
    function: Function | None = None, /, *, workers: int = 0, timeout: float | None = None
) -> TextPredicate | Callable[[Function], TextPredicate]:
    """Make a constraint of `function(text, ...) -> bool`: is the complete text valid?

    It says nothing about prefixes: any text may be begun, and the end is offered where the function accepts. If
    it can be told earlier that a text is lost, a `prefix_predicate` saves many particles. The options and errors
    are those of `prefix_predicate`.
    """

    def make(function: Function) -> TextPredicate:
        return TextPredicate(function, workers=workers, timeout=timeout)

    return make if function is None else make(function)


def _check_options(name: str, functions: tuple[Function, ...], workers: object, timeout: object) -> None:
    if type(workers) is not int or workers < 0:
        raise GrammarError(f"predicate {name}: workers={workers!r}", hint="give a number from 0")
    if timeout is not None:
        if not isinstance(timeout, (int, float)) or not 0 < timeout < math.inf:
            raise GrammarError(f"predicate {name}: timeout={timeout!r}", hint="give seconds, above 0")
        if not workers:
            raise GrammarError(
                f"predicate {name}: a timeout needs a worker process, which can be stopped",
                hint="add workers=1",
            )
    for function in functions:
        if workers and isinstance(function, FunctionType):
            check_name(function)


class _Shared:
    """What a predicate shares with all that are bound from it: the runner, and the answers per arguments."""

    def __init__(self, functions: tuple[Function, ...], workers: int, timeout: float | None) -> None:
        self.runner = WorkerPool(functions, workers, timeout) if workers else Runner(functions)
        self._answers: dict[tuple[int, Arguments], Answers] = {}
        self._lock = RLock()

    def answers(self, function: int, arguments: Arguments) -> Answers:
        """Return the answers of a function, given by its index, with these arguments."""
        key = (function, arguments)
        with self._lock:
            if key not in self._answers:
                self.runner.ready()
                self._answers[key] = Answers(self.runner, function, arguments)
                if len(self._answers) > BOUND:
                    del self._answers[next(iter(self._answers))]
            return self._answers[key]
