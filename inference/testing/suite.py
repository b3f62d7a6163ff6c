"""A small fixed suite: the checks that must pass on `inference.testing.programs`.

`check_method(method)` is the gate for a new method; `run_suite()` is what the mutants must fail.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from inference.conditional import CONDITIONAL_SCHEMES
from inference.estimators import AWRS
from inference.learned_twist import learn_twist
from inference.methods import (
    SMC,
    AdaptiveConsistency,
    AdaptiveRejection,
    BeamSearch,
    BestFirst,
    Enumerate,
    FirstFinished,
    Importance,
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
from inference.methods.base import Method
from inference.resampling import SCHEMES
from inference.testing.checks import check_drawing, check_resampling, check_together, check_unbiased
from inference.testing.invariance import check_conditional_resampling, check_invariant
from inference.testing.programs import (
    LM,
    MODELS,
    checked_after,
    copied,
    corrected,
    dead_ends,
    drafted,
    filled,
    flipped,
    forced,
    foreseen,
    guessed,
    hurried,
    interleaved,
    labelled,
    late,
    pooled,
    ragged,
    rejected,
    relabelled,
    relearned,
    repeating,
    respelled,
    rough,
    stepwise,
    tossed,
    two_sites,
    uneven,
    warped,
    weighed_inside,
)
from inference.testing.rejuvenation import check_rejuvenation
from inference.testing.search_checks import check_heaviest, check_reading_order, check_shortest
from inference.testing.variance import check_evidence_variance
from ppl.errors import InvalidArgument

AWRS_SETTINGS = (
    AWRS(),
    AWRS(max_accepts=1),
    AWRS(max_rejects=1),
    AWRS(2, 2, "counts"),
    AWRS(3, None, "counts"),
)


def check_method(method: Method) -> None:
    """Check that a method is unbiased on the suite's programs; give it few particles."""
    for model in MODELS:
        check_unbiased(model, method)


def run_search() -> None:
    """Check what search and early stopping claim."""
    for model in (uneven(), two_sites(), late()):
        check_heaviest(model, BestFirst(samples=3, log_bound=4.0))
        check_heaviest(model, BestFirst(batch=1, log_bound=4.0))
        check_unbiased(model, BestFirst(samples=100))
    check_shortest(hurried(), FirstFinished(2, 1))
    check_shortest(hurried(), FirstFinished(3, 2))
    check_reading_order(hurried(), AdaptiveConsistency(3, confidence=0.8, batch=3))


def run_chains() -> None:
    """Check that the kernels of Markov chains leave posteriors invariant."""
    gibbs = ParticleGibbs(2, 1, start_particles=1, ess_threshold=1.0)
    suffix = SuffixMCMC(1, 1, start_particles=1)
    for chain in (gibbs, suffix, replace(suffix, cut="entropy"), ParticleIndependentMH(1, 1)):
        check_invariant(uneven(), chain)
    single = SingleSiteMH(1, 1, start_particles=1)
    check_invariant(relabelled(), single)
    check_invariant(checked_after(), single)
    check_unbiased(uneven(), replace(single, sweeps=2))
    check_invariant(
        relabelled(), replace(single, proposals={"label": flipped, "text": LM("z", max_tokens=2)})
    )
    check_unbiased(filled(), gibbs)
    for scheme in CONDITIONAL_SCHEMES:
        check_conditional_resampling(scheme, np.array([0.45, 0.2, 0.35]))


def run_moves() -> None:
    """Check that moves on the way leave intermediate targets invariant, and resample-move SMC unbiased."""
    for ticks, lag in ((1, None), (2, None), (2, 2)):
        check_rejuvenation(interleaved(), ticks, lag=lag)
    check_rejuvenation(uneven(), 1)
    check_rejuvenation(uneven(), 2, lag=2)
    check_unbiased(dead_ends(), ResampleMoveSMC(2, every=2, lag=1, ess_threshold=1.0))


