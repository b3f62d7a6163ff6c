"""Checks of the estimate of the evidence's variance that one run makes from its genealogy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from inference.diagnosis.genealogy import Genealogy
from inference.methods import SMC
from inference.progress import Progress
from inference.runtime import Runtime
from inference.testing.checks import TOLERANCE
from inference.testing.enum_rng import expectation
from ppl.program import Model
from ppl.rng import Rng


def check_evidence_variance(
    model: Model[Any], method: SMC, *, tolerance: float = TOLERANCE, max_paths: int = 100_000
) -> None:
    """Check what `Genealogy.evidence_variance` promises of its v, by enumeration.

    Of multinomial resampling: E[Ẑ² v] = Var(Ẑ). Of "residual", "stratified" and "ssp", under which two particles never
    have children together more often than if all children were independent: E[Ẑ² v] >= Var(Ẑ). Nothing is known of
    "systematic".
    """

    def moments(rng: Rng) -> dict[str, float]:
        with Runtime() as runtime:
            result = method.run(model, rng, runtime, Progress())
        if result.log_evidence == -math.inf:
            return {}
        alive = np.flatnonzero(np.isfinite(result.log_weights))
        genealogy = Genealogy.of(
            result.steps,
            alive.tolist(),
            result.log_weights[alive],
            len(result.log_weights),
            method.resampling,
        )
        evidence = math.exp(result.log_evidence)
        square = evidence**2
        return {"mean": evidence, "square": square, "estimate": square * genealogy.evidence_variance}

    mean = expectation(moments, max_paths=max_paths)
    variance = mean["square"] - mean["mean"] ** 2
    excess = mean["estimate"] - variance
    exact = method.resampling == "multinomial"
    if excess < -tolerance or (exact and excess > tolerance):
        relation = "" if exact else "at least "
        raise AssertionError(
            f"{method!r} on {model!r}: Var(Ẑ) = {variance!r}, its estimate should be {relation}that on average, "
            f"got {mean['estimate']!r}"
        )
