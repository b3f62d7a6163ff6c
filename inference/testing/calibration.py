r"""Simulation-based calibration: a check of inference for programs that cannot be enumerated.

If (θ, y) is drawn from the joint law of parameters and data, and θ_1, ..., θ_L independently from the posterior of θ
given y, then θ, θ_1, ..., θ_L have one law given y, and for any number f(θ, y) the rank of f(θ, y) among f(θ_1, y),
..., f(θ_L, y), ties broken at random, is uniform on 0, ..., L. Over S simulations the largest distance D between the
distribution function of the ranks and that of the uniform law satisfies

    P(D > d) <= 2 exp(-2 S d²),

for every S (Massart). With K numbers f, each is refused if that bound is below error / K: the probability that a
right posterior is refused, because of any of them, is at most `error`.

Ranks of numbers that ignore y cannot tell the posterior from the prior. Take the likelihood among them, log p(y | θ).

The statement is about exact draws. Those of a small population of SMC are biased, and depend on each other through
it, so a check of SMC is a check of its number of particles as well.

References: Talts, Betancourt, Simpson, Vehtari and Gelman (2018), *Validating Bayesian inference algorithms with
simulation-based calibration*; Modrák, Moon, Kim, Bürkner, Huurre, Faltejsková, Gelman and Vehtari (2023),
*Simulation-based calibration checking for Bayesian computation: the choice of test quantities shapes sensitivity*;
Massart (1990), *The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from inference.diagnosis.guarantees import guarantee
from inference.many import infer_many, program_seed
from inference.methods.base import Method, require_positive
from inference.posterior import Posterior
from ppl.errors import InvalidArgument
from ppl.program import Model
from ppl.rng import Rng

P = TypeVar("P")
D = TypeVar("D")


@dataclass(frozen=True, eq=False)
class Calibration:
    """The ranks of a calibration.

    Attributes
    ----------
    ranks:
        For each number (S,) the ranks of the true one, from 0 to `draws`.
    draws:
        L, draws from each posterior.
    """

    ranks: Mapping[str, NDArray[np.int64]]
    draws: int

    def distance(self, name: str) -> float:
        """Return D, the largest distance of the ranks' distribution function from that of the uniform law."""
        ranks = self.ranks[name]
        below = np.cumsum(np.bincount(ranks, minlength=self.draws + 1)) / len(ranks)
        return float(np.abs(below - np.arange(1, self.draws + 2) / (self.draws + 1)).max())

    def p_value(self, name: str) -> float:
        """Return a bound on the probability of so large a distance, if the posteriors are right."""
        return min(1.0, 2.0 * math.exp(-2.0 * len(self.ranks[name]) * self.distance(name) ** 2))


def calibration(
    pairs: Sequence[tuple[P, D]],
    posterior: Callable[[D], Model[P]],
    numbers: Mapping[str, Callable[[P, D], float]],
    method: Method,
    *,
    draws: int = 19,
    seed: int = 0,
) -> Calibration:
    """Return the ranks of true parameters among draws from their posteriors.

    Parameters
    ----------
    pairs:
        S independent draws (parameters, data) from the joint law: values of `AdaptiveRejection(S)` on a program that
        draws both, or of a simulator of yours.
    posterior:
        From data to the program that is under test, whose values are parameters.
    numbers:
        By name, what is ranked: functions of parameters and data.
    method:
        What computes the posteriors. Of `Rejection` and `AdaptiveRejection` the first L draws are taken, of Markov
        chains L states at equal distances, of weighted samples L draws by their weights.
    draws:
        L, at least 1.
    seed:
        All randomness of inference follows from it.

    Raises
    ------
    InvalidArgument
        If there is nothing to rank, or a method gives fewer than L draws.
    NoSurvivors
        If no run of a posterior survives.
    """
    require_positive("draws", draws)
    if not pairs or not numbers:
        raise InvalidArgument(
            f"a calibration of {len(pairs)} pairs and {len(numbers)} numbers",
            hint="hundreds of pairs (parameters, data), and numbers such as {'length': lambda p, d: len(p)}",
        )
    ranks: dict[str, list[int]] = {name: [] for name in numbers}
    rng = Rng(seed)
    posteriors = infer_many([posterior(data) for _, data in pairs], method, seed=seed)
    for index, ((truth, data), found) in enumerate(zip(pairs, posteriors, strict=True)):
        drawn = _draws(found, draws, program_seed(seed, index))
        for name, f in numbers.items():
            true, others = f(truth, data), np.array([f(value, data) for value in drawn])
            ties = int(np.sum(others == true))
            ranks[name].append(int(np.sum(others < true)) + int(rng.uniform([]) * (ties + 1)))
    return Calibration({name: np.array(found) for name, found in ranks.items()}, draws)


def check_calibration(
    pairs: Sequence[tuple[P, D]],
    posterior: Callable[[D], Model[P]],
    numbers: Mapping[str, Callable[[P, D], float]],
    method: Method,
    *,
    draws: int = 19,
    seed: int = 0,
    error: float = 1e-6,
) -> None:
    """Check that ranks are uniform, see `calibration`; `error` is the probability that a right posterior is refused."""
    if not 0.0 < error < 1.0:
        raise InvalidArgument(f"error={error!r}", hint="a probability between 0 and 1, such as 1e-6")
    found = calibration(pairs, posterior, numbers, method, draws=draws, seed=seed)
    wrong = [name for name in numbers if found.p_value(name) < error / len(numbers)]
    if wrong:
        said = "; ".join(
            f"{name}: distance {found.distance(name):.3f}, probability at most {found.p_value(name):.2g}, "
            f"mean rank {found.ranks[name].mean():.1f} of {draws / 2:g}"
            for name in wrong
        )
        raise AssertionError(f"{method!r} is not calibrated on {len(pairs)} simulations: {said}")


def _draws(posterior: Posterior[P], draws: int, seed: int) -> list[P]:
    """Return L draws from a posterior."""
    values = [sample.value for sample in posterior._alive()]
    kind = guarantee(posterior)
    if kind in ("independent", "chain"):
        if len(values) < draws:
            raise InvalidArgument(
                f"{posterior.method} gave {len(values)} of {draws} draws",
                hint="AdaptiveRejection(samples=draws), more sweeps or attempts, or fewer draws",
            )
        return values[:draws] if kind == "independent" else values[:: len(values) // draws][:draws]
    drawn = posterior.sample(draws, seed=seed)
    assert isinstance(drawn, list)
    return drawn
