"""Conjunction, and its two ends: all texts, and no text.

The other operations of the algebra are in `union` (`|`), `complement` (`~`) and `sequence` (`+`, `repeat`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from typing_extensions import override

from grammars.constraint import Constraint, Matcher
from grammars.errors import GrammarError
from grammars.vocabulary import Mask, Vocabulary


@dataclass(frozen=True)
class AnyText(Constraint):
    """Every byte string: the neutral element of `&`."""

    @override
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        return AnyTextMatcher(vocabulary)


class AnyTextMatcher(Matcher):
    """Allows every token that has text."""

    @override
    def consume(self, data: bytes) -> bool:
        return True

    @override
    def is_accepting(self) -> bool:
        return True

    @override
    def fork(self) -> Self:
        return self  # it has no state

    @override
    def allows(self, token: int) -> bool:
        return bool(self.vocabulary.tokens[token])

    @override
    def mask(self) -> Mask:
        return self.vocabulary.text_mask.copy()


@dataclass(frozen=True)
class Nothing(Constraint):
    """No byte string: the neutral element of `|`."""

    @override
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        return NothingMatcher(vocabulary)


class NothingMatcher(Matcher):
    """Allows no token, and no end."""

    @override
    def consume(self, data: bytes) -> bool:
        return not data

    @override
    def is_accepting(self) -> bool:
        return False

    @override
    def fork(self) -> Self:
        return self  # it has no state

    @override
    def mask(self) -> Mask:
        return np.zeros(self.vocabulary.words, dtype=np.uint32)


@dataclass(frozen=True)
class And(Constraint):
    """The texts that are in every one of `parts`.

    Build it with `&` or `And.of`, which keep it in normal form. The first part parses: `JsonSchema(Ticket) &
    check` gives a `Ticket`.
    """

    parts: tuple[Constraint, ...]
    precedence: ClassVar[int] = 2

    def __str__(self) -> str:
        return " & ".join(operand(part, self.precedence) for part in self.parts)

    @staticmethod
    def of(*constraints: Constraint) -> Constraint:
        """Return the conjunction: nested ones flattened, repeated parts and `AnyText` dropped, order kept.

        With `Nothing` among them it is `Nothing`.
        """
        flat: dict[Constraint, None] = {}
        for constraint in constraints:
            require_constraint(constraint)
            flat.update(dict.fromkeys(constraint.parts if isinstance(constraint, And) else (constraint,)))
        if Nothing() in flat:
            return Nothing()
        parts = tuple(part for part in flat if not isinstance(part, AnyText))
        if len(parts) == 1:
            return parts[0]
        return And(parts) if parts else AnyText()

    @override
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        return AndMatcher(tuple(part.matcher(vocabulary) for part in self.parts))

    @override
    def accepts(self, text: bytes) -> bool:
        return all(part.accepts(text) for part in self.parts)

    @override
    def prefetch(self, text: bytes) -> None:
        for part in self.parts:
            part.prefetch(text)

    @property
    @override
    def slow(self) -> bool:
        return any(part.slow for part in self.parts)

    @property
    @override
    def final_checks(self) -> tuple[str, ...]:
        return tuple(check for part in self.parts for check in part.final_checks)

    @override
    def parse(self, text: str) -> Any:
        for part in self.parts[1:]:
            part.require(text)
        return self.parts[0].parse(text)


class AndMatcher(Matcher):
    """The states of several constraints after the same prefix.

    The mask is the intersection of the masks there are. Where a part only checks, it is a superset of what
    `allows` allows, and `mask_is_exact` says so; where no part masks, there is no mask.
    """

    def __init__(self, parts: tuple[Matcher, ...]) -> None:
        super().__init__(parts[0].vocabulary)
        self._parts = parts

    @property
    @override
    def mask_is_exact(self) -> bool:
        return all(part.mask_is_exact for part in self._parts)

    @override
    def consume(self, data: bytes) -> bool:
        advanced = tuple(part.fork() for part in self._parts)
        if not all(part.consume(data) for part in advanced):
            return False
        self._parts = advanced
        return True

    @override
    def is_accepting(self) -> bool:
        return all(part.is_accepting() for part in self._parts)

    @override
    def fork(self) -> Self:
        return type(self)(tuple(part.fork() for part in self._parts))

    @override
    def allows(self, token: int) -> bool:
        return all(part.allows(token) for part in self._parts)

    @override
    def confirms(self, token: int) -> bool:
        return all(part.confirms(token) for part in self._parts)

    @override
    def prefetch(self, tokens: Sequence[int]) -> None:
        for part in self._parts:
            part.prefetch(tokens)

    @override
    def hints(self) -> tuple[bytes, ...]:
        return tuple(hint for part in self._parts for hint in part.hints())

    @override
    def advance(self, token: int) -> bool:
        return self.allows(token) and all(part.advance(token) for part in self._parts)

    @override
    def mask(self) -> Mask | None:
        masks = [mask for part in self._parts if (mask := part.mask()) is not None]
        if not masks:
            return None
        result = masks[0]
        for mask in masks[1:]:
            result &= mask
        return result


def require_constraint(value: object) -> None:
    """Raise `GrammarError` unless `value` is a constraint."""
    if not isinstance(value, Constraint):
        raise GrammarError(f"not a constraint: {value!r}", hint="constraint_of(T) makes one of a type")


def operand(constraint: Constraint, precedence: int) -> str:
    """Return how a constraint is written beside an operator: in parentheses where it binds less tightly."""
    binds: int = getattr(constraint, "precedence", 9)
    return str(constraint) if binds > precedence else f"({constraint})"


def is_complete(constraint: Constraint, matcher: Matcher, text: bytes) -> bool:
    """Return whether `text`, which `matcher` has read, is in L(constraint), final checks included."""
    return matcher.is_accepting() and constraint.accepts(text)
