"""Tokens for each exact sample: rejection sampling that learns beside rejection sampling that does not; learned twists.

    python -m benchmarks.adaptive_rejection

Each case is a text and a set that it must be in. *Plain* draws texts of the language model and keeps those in the set:
the tokens of 1 / Z texts for each sample, Z the valid mass. *Local* is `Rejection` with checks at each token: a text is
given up where an estimate of the mass says so. *Adaptive* is `AdaptiveRejection` with the same checks, once with one
attempt at a time and once in batches; *later* are the samples after as many others, with what those have taught. All
give exact samples, so that only their cost differs: tokens drawn, which do not depend on the machine.

What the valid mass predicts: plain sampling takes the tokens of 1 / Z texts, and once everything is known each attempt
succeeds, so that a sample takes those of one valid text. *Factor* is the ratio of the two, *predicted* from Z, as the
adaptive runs estimate it, and the mean lengths, and *measured* with the samples at first and the later ones.

**Twists.** SMC beside SMC with a learned twist, on programs whose conditions show late. The variance of Ẑ / Z between
runs is that of n / (1 - Z) independent draws in n Z; tokens for each effective sample are those of a run times the
variance. *Learning* is what the twist took, once.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.common import print_result
from grammars import Constraint, JsonSchema, Regex
from inference import SMC, AdaptiveRejection, Posterior, Rejection, TableLM, infer, learn_twist, load
from inference.methods import Method
from ppl import Model, condition, program, sample
from ppl.targets import Target, Text


@dataclass(frozen=True)
class Case:
    """A text, and what it must be."""

    name: str
    text: Text
    constraint: Constraint


@program
def plain(case: Case) -> str:
    text: str = sample(case.text)
    condition(case.constraint.matches(text))
    return text


@program
def checked(case: Case) -> str:
    return sample(case.text & case.constraint.by_check())


def cases(model: str | None) -> list[Case]:
    """Return toy cases, and those of a real model if one is named."""
    toy = TableLM.random(["a", "b", "c", "d"], seed=3)
    found = [
        Case("toy: every a before every b", toy("x", max_tokens=6), Regex("[acd]*[bcd]*")),
        Case("toy: ends in ab", toy("x", max_tokens=4), Regex("[a-d]*ab")),
    ]
    if model is not None:
        lm = load(model)
        found += [
            Case("a name", lm("The capital of France is", max_tokens=4, stop="."), Regex(" [A-Z][a-z]+")),
            Case("no e", lm("My cat is", max_tokens=6, stop=[".", ","]), Regex("[^e]*")),
        ]
    return found


def measure(case: Case, samples: int, attempts: int, seed: int) -> dict[str, Any]:
    """Return tokens for each sample, by method, and the valid mass that they were found with."""
    runs: list[tuple[str, Any, Method]] = [
        ("plain", plain(case), Rejection(attempts)),
        ("local", checked(case), Rejection(attempts)),
        ("adaptive, batch=1", checked(case), AdaptiveRejection(samples, attempts, batch=1)),
        ("adaptive, batch=8", checked(case), AdaptiveRejection(samples, attempts, batch=8)),
        ("twice as many", checked(case), AdaptiveRejection(2 * samples, 2 * attempts, batch=1)),
    ]
    results: dict[str, Posterior[str]] = {
        name: infer(model, method, seed=seed, progress=False) for name, model, method in runs
    }
    first, both = results["adaptive, batch=1"], results.pop("twice as many")
    tokens = {name: _ratio(found.cost.tokens, len(found.samples)) for name, found in results.items()}
    tokens["adaptive, later"] = _ratio(
        both.cost.tokens - first.cost.tokens, len(both.samples) - len(first.samples)
    )
    mass = math.exp(both.log_evidence)
    a_text = results["plain"].cost.tokens / attempts
    valid = [_length(case, sample_.value) for sample_ in both.samples]
    tokens["plain, predicted"] = _ratio(a_text, mass)
    tokens["adaptive, predicted limit"] = _ratio(sum(valid), len(valid))
    factor = {
        name: _ratio(tokens["plain"], tokens[one])
        for name, one in (("measured", "adaptive, batch=1"), ("measured, later", "adaptive, later"))
    }
    factor["predicted limit"] = _ratio(tokens["plain, predicted"], tokens["adaptive, predicted limit"])
    return {
        "case": case.name,
        "tokens_per_sample": tokens,
        "factor": factor,
        "samples": {name: len(posterior.samples) for name, posterior in results.items()},
        "evidence": {name: f"{math.exp(posterior.log_evidence):.3g}" for name, posterior in results.items()},
    }


def _ratio(a: float | None, b: float | None) -> float | None:
    return round(a / b, 1) if a is not None and b else None


def _length(case: Case, text: str) -> int:
    """Return the tokens of a text with its end."""
    return len(case.text.lm.encode(text)) + 1


# Twists.


@program
def ends_in(text: Target[str], ending: str) -> str:
    drawn = sample(text)
    condition(drawn.endswith(ending))
    return drawn


@program
def ticket(text: Target[str], schema: JsonSchema, urgency: str, product: str) -> Any:
    """A record that its constraint allows, with fields that few have together."""
    drawn = sample(text, schema)
    condition((drawn["urgency"], drawn["product"]) == (urgency, product))
    return drawn


def twist_cases(model: str | None) -> list[tuple[str, Model[Any]]]:
    """Return programs whose conditions show late; those of a real model if one is named."""
    toy = TableLM.random(["a", "b", "c", "d"], seed=3)
    found: list[tuple[str, Model[Any]]] = [
        ("toy: ends in ab, a condition", ends_in(toy("x", max_tokens=4), "ab"))
    ]
    if model is not None:
        lm = load(model)
        options: dict[str, Any] = {
            "urgency": {"enum": ["low", "high"]},
            "product": {"enum": ["printer", "router", "laptop", "phone"]},
        }
        schema = JsonSchema(
            {
                "type": "object",
                "properties": options,
                "required": list(options),
                "additionalProperties": False,
            },
            whitespace="compact",
        )
        examples = ("low", "phone"), ("high", "laptop"), ("low", "router")
        lines = [f'{{"urgency":"{urgency}","product":"{product}"}}\n' for urgency, product in examples]
        text = lm("Tickets as JSON:\n" + "".join(lines), max_tokens=24, stop="\n")
        found.append(("SmolLM2: JSON, a condition on two fields", ticket(text, schema, "low", "laptop")))
    return found


def measure_twist(name: str, model: Model[Any], attempts: int, particles: int, runs: int) -> dict[str, Any]:
    """Return tokens for each effective sample of SMC, without and with a learned twist."""
    twist = learn_twist(model, attempts, seed=10_000)
    methods = {"smc": SMC(particles), "twisted": SMC(particles, twist=twist)}
    found: dict[str, dict[str, Any]] = {}
    estimates: dict[str, Any] = {}
    for label, method in methods.items():
        posteriors = [infer(model, method, seed=seed, progress=False) for seed in range(runs)]
        estimates[label] = np.exp([posterior.log_evidence for posterior in posteriors])
        found[label] = {"tokens": float(np.mean([posterior.cost.tokens for posterior in posteriors]))}
    mass = float(np.mean([of_runs.mean() for of_runs in estimates.values()]))  # both are unbiased
    for label, of_runs in estimates.items():
        variance = float(np.mean((of_runs / mass - 1.0) ** 2)) if mass > 0.0 else math.inf
        found[label]["evidence"] = float(f"{of_runs.mean():.3g}")
        found[label]["relative_variance"] = float(f"{variance:.3g}") if mass > 0.0 else None
        found[label]["tokens_per_effective_sample"] = (
            _ratio(found[label]["tokens"] * variance, 1.0) if mass else None
        )
    return {"case": name, "learning": twist.drawn, "attempts": twist.attempts, **found}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="a real model, such as smollm2; toys only if it is left out")
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--attempts", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learn", type=int, default=400, help="attempts that a twist is learned from")
    parser.add_argument("--particles", type=int, default=16)
    parser.add_argument("--runs", type=int, default=100, help="runs of SMC, for the variance of the evidence")
    options = parser.parse_args(arguments)
    runs = [measure(c, options.samples, options.attempts, options.seed) for c in cases(options.model)]
    twists = [
        measure_twist(name, model, options.learn, options.particles, options.runs)
        for name, model in twist_cases(options.model)
    ]
    print_result({"benchmark": "adaptive_rejection", "runs": runs, "twists": twists})


if __name__ == "__main__":
    main()
