"""Mutants of Markov chains over runs: mistakes that leave chains which look well, at another posterior."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np

from inference import conditional
from inference.conditional import Conditional
from inference.methods import chain, particle_gibbs, particle_independent
from inference.methods.chain import Sweep
from inference.methods.particle_gibbs import ParticleGibbs
from inference.methods.suffix import SuffixMCMC
from inference.path_storage import PathStorage, Run
from inference.resampling import Ancestors, Scheme, resample
from inference.testing.mutant import mutant
from inference.weights import Floats
from ppl.rng import Rng


@mutant("the retained run is written over the first ancestor of a sorted draw")
def pinned_after_a_sorted_draw() -> Iterator[None]:
    def pinned(scheme: Scheme, weights: Floats, rng: Rng) -> Ancestors:
        ancestors = resample(scheme, weights, rng)
        ancestors[0] = 0
        return ancestors

    with patch.object(particle_gibbs, "conditional_resample", pinned):
        yield


@mutant("systematic resampling keeps the retained run, but its uniform draw is not conditioned on it")
def systematic_not_conditioned() -> Iterator[None]:
    original = conditional._stratified

    def stratified(weights: Floats, rng: Rng, *, systematic: bool) -> Ancestors:
        if not systematic:
            return original(weights, rng, systematic=False)
        ancestors = resample("systematic", weights, rng)
        return np.delete(ancestors, int(np.argmin(ancestors)))

    with patch.object(conditional, "_stratified", stratified):
        yield


@mutant("residual resampling counts the retained run beside its sure copies")
def residual_copy_too_many() -> Iterator[None]:
    def residual(weights: Floats, rng: Rng) -> Ancestors:
        return resample("residual", weights, rng)[: len(weights) - 1]

    with patch.object(conditional, "_residual", residual):
        yield


@mutant("the retained run forgets the weights that its draws came with")
def retained_weights_lost() -> Iterator[None]:
    original = Conditional._go_along

    def go_along(self: Conditional) -> None:
        before = float(self.log_weights[0])
        original(self)
        self.log_weights[0] = before

    with patch.object(Conditional, "_go_along", go_along):
        yield


@mutant("the retained run is dropped from the population that the next one is chosen from")
def retained_left_out() -> Iterator[None]:
    original = chain.choose

    def choose(log_weights: Floats, n: int, rng: Rng) -> list[int]:
        others = log_weights.copy()
        others[0] = -np.inf
        return original(others, n, rng) or [0]

    with patch.object(particle_gibbs, "choose", choose):
        yield


@mutant("the next run is chosen from the population without its weights")
def chosen_without_weights() -> Iterator[None]:
    original = chain.choose

    def choose(log_weights: Floats, n: int, rng: Rng) -> list[int]:
        return original(np.where(np.isneginf(log_weights), -np.inf, 0.0), n, rng)

    with patch.object(particle_gibbs, "choose", choose):
        yield


@mutant(
    "particle Gibbs averages the mean weights of all its sweeps as if they were estimates of the evidence"
)
def conditional_evidence_averaged() -> Iterator[None]:
    original = ParticleGibbs.sweep

    def sweep(self: ParticleGibbs, runs: tuple[Run, ...], *others: Any) -> Sweep:
        made = original(self, runs, *others)
        return replace(made, log_estimate=made.runs[0].log_weight)

    with patch.object(ParticleGibbs, "sweep", sweep):
        yield


@mutant("particle independent Metropolis-Hastings accepts always")
def proposals_always_accepted() -> Iterator[None]:
    with patch.object(particle_independent, "accepted", lambda log_ratio, rng: True):
        yield


@mutant("a suffix is accepted without the probabilities of the cut")
def cut_forgotten() -> Iterator[None]:
    def log_ratio(self: SuffixMCMC, run: Run, proposed: Run, cut: int) -> float:
        return proposed.log_weight - run.log_weight

    with patch.object(SuffixMCMC, "_log_ratio", log_ratio):
        yield


@mutant("a suffix is accepted with the ratio of cuts upside down")
def cut_upside_down() -> Iterator[None]:
    original = SuffixMCMC._log_ratio

    def log_ratio(self: SuffixMCMC, run: Run, proposed: Run, cut: int) -> float:
        weights = proposed.log_weight - run.log_weight
        return 2.0 * weights - original(self, run, proposed, cut)

    with patch.object(SuffixMCMC, "_log_ratio", log_ratio):
        yield


@mutant("a suffix is accepted whatever its weight, as long as it lives")
def suffix_weight_dropped() -> Iterator[None]:
    original = SuffixMCMC._log_ratio

    def log_ratio(self: SuffixMCMC, run: Run, proposed: Run, cut: int) -> float:
        ratio = original(self, run, proposed, cut)
        return ratio if ratio == -math.inf else ratio - proposed.log_weight + run.log_weight

    with patch.object(SuffixMCMC, "_log_ratio", log_ratio):
        yield


@mutant("a suffix is weighed as if its prefix had earned nothing")
def prefix_weight_lost() -> Iterator[None]:
    original = PathStorage.resume

    def resume(self: PathStorage, moments: Any) -> None:
        original(self, [replace(moment, log_weight=0.0) for moment in moments])

    with patch.object(PathStorage, "resume", resume):
        yield
