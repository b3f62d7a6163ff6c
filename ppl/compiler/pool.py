"""Pool: several experts on the next token as one unnormalised law, a tree over their texts.

A logarithmic pool of experts with exponents gives the next token v the mass Π_i p_i(v)^{a_i}; an expert is the text of
a language model, or a power mean of pools. The mass of a whole text is the product over its tokens.

Reference: Genest and Zidek (1986), *Combining probability distributions*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Expert:
    """The next-token probabilities of a language model after a prompt; `index` counts the experts of a pool."""

    index: int


@dataclass(frozen=True)
class Mean:
    """M_r of pools, with weights that sum to 1: (Σ w_i m_i^r)^(1/r), for r = 0 the geometric mean."""

    pools: tuple[Pool, ...]
    r: float
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Pool:
    """Π m_i^{a_i}, with 0^0 = 1."""

    terms: tuple[tuple[Expert | Mean, float], ...]

    @property
    def plain(self) -> bool:
        """Whether this is one expert by itself."""
        return len(self.terms) == 1 and isinstance(self.terms[0][0], Expert) and self.terms[0][1] == 1.0

    @property
    def divides(self) -> bool:
        """Whether an exponent is negative anywhere."""
        return any(
            a < 0.0 or (isinstance(m, Mean) and any(p.divides for p in m.pools)) for m, a in self.terms
        )

    def show(self, texts: Sequence[object]) -> str:
        """Return the pool with its texts written out."""
        return " · ".join(_power(_show(m, texts), a) for m, a in self.terms)


def show_form(
    pool: Pool, texts: Sequence[object], constraint: object | None, potentials: Sequence[object]
) -> str:
    """Return a normal form as it is shown: the pool, the constraint, the potentials."""
    shown = pool.show(texts) if constraint is None else f"{pool.show(texts)} & {constraint}"
    return " · ".join([shown, *map(str, potentials)])


PLAIN = Pool(((Expert(0), 1.0),))


def _show(expert: Expert | Mean, texts: Sequence[object]) -> str:
    if isinstance(expert, Expert):
        return str(texts[expert.index])
    parts = ", ".join(pool.show(texts) for pool in expert.pools)
    return f"power_mean([{parts}], r={expert.r:g})"


def _power(shown: str, exponent: float) -> str:
    return shown if exponent == 1.0 else f"{shown}^{exponent:g}"
