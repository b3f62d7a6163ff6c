"""Tokens for each exact sample: rejection sampling that learns beside rejection sampling that does not.

    python -m benchmarks.adaptive_rejection

Each case is a text and a set that it must be in. *Plain* draws texts of the language model and keeps those in the set:
the tokens of 1 / Z texts for each sample, Z the valid mass. *Local* is `Rejection` with checks at each token: a text is
given up where an estimate of the mass says so. *Adaptive* is `AdaptiveRejection` with the same checks, once with one
attempt at a time and once in batches. All give exact samples, so that only their cost differs: tokens drawn, which do
not depend on the machine. *Predicted* is what Z, as the adaptive runs estimate it, says that plain sampling takes.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import Any

from benchmarks.common import print_result
from grammars import Constraint, Regex
from inference import AdaptiveRejection, Posterior, Rejection, TableLM, infer, load
from inference.methods import Method
from ppl import condition, program, sample
from ppl.targets import Text


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
    ]
    results: dict[str, Posterior[str]] = {
        name: infer(model, method, seed=seed, progress=False) for name, model, method in runs
    }
    per_sample = {
        name: round(posterior.cost.tokens / len(posterior.samples), 1) if posterior.samples else None
        for name, posterior in results.items()
    }
    a_text = results["plain"].cost.tokens / attempts
    mass = math.exp(results["adaptive, batch=1"].log_evidence)
    per_sample["predicted"] = round(a_text / mass, 1) if mass > 0.0 else None
    evidence = {name: f"{math.exp(posterior.log_evidence):.3g}" for name, posterior in results.items()}
    return {
        "case": case.name,
        "tokens_per_sample": per_sample,
        "samples": {name: len(posterior.samples) for name, posterior in results.items()},
        "evidence": evidence,
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="a real model, such as smollm2; toys only if it is left out")
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--attempts", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    runs = [measure(c, options.samples, options.attempts, options.seed) for c in cases(options.model)]
    print_result({"benchmark": "adaptive_rejection", "runs": runs})


if __name__ == "__main__":
    main()
