"""The methods, each at several sizes: about that many whole runs of the program.

A size is a rough measure of cost, since methods stop early, repeat or merge runs; what counts is the number of tokens
that were drawn. `local` is masked decoding as libraries ship it, whose weights are thrown away. Chains have four
particles or four chains, so that their cost is in sweeps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from inference import (
    SMC,
    AdaptiveConsistency,
    AdaptiveRejection,
    BeamSearch,
    BestFirst,
    BestOfN,
    FirstFinished,
    Importance,
    LocallyConstrained,
    Method,
    ParticleGibbs,
    ParticleIndependentMH,
    PrunedEnriched,
    Rejection,
    ResampleMoveSMC,
    SingleSiteMH,
    SteeringSMC,
    SuffixMCMC,
    TemperedSMC,
    Until,
)

FEW = 4
"""Particles of a sweep, chains, and runs of a population that is repeated."""


@dataclass(frozen=True)
class Entry:
    """A method at any size, and what its samples are of: the target, or another law."""

    of_size: Callable[[int], Method]
    target: str


EXACT, ASYMPTOTIC, HEURISTIC = "exact", "as n grows", "another law"

METHODS: Mapping[str, Entry] = {
    "local": Entry(LocallyConstrained, HEURISTIC),
    "importance": Entry(Importance, ASYMPTOTIC),
    "smc": Entry(SMC, ASYMPTOTIC),
    "steering": Entry(SteeringSMC, ASYMPTOTIC),
    "resample-move": Entry(ResampleMoveSMC, ASYMPTOTIC),
    "pruned-enriched": Entry(PrunedEnriched, ASYMPTOTIC),
    "twisted": Entry(lambda n: SMC(max(n // 2, 1), twist=max(n // 2, 1)), ASYMPTOTIC),
    "tempered": Entry(TemperedSMC, ASYMPTOTIC),
    "until": Entry(lambda n: Until(SMC(FEW), runs=max(n // FEW, 1)), ASYMPTOTIC),
    "rejection": Entry(lambda n: Rejection(attempts=n), EXACT),
    "adaptive-rejection": Entry(lambda n: AdaptiveRejection(samples=n, max_attempts=n, batch=FEW), EXACT),
    "particle-gibbs": Entry(lambda n: ParticleGibbs(FEW, sweeps=max(n // FEW - 1, 1)), ASYMPTOTIC),
    "particle-mh": Entry(lambda n: ParticleIndependentMH(FEW, sweeps=max(n // FEW - 1, 1)), ASYMPTOTIC),
    "suffix-mcmc": Entry(
        lambda n: SuffixMCMC(FEW, sweeps=max(n // FEW - 1, 1), start_particles=FEW), ASYMPTOTIC
    ),
    "single-site": Entry(
        lambda n: SingleSiteMH(FEW, sweeps=max(n // FEW - 1, 1), start_particles=FEW), ASYMPTOTIC
    ),
    "beam": Entry(BeamSearch, HEURISTIC),
    "best-first": Entry(lambda n: BestFirst(expansions=16 * n, batch=FEW), HEURISTIC),
    "best-of-n": Entry(BestOfN, HEURISTIC),
    "first-finished": Entry(lambda n: FirstFinished(n, keep=max(n // 2, 1)), HEURISTIC),
    "adaptive-consistency": Entry(lambda n: AdaptiveConsistency(n, batch=FEW), HEURISTIC),
}
