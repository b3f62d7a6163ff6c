"""Tables of results, in Markdown: for each task, one row for each method.

    python -m benchmarks.domains.table results.jsonl

Accuracy is the mean over the cases of the posterior-weighted score, with a 95 % bootstrap interval over the cases;
valid is the mean posterior probability of a valid answer. A case without an answer counts 0 in both, whether nobody
survived, the constraint was refused, or the run failed; the column *answered* is the share of the others. LM tokens are
those that the model evaluated, the prompt included; checks are of single tokens by rejection, of complete texts in
`rerank`, for each token drawn.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.domains.methods import METHODS
from benchmarks.domains.run import TASKS, read

RESAMPLES = 10_000


@dataclass(frozen=True)
class Summary:
    """What a method did on a task."""

    cases: int
    accuracy: float
    low: float
    high: float
    valid: float
    answered: float
    seconds: float
    lm_tokens: float
    checks_per_token: float


def bootstrap(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the mean."""
    data = np.array(values)
    draws = np.random.default_rng(seed).integers(0, len(data), size=(RESAMPLES, len(data)))
    low, high = np.quantile(data[draws].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def summarise(rows: Sequence[dict[str, Any]]) -> Summary:
    """Return the figures of the rows of one method on one task."""
    accuracy = [row.get("accuracy", 0.0) for row in rows]
    tokens = sum(row.get("tokens", 0) for row in rows)
    mean = lambda key: float(np.mean([row.get(key, 0.0) for row in rows]))  # noqa: E731
    return Summary(
        len(rows),
        float(np.mean(accuracy)),
        *bootstrap(accuracy),
        valid=mean("valid"),
        answered=float(np.mean([bool(row.get("answers")) for row in rows])),
        seconds=mean("seconds"),
        lm_tokens=float(np.mean([row["lm_tokens"] for row in rows if "lm_tokens" in row] or [0.0])),
        checks_per_token=sum(row.get("checks", 0) for row in rows) / max(tokens, 1),
    )


def summaries(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Summary]]:
    """Return the figures by task and method, both in their usual order, over the cases that all methods have run.

    Raises
    ------
    SystemExit
        If the rows are of several settings: they cannot be compared.
    """
    result: dict[str, dict[str, Summary]] = {}
    for task in TASKS:
        of_task = [row for row in rows if row["task"] == task]
        settings = {tuple(row[key] for key in ("model", "particles", "max_tokens")) for row in of_task}
        if len(settings) > 1:
            raise SystemExit(f"{task}: results of several settings in one file: {sorted(settings)}")
        methods = [method for method in METHODS if any(row["method"] == method for row in of_task)]
        runs = {m: {(r["case"], r["seed"]) for r in of_task if r["method"] == m} for m in methods}
        shared = set.intersection(*runs.values()) if runs else set()
        if shared:
            chosen = [row for row in of_task if (row["case"], row["seed"]) in shared]
            result[task] = {m: summarise([r for r in chosen if r["method"] == m]) for m in methods}
    return result


def table(task: str, methods: dict[str, Summary]) -> str:
    """Return the table of a task."""
    score = TASKS[task].score
    lines = [
        f"| {task} | accuracy ({score}) | 95 % interval | valid | answered | s / case | LM tokens / case "
        "| checks / token |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, s in methods.items():
        lines.append(
            f"| {name} | {s.accuracy:.2f} | {s.low:.2f} to {s.high:.2f} | {s.valid:.2f} | {s.answered:.2f} "
            f"| {s.seconds:.1f} | {s.lm_tokens:.0f} | {s.checks_per_token:.2f} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    rows = read(parser.parse_args(arguments).results)
    found = summaries(rows)
    for task, methods in found.items():
        of_task = next(row for row in rows if row["task"] == task)
        count = next(iter(methods.values())).cases
        print(
            f"{task}: {count} cases, {of_task['particles']} particles, at most {of_task['max_tokens']} tokens, "
            f"{of_task['model']}\n\n{table(task, methods)}\n"
        )
    if not found:
        raise SystemExit("no case was run under all methods of its task")


if __name__ == "__main__":
    main()
