"""Guesses: how often the tokens that drafts hold come true at one site."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

Source = int | str
"""The kind of a guess: "forced" by the constraint, from "rough" passes, or what followed so many tokens before."""

_PRIOR: dict[Source, float] = {"forced": 0.9, "rough": 0.85, 3: 0.7, 2: 0.45, 1: 0.25}
"""Probabilities before anything was seen, which count as much as so many guesses:"""
_PRIOR_COUNT = 4.0


@dataclass
class Guesses:
    """How often guesses of each kind came true at one site: [made, came true]."""

    counts: defaultdict[Source, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))

    def probability(self, source: Source) -> float:
        """Return the estimate that the next guess of this kind comes true."""
        made, true = self.counts[source]
        return (_PRIOR[source] * _PRIOR_COUNT + true) / (_PRIOR_COUNT + made)

    @property
    def made(self) -> int:
        """Guesses whose token was drawn or not."""
        return sum(made for made, _ in self.counts.values())

    @property
    def true(self) -> int:
        """Guesses that came true."""
        return sum(true for _, true in self.counts.values())