def run_steering() -> None:
    """Check that SMC without replacement is unbiased."""
    for size in (1, 2, 4):
        check_unbiased(respelled(), SteeringSMC(size))
    check_unbiased(two_sites(), SteeringSMC(2))
    check_unbiased(ragged(), SteeringSMC(2))
    check_unbiased(relearned(), SteeringSMC(2, draws=2))


def run_drafts() -> None:
    """Check that particles that run ahead of each other along drafts change nothing."""
    check_unbiased(forced(), SMC(2, 1.0))
    check_unbiased(repeating(), Importance(1))
    check_unbiased(rough(), SMC(2, 1.0))
    check_unbiased(drafted(), Importance(1))


def run_copies() -> None:
    """Check that copies of particles draw with randomness of their own; it takes long, and is no part of the suite."""
    check_unbiased(copied(), SMC(2, 1.0), max_paths=1_000_000)


def run_nesting() -> None:
    """Check that nested programs have their measures."""
    check_unbiased(weighed_inside(Importance(2)), Importance(1))


def run_twists() -> None:
    """Check that learned twists change neither posterior nor evidence, and are used for their own models only."""
    check_unbiased(uneven(), SMC(2, 1.0, twist=learn_twist(uneven(), 6)))
    check_unbiased(rejected(), SMC(1, twist=learn_twist(rejected(), 6)))
    check_unbiased(relearned(), SMC(1, twist=2))
    for other in (relearned(), labelled("y")):
        try:
            learn_twist(labelled("x"), 1).require(other)
        except InvalidArgument:
            continue
        raise AssertionError(f"a twist that was learned from labelled('x') was taken for {other!r}")


def run_suite() -> None:
    """Run the checks that the mutants must fail."""
    for scheme in SCHEMES:
        check_resampling(scheme, np.array([0.5, 0.15, 0.35]))
    check_drawing(np.array([0.5, 0.15, 0.35]), 3)
    for model in MODELS:
        check_unbiased(model, Enumerate())
        check_unbiased(model, Importance(1))
        check_unbiased(model, BeamSearch(100))
    check_unbiased(dead_ends(), Until(Importance(1), runs=2))
    for awrs in AWRS_SETTINGS:
        check_unbiased(rejected(), Enumerate(), awrs=awrs)
        check_unbiased(rejected(), Importance(1), awrs=awrs)
    check_unbiased(dead_ends(), Rejection(2, log_bound=0.3))
    check_unbiased(relearned(), AdaptiveRejection(2, batch=1))
    check_unbiased(tossed(), AdaptiveRejection(2, batch=2))
    run_twists()
    check_unbiased(dead_ends(), SMC(2, 1.0))
    check_unbiased(two_sites(), SMC(2, 1.0))
    check_unbiased(ragged(), SMC(2, 1.0))
    check_unbiased(corrected(), SMC(1, bridge=2))
    check_unbiased(pooled(), TemperedSMC(1, (0.4, 1.0)))
    check_unbiased(pooled(), TemperedSMC(1, (0.4, 1.0), start=0.5))
    check_unbiased(uneven(), PrunedEnriched(2, 1.0, 1.0))
    check_unbiased(stepwise(), Importance(1))
    check_evidence_variance(uneven(), SMC(2, 1.0, "multinomial"))
    check_evidence_variance(uneven(), SMC(2, 1.0, "ssp"))
    check_together([*MODELS, warped(), *MODELS, warped()], SMC(3))
    check_unbiased(warped(), Enumerate())
    check_unbiased(warped(), Importance(1))
    for model in (foreseen(), guessed()):
        check_unbiased(model, Importance(1))
    for model in (corrected(), pooled(), filled()):
        check_unbiased(model, Enumerate())
        check_unbiased(model, Importance(1))
        check_unbiased(model, SMC(2, 1.0))
    run_search()
    run_chains()
    run_steering()
    run_drafts()
    run_nesting()
    run_moves()
