r"""Estimators of the allowed mass from a sequence of draws with rejections.

Tokens are drawn from masses p (normalised to 1 here) and checked until one is accepted: that one, x, is a draw from
the allowed tokens A. Its weight must be an unbiased estimate Ẑ of Z = Σ_{A} p *given x*, so that E[Ẑ 1{x}] = p(x)
for each allowed x. Drawing goes on a little after the first acceptance; how the draws become Ẑ is an estimator.
Both stop at the `max_accepts`-th acceptance or the `max_rejects`-th rejection, and are unbiased wherever they stop.

Recursive, from draws without replacement. Let S be the tokens not drawn yet and q their mass. Given that the next
draw y is rejected, the allowed mass of S is that of S \ y; given that it is accepted, it is p(y) plus that of S \ y.
So the sum of the accepted masses and of any unbiased estimate for what is left is unbiased; for the draw that stops
the run, decided on before it is made, that estimate is q 1[y in A].

Counts, from draws with replacement. Let N be the number of draws until the run stops and s the number of acceptances
before the last draw. All orders of the first N - 1 draws are equally likely, so s / (N - 1) is the probability that
the first draw was an acceptance, given everything else: it is unbiased for Z. A token is checked once; how often
rejected ones would have been drawn again is integrated out (Rao-Blackwell): with rejected mass 1 - q_e at the e-th
event (acceptance, or rejection of a new token), the number of repetitions before it is geometric, and with k
rejections before the last event

    Ẑ = E[s / (N - 1)] = s ∫_0^1 t^(s+k-1) Π_e q_e / (q_e t + 1 - t) dt.

Reference: Lipkin et al. (2025), *Fast controlled generation from language models with adaptive weighted rejection
sampling*. Stopping rules and truncation are after Girshick, Mosteller and Savage (1946), *Unbiased estimates for
certain binomial sampling problems with applications*.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from ppl.errors import InvalidArgument
from ppl.rng import Rng
from ppl.successive import Draw

EstimatorName = Literal["auto", "recursive", "counts"]

_PEAKED = math.log(2.0 / 3.0)
"""A token with at least this share of the mass is likely to be drawn twice in a row, which costs one check."""


@dataclass(frozen=True)
class AWRS:
    """How adaptive weighted rejection sampling spends its checks.

    Parameters
    ----------
    max_accepts:
        Checks go on until so many acceptances, at least 1. More lower the variance of the weights. With 1, a single
        draw is checked, and a rejection costs the particle its weight (a 0/1 twist).
    max_rejects:
        Checks stop at so many rejections, without a token if there was no acceptance; None for no limit. The weights
        allow for it: the measure is the same, with more variance.
    estimator:
        "recursive", "counts" (needs `max_accepts` >= 2), or "auto": counts where `max_accepts` > 2, or where one token
        has two thirds of the mass; else recursive.
    """

    max_accepts: int = 2
    max_rejects: int | None = None
    estimator: EstimatorName = "auto"

    def __post_init__(self) -> None:
        for name, value in (("max_accepts", self.max_accepts), ("max_rejects", self.max_rejects)):
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 1
            if not whole and not (name == "max_rejects" and value is None):
                raise InvalidArgument(f"{name}={value!r}", hint=f"{name} is an integer of at least 1")
        if self.estimator not in get_args(EstimatorName):
            raise InvalidArgument(
                f"estimator={self.estimator!r}", hint=f"one of {', '.join(get_args(EstimatorName))}"
            )
        if self.estimator == "counts" and self.max_accepts < 2:
            raise InvalidArgument(
                "the counts estimator with max_accepts=1", hint="max_accepts=2, or estimator='recursive'"
            )

    def begin(self, log_top: float) -> Estimator:
        """Return the estimator for a distribution whose largest probability is exp(`log_top`)."""
        limit = math.inf if self.max_rejects is None else self.max_rejects
        counts = self.estimator == "counts" or (
            self.estimator == "auto"
            and (self.max_accepts > 2 or (self.max_accepts == 2 and log_top >= _PEAKED))
        )
        return (Counts if counts else Recursive)(self.max_accepts, limit)


class Estimator(ABC):
    """One particle's run of draws and checks.

    Attributes
    ----------
    token:
        The first accepted token, None before there is one.
    done:
        Whether the run has ended.
    log_weight:
        log Ẑ, relative to the mass that there was to draw from; -inf if no token was accepted.
    """

    def __init__(self, max_accepts: int, max_rejects: float) -> None:
        self.max_accepts, self.max_rejects = max_accepts, max_rejects
        self.accepts = self.rejects = 0
        self.token: int | None = None
        self.done = False
        self.log_weight = -math.inf
        self._log_total = -math.inf
        self._log_accepted = -math.inf  # mass of the accepted tokens, in the units of the draws

    def see(self, draw: Draw, accepted: bool, rng: Rng) -> None:
        """Take note of the next draw, and of the verdict on its token."""
        if self._log_total == -math.inf:
            self._log_total = draw.log_before
        if accepted and self.token is None:
            self.token = draw.token
        self._see(draw, accepted)
        if accepted:
            self.accepts += 1
            self._log_accepted = float(np.logaddexp(self._log_accepted, draw.log_mass))
        else:
            self.rejects += 1
        if not self.done:
            self._go_on(draw.log_after, rng)

    @property
    def _last(self) -> tuple[bool, bool]:
        """Whether an acceptance, and whether a rejection, would stop the run."""
        return self.accepts + 1 >= self.max_accepts, self.rejects + 1 >= self.max_rejects

    @abstractmethod
    def _see(self, draw: Draw, accepted: bool) -> None:
        """Take note of a draw before it is counted."""

    @abstractmethod
    def _go_on(self, log_left: float, rng: Rng) -> None:
        """Do what comes before the next draw, for which mass exp(`log_left`) is left; may end the run."""

    def _finish(self, log_weight: float) -> None:
        self.done = True
        self.log_weight = log_weight if self.token is not None else -math.inf


class Recursive(Estimator):
    """The recursive estimator, from draws without replacement."""

    def _see(self, draw: Draw, accepted: bool) -> None:
        if any(self._last):  # whatever the verdict: decided before it is known
            rest = draw.log_before if accepted else -math.inf
            self._finish(float(np.logaddexp(self._log_accepted, rest)) - self._log_total)

    def _go_on(self, log_left: float, rng: Rng) -> None:
        if log_left == -math.inf:  # every token was drawn: the allowed mass is known
            self._finish(self._log_accepted - self._log_total)


class Counts(Estimator):
    """The Rao-Blackwellised estimator from counts of draws with replacement; needs `max_accepts` >= 2."""

    def __init__(self, max_accepts: int, max_rejects: float) -> None:
        super().__init__(max_accepts, max_rejects)
        self._events: list[float] = []  # q_e, the mass of what is not rejected at each event

    def _see(self, draw: Draw, accepted: bool) -> None:
        self._event(draw.log_before, stops=self._last[0] if accepted else self._last[1])

    def _go_on(self, log_left: float, rng: Rng) -> None:
        """Draw accepted tokens again, as often as they come before a new one."""
        if self.accepts == 0:
            if log_left == -math.inf:
                self._finish(-math.inf)
            return
        share = math.exp(self._log_accepted - float(np.logaddexp(self._log_accepted, log_left)))
        while not self.done and (share == 1.0 or rng.uniform([share]) < share):
            self._event(log_left, stops=self._last[0])
            self.accepts += 1

    def _event(self, log_new: float, *, stops: bool) -> None:
        """Take note of an acceptance or a rejection, made when mass exp(`log_new`) had not been drawn."""
        self._events.append(math.exp(float(np.logaddexp(self._log_accepted, log_new)) - self._log_total))
        if stops:
            self._finish(log_share_of_first(self.accepts, self.rejects, self._events))


def log_share_of_first(accepts: int, rejects: int, events: list[float]) -> float:
    """Return log E[s / (N - 1)]: see the module; `accepts` and `rejects` are those before the last event.

    The integral over t = 1 / (1 + exp(-v)) is one of a function that is analytic in a strip of half-width π/2 and
    bounded there by its size on the line, so the trapezoidal rule with step 1/4 errs by a relative exp(-39).
    """
    if accepts == 0:
        return -math.inf
    q = np.array(events)
    q = q[q < 1.0]
    if not len(q):
        return math.log(accepts / (accepts + rejects))
    v = np.arange(-40.0, 45.0 - math.log(float(q.min())), 0.25)
    log_t, log_s = -np.logaddexp(0.0, -v), -np.logaddexp(0.0, v)  # of t and of 1 - t
    log_f = (accepts + rejects) * log_t + log_s
    for part in np.array_split(np.log(q), len(q) // 1024 + 1):
        log_f += (part[:, None] - np.logaddexp(part[:, None] + log_t, log_s)).sum(axis=0)
    top = float(log_f.max())
    return math.log(accepts * 0.25 * float(np.exp(log_f - top).sum())) + top
