"""All methods on two tasks with checkable answers: quality against the tokens that were drawn.

    python -m benchmarks.methods --cases 20 --sizes 4 16 --out methods.jsonl
    python -m benchmarks.methods.table methods.jsonl
    python -m benchmarks.methods.plot methods.jsonl methods.svg

The same program runs under each method. Results are appended to `--out`, one JSON line for each case; what is there is
not run again. The cases of a method run together in the same passes of the model, which changes no result.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.methods import function_calls, sql
from benchmarks.methods.methods import METHODS
from benchmarks.methods.question import Question, Task
from inference import Posterior, infer_many, load

TASKS: dict[str, Task] = {"function_calls": function_calls.TASK, "sql": sql.TASK}
KEYS = ("task", "method", "size", "case", "model", "seed")


def read(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of results, the latest of each run; none if there is no file."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]  # the last is empty, or was cut off
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return list({tuple(row[k] for k in KEYS): row for row in map(json.loads, lines)}.values())


def outcome(question: Question, posterior: Posterior[str] | Exception) -> dict[str, Any]:
    """Return what became of a question: the mean score of a draw, the score of the majority's answer, the cost."""
    if isinstance(posterior, Exception):
        return {"failed": f"{type(posterior).__name__}: {posterior}"}
    cost = posterior.cost
    spent = {
        "tokens": cost.tokens,
        "lm_tokens": cost.lm_tokens,
        "lm_calls": cost.lm_calls,
        "seconds": cost.seconds,
        "answered": bool(len(posterior)),
    }
    if not len(posterior):
        return {**spent, "score": 0.0, "voted": 0.0}
    values = posterior.top(len(posterior))
    winner = posterior.vote(question.answer).winner
    voted = next((v for v, _ in values if winner is not None and question.answer(v) == winner), None)
    return {
        **spent,
        "score": sum(p * question.judge(v) for v, p in values),
        "voted": 0.0 if voted is None else question.judge(voted),
        "ess": posterior.ess,
        "log_evidence": posterior.log_evidence,
        "best": values[0].value,
    }


def run(questions: list[Question], method: str, size: int, seed: int) -> list[dict[str, Any]]:
    """Return the outcome of each question under a method of some size."""
    posteriors = infer_many(
        [q.model for q in questions],
        METHODS[method].of_size(size),
        seed=seed,
        concurrency=8,  # more prompts than the model remembers would be read again and again
        errors="return",
        progress=False,
    )
    return [outcome(q, p) for q, p in zip(questions, posteriors, strict=True)]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.methods",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--task", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--method", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--sizes", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--cases", type=int, default=20, help="of each task, spread evenly over its data")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines; made if it is not there")
    options = parser.parse_args(arguments)
    lm = load(options.model)
    for task in options.task:
        questions = TASKS[task].questions(lm, options.cases)
        for size in options.sizes:
            for method in options.method:
                head = {"task": task, "method": method, "size": size, "model": options.model}
                done = {tuple(row[k] for k in KEYS) for row in read(options.out)}
                cases = [{**head, "case": q.id, "seed": options.seed} for q in questions]
                if all(tuple(case[k] for k in KEYS) in done for case in cases):
                    continue
                start = time.perf_counter()
                outcomes = run(questions, method, size, options.seed)
                rows = [{**case, **row} for case, row in zip(cases, outcomes, strict=True)]
                with options.out.open("a", encoding="utf-8") as lines:
                    lines.writelines(json.dumps(row) + "\n" for row in rows)
                mean = sum(row.get("score", 0.0) for row in rows) / len(rows)
                failed = sum("failed" in row for row in rows)
                print(
                    f"{task} {method} {size}: score {mean:.2f}, {failed} failed, {time.perf_counter() - start:.0f} s",
                    file=sys.stderr,
                    flush=True,
                )


if __name__ == "__main__":
    main()
