"""Tables of the methods, in Markdown: quality and tokens at each size, and at equal budgets.

    python -m benchmarks.methods.table methods.jsonl

*Draw* is the score of one draw from what a method returns, *vote* that of the answer on which most of its weight
agrees; a case without an answer counts 0 in both. Intervals are 95 % bootstrap intervals over the cases. *At B tokens*
is the vote at an equal budget, by linear interpolation between the sizes in the logarithm of the mean number of tokens;
a method that was measured on one side of B only has none. A second table compares each method with particle filtering
(`smc`) there, case by case; B is 0.75 of the tokens of particle filtering at its largest size, or where it was measured
at one size only, its tokens there.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.domains.table import bootstrap
from benchmarks.methods.__main__ import TASKS, read
from benchmarks.methods.methods import METHODS

REFERENCE = "smc"
SHARE = 0.75
"""The budget of the comparison, of the tokens of the reference at its largest size: most methods lie on both sides."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A method on a task: (sizes,) mean tokens, and (sizes, cases) scores of a draw and of the vote."""

    sizes: tuple[int, ...]
    tokens: Floats
    draw: Floats
    vote: Floats
    answered: Floats

    def at(self, budget: float) -> Floats | None:
        """Return the (cases,) scores of the vote at a budget of tokens; None outside of what was measured."""
        order = np.argsort(self.tokens)
        tokens, votes = self.tokens[order], self.vote[order]
        if not tokens[0] <= budget <= tokens[-1]:
            return None
        above = int(np.searchsorted(tokens, budget))
        if tokens[above] == budget:
            exact: Floats = votes[above]
            return exact
        low, high = math.log(tokens[above - 1]), math.log(tokens[above])
        share = (math.log(budget) - low) / (high - low)
        between: Floats = (1 - share) * votes[above - 1] + share * votes[above]
        return between


def curves(rows: Sequence[dict[str, Any]], task: str) -> dict[str, Curve]:
    """Return the curve of each method on a task, over the cases that all of them have run at all their sizes."""
    of_task = [row for row in rows if row["task"] == task]
    runs: dict[tuple[str, int], dict[tuple[str, int], dict[str, Any]]] = {}
    for row in of_task:
        runs.setdefault((row["method"], row["size"]), {})[row["case"], row["seed"]] = row
    shared = sorted(set.intersection(*map(set, runs.values()))) if runs else []
    result: dict[str, Curve] = {}
    for method in METHODS:
        sizes = sorted(size for name, size in runs if name == method)
        if sizes and shared:
            chosen = [[runs[method, size][case] for case in shared] for size in sizes]
            pick = lambda key, chosen=chosen: np.array([[float(r.get(key, 0)) for r in c] for c in chosen])  # noqa: E731
            result[method] = Curve(
                tuple(sizes), pick("tokens").mean(axis=1), pick("score"), pick("voted"), pick("answered")
            )
    return result


def interval(values: Floats) -> str:
    low, high = bootstrap(values.tolist())
    return f"{values.mean():.2f} ({low:.2f} to {high:.2f})"


def table(task: str, found: dict[str, Curve]) -> str:
    """Return the table of a task: a line for each method and size."""
    count = next(iter(found.values())).draw.shape[1]
    lines = [
        f"{task}: {count} cases; score: {TASKS[task].score}.",
        "",
        "| method | samples are of | n | tokens | draw | vote | answered |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, curve in found.items():
        for i, size in enumerate(curve.sizes):
            lines.append(
                f"| {name} | {METHODS[name].target} | {size} | {curve.tokens[i]:.0f} | {interval(curve.draw[i])} "
                f"| {interval(curve.vote[i])} | {curve.answered[i].mean():.2f} |"
            )
    return "\n".join(lines)


def comparison(found: dict[str, Curve], budget: float) -> str:
    """Return the votes at a budget, and their differences from particle filtering with paired intervals."""
    reference = found[REFERENCE].at(budget)
    assert reference is not None
    lines = [
        f"| at {budget:.0f} tokens | vote | minus {REFERENCE} |",
        "| --- | --- | --- |",
    ]
    for name, curve in found.items():
        votes = curve.at(budget)
        if votes is not None:
            difference = "" if name == REFERENCE else interval(votes - reference)
            lines.append(f"| {name} | {interval(votes)} | {difference} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    rows = read(parser.parse_args(arguments).results)
    for task in TASKS:
        found = curves(rows, task)
        if not found:
            continue
        print(table(task, found), "\n")
        if REFERENCE in found:
            tokens = found[REFERENCE].tokens
            print(comparison(found, float(max(SHARE * tokens.max(), tokens.min()))), "\n")


if __name__ == "__main__":
    main()
