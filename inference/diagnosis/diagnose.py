"""diagnose: whether to trust a run, and what to change.

The rules read what every posterior keeps; those of populations and of chains have files of their own. Of independent
draws fewer than 10 are a warning and fewer than 3 severe: a probability near one half is off by 0.16 and 0.29 then.

A diagnosis sees what the run has seen. It cannot tell that all particles have missed the same texts.

Reference: Hanley and Lippman-Hand (1983), *If nothing goes wrong, is everything all right? Interpreting zero
numerators*, for what n runs of weight 0 say: the share of others is below 3 / n, at a level of 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from inference.diagnosis.chains import chain_findings
from inference.diagnosis.findings import Diagnosis, Finding, Severity
from inference.diagnosis.guarantees import Guarantee, guarantee, method_name, setting
from inference.diagnosis.populations import ENOUGH, FAMILIES, ROUGH, population_findings
from inference.diagnosis.precision import error_of_mean, groups, log_evidence_error

if TYPE_CHECKING:
    from inference.posterior import Posterior


def diagnose(posterior: Posterior[Any]) -> Diagnosis:
    """Return what a run shows of itself, in words; of a run that nobody survived as well."""
    if not posterior.samples:
        return Diagnosis("evidence 0", (_nobody(posterior),))
    kind = guarantee(posterior)
    return Diagnosis(_measures(posterior, kind), (*_RULES[kind](posterior), *_sites(posterior)))


def _measures(posterior: Posterior[Any], kind: Guarantee) -> str:
    """Return evidence and best value with their errors, where they can be told."""
    values = posterior.ranked_groups()
    best, members, share = values[0]
    is_best = np.zeros(len(posterior))
    is_best[members] = 1.0
    deviation = float(error_of_mean(posterior, is_best))
    counts = f"{len(posterior)} samples, {len(values)} distinct"
    evidence = f"log evidence {posterior.log_evidence:.4g}{_error(log_evidence_error(posterior))}"
    if kind == "population" and posterior.particles > 1 and posterior.genealogy.effective[0] < FAMILIES:
        evidence, deviation = f"{evidence} or more", math.nan  # between one family and hardly any others
    shown = repr(best) if len(repr(best)) <= 40 else f"{repr(best)[:39]}…"
    probable = f"P({shown}) = {share:.3g}{_error(deviation)}"
    return "; ".join([counts, *([] if kind == "heuristic" else [evidence]), probable])


def _error(deviation: float) -> str:
    return "" if math.isnan(deviation) else f" ± {deviation:.2g}"


def _independent(posterior: Posterior[Any]) -> list[Finding]:
    draws = len(posterior)
    found: list[Finding] = []
    attempts, asked = setting(posterior, "attempts"), setting(posterior, "samples")
    if draws < ENOUGH:
        severity: Severity = "severe" if draws < 3 else "warning"
        more = "samples" if attempts is None else "attempts"
        wanted = ENOUGH if attempts is None else int(attempts) * ENOUGH / draws
        found.append(Finding(severity, f"only {draws} draws", draws, f"{more}={math.ceil(wanted)} or more"))
    if asked is not None and draws < int(asked):
        what = f"{draws} of {asked} samples: max_attempts={setting(posterior, 'max_attempts')} was reached"
        found.append(Finding("note", what, draws, "raise max_attempts, or loosen the program"))
    if attempts is not None and draws / int(attempts) < 0.01:
        what = f"{draws / int(attempts):.2g} of the attempts were accepted"
        found.append(
            Finding("note", what, draws / int(attempts), "AdaptiveRejection, which learns what fails")
        )
    return found


def _pooled(posterior: Posterior[Any]) -> list[Finding]:
    members, runs = groups(posterior)
    error = log_evidence_error(posterior)
    if runs < 4:
        what = f"{runs} runs are too few to tell how far they differ"
        return [Finding("note", what, runs, "more runs, or smaller ones")]
    shares = np.bincount(members, weights=posterior.weights)
    worth = float(1.0 / np.sum(shares**2))
    if worth >= FAMILIES and not error > 0.5:
        return []
    severity: Severity = "severe" if worth < FAMILIES else "warning"
    what = f"the evidence differs between runs: {runs} of them are worth {worth:.2g}, and {shares.max():.0%} of the "
    what += "weight is from one"
    advice = f"more particles in each run, or about {math.ceil(runs * ENOUGH / worth)} runs"
    return [Finding(severity, what, worth, advice)]


_DISTORTED = {
    "LocallyConstrained": "tokens are drawn from what the constraint allows next, and the weights are thrown away",
    "BestOfN": "the one run of the highest rank follows no posterior",
    "BeamSearch": "the posterior is that of the runs that the beam found, and the evidence a lower bound",
    "BestFirst": "the posterior is that of the runs that the search found, and the evidence a lower bound",
    "FirstFinished": "long runs are given up, so that short ones count too much",
    "AdaptiveConsistency": "when to stop depends on the answers, so that their shares are not those of the posterior",
}


def _heuristic(posterior: Posterior[Any]) -> list[Finding]:
    name = method_name(posterior)
    what = f"{name} is a heuristic with another target: {_DISTORTED.get(name, 'see its documentation')}"
    return [Finding("warning", what, advice="SMC for the posterior of the program")]


def _exact(_: Posterior[Any]) -> list[Finding]:
    return [Finding("note", "every run was followed: the posterior is exact")]


def _unknown(posterior: Posterior[Any]) -> list[Finding]:
    ess = posterior.ess
    found = [Finding("note", f"of {method_name(posterior)} only the weights can be looked at")]
    if ess < min(ROUGH, 0.99 * len(posterior)):
        severity: Severity = "severe" if ess < FAMILIES else "warning"
        found.append(
            Finding(severity, f"an ESS of {ess:.2g} of {len(posterior)} samples", ess, "more samples")
        )
    return found


_RULES: dict[Guarantee, Callable[[Posterior[Any]], list[Finding]]] = {
    "exact": _exact,
    "independent": _independent,
    "population": population_findings,
    "pooled": _pooled,
    "chain": chain_findings,
    "heuristic": _heuristic,
    "unknown": _unknown,
}


# What concerns all.


def _nobody(posterior: Posterior[Any]) -> Finding:
    """Return where everybody died, and of what."""
    reason = posterior.no_survivors or "no reason is known"
    live = next((step.live for step in reversed(posterior.steps) if step.live), 0)
    where = (
        f" at tick {posterior.steps[-1].tick}, {live} of them together" if posterior.steps and live else ""
    )
    what = f"no run survived; the last died{where}: {reason}"
    if "condition" in reason:
        advice = "say it in the target, sample(p & constraint), so that it steers the tokens; or loosen the condition"
    elif "max_tokens" in reason:
        advice = "raise max_tokens, or bound the length in the constraint"
    elif "rejected" in reason:
        advice = "what the reason says; AdaptiveRejection learns which beginnings fail"
    else:
        advice = "loosen what is named, or check it with constraint.matches on a text that should pass"
    tried = posterior.particles
    if tried > 2:
        advice += f"; more particles, if it holds for less than about {3.0 / tried:.2g} of the runs"
    return Finding("severe", what, 0.0, advice)


def _sites(posterior: Posterior[Any]) -> list[Finding]:
    """Return notes about deaths, forced ends, and checks that are in vain."""
    found: list[Finding] = []
    dead = posterior.particles - len(posterior)
    if guarantee(posterior) == "population" and dead > 0.5 * posterior.particles:
        what = f"{dead} of {posterior.particles} particles died; the last {posterior.no_survivors}"
        found.append(
            Finding("note", what, dead, "what they died of, as a constraint of the text if it can be one")
        )
    for site in posterior.sites:
        if site.ended and site.forced > 0.2 * site.ended:
            what = f"{site.address}: {site.forced} of {site.ended} texts ended because they had max_tokens tokens"
            advice = "if that is not meant, raise max_tokens, or end texts by stop= or the constraint"
            found.append(Finding("note", what, site.forced / site.ended, advice))
        if site.acceptance is not None and site.acceptance < 0.02:
            what = f"{site.address}: {site.acceptance:.2g} of the tokens that were checked passed"
            advice = "a constraint with a mask that holds the checked one, such as a Regex, beside it"
            found.append(Finding("note", what, site.acceptance, advice))
    return found
