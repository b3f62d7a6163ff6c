"""Findings about Markov chains: whether they move, agree, and are long enough.

| | severe | warning |
| --- | --- | --- |
| R̂, rank-normalised | above 1.2 | above 1.1 |
| effective states, in all | below 10 | below 50 |
| share of the sweeps that moved | below 1 of 50 | below 1 of 10 |

They are taken of numbers of the values: the values themselves or the lengths of their texts, and whether they are one
of the three most probable ones; the worst counts. Vehtari and others ask for R̂ below 1.01 and for 50 effective
states of each half of each chain, for chains that are cheap. A sweep costs a text here, so chains are short, and the
R̂ of a hundred sweeps often is 1.05 by chance: the limits are the older ones of Gelman and Rubin.

References: Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021), *Rank-normalization, folding, and localization: an
improved R̂ for assessing convergence of MCMC*; Gelman and Rubin (1992), *Inference from iterative simulation using
multiple sequences*.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from inference.diagnosis.convergence import chain_ess, rank_rhat
from inference.diagnosis.findings import Finding, Severity
from inference.diagnosis.guarantees import method_name
from inference.weights import Floats

if TYPE_CHECKING:
    from inference.posterior import Posterior


def chain_findings(posterior: Posterior[Any]) -> list[Finding]:
    """Return whether the chains moved, agree, and are long enough."""
    chains = posterior.chains or 1
    length = len(posterior) // chains
    found: list[Finding] = []
    severity: Severity
    moved = float(np.mean([step.moved for step in posterior.steps if step.moved is not None] or [0.0]))
    if moved < 0.1:
        severity = "severe" if moved < 0.02 else "warning"
        what = f"the chains moved in {moved:.1%} of the sweeps"
        found.append(Finding(severity, what, moved, _moves(posterior)))
    if length < 8:
        what = f"{length} states of each chain are too few to tell whether they have converged"
        return [*found, Finding("severe", what, length, "sweeps=100 or more")]
    numbers = [column.reshape(chains, length) for column in _projections(posterior)]
    rhat = max((rank_rhat(draws) for draws in numbers), default=math.nan)
    worth = min((chain_ess(draws) for draws in numbers), default=math.nan)
    if rhat > 1.1:
        severity = "severe" if rhat > 1.2 else "warning"
        what = f"chains, or parts of them, disagree: R̂ {rhat:.2f}"
        found.append(Finding(severity, what, rhat, "more sweeps, and a burn_in that leaves out the first"))
    if worth < 50.0:
        severity = "severe" if worth < 10.0 else "warning"
        more = math.ceil(length * 100.0 / max(worth, 1.0) / 100.0) * 100
        what = f"{len(posterior)} states are worth {worth:.3g} independent draws"
        found.append(Finding(severity, what, worth, f"about {more} sweeps for 100"))
    if chains == 1:
        what = "a single chain may have missed what others would find"
        found.append(Finding("note", what, 1.0, "other seeds, or chains= where there is such a parameter"))
    return found


def _moves(posterior: Posterior[Any]) -> str:
    name = method_name(posterior)
    if name == "SuffixMCMC":
        return "cut='entropy', or ParticleGibbs: suffixes are drawn from the proposal, and are refused where masks cost"
    return "more particles: each sweep draws a population"


def _projections(posterior: Posterior[Any]) -> list[Floats]:
    """Return numbers of the samples that vary: the values or their lengths, and whether they are the best ones."""
    values = [sample.value for sample in posterior.samples]
    columns = [[float(i in members) for i in range(len(values))] for members in _best(posterior)]
    if all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        columns.append([float(value) for value in values])
    else:
        columns.append([float(len(str(value))) for value in values])
    return [np.array(column) for column in columns if len(set(column)) > 1]


def _best(posterior: Posterior[Any]) -> list[set[int]]:
    """Return which samples have each of the three most probable values."""
    return [set(members) for _, members, _ in posterior.ranked_groups()[:3]]
