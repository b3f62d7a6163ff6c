"""Parts of a conjunction during a run: how each is enforced, and what its masks and checks have cost.

A part that offers both a mask and a check is enforced by its mask at first: masks make weights exact. It changes to
checks, or back, where the measured cost says so (`inference.site`). A part that is pinned (`c.by_mask()`,
`c.by_check()`) never changes. One that offers masks at some places only, and none at the beginning, is checked; its
masks are applied, too.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from typing_extensions import override

from grammars.algebra import AndMatcher
from grammars.constraint import Constraint, Matcher
from grammars.pinned import How, Pinned
from grammars.vocabulary import Mask, unpack


@dataclass
class Part:
    """One part of a conjunction during a run.

    Attributes
    ----------
    how:
        Whether its mask is used, or only its checks.
    masks, mask_seconds:
        Masks computed, and the time that took.
    checks, passed, check_seconds:
        Checks of single tokens, those that passed, and the time that took.
    """

    constraint: Constraint
    how: How
    switches: bool
    """Whether there is a choice: a mask is offered, and nobody pinned it."""
    masks: int = 0
    mask_seconds: float = 0.0
    checks: int = 0
    passed: int = 0
    check_seconds: float = 0.0
    spent: float = 0.0
    """Seconds of masks, or of checks, since it is enforced as it is now."""

    @classmethod
    def begin(cls, constraint: Constraint, start: Matcher) -> Self:
        """Return the part before the run; `start` is its matcher before the first byte."""
        offers = start.mask() is not None
        return cls(constraint, "mask" if offers else "check", offers and not isinstance(constraint, Pinned))

    @property
    def mean_mask(self) -> float:
        """Seconds of a mask, 0 before the first."""
        return self.mask_seconds / self.masks if self.masks else 0.0

    @property
    def mean_check(self) -> float:
        """Seconds of a check, 0 before the first."""
        return self.check_seconds / self.checks if self.checks else 0.0

    @property
    def cost_of_rejecting(self) -> float:
        """Seconds of checks for each rejection: who rejects most cheaply is asked first."""
        return self.check_seconds / (self.checks - self.passed) if self.checks > self.passed else math.inf

    def checked(self, seconds: float, passed: bool) -> None:
        """Take note of a check."""
        self.checks += 1
        self.passed += passed
        self.check_seconds += seconds


class PartMatcher(Matcher):
    """The matcher of a part: shows its mask while the part is enforced so, and takes the times."""

    def __init__(self, inner: Matcher, part: Part) -> None:
        super().__init__(inner.vocabulary)
        self._inner, self._part = inner, part

    @override
    def consume(self, data: bytes) -> bool:
        return self._inner.consume(data)

    @override
    def advance(self, token: int) -> bool:
        return self._inner.advance(token)

    @override
    def is_accepting(self) -> bool:
        return self._inner.is_accepting()

    @override
    def fork(self) -> Self:
        return type(self)(self._inner.fork(), self._part)

    @override
    def allows(self, token: int) -> bool:
        return self._inner.allows(token)

    @override
    def confirms(self, token: int) -> bool:
        if self.mask_is_exact:
            return True
        start = time.perf_counter()
        passed = self._inner.confirms(token) if self._part.how == "mask" else self._inner.allows(token)
        self._part.checked(time.perf_counter() - start, passed)
        if self._part.how == "check":
            self._part.spent += time.perf_counter() - start
        return passed

    @override
    def prefetch(self, tokens: Sequence[int]) -> None:
        if not self.mask_is_exact:
            self._inner.prefetch(tokens)

    @property
    @override
    def mask_is_exact(self) -> bool:
        return self._part.how == "mask" and self._inner.mask_is_exact

    @override
    def mask(self) -> Mask | None:
        part = self._part
        if part.how == "check" and part.switches:
            return None
        start = time.perf_counter()
        mask = self._inner.mask()
        if mask is None:
            return None
        seconds = time.perf_counter() - start
        part.mask_seconds += seconds
        part.spent += seconds
        part.masks += 1
        if part.switches and self._inner.mask_is_exact and part.masks % 16 == 1:
            self._try_check(mask)
        return mask

    def _try_check(self, mask: Mask) -> None:
        """Take the time of a check, to know what the alternative to masks would cost."""
        allowed = unpack(mask, self.vocabulary.size).nonzero()[0]
        if len(allowed):
            start = time.perf_counter()
            passed = self._inner.allows(int(allowed[0]))
            self._part.checked(time.perf_counter() - start, passed)


class Conjunction(AndMatcher):
    """The matchers of all parts; checks are asked in an order that the site keeps."""

    def __init__(self, parts: tuple[Matcher, ...], order: list[int]) -> None:
        super().__init__(parts)
        self._order = order

    @override
    def fork(self) -> Self:
        return type(self)(tuple(part.fork() for part in self._parts), self._order)

    @override
    def confirms(self, token: int) -> bool:
        return all(self._parts[k].confirms(token) for k in self._order)
