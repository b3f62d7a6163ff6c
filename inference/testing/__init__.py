"""The exactness kit: check any method, kernel, target or constraint against brute force, to rounding error.

    from inference.testing import check_unbiased
    check_unbiased(my_program(...), SMC(particles=2))

`EnumRng` enumerates random choices, `oracle` enumerates what a program denotes, `checks` compares the two,
`assertions` and `calibration` judge samples with a stated error, `strategies` draws random programs (needs the extra
`testing`), `mutants` proves that the checks can fail.
"""

from inference.testing.assertions import assert_probability
from inference.testing.calibration import Calibration, calibration, check_calibration
from inference.testing.checks import (
    check_drawing,
    check_kernel,
    check_replay,
    check_resampling,
    check_together,
    check_unbiased,
)
from inference.testing.enum_rng import EnumRng, TooManyPaths, expectation, paths
from inference.testing.invariance import check_conditional_resampling, check_invariant, flux
from inference.testing.oracle import measure, target_measure
from inference.testing.variance import check_evidence_variance

__all__ = [
    "Calibration",
    "EnumRng",
    "TooManyPaths",
    "assert_probability",
    "calibration",
    "check_calibration",
    "check_conditional_resampling",
    "check_drawing",
    "check_evidence_variance",
    "check_invariant",
    "check_kernel",
    "check_replay",
    "check_resampling",
    "check_together",
    "check_unbiased",
    "expectation",
    "flux",
    "measure",
    "paths",
    "target_measure",
]
