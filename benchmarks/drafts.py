"""What drafts save: forward passes and time, with and without, on real cases.

    python -m benchmarks.drafts --cases 12

Each case of a task is answered by SMC with N particles, with drafts and without, in turns. *Passes* are the exact
forward passes of all cases over those without drafts, where every tick takes one; rough ones, which guess, are counted
apart. *Speed* is the time without drafts over that with. Goals: at most 0.5, and at least 1.5. One particle writes the
same text in both runs of a case. Several are resampled at different times, and what is ahead may be lost then, so that
their texts differ, also in length: log evidence is compared over all cases.

*Ceilings* say what could be won at best, from times of single passes: the speed of passes over k tokens of each row in
which all guesses come true, if guessing costs nothing, and if it takes k - 1 rough passes.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.common import print_result
from benchmarks.domains import json_schema, text_to_sql
from benchmarks.domains.case import Case, Task
from benchmarks.domains.methods import constrained
from grammars import Constraint
from inference import SMC, infer, load
from inference.engines.base import Context, Engine, NextTokens
from ppl import program, sample
from ppl.targets import Text

TASKS = {"json_schema": json_schema.TASK, "text_to_sql": text_to_sql.TASK}
PASSES_GOAL, SPEED_GOAL = 0.5, 1.5
LENGTHS, TOKEN = (1, 2, 4, 8), 3000


def run(
    lm: Engine, case: Case, constraint: Constraint, task: Task, particles: int, drafts: bool
) -> dict[str, float]:
    """Return the passes, tokens and seconds of one run; the prompt has been read before."""
    model = constrained(lm(case.prompt, stop="\n", max_tokens=task.max_tokens), constraint)
    start = time.perf_counter()
    posterior = infer(model, SMC(particles), seed=0, drafts=drafts, progress=False)
    seconds = time.perf_counter() - start
    return {
        "passes": posterior.cost.lm_calls,
        "rough": posterior.cost.rough_calls,
        "tokens": posterior.cost.tokens,
        "seconds": seconds,
        "evaluated": posterior.cost.lm_tokens,
        "guesses": sum(site.guesses for site in posterior.sites),
        "guessed": sum(site.guessed for site in posterior.sites),
        "log_evidence": posterior.log_evidence,
    }


@program
def warm_up(target: Text) -> str:
    return sample(target)


def measure(lm: Engine, name: str, count: int, particles: int) -> dict[str, Any]:
    """Return the sums over the cases of a task."""
    task, pairs = TASKS[name], []
    for k, case in enumerate(task.cases(count)):
        constraint = case.constraint()
        with lm.session() as session:  # the model remembers the prompt
            session.next_tokens([Context(lm(case.prompt, max_tokens=1).prompt)])
        order = (False, True) if k % 2 else (True, False)
        both = {drafts: run(lm, case, constraint, task, particles, drafts) for drafts in order}
        pairs.append((both[False], both[True]))
    plain = {key: sum(p[0][key] for p in pairs) for key in pairs[0][0]}
    ahead = {key: sum(p[1][key] for p in pairs) for key in pairs[0][0]}
    finite = [p for p in pairs if math.isfinite(p[0]["log_evidence"] + p[1]["log_evidence"])]
    return {
        "task": name,
        "particles": particles,
        "cases": len(pairs),
        "passes": ahead["passes"] / plain["passes"],
        "rough_passes": ahead["rough"] / plain["passes"],
        "speed": plain["seconds"] / ahead["seconds"],
        "guessed": ahead["guessed"] / max(ahead["guesses"], 1),
        "evaluated_per_token": ahead["evaluated"] / ahead["tokens"],
        "evaluated_per_token_without": plain["evaluated"] / plain["tokens"],
        "log_evidence": [statistics.fmean(p[k]["log_evidence"] for p in finite) for k in (0, 1)]
        if finite
        else None,
        "finished": [sum(math.isfinite(p[k]["log_evidence"]) for p in pairs) for k in (0, 1)],
    }


class Same:
    """Guesses one token for each context, always the same one, which never comes."""

    def __init__(self, particles: int) -> None:
        self.lengths = [1] * particles

    def __call__(self, following: NextTokens, members: Sequence[int]) -> list[int]:
        return [TOKEN + 1] * len(members)


def ceiling(lm: Engine, particles: int) -> dict[str, Any]:
    """Return what perfect guesses could win."""
    times: dict[int | str, list[float]] = {k: [] for k in (*LENGTHS, "rough")}
    with lm.session() as session:
        rows = [Context(tuple(range(1000, 1064))).extend(2000 + i) for i in range(particles)]
        session.next_tokens(rows)
        for _ in range(9):
            for k in times:
                rows = [row.extend(TOKEN) for row in rows]
                drafts = [] if k == "rough" else [(TOKEN + 1,) * (k - 1)] * particles
                start = time.perf_counter()
                session.next_tokens(rows, drafts, Same(particles) if k == "rough" else None)
                times[k].append(time.perf_counter() - start)
    seconds = {k: statistics.median(t[1:]) for k, t in times.items()}
    rough = seconds["rough"] - seconds[2]
    return {
        "particles": particles,
        "tokens": LENGTHS[1:],
        "free": [k * seconds[1] / seconds[k] for k in LENGTHS[1:]],
        "rough": [k * seconds[1] / (seconds[k] + (k - 1) * rough) for k in LENGTHS[1:]]
        if session.rough_cost
        else None,
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--task", nargs="+", choices=sorted(TASKS), default=sorted(TASKS))
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--particles", type=int, nargs="+", default=[1, 4, 16])
    options = parser.parse_args(arguments)
    lm = load(options.model)
    infer(
        warm_up(lm("The", max_tokens=12)), SMC(1), seed=0, progress=False
    )  # rough weights are made when first needed
    runs = [measure(lm, task, options.cases, n) for task in options.task for n in options.particles]
    reached = all(r["passes"] <= PASSES_GOAL and r["speed"] >= SPEED_GOAL for r in runs)
    ceilings = [ceiling(lm, n) for n in options.particles]
    print_result(
        {
            "benchmark": "drafts",
            "model": options.model,
            "runs": runs,
            "ceilings": ceilings,
            "reached": reached,
        }
    )


if __name__ == "__main__":
    main()
