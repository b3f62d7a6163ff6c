"""Suffix MCMC: keep a run up to a cut, draw the rest anew, and accept or reject.

A run y is a sequence of draws y_1, ..., y_T: values of finite sites and tokens, with the random weights that come with
them. The program's kernels draw it with probability q(y) and give it the weight w(y); the target is π(y) ∝ q(y) w(y).
A cut c is drawn from κ(c | y), the draws before it are kept, the rest is drawn from q. The new run y' is accepted with
probability

    min(1, w(y') κ(c | y') / (w(y) κ(c | y))),

since what q gives to the two suffixes cancels against q in the target. Without κ, long runs would be visited too often:
each of their cuts is less probable, so a short run is left for a long one more often than the other way round. A run
that dies is rejected. The rules for the cut:

- "uniform": κ = 1 / T.
- "entropy": κ ∝ H_c, the entropy of the law that y_c was drawn from; the sums of H over the two runs remain in the
  ratio. Cuts fall where there is something to choose, rather than inside of forced text.
- "start": c = 1. Independent proposals, accepted by their weights.

Each chain moves by itself; the suffixes of all chains are written together, in one batch.

References: Goodman, Mansinghka, Roy, Bonawitz and Tenenbaum (2008), *Church: a language for generative models*, for
Metropolis-Hastings over program traces; Gonzalez, Vaidya, Park, Ji, Berg-Kirkpatrick and D'Antoni (2025), *Constrained
sampling for language models should be easy: an MCMC perspective*, for suffixes and cuts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from typing_extensions import override

from inference.methods.base import require_positive
from inference.methods.chain import Chain, Sweep, accepted, stored_start
from inference.methods.smc import SMC
from inference.path_storage import PathStorage, Run
from inference.runtime import Runtime
from inference.weights import Floats
from ppl.errors import InvalidArgument
from ppl.program import Model
from ppl.rng import Rng

CutRule = Literal["uniform", "entropy", "start"]


@dataclass(frozen=True)
class SuffixMCMC(Chain):
    """Metropolis-Hastings by regenerating suffixes; asymptotically exact in the number of sweeps.

    Parameters
    ----------
    chains:
        How many chains run side by side, at least 1. The samples are those of the first, then those of the second, ...
    sweeps:
        States of each chain after its start.
    burn_in:
        How many of them are left out.
    cut:
        "uniform", "entropy" or "start".
    start_particles:
        Size of the SMC population that the first states are drawn from, and that estimates the evidence.
    """

    chains: int = 1
    sweeps: int = 100
    burn_in: int = 0
    cut: CutRule = "uniform"
    start_particles: int = 16

    def __post_init__(self) -> None:
        require_positive("chains", self.chains)
        self._require_sweeps()
        require_positive("start_particles", self.start_particles)
        if self.cut not in get_args(CutRule):
            raise InvalidArgument(f"cut={self.cut!r}", hint=f"one of {', '.join(get_args(CutRule))}")

    @property
    @override
    def recordable(self) -> bool:
        """False: its runs begin in the middle of others."""
        return False

    def start(self, model: Model[Any], rng: Rng, runtime: Runtime) -> Sweep:
        """Draw the first runs from SMC."""
        entropies = self.cut == "entropy"
        population = PathStorage(model, self.start_particles, rng, runtime, entropies=entropies)
        return stored_start(SMC(self.start_particles), population, self.chains)

    def sweep(self, runs: tuple[Run, ...], model: Model[Any], rng: Rng, runtime: Runtime) -> Sweep:
        """Propose another suffix to each chain that has something to draw."""
        laws = [self._cut_law(run) for run in runs]
        going = [i for i, law in enumerate(laws) if law.any()]
        cuts = {i: _draw(laws[i], rng) for i in going}
        fresh = PathStorage(model, len(going), rng, runtime, entropies=self.cut == "entropy")
        try:
            fresh.resume([runs[i].moments[cuts[i]] for i in going])
            while fresh.live:
                fresh.propose()
                fresh.draw()
        finally:
            fresh.close()
        following, moved = list(runs), 0
        for k, i in enumerate(going):
            if not fresh.particles[k].finished:
                continue
            proposed = fresh.run(k)
            if accepted(self._log_ratio(runs[i], proposed, cuts[i]), rng):
                following[i], moved = proposed, moved + 1
        size = len(runs)
        return Sweep(tuple(following), size, float(size), fresh.drawn, moved / size, None, fresh.last_death)

    def _cut_law(self, run: Run) -> Floats:
        """Return (T,) the probabilities of the cuts, all 0 if there is nothing to choose."""
        number = len(run.moments)
        if self.cut == "uniform":
            return np.full(number, 1.0 / max(number, 1))
        if self.cut == "start":
            return np.array([float(k == 0) for k in range(number)])
        entropies = np.array([moment.entropy for moment in run.moments])
        total = float(entropies.sum())
        return entropies / total if total > 0.0 else entropies

    def _log_ratio(self, run: Run, proposed: Run, cut: int) -> float:
        """Return the log of the ratio of target over proposal, forward and backward cuts included."""
        forward, backward = float(self._cut_law(run)[cut]), float(self._cut_law(proposed)[cut])
        if backward == 0.0:
            return -math.inf
        return proposed.log_weight - run.log_weight + math.log(backward) - math.log(forward)


def _draw(law: Floats, rng: Rng) -> int:
    with np.errstate(divide="ignore"):
        return int(rng.categorical(torch.from_numpy(np.log(law))[None], np.zeros(1, dtype=np.int64))[0])
