"""Union: the texts of any of several constraints.

The matcher reads all alternatives side by side and drops those that no text continues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from typing_extensions import override

from grammars.algebra import Nothing, is_complete, operand, require_constraint
from grammars.constraint import Constraint, Matcher
from grammars.vocabulary import Mask, Vocabulary


@dataclass(frozen=True)
class Or(Constraint):
    """The texts that are in any one of `parts`: L(a | b) = L(a) ∪ L(b).

    Build it with `|` or `Or.of`, which keep it in normal form. The first part that a text is in parses it.
    """

    parts: tuple[Constraint, ...]
    precedence: ClassVar[int] = 1

    def __str__(self) -> str:
        return " | ".join(operand(part, self.precedence) for part in self.parts)

    @staticmethod
    def of(*constraints: Constraint) -> Constraint:
        """Return the union: nested ones flattened, repeated parts and `Nothing` dropped, order kept."""
        flat: dict[Constraint, None] = {}
        for constraint in constraints:
            require_constraint(constraint)
            flat.update(dict.fromkeys(constraint.parts if isinstance(constraint, Or) else (constraint,)))
        parts = tuple(part for part in flat if not isinstance(part, Nothing))
        if len(parts) == 1:
            return parts[0]
        return Or(parts) if parts else Nothing()

    @override
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        return OrMatcher(vocabulary, tuple((part, part.matcher(vocabulary)) for part in self.parts))

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
        return tuple(dict.fromkeys(check for part in self.parts for check in part.final_checks))

    @override
    def parse(self, text: str) -> Any:
        self.require(text)
        return next(part for part in self.parts if part.matches(text)).parse(text)


class OrMatcher(Matcher):
    """The alternatives that the text so far may still become, each with its matcher.

    The mask is the union of theirs; there is none while one of them only checks.
    """

    def __init__(self, vocabulary: Vocabulary, live: tuple[tuple[Constraint, Matcher], ...]) -> None:
        super().__init__(vocabulary)
        self._live = live
        self._text = b""

    @override
    def consume(self, data: bytes) -> bool:
        live = tuple((part, matcher) for part, matcher in self._live if matcher.consume(data))
        if not live:
            return False
        self._live = live
        self._text += data
        return True

    @override
    def advance(self, token: int) -> bool:
        live = tuple((part, matcher) for part, matcher in self._live if matcher.advance(token))
        if not live:
            return False
        self._live = live
        self._text += self.vocabulary.tokens[token] or b""
        return True

    @override
    def is_accepting(self) -> bool:
        return any(is_complete(part, matcher, self._text) for part, matcher in self._live)

    @override
    def fork(self) -> Self:
        other = type(self)(self.vocabulary, tuple((part, matcher.fork()) for part, matcher in self._live))
        other._text = self._text
        return other

    @override
    def allows(self, token: int) -> bool:
        return any(matcher.allows(token) for _, matcher in self._live)

    @override
    def prefetch(self, tokens: Sequence[int]) -> None:
        for _, matcher in self._live:
            matcher.prefetch(tokens)

    @property
    @override
    def mask_is_exact(self) -> bool:
        return all(matcher.mask_is_exact for _, matcher in self._live)

    @override
    def mask(self) -> Mask | None:
        result: Mask | None = None
        for _, matcher in self._live:
            mask = matcher.mask()
            if mask is None:
                return None
            result = mask if result is None else result | mask
        return result
