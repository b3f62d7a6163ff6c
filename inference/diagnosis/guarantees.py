"""Guarantees: what the samples of a method are, which says how their error can be told from one run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from inference.posterior import Posterior

Guarantee = Literal["exact", "independent", "population", "pooled", "chain", "heuristic", "unknown"]
"""What samples are.

- exact: every run, with its mass.
- independent: independent draws from the posterior.
- population: weighted particles that may be copies of each other; consistent as they grow.
- pooled: the weighted samples of independent runs.
- chain: states of Markov chains; asymptotically exact.
- heuristic: samples of another law than the posterior.
- unknown: weighted samples whose dependence is not known, as of a user's own method, or of a population whose ancestors
  are not known.
"""

GUARANTEES: dict[str, Guarantee] = {
    "Enumerate": "exact",
    "Rejection": "independent",
    "AdaptiveRejection": "independent",
    "SMC": "population",
    "Importance": "population",
    "TemperedSMC": "population",
    "ResampleMoveSMC": "population",
    "SteeringSMC": "unknown",  # few outcomes stand for many, none is a copy of another
    "PrunedEnriched": "unknown",  # no population of a fixed size
    "Until": "pooled",
    "ParticleGibbs": "chain",
    "ParticleIndependentMH": "chain",
    "SuffixMCMC": "chain",
    "SingleSiteMH": "chain",
    "BeamSearch": "heuristic",
    "BestFirst": "heuristic",
    "BestOfN": "heuristic",
    "FirstFinished": "heuristic",
    "AdaptiveConsistency": "heuristic",
    "LocallyConstrained": "heuristic",
}
"""By the name of the method's class."""


def guarantee(posterior: Posterior[Any]) -> Guarantee:
    """Return what the samples of a posterior are, by the method that it names."""
    if posterior.chains:
        return "chain"
    kind = GUARANTEES.get(method_name(posterior), "unknown")
    placed = all(sample.place >= 0 for sample in posterior.samples)
    return kind if placed or kind != "population" else "unknown"


def method_name(posterior: Posterior[Any]) -> str:
    """Return the name of the class of the posterior's method."""
    return posterior.method.partition("(")[0]


def setting(posterior: Posterior[Any], name: str) -> str | None:
    """Return a parameter of the posterior's method as it was printed, without quotes; None if it has none such."""
    found = re.search(rf"\b{name}=(?:'([^']*)'|([^,()]+))", posterior.method)
    return None if found is None else found[1] or found[2]
