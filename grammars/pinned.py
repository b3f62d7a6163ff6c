"""Pinned constraints: the same set, enforced by its mask or by its check whatever the compiler would choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from typing_extensions import override

from grammars.constraint import Constraint, Matcher
from grammars.errors import GrammarError
from grammars.vocabulary import Mask, Vocabulary

How = Literal["mask", "check"]


@dataclass(frozen=True)
class Pinned(Constraint):
    """The texts of `constraint`, enforced by `how`; made by `c.by_mask()` and `c.by_check()`.

    Raises
    ------
    GrammarError
        From `matcher`, if a mask is asked of a constraint that offers none.
    """

    constraint: Constraint
    how: How

    def __str__(self) -> str:
        return f"{self.constraint}.by_{self.how}()"

    @override
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        matcher = self.constraint.matcher(vocabulary)
        if self.how == "check":
            return CheckingMatcher(matcher)
        if matcher.mask() is None:
            raise GrammarError(
                f"{self}: {self.constraint} offers no mask", hint="leave `.by_mask()` out; it is checked"
            )
        return matcher

    @override
    def accepts(self, text: bytes) -> bool:
        return self.constraint.accepts(text)

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

    @override
    def parse(self, text: str) -> Any:
        return self.constraint.parse(text)


class CheckingMatcher(Matcher):
    """Another matcher without its mask."""

    def __init__(self, inner: Matcher) -> None:
        super().__init__(inner.vocabulary)
        self._inner = inner

    @override
    def consume(self, data: bytes) -> bool:
        return self._inner.consume(data)

    @override
    def is_accepting(self) -> bool:
        return self._inner.is_accepting()

    @override
    def fork(self) -> Self:
        return type(self)(self._inner.fork())

    @override
    def allows(self, token: int) -> bool:
        return self._inner.allows(token)

    @override
    def advance(self, token: int) -> bool:
        return self._inner.advance(token)

    @override
    def mask(self) -> Mask | None:
        return None

    @property
    @override
    def mask_is_exact(self) -> bool:
        return False

    @override
    def prefetch(self, tokens: Sequence[int]) -> None:
        self._inner.prefetch(tokens)
