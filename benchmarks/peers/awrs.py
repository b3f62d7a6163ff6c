"""AWRS-SMC side by side with genlm-control 0.4.1: the same predicates, model, particles and token limits.

    benchmarks/peers/.venv/bin/pip install torch genlm-control==0.4.1   # see benchmarks/README.md
    python -m benchmarks.peers.awrs

Each task (`benchmarks.peers.tasks`) is a prompt and a predicate of the text, checked token by token, with no mask on
either side. For each seed both libraries make one run, in turns; a run knows nothing of earlier ones. Reported are
the seconds; the calls of the predicate for each token drawn; and the relative variance over the seeds of the
evidence estimate, beside the variance of its logarithm over the runs in which it is positive. Both estimate the same
evidence, so their means are shown, too. The goals: at least 10 times faster, no more checks, no more variance. Twenty
seeds tell a variance only roughly: beside the ratio of the variances stands its 95 % bootstrap interval, and the goal
counts as missed if that lies above 1.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.common import print_result
from benchmarks.peers.process import Peer, add_options
from benchmarks.peers.tasks import TASKS, Counted, Task
from grammars import prefix_predicate
from inference import SMC, infer, load
from inference.engines.embedded import directory
from inference.engines.transformers import TransformersEngine
from ppl import program, sample
from ppl.targets import Target

GOAL = 10.0


@program
def text(target: Target) -> str:
    return sample(target)


def run(lm: TransformersEngine, task: Task, particles: int, seed: int) -> dict[str, float]:
    """Return the figures of one run of ours."""
    counted = Counted(task)
    predicate = prefix_predicate(counted.prefix, complete=counted.complete)
    target = lm(task.prompt, max_tokens=task.max_tokens) & predicate
    posterior = infer(text(target), SMC(particles), seed=seed, progress=False)
    return {
        "seconds": posterior.cost.seconds,
        "tokens": posterior.cost.tokens,
        "checks": counted.checks,
        "log_evidence": posterior.log_evidence,
    }


def summary(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the figures of all runs of one library on one task."""
    logs = np.array([r["log_evidence"] for r in runs])
    weights = np.exp(logs - logs.max())
    positive = logs[np.isfinite(logs)]
    return {
        "seconds": statistics.median(r["seconds"] for r in runs),
        "checks_per_token": sum(r["checks"] for r in runs) / sum(r["tokens"] for r in runs),
        "tokens": sum(r["tokens"] for r in runs),
        "log_mean_evidence": float(logs.max() + math.log(weights.mean())),
        "evidence_relative_variance": float(weights.var(ddof=1) / weights.mean() ** 2),
        "log_evidence_variance": float(positive.var(ddof=1)),
        "runs_without_survivors": int(np.isneginf(logs).sum()),
    }


def variance_ratio(
    ours: Sequence[float], theirs: Sequence[float], resamples: int = 10_000
) -> dict[str, float]:
    """Return the ratio of the variances of finite log-evidences, with a 95 % bootstrap interval over the seeds."""
    rng = np.random.default_rng(0)

    def variances(logs: Sequence[float]) -> tuple[float, Any]:
        data = np.array([x for x in logs if math.isfinite(x)])
        again = data[rng.integers(0, len(data), size=(resamples, len(data)))]
        return float(data.var(ddof=1)), again.var(axis=1, ddof=1)

    (a, many_a), (b, many_b) = variances(ours), variances(theirs)
    tiny = np.finfo(np.float64).tiny  # equal runs have no variance
    low, high = np.quantile((many_a + tiny) / (many_b + tiny), [0.025, 0.975])
    return {"ratio": (a + tiny) / (b + tiny), "low": float(low), "high": float(high)}


def compare(lm: TransformersEngine, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return both libraries' figures on one task, from runs in turns."""
    arguments = ["--task", name, "--particles", options.particles, "--ends", *sorted(lm.vocabulary.eos)]
    peer = Peer(options.peer_python, "genlm_awrs.py", options.model or directory("smollm2"), *arguments)
    ours, theirs = [], []
    for seed in range(options.seeds):
        ours.append(run(lm, TASKS[name], options.particles, seed))
        theirs.append(peer.run(str(seed)))
        print(f"{name}, seed {seed}: {ours[-1]} against {theirs[-1]}", file=sys.stderr)
    peer.close()
    ratio = statistics.median(b["seconds"] / a["seconds"] for a, b in zip(ours, theirs, strict=True))
    mine, peers = summary(ours), summary(theirs)
    variance = variance_ratio([r["log_evidence"] for r in ours], [r["log_evidence"] for r in theirs])
    return {
        "task": name,
        "ppl": mine,
        "genlm_control": peers,
        "ratio": ratio,
        "variance_ratio": variance,
        "reached": {
            "time": ratio >= GOAL,
            "checks": mine["checks_per_token"] <= peers["checks_per_token"],
            "variance": variance["low"] <= 1.0,
        },
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--particles", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=20)
    add_options(parser)
    options = parser.parse_args(arguments)
    if not options.peer_python.exists():
        skipped = f"{options.peer_python} does not exist; see --help"
        print_result({"benchmark": "peers.awrs", "skipped": skipped})
        return
    lm = load(str(options.model) if options.model else "smollm2")
    tasks = [compare(lm, name, options) for name in options.tasks]
    print_result(
        {"benchmark": "peers.awrs", "particles": options.particles, "seeds": options.seeds, "tasks": tasks}
    )


if __name__ == "__main__":
    main()
