r"""Assertions about probabilities, with a stated probability of a false alarm.

Among n independent draws, k of which are in the event, k is binomial with the unknown probability p. Each side of a
claim about p is refused if a count as extreme as k has probability at most `error` (half of it where both
sides are claimed) under every p that the claim allows:

    at least a:  P[Bin(n, a) <= k] <= error,        at most b:  P[Bin(n, b) >= k] <= error.

These are exact tests: if the claim is true, the assertion fails with probability at most `error`, whatever n is. A
claim that is false is refused for sure only as n grows.

Reference: Clopper and Pearson (1934), *The use of confidence or fiducial limits illustrated in the case of the
binomial*.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from inference.posterior import Posterior
from ppl.errors import InvalidArgument


def assert_probability(
    samples: Posterior[Any] | Iterable[Any],
    event: Any,
    *,
    expected: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    error: float = 1e-6,
) -> None:
    """Assert that an event has a probability, from independent draws.

    Parameters
    ----------
    samples:
        Independent draws: a posterior of `Rejection` or `AdaptiveRejection`, or values, one from each of many seeds.
    event:
        A value, or a predicate of values.
    expected, at_least, at_most:
        What is claimed of the probability: `expected` alone, or one or both bounds.
    error:
        The probability that the assertion fails although the claim is true, if the draws are independent.

    Raises
    ------
    AssertionError
        If the claim is refused; the message gives the counts that would have been in keeping with it.
    InvalidArgument
        If the samples are weighted or dependent, as those of `SMC` are, or there are none; if the claim is no claim.
    """
    low, high = _claim(expected, at_least, at_most)
    if not 0.0 < error < 1.0:
        raise InvalidArgument(f"error={error!r}", hint="a probability between 0 and 1, such as 1e-6")
    values = _independent(samples)
    holds = event if callable(event) else lambda value: value == event
    n, k = len(values), sum(bool(holds(value)) for value in values)
    side = error / 2 if low is not None and high is not None else error
    fewest = 0 if low is None else _fewest(n, low, side)
    most = n if high is None else n - _fewest(n, 1.0 - high, side)
    if not fewest <= k <= most:
        claim = f"= {low:g}" if low == high else " and ".join(_bounds(low, high))
        raise AssertionError(
            f"the event happened in {k} of {n} draws, {k / n:.4g}; a probability {claim} "
            f"gives {fewest} to {most} of {n}, but for an error of {error:g}"
        )


def _bounds(low: float | None, high: float | None) -> list[str]:
    return [f"{sign} {bound:g}" for sign, bound in ((">=", low), ("<=", high)) if bound is not None]


def _claim(
    expected: float | None, at_least: float | None, at_most: float | None
) -> tuple[float | None, float | None]:
    """Return the lower and the upper bound that are claimed."""
    bounds = [bound for bound in (expected, at_least, at_most) if bound is not None]
    mixed = expected is not None and len(bounds) > 1
    if not bounds or mixed or not all(0.0 <= bound <= 1.0 for bound in bounds):
        raise InvalidArgument(
            f"no claim: expected={expected}, at_least={at_least}, at_most={at_most}",
            hint="probabilities: expected alone, or at_least, at_most, or both",
        )
    if at_least is not None and at_most is not None and at_least > at_most:
        raise InvalidArgument(f"at_least={at_least} is above at_most={at_most}", hint="swap them")
    return (expected, expected) if expected is not None else (at_least, at_most)


def _independent(samples: Posterior[Any] | Iterable[Any]) -> list[Any]:
    """Return the values of independent draws."""
    if isinstance(samples, Posterior):
        if not samples.method.startswith(("Rejection(", "AdaptiveRejection(")):
            raise InvalidArgument(
                f"the samples of {samples.method} are weighted or depend on each other",
                hint="use Rejection(), or values of many runs with seeds of their own; for the estimate itself, "
                "posterior.probability(event) with a tolerance; for the exact value, Enumerate()",
            )
        samples = [sample.value for sample in samples.samples]
    values = list(samples)
    if not values:
        raise InvalidArgument(
            "there are no draws", hint="raise the attempts of Rejection, or loosen the program"
        )
    return values


def _fewest(n: int, p: float, error: float) -> int:
    """Return the smallest k with P[Bin(n, p) <= k] > error: fewer is too few for a probability of at least p."""
    if p <= 0.0:
        return 0
    if p >= 1.0:
        return n
    total = 0.0
    for k in range(n + 1):
        choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        total += math.exp(choose + k * math.log(p) + (n - k) * math.log1p(-p))
        if total > error:
            return k
    return n
