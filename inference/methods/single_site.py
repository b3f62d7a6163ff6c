"""Single-site Metropolis-Hastings: draw one random choice of a run anew, keep the others, and accept or reject.

A run y visits the sites 1, ..., n; site i draws x_i with probability q_i and gives it the weight w_i, both under the
target that it has after the draws before. A site k is chosen uniformly and drawn anew, and the program goes on to a run
y' (`inference.retracing`): at sites that y had visited, too, its draws are kept and weighed under their new targets, if
these can draw them; other sites draw afresh. With W the product of all weights of a run, and n' the number of sites of
y', the new run is accepted with probability

    min(1, (W' / W) · Π_kept (q'_i / q_i) · (n / n') · c).

The draws that both runs have are not proposed, so that what targets give to them is in the ratio; q of the fresh
draws cancels against q in the target, and likewise that of the draws that are dropped. 1 / n chose the site. With a
proposal r of the user's for site k, which may depend on the run, c = (q_k(x') / r_y(x')) / (q_k(x) / r_y'(x)); else
c = 1. A run that dies is rejected, and one from which there is no way back.

Where checks reject tokens, and in masked diffusion, w is random and q is not known. Such a draw is kept, with its
weight, where its target has not changed; it is drawn afresh where it has. The weights are part of the state, as in
pseudo-marginal methods.

References: Wingate, Stuhlmüller and Goodman (2011), *Lightweight implementations of probabilistic programming languages
via transformational compilation*; Green (1995), *Reversible jump Markov chain Monte Carlo computation*, for runs of
different sizes; Andrieu and Roberts (2009), *The pseudo-marginal approach*.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from inference.methods.base import Result, require_positive
from inference.methods.chain import Chain, Sweep, accepted, stored_start
from inference.methods.smc import SMC
from inference.path_storage import Run
from inference.progress import Progress
from inference.retracing import Change, Retracing, not_known
from inference.runtime import Runtime
from inference.visits import Visit
from ppl.errors import InvalidArgument
from ppl.program import Model
from ppl.rng import Rng
from ppl.targets import Target
from ppl.trace import Address, Trace

SiteProposal = Target[Any] | Callable[[Trace], Target[Any]]


@dataclass(frozen=True)
class SingleSiteMH(Chain):
    """Metropolis-Hastings by changing one choice of a run; asymptotically exact in the number of sweeps.

    Parameters
    ----------
    chains:
        How many chains run side by side, at least 1. The samples are those of the first, then those of the second, ...
    sweeps:
        States of each chain after its start; each sweep proposes to change one site.
    burn_in:
        How many of them are left out.
    start_particles:
        Size of the SMC population that the first states are drawn from, and that estimates the evidence.
    proposals:
        By a site's `name=`, or its address: what to draw it from when it is changed, in place of its own target. A
        target, or a function from the trace of the present run to one. It must be able to draw what the site can draw,
        and to draw it back; densities must be known, so that neither target may leave tokens to checks.
    """

    chains: int = 1
    sweeps: int = 100
    burn_in: int = 0
    start_particles: int = 16
    proposals: Mapping[str | Address, SiteProposal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_positive("chains", self.chains)
        self._require_sweeps()
        require_positive("start_particles", self.start_particles)
        if not isinstance(self.proposals, Mapping):
            raise InvalidArgument(
                f"proposals={self.proposals!r}", hint='a mapping such as {"label": Categorical(["a", "b"])}'
            )
        for name, proposal in self.proposals.items():
            if not isinstance(name, str | Address) or not (
                isinstance(proposal, Target) or callable(proposal)
            ):
                raise InvalidArgument(
                    f"proposals has {name!r}: {proposal!r}",
                    hint="from the name or address of a site to a target, or to a function from a trace to a target",
                )

    @property
    @override
    def recordable(self) -> bool:
        """False: its runs begin in the middle of others."""
        return False

    @override
    def run(self, model: Model[Any], rng: Rng, runtime: Runtime, progress: Progress) -> Result:
        """Run the chains for all sweeps; warn of proposals for sites that no sample has."""
        result = super().run(model, rng, runtime, progress)
        visited = {choice.address for particle in result.particles for choice in particle.trace}
        known = visited | {address.name for address in visited}
        unused = [str(key) for key in self.proposals if key not in known]
        if unused and result.particles:
            warnings.warn(
                f"no sample has a site {', '.join(unused)}, for which there is a proposal", stacklevel=2
            )
        return result

    def start(self, model: Model[Any], rng: Rng, runtime: Runtime) -> Sweep:
        """Draw the first runs from SMC."""
        population = Retracing(model, self.start_particles, rng, runtime)
        return stored_start(SMC(self.start_particles), population, self.chains)

    def sweep(self, runs: tuple[Run, ...], model: Model[Any], rng: Rng, runtime: Runtime) -> Sweep:
        """Propose to change one site of each chain that has sites."""
        going = [i for i, run in enumerate(runs) if run.visits]
        changes = [self._change(runs[i], rng) for i in going]
        fresh = Retracing(model, len(going), rng, runtime)
        try:
            fresh.change(changes)
            while fresh.live:
                fresh.propose()
                fresh.draw()
        finally:
            fresh.close()
        finished = [k for k, particle in enumerate(fresh.particles) if particle.finished]
        ratios = self._log_ratios(fresh, [changes[k] for k in finished], finished)
        following, moved = list(runs), 0
        for k, log_ratio in zip(finished, ratios, strict=True):
            if accepted(log_ratio, rng):
                following[going[k]], moved = fresh.run(k), moved + 1
        size = len(runs)
        return Sweep(tuple(following), size, float(size), fresh.drawn, moved / size, None, fresh.last_death)

    def _change(self, run: Run, rng: Rng) -> Change:
        """Choose a site uniformly, and what to draw it from."""
        logits = torch.zeros((1, len(run.visits)), dtype=torch.float64)
        visit = run.visits[int(rng.categorical(logits, np.zeros(1, dtype=np.int64))[0])]
        return Change(run, visit, self._proposal(visit, run))

    def _proposal(self, visit: Visit, run: Run) -> Target[Any] | None:
        """Return the user's proposal for a site of a run; None if there is none."""
        address = visit.key[0]
        key = address if address in self.proposals else address.name
        proposal = None if key is None else self.proposals.get(key)
        if proposal is None or isinstance(proposal, Target):
            return proposal
        target = proposal(run.particle.trace)
        if not isinstance(target, Target):
            raise InvalidArgument(
                f"the proposal for {address} returned {target!r}, which is no target",
                hint="return a target of the site's kind, such as Categorical(...) or lm(prompt)",
            )
        return target

    def _log_ratios(self, fresh: Retracing, changes: Sequence[Change], members: Sequence[int]) -> list[float]:
        """Return for finished runs the log of the ratio of target over proposal, forward and backward."""
        after = [fresh.run(k) for k in members]
        back = self._log_backward(fresh, changes, after)
        ratios = []
        for k, change, run, log_back, possible in zip(
            members, changes, after, back, fresh.reversible(members), strict=True
        ):
            log_ratio = run.log_weight - change.run.log_weight + fresh.log_correction(k) + log_back
            log_ratio += _log_choosing(run) - _log_choosing(change.run)
            ratios.append(log_ratio if possible else -math.inf)
        return ratios

    def _log_backward(self, fresh: Retracing, changes: Sequence[Change], after: Sequence[Run]) -> list[float]:
        """Return log r_y'(x) / q_k(x) of the old draws, in nats; 0 where the user has no proposal."""
        asked: dict[int, tuple[Visit, Target[Any]]] = {}
        for j, (change, run) in enumerate(zip(changes, after, strict=True)):
            if change.proposal is not None:
                here = next(v for v in run.visits if v.key == change.visit.key)
                target = self._proposal(here, run)
                assert target is not None
                asked[j] = change.visit, target
        scores = fresh.scores([(visit.key, target, visit) for visit, target in asked.values()])
        results = [0.0] * len(changes)
        for (j, (visit, _)), score in zip(asked.items(), scores, strict=True):
            if score is None or visit.log_proposal is None:
                raise not_known(visit.key[0], own=visit.log_proposal is None)
            results[j] = score.log_proposal - visit.log_proposal if score.supported else -math.inf
        return results


def _log_choosing(run: Run) -> float:
    """Return the log-probability that one certain site of a run is chosen."""
    return -math.log(len(run.visits))
