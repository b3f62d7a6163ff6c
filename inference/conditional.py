"""Conditional SMC: a population in which one run is retained as it was.

Particle 0 repeats a given run y*, tick by tick, while the others are drawn and resampled around it, and may become
copies of it. If y* has the law π of the program's runs, and a run y is chosen from the final population by its weight,
then y has the law π, too: the pair of steps is a Gibbs sampler on the measure Ẑ ψ of all that SMC draws (ψ its law).

For that a run must be everything that its weights depend on. Besides tokens and values these are the verdicts of
rejection sampling, the rollouts of lookahead, and the positions that a masked-diffusion text filled in: they are kept,
not drawn again. Whether to resample, by the effective sample size and by whether anybody has a choice, is decided as
SMC would, by the population with y* in it. A run that has finished waits with its weight for the others, retained or
not.

Resampling must have the law of its scheme *given* that the retained run survives in its place. It is not enough to
write the retained run over one of the ancestors. The number of copies is then size-biased: a scheme that gives the
retained run m copies must be drawn m / E[m] times as often as it is by itself.

- multinomial: the other ancestors are independent draws from the weights.
- residual: the retained place is one of the ⌊N W⌋ sure copies with probability ⌊N W⌋ / N W; otherwise it is one of the
  places that are drawn.
- systematic, stratified: the retained place is a point v, uniform on the run's part of [0, N); it fixes the uniform
  draw of all strata, or that of its own. These two depend on the order of the particles, so the order is drawn first:
  then all places are alike, and the retained run may always stand in the first.

References: Andrieu, Doucet and Holenstein (2010), *Particle Markov chain Monte Carlo methods*; Chopin and Singh (2015),
*On particle Gibbs sampling*, for schemes other than multinomial.
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np
from typing_extensions import override

from inference.particle import Particle
from inference.path_storage import PathStorage, Run
from inference.resampling import Ancestors, Scheme, multinomial
from inference.runtime import Runtime
from inference.weights import Floats
from ppl.errors import InvalidArgument
from ppl.program import Model
from ppl.rng import Rng

ConditionalScheme = Literal["multinomial", "residual", "systematic", "stratified"]
CONDITIONAL_SCHEMES: tuple[ConditionalScheme, ...] = get_args(ConditionalScheme)

_ROUNDING = 1e-15
"""The least part of [0, N) that the retained run has, however small its weight."""


class Conditional(PathStorage):
    """A population whose particle 0 is a retained run."""

    def __init__(self, model: Model[Any], size: int, rng: Rng, runtime: Runtime, retained: Run) -> None:
        super().__init__(model, size, rng, runtime)
        self._retained = retained
        self._script = [moment for moment in reversed(retained.moments) if moment.particle.live]

    @override
    def start(self) -> None:
        self._settle([(i, self._guard(i, p.fiber.start)) for i, p in enumerate(self.particles) if i > 0])
        self._go_along()

    @override
    def draw(self) -> None:
        for group in self._groups:
            others = np.flatnonzero(group.particles > 0)
            group.particles, group.proposal = group.particles[others], group.proposal.take(others)
        moves = self.particles[0].live
        super().draw()
        if moves:
            self._go_along()

    @override
    def _remember(
        self, i: int, snapshot: Particle, earned: float, positions: tuple[int, ...], entropy: float
    ) -> None:
        if i > 0:  # the retained run has its own moments
            super()._remember(i, snapshot, earned, positions, entropy)

    def _go_along(self) -> None:
        """Put particle 0 where the retained run was before its next token, or at its end."""
        if self._script:
            moment = self._script.pop()
            self.particles[0], self.moments[0] = moment.repeated(), moment
            earned = moment.log_weight
        else:
            self.particles[0], earned = self._retained.particle, self._retained.log_weight
            self.moments[0] = self._retained.moments[-1] if self._retained.moments else None
        self.log_weights[0] = earned - self._offsets[0]


def conditional_resample(scheme: Scheme, weights: Floats, rng: Rng) -> Ancestors:
    """Return (N,) ancestors for (N,) normalised weights, given that the first of them is 0."""
    if scheme == "multinomial":
        others = multinomial(weights, len(weights) - 1, rng)
    elif scheme == "residual":
        others = _residual(weights, rng)
    elif scheme in ("systematic", "stratified"):
        others = _stratified(weights, rng, systematic=scheme == "systematic")
    else:
        raise InvalidArgument(
            f"resampling={scheme!r}, given a retained run", hint=f"one of {', '.join(CONDITIONAL_SCHEMES)}"
        )
    return np.concatenate([[0], np.sort(others)])


def _residual(weights: Floats, rng: Rng) -> Ancestors:
    """Return the other N - 1 ancestors of residual resampling."""
    n = len(weights)
    copies = np.floor(n * weights).astype(np.int64)
    fractions, rest = n * weights - copies, n - int(copies.sum())
    sure = float(copies[0] / (n * weights[0])) if copies[0] else 0.0
    if rest == 0 and not copies[0]:  # a weight that is lost in rounding: its place was somebody's sure copy
        copies[np.argmax(copies)] -= 1
    elif rest == 0 or sure == 1.0 or (sure > 0.0 and rng.uniform([sure]) < sure):
        copies[0] -= 1
    else:
        rest -= 1
    kept = np.repeat(np.arange(n), copies)
    return np.concatenate([kept, multinomial(fractions, rest, rng)]) if rest else kept


def _stratified(weights: Floats, rng: Rng, *, systematic: bool) -> Ancestors:
    """Return the other N - 1 ancestors of systematic or stratified resampling of particles in random order."""
    n = len(weights)
    order = _permutation(n, rng)
    bounds = np.concatenate([[0.0], np.cumsum(weights[order])])
    bounds *= n / bounds[-1]
    place = int(np.flatnonzero(order == 0)[0])
    low, high = float(bounds[place]), float(bounds[place + 1])
    width = max(high - low, _ROUNDING)
    strata = np.arange(math.floor(low), math.ceil(high) + 1)
    edges = strata[:, None] + (bounds % 1.0 if systematic else np.zeros(1))
    point = low + width * rng.uniform(((edges - low) / width).ravel())
    own = min(math.floor(point), n - 1)
    others = [i for i in range(n) if i != own]
    points = [i + (point % 1.0 if systematic else rng.uniform(bounds - i)) for i in others]
    chosen = np.searchsorted(bounds[1:], points, side="right")
    return order[np.minimum(chosen, int(np.searchsorted(bounds[1:], n)))]


def _permutation(n: int, rng: Rng) -> Ancestors:
    """Return the numbers below n in a uniformly drawn order."""
    order = np.arange(n)
    for k in range(n - 1, 0, -1):
        j = int((k + 1) * rng.uniform(np.arange(1, k + 1) / (k + 1)))
        order[[j, k]] = order[[k, j]]
    return order
