"""Findings about populations: whether the weight rests on enough families, and what would spread it.

What decides is F = 1 / Σ_e S_e², the effective number of families (`inference.diagnosis.genealogy`). The relative
variance of the evidence estimate is about 1/F - 1/N, and a probability near one half has a standard error of about 1
/ (2 √F). As the variance goes as 1 / N, F grows in proportion to N. Below F = 2, severe, most of the weight may be
that of one family, where the largest share must be small for averages to be right (Chatterjee and Diaconis). Below 5,
a warning, log Ẑ is off by about 0.4; at 1 a run is of no use (Doucet and others).

Weights that were never resampled may have a heavy tail (`inference.diagnosis.tails`): above
k̂ = min(1 - 1 / log₁₀ N, 0.7), a warning, N draws do not find the mean, and above 1, severe, there is none.

References: Chatterjee and Diaconis (2018), *The sample size required in importance sampling*; Doucet, Pitt,
Deligiannidis and Kohn (2015), *Efficient implementation of Markov chain Monte Carlo when using an unbiased likelihood
estimator*; Vehtari, Simpson, Gelman, Yao and Gabry (2024), *Pareto smoothed importance sampling*.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from inference.diagnosis.findings import Finding, Severity
from inference.diagnosis.guarantees import method_name, setting
from inference.diagnosis.tails import largest_shape, pareto_shape

if TYPE_CHECKING:
    from inference.posterior import Posterior

FAMILIES, ROUGH = 2.0, 5.0
"""Effective numbers of families below which a finding is severe, and a warning."""
_IMPROBABLE = -10.0
"""Nats of log-evidence below which the model is said to find improbable what is asked for."""
ENOUGH = 10.0
"""Families, or independent draws, that advice aims at: a probability near one half is off by 0.16."""


def population_findings(posterior: Posterior[Any]) -> list[Finding]:
    """Return what the genealogy and the weights of a population show."""
    genealogy, size = posterior.genealogy, posterior.particles
    families = float(genealogy.effective[0])
    found = _tail(posterior)
    if size == 1:
        what = "a single particle tells nothing of its error"
        return [Finding("warning", what, 1.0, f"particles={int(ENOUGH)} or more")]
    if families < min(ROUGH, 0.99 * size):
        heaviest = float(np.bincount(genealogy.families, weights=genealogy.weights).max())
        parts = [f"the samples are worth {families:.2g} of {size} independent particles"]
        parts.append(f"{heaviest:.0%} of the weight descends from one")
        if genealogy.coalescence:
            parts.append(
                f"up to tick {genealogy.coalescence} of {len(posterior.steps)} all have the same ancestor, "
                "which alone decided what was written until then"
            )
        severity: Severity = "severe" if families < FAMILIES else "warning"
        found.insert(0, Finding(severity, "; ".join(parts), families, _advice(posterior, families)))
    return found


def _advice(posterior: Posterior[Any], families: float) -> str:
    """Return what makes the weights of a population more even, the number of particles first."""
    size = posterior.particles
    more = 2 ** math.ceil(math.log2(size * ENOUGH / families))
    least = "at least " if families < FAMILIES else "about "
    advice = [f"{least}{more} particles, as far as this run can tell"]
    if method_name(posterior) == "Importance" and len(posterior.steps) > 1:
        advice.append("SMC, which resamples on the way")
    if setting(posterior, "resampling") == "multinomial":
        advice.append("resampling='systematic', which adds less noise")
    correctors = any("corrector" in site.kernels for site in posterior.sites)
    if correctors and setting(posterior, "bridge") is None and method_name(posterior) == "SMC":
        advice.append("SMC(bridge=20), which leads to powers and products in steps")
    lost = _lost_at_the_end(posterior)
    if lost:
        advice.append(
            "what only weighs at the end (a condition, a factor) earlier: as a constraint or a potential of the text "
            "where it can be one; else TemperedSMC"
        )
    if posterior.log_evidence < _IMPROBABLE and any(site.parts for site in posterior.sites):
        advice.append(
            "a prompt that shows the form of the text, or a looser constraint: what is asked for has mass "
            f"exp({posterior.log_evidence:.0f})"
        )
    known = [site for site in posterior.sites if site.weight_variance is not None]
    if len(known) > 1:
        worst = max(known, key=lambda site: site.weight_variance or 0.0)
        advice.append(
            f"begin at {worst.address}, where weights vary most: {worst.weight_variance:.2g} per tick"
        )
    return "; ".join(advice)


def _lost_at_the_end(posterior: Posterior[Any]) -> bool:
    """Return whether the weights were even until the last tick, and are not any more."""
    before = [step.ess for step in posterior.steps[-2:-1]] or [float(posterior.particles)]
    return posterior.ess < 0.5 * before[0] and posterior.ess < 0.25 * posterior.particles


def _tail(posterior: Posterior[Any]) -> list[Finding]:
    """Return a finding if weights that were never resampled have a heavy tail."""
    if posterior.genealogy.resamplings or method_name(posterior) not in ("Importance", "SMC"):
        return []
    log_weights = np.full(posterior.particles, -np.inf)
    log_weights[[s.place for s in posterior.samples]] = [s.log_weight for s in posterior.samples]
    shape = pareto_shape(log_weights)
    if math.isnan(shape) or len(log_weights) < 100 or shape <= largest_shape(len(log_weights)):
        return []
    severity: Severity = "severe" if shape > 1.0 else "warning"
    what = f"the weights have a heavy tail, Pareto k̂ {shape:.2f}: the runs that carry the mass are hardly ever drawn"
    return [
        Finding(severity, what, shape, "SMC, a constraint or potential that steers earlier, or TemperedSMC")
    ]
