"""Report: what a run measured at its text sites, as plain values; `str()` reads like SQL's EXPLAIN ANALYZE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inference.parts import Part
from inference.runtime import Runtime
from inference.site import Site


@dataclass(frozen=True)
class PartReport:
    """One part of a site's constraint.

    Attributes
    ----------
    constraint:
        The part, as text.
    how:
        "mask" or "check": how it was enforced at the end of the run.
    masks, mask_seconds:
        Masks computed, and the time that took in all.
    checks, passed, check_seconds:
        Checks of single tokens, those that passed, and the time that took in all.
    """

    constraint: str
    how: str
    masks: int
    mask_seconds: float
    checks: int
    passed: int
    check_seconds: float

    def __str__(self) -> str:
        costs = []
        if self.masks:
            costs.append(f"{self.masks} masks of {_time(self.mask_seconds / self.masks)}")
        if self.checks:
            costs.append(
                f"{self.checks} checks of {_time(self.check_seconds / self.checks)}, "
                f"{self.passed / self.checks:.0%} passed"
            )
        return f"by {self.how}: {'; '.join(costs) or 'never asked'}  {_short(self.constraint)}"


@dataclass(frozen=True)
class SiteReport:
    """One text site of a run.

    Attributes
    ----------
    address:
        Where the program draws it.
    target:
        The target's normal form.
    tokens:
        Tokens drawn there, ends included.
    kernels:
        How many of them by each kernel.
    draws, accepted:
        Candidates that rejection sampling drew, and those that were accepted.
    checks:
        Distinct pairs of text and token that were checked; verdicts on the other candidates were known.
    allowed_mass:
        Mean mass that the masks left for the next token, of the masked moves under one expert; None if there
        were none.
    weight_variance:
        Mean over the ticks of Var(w) / E[w]², w the incremental weights of one tick's moves; None if never known.
    parts:
        The parts of the constraint.
    guesses, guessed:
        Tokens that drafts held for a particle's next move, and those that came next.
    reason:
        The kernel that the compiler chose, and why.
    ended, forced:
        Texts that came to their ends, and those of them that ended because they had `max_tokens` tokens.
    note:
        What the method did there in a way of its own; empty where it did not.
    """

    address: str
    target: str
    tokens: int
    kernels: dict[str, int]
    draws: int
    accepted: int
    checks: int
    allowed_mass: float | None
    weight_variance: float | None
    parts: tuple[PartReport, ...]
    guesses: int = 0
    guessed: int = 0
    reason: str = ""
    ended: int = 0
    forced: int = 0
    note: str = ""

    @property
    def acceptance(self) -> float | None:
        """Share of the drawn candidates that were accepted; None if there were none."""
        return self.accepted / self.draws if self.draws else None

    @property
    def checks_per_token(self) -> float | None:
        """Distinct checks for each token of rejection sampling; None if there were none."""
        rejection = self.kernels.get("awrs", 0)
        return self.checks / rejection if rejection else None

    def lines(self) -> list[str]:
        """Return the measurements as lines of text."""
        kernels = ", ".join(f"{count} {kernel}" for kernel, count in self.kernels.items())
        first = [f"{self.tokens} tokens ({kernels})" if kernels else "no tokens"]
        if self.allowed_mass is not None:
            first.append(f"allowed mass {self.allowed_mass:.3g}")
        if self.acceptance is not None and self.checks_per_token is not None:
            first.append(f"acceptance {self.acceptance:.3g}, {self.checks_per_token:.2f} checks per token")
        if self.weight_variance is not None:
            first.append(f"weight variance {self.weight_variance:.3g} per tick")
        if self.guesses:
            first.append(f"drafts: {self.guessed / self.guesses:.0%} of {self.guesses} tokens came true")
        return ["; ".join(first), *([self.note] if self.note else []), *map(str, self.parts)]

    def __str__(self) -> str:
        head, *rest = self.lines()
        return "\n".join([f"{self.address}: {self.target}", f"    {head}", *(f"    {line}" for line in rest)])

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SiteReport:
        """Return the report that `dataclasses.asdict` described."""
        return cls(**data | {"parts": tuple(PartReport(**part) for part in data["parts"])})


def reports(runtime: Runtime) -> tuple[SiteReport, ...]:
    """Return what a run measured at each of its text sites, in the order of first visits."""
    return tuple(_report(site, str(runtime.addresses[site])) for site in runtime.sites.values())


def _report(site: Site, address: str) -> SiteReport:
    tally = site.tally
    return SiteReport(
        address=address,
        target=site.shown,
        tokens=tally.tokens,
        kernels=dict(tally.kernels),
        draws=tally.draws,
        accepted=tally.accepted,
        checks=tally.verdicts,
        allowed_mass=tally.mean_mass if tally.masses else None,
        weight_variance=tally.variance / tally.ticks if tally.ticks else None,
        parts=tuple(_part(part) for part in site.parts),
        guesses=site.guesses.made,
        guessed=site.guesses.true,
        reason=site.reason,
        ended=tally.ended,
        forced=tally.forced,
        note=tally.note,
    )


def _part(part: Part) -> PartReport:
    return PartReport(
        str(part.constraint),
        part.how,
        part.masks,
        part.mask_seconds,
        part.checks,
        part.passed,
        part.check_seconds,
    )


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.3g} µs" if seconds < 1e-3 else f"{seconds * 1e3:.3g} ms"


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
