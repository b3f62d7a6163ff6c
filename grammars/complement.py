"""Complement: the texts that a constraint excludes.

L(~c) is the set of all *byte strings* that are not in L(c), those that are no UTF-8 included, so that the laws of
Boolean algebra hold: L(c | ~c) = L(AnyText()). A prefix can nearly always be continued to a text outside of L(c),
so that the matcher allows every token and decides at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from typing_extensions import override

from grammars.algebra import And, AnyText, Nothing, is_complete, operand, require_constraint
from grammars.constraint import Constraint, Matcher
from grammars.union import Or
from grammars.vocabulary import Mask, Vocabulary


@dataclass(frozen=True)
class Not(Constraint):
    """The byte strings that are not in `constraint`. Build it with `~` or `Not.of`."""

    constraint: Constraint
    precedence: ClassVar[int] = 4

    def __str__(self) -> str:
        return f"~{operand(self.constraint, self.precedence)}"

    @staticmethod
    def of(constraint: Constraint) -> Constraint:
        """Return the complement, with the negation moved inwards: ~~a = a, ~(a | b) = ~a & ~b, ~(a & b) = ~a | ~b."""
        require_constraint(constraint)
        match constraint:
            case Not():
                return constraint.constraint
            case Nothing():
                return AnyText()
            case AnyText():
                return Nothing()
            case Or():
                return And.of(*map(Not.of, constraint.parts))
            case And():
                return Or.of(*map(Not.of, constraint.parts))
        return Not(constraint)

    @override
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        return NotMatcher(vocabulary, self.constraint, self.constraint.matcher(vocabulary))

    @override
    def prefetch(self, text: bytes) -> None:
        self.constraint.prefetch(text)

    @property
    @override
    def slow(self) -> bool:
        return self.constraint.slow

    @property
    @override
    def final_checks(self) -> tuple[str, ...]:
        return self.constraint.final_checks


class NotMatcher(Matcher):
    """Reads `constraint` as long as it can; accepting where that is not. The mask is exact: everything."""

    def __init__(self, vocabulary: Vocabulary, constraint: Constraint, excluded: Matcher | None) -> None:
        super().__init__(vocabulary)
        self._constraint = constraint
        self._excluded = excluded  # None once no text of the constraint begins like this one
        self._text = b""

    @override
    def consume(self, data: bytes) -> bool:
        if self._excluded is not None:
            if not self._excluded.consume(data):
                self._excluded = None
            self._text += data
        return True

    @override
    def is_accepting(self) -> bool:
        return self._excluded is None or not is_complete(self._constraint, self._excluded, self._text)

    @override
    def fork(self) -> Self:
        excluded = None if self._excluded is None else self._excluded.fork()
        other = type(self)(self.vocabulary, self._constraint, excluded)
        other._text = self._text
        return other

    @override
    def allows(self, token: int) -> bool:
        return bool(self.vocabulary.tokens[token])

    @override
    def mask(self) -> Mask:
        return self.vocabulary.text_mask.copy()
