"""SMC without replacement: of all tokens that all partial runs may go on with, N are kept, and none twice.

Where SMC draws a token for each particle and copies what is heavy, this looks at all continuations at once. N partial
runs of weights w_i and V tokens make up to N · V outcomes of weights w_i m_i(v), m_i the target's law of the next
token, and optimal resampling (`inference.optimal_resampling`) keeps N of them without bias: large ones for certain,
with their weights, so that what a model is sure of is followed once instead of N times; others by chance. Finite values
are outcomes like tokens, finished runs stay among the outcomes, and the population begins as one run. The sum of the
weights is an unbiased estimate of the evidence; with N at least the number of partial runs this is enumeration.

Lew et al. expand each particle by K tokens. Here it is the whole vocabulary, from the distributions on the language
model's device, so that nothing needs to be corrected for tokens that were left out. Two kinds of sites are different:

- Where a constraint only checks (kernel *awrs*), tokens cannot be listed. Each particle makes `draws` draws, each with
  its properly weighted estimate divided by `draws`; these are its outcomes, equal ones counted together.
- Where a masked-diffusion text is unmasked in random order, a particle draws the position, and its tokens are outcomes.

Runs that become the same run are merged, and their weights added: those that have drawn equal texts, spelled by
different tokens, and now begin the same text or have finished.

References: Lew, Zhi-Xuan, Grand and Mansinghka (2023), *Sequential Monte Carlo steering of large language models using
probabilistic programs*; Fearnhead and Clifford (2003), *On-line inference for hidden Markov models via particle
filters*.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar

import numpy as np
import torch

from inference.branching import Move, Pruning
from inference.diagnostics import Step
from inference.infilling import InfillState
from inference.kernels import Proposal
from inference.methods.base import Method, Result, require_positive
from inference.optimal_resampling import Rest, optimal
from inference.particle import Particle
from inference.progress import Progress
from inference.runtime import Runtime
from inference.scheduler import Scheduler
from inference.text import TextState
from inference.weights import effective_sample_size, log_masses, log_sum_exp
from ppl.program import Model
from ppl.rng import Rng
from ppl.trace import Choice


@dataclass(frozen=True)
class SteeringSMC(Method):
    """Sequential Monte Carlo without replacement: N distinct partial runs, by optimal resampling of all continuations.

    Parameters
    ----------
    particles:
        N, the most partial runs that are kept, at least 1.
    draws:
        How many draws a particle makes for its next token where the constraint only checks (kernel *awrs*), at least 1.
        With 1, and such sites only, particles are never resampled.

    Notes
    -----
    Unbiased. `log_evidence` is the log of the sum of the weights.
    """

    particles: int = 16
    draws: int = 2

    def __post_init__(self) -> None:
        require_positive("particles", self.particles)
        require_positive("draws", self.draws)

    def run(self, model: Model[Any], rng: Rng, runtime: Runtime, progress: Progress) -> Result:
        """Follow the population until all runs in it are finished."""
        population = _Steered(model, rng, runtime, self.particles, self.draws)
        try:
            population.start()
            steps: list[Step] = []
            log_evidence = 0.0
            while live := population.live:
                population.propose()
                population.advance()
                before, log_evidence = log_evidence, log_sum_exp(population.log_weights)
                increment = log_evidence - before if log_evidence > -math.inf else -math.inf
                ess = effective_sample_size(population.log_weights)
                steps.append(Step(len(steps) + 1, len(live), ess, increment))
                progress.update(steps[-1], population.drawn)
        finally:
            population.close()
        return Result(
            population.particles,
            population.log_weights,
            log_sum_exp(population.log_weights),
            steps,
            population.drawn,
            population.last_death,
        )


class _Steered(Pruning):
    """A population that keeps N of its outcomes without bias."""

    takes_estimates: ClassVar[bool] = True

    def __init__(self, model: Model[Any], rng: Rng, runtime: Runtime, size: int, draws: int) -> None:
        super().__init__(model, rng, runtime)
        self._size, self._draws = size, draws

    def start(self) -> None:
        """Run to the first text site, by all values of finite sites before it."""
        super().start()
        self._merge()

    def propose(self) -> None:
        """Ask the language models; a position that is drawn at random is drawn here."""
        Scheduler.propose(self)

    def advance(self) -> None:
        """Write the tokens of the outcomes that are kept."""
        listed, rests = self._stay(), list[Rest]()
        for group in self._groups:
            members = np.flatnonzero([self.particles[i].live for i in group.particles])
            if not len(members):
                continue
            particles, proposal = group.particles[members].tolist(), group.proposal.take(members)
            if group.kernel == "awrs":
                listed += self._drawn(proposal, particles)
            else:
                largest, others = self._outcomes(proposal, particles)
                listed, rests = listed + largest, rests + others
        self._follow_tokens(optimal(listed, rests, self._size, self.rng))
        self._merge()

    def _kept(self, streams: Sequence[Iterable[Move]]) -> list[Move]:
        return optimal(list(chain(*streams)), (), self._size, self.rng)

    def _outcomes(self, proposal: Proposal, particles: list[int]) -> tuple[list[Move], list[Rest]]:
        """Return the largest N tokens of each particle, and the rest of its row."""
        rows = proposal.numerators[torch.from_numpy(proposal.rows).to(proposal.numerators.device)].double()
        rows = rows - log_masses(rows)[:, None]
        values, tokens = torch.topk(rows, min(self._size, rows.shape[-1]), dim=-1)
        rest = rows.scatter(-1, tokens, -torch.inf)
        log_rests = log_masses(rest).cpu().tolist()
        listed, rests = list[Move](), list[Rest]()
        for k, (i, ids, logs) in enumerate(zip(particles, tokens.tolist(), values.tolist(), strict=True)):
            base = float(self.log_weights[i])
            pairs = zip(ids, logs, strict=True)
            listed += [Move(i, token, p, base + p) for token, p in pairs if p > -math.inf]
            rests.append(Rest(i, rest[k], base + log_rests[k]))
        return listed, rests

    def _drawn(self, proposal: Proposal, particles: list[int]) -> list[Move]:
        """Return the tokens that each particle draws, each distinct one with its mean weight over the draws."""
        repeated = np.repeat(np.arange(len(particles)), self._draws)
        states: list[Any] = [self._text(particles[k]) for k in repeated]
        for site in {state.site for state in states}:
            site.tally.note = (
                f"of tokens that are only checked, SteeringSMC saw {self._draws} draws of each particle"
            )
        with self._located(particles[0]):
            tokens, log_weights = proposal.take(repeated).draw(self.rng, states)
        found: defaultdict[tuple[int, int], float] = defaultdict(lambda: -math.inf)
        for k, token, w in zip(repeated.tolist(), tokens.tolist(), log_weights.tolist(), strict=True):
            if w > -math.inf:
                key = particles[k], token
                found[key] = float(np.logaddexp(found[key], w - math.log(self._draws)))
        return [Move(i, token, w, float(self.log_weights[i]) + w) for (i, token), w in found.items()]

    def _merge(self) -> None:
        """Add up the weights of runs that will go on alike, and keep one of them."""
        first: dict[tuple[object, ...], list[int]] = {}
        kept = list[int]()
        for i, particle in enumerate(self.particles):
            same: list[int] = first.setdefault(_texts(particle), []) if _between_texts(particle) else []
            twin = next((j for j in same if _alike(particle.trace, self.particles[j].trace)), None)
            if twin is None:
                same.append(i)
                kept.append(i)
            else:
                self.log_weights[twin] = np.logaddexp(self.log_weights[twin], self.log_weights[i])
        if len(kept) == len(self.particles):
            return
        parents, self.log_weights = self.particles, self.log_weights[kept]
        self.particles = [parents[i] for i in kept]
        for i in set(range(len(parents))) - set(kept):
            parents[i].close()
        self.runtime.recorder.selected(parents, self.particles, self.log_weights)


def _between_texts(particle: Particle) -> bool:
    """Return whether a run has finished, or is at the very beginning of a text: what it does depends on its trace."""
    state = particle.text
    if isinstance(state, TextState):
        return state.contexts[0].length == 0
    return particle.finished or (
        isinstance(state, InfillState) and not any(v is not None for v in state.values)
    )


def _texts(particle: Particle) -> tuple[object, ...]:
    return particle.finished, *(c.outcome for c in particle.trace if isinstance(c.outcome, str))


def _alike(a: Sequence[Choice], b: Sequence[Choice]) -> bool:
    """Return whether two traces record the same: equal texts, and of other values, which may not compare, the same."""
    return len(a) == len(b) and all(
        x.address == y.address
        and (x.outcome is y.outcome or (isinstance(x.outcome, str) and x.outcome == y.outcome))
        for x, y in zip(a, b, strict=True)
    )
