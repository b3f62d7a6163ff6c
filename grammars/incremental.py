"""Incremental predicates: an automaton whose states are the user's, read one character or byte at a time.

With start state s₀, step δ and accept α, the constraint is

    L = {c₁ … cₙ : δ(… δ(δ(s₀, c₁), c₂) …, cₙ) is defined and α accepts it}

where δ is defined unless it returns None. A prefix on which it is defined can still become valid, as far as the
matcher knows. A fork shares the state, so states must be immutable.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self, TypeAlias, get_args

from typing_extensions import override

from grammars.constraint import Constraint, Matcher
from grammars.errors import GrammarError, PredicateError
from grammars.predicate_checks import Failure, call, judge, name_of
from grammars.utf8 import CharacterMatcher, read_utf8
from grammars.vocabulary import Vocabulary

Symbols: TypeAlias = Literal["characters", "bytes"]
_SYMBOLS = get_args(Symbols)
_OVER = 'over="characters" or over="bytes"'
_STATES = "states are immutable, hashable values other than None: numbers, tuples, frozen dataclasses"


class Automaton(Constraint):
    """An incremental predicate as a class: derive a frozen dataclass, whose fields are the parameters.

    Equal automata are equal constraints, so parameters are fields; functions alone do with `Incremental`.
    """

    over: Symbols = "characters"
    """What `step` reads: a str of one character, or an int from 0 to 255."""

    @property
    @abstractmethod
    def start(self) -> Hashable:
        """The state before the first symbol."""

    @abstractmethod
    def step(self, state: Any, symbol: Any) -> Any:
        """Return the state after one more symbol, or None if no text goes on that way."""

    @abstractmethod
    def accept(self, state: Any) -> bool:
        """Return whether the text that led to `state` is complete."""

    @override
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        return IncrementalMatcher(vocabulary, self)


@dataclass(frozen=True)
class Incremental(Constraint):
    """An incremental predicate made of functions.

    Parameters
    ----------
    start:
        The state before the first symbol; any hashable value but None. States must be immutable.
    step:
        `step(state, symbol)` returns the next state, or None if no text goes on that way.
    accept:
        `accept(state)` returns whether the text that led there is complete.
    over:
        "characters": a symbol is a str of one character. "bytes": an int from 0 to 255; texts then need not be
        UTF-8.

    Raises
    ------
    GrammarError
        If a parameter is invalid.
    PredicateError
        Later, where the text is read, if a function raises or returns what it must not.
    """

    start: Hashable
    step: Callable[[Any, Any], Any]
    accept: Callable[[Any], bool]
    over: Symbols = "characters"

    def __post_init__(self) -> None:
        if not callable(self.step) or not callable(self.accept):
            raise GrammarError(
                f"not functions: step={self.step!r}, accept={self.accept!r}",
                hint="Incremental(start state, step(state, symbol), accept(state))",
            )
        if self.over not in _SYMBOLS:
            raise GrammarError(f"over={self.over!r}", hint=_OVER)
        try:
            hash((self.start, self.step, self.accept))
        except TypeError as error:
            raise GrammarError(f"Incremental({self.start!r}, ...): {error}", hint=_STATES) from None
        if self.start is None:
            raise GrammarError("the start state is None, which means that no text goes on", hint=_STATES)

    @override
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        return IncrementalMatcher(vocabulary, self)


class _Steps(Protocol):
    @property
    def start(self) -> Hashable: ...
    @property
    def over(self) -> Symbols: ...
    @property
    def step(self) -> Callable[[Any, Any], Any]: ...
    @property
    def accept(self) -> Callable[[Any], bool]: ...


class IncrementalMatcher(CharacterMatcher):
    """A state of the user's, and the beginning of a character. Forks share what was found out about the next."""

    def __init__(self, vocabulary: Vocabulary, steps: _Steps) -> None:
        super().__init__(vocabulary)
        if steps.over not in _SYMBOLS:
            raise GrammarError(f"over={steps.over!r}", hint=_OVER)
        self._steps = steps
        self._state: Any = steps.start
        self._text = b""
        self._next: dict[bytes, tuple[Any, bytes] | None] = {}

    @override
    def consume(self, data: bytes) -> bool:
        if not data:
            return True
        following = self._after(data)
        if following is None:
            return False
        self._state, self._tail = following
        self._text += data
        self._next = {}
        return True

    @override
    def allows(self, token: int) -> bool:
        data = self.vocabulary.tokens[token]
        return bool(data) and self._after(data) is not None  # type: ignore[arg-type]

    @override
    def is_accepting(self) -> bool:
        if self._tail:
            return False
        outcome = judge(call(self._steps.accept, self._state))
        if isinstance(outcome, Failure):
            raise self._error(self._steps.accept, outcome, b"")
        return outcome

    @override
    def fork(self) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def _after(self, data: bytes) -> tuple[Any, bytes] | None:
        """Return state and tail after `data`, or None; remembered, since `advance` follows `allows`."""
        if data not in self._next:
            self._next[data] = self._read(data)
        return self._next[data]

    def _read(self, data: bytes) -> tuple[Any, bytes] | None:
        symbols: Iterable[Any] = data
        tail = b""
        if self._steps.over == "characters":
            read = read_utf8(self._tail, data)
            if read is None:
                return None
            symbols, tail = read
        state = self._state
        for symbol in symbols:
            state = call(self._steps.step, state, symbol)
            if state is None:
                return None
            if not isinstance(state, Failure) and type(state).__hash__ is None:
                state = Failure(f"returned {state!r}, which is no immutable state", _STATES)
            if isinstance(state, Failure):
                raise self._error(self._steps.step, state, data)
        return state, tail

    def _error(self, function: Callable[..., Any], failure: Failure, data: bytes) -> PredicateError:
        text = (self._text + data).decode("utf-8", "surrogateescape")
        error = failure.error(name_of(function), text)
        error.__cause__ = failure.cause
        return error
