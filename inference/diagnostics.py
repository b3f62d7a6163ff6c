"""Diagnostics of a run: what happened at each tick, and what the run cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Step:
    """One tick of a population, or one sweep of a Markov chain.

    Attributes
    ----------
    tick:
        Counted from 1.
    live:
        Particles that made a move.
    ess:
        Effective sample size after the weights of the tick, before resampling.
    log_increment:
        Log of the factor, in nats, by which the tick changed the evidence estimate; -inf if all died. What came
        before the first text counts in the first tick, so that the increments add up to the log-evidence.
    ancestors:
        The resampled ancestors, or None if the tick did not resample.
    moved:
        Of a sweep of a Markov chain: the share of the chains that moved. None for a start, and where there is no chain.
    rejuvenated:
        Of a tick in which the live runs were moved: the share of them that took what was proposed. None for all others.
    """

    tick: int
    live: int
    ess: float
    log_increment: float
    ancestors: tuple[int, ...] | None = None
    moved: float | None = None
    rejuvenated: float | None = None

    @property
    def resampled(self) -> bool:
        """Whether the population was resampled in this tick."""
        return self.ancestors is not None


@dataclass(frozen=True)
class Cost:
    """What a run spent.

    Attributes
    ----------
    tokens:
        Tokens drawn, over all particles, ends included.
    lm_calls:
        Forward passes of language models.
    lm_tokens:
        Tokens that language models evaluated: shared prompts and equal contexts count once.
    seconds:
        Wall time; of runs that share calls, see `infer_many`, their own and an equal part of each shared call.
    checks:
        Checks of single tokens by rejection sampling, each distinct pair of text and token once.
    lm_drafted:
        Tokens among `lm_tokens` that were evaluated ahead, in case that they come next.
    rough_calls:
        Rough forward passes, or those of a draft model, each at a fraction of the cost of one, which guess what comes
        next; not among `lm_calls`.
    runs:
        Runs of the program that came to their end, also those that were dropped later; the dead are not among them,
        and copies of a finished run count once.
    verifier_calls:
        Texts and values that were judged: texts of which function potentials were asked (each distinct one once), and
        values that a method ranked or verified, such as `BestOfN(by=)` and `solve`. Not what a program computes itself.
    """

    tokens: int
    lm_calls: int
    lm_tokens: int
    seconds: float
    checks: int = 0
    lm_drafted: int = 0
    runs: int = 0
    verifier_calls: int = 0
    rough_calls: int = 0

    @classmethod
    def total(cls, costs: Iterable[Cost]) -> Cost:
        """Return the sum of several costs."""
        given = list(costs)
        return cls(*(sum(getattr(cost, field.name) for cost in given) for field in fields(cls)))

    @property
    def tokens_per_second(self) -> float:
        """Tokens drawn per second of wall time."""
        return self.tokens / self.seconds if self.seconds > 0 else 0.0

    def __str__(self) -> str:
        checks = f"{self.checks} checks, " if self.checks else ""
        verified = f"{self.verifier_calls} verifier calls, " if self.verifier_calls else ""
        rough = f"{self.rough_calls} rough ones, " if self.rough_calls else ""
        return (
            f"{self.tokens} tokens drawn, {self.lm_tokens} evaluated in {self.lm_calls} LM calls, {rough}{checks}"
            f"{verified}{self.seconds:.1f} s, {self.tokens_per_second:.0f} tokens/s"
        )
