"""Run cases under methods, one JSON line each; what is there is not run again."""

from __future__ import annotations

import json
import math
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.domains import goal_inference, json_schema, molecules, pattern_matching, text_to_sql
from benchmarks.domains.case import Case, Task
from benchmarks.domains.methods import METHODS
from grammars import GrammarError
from ppl import LM

TASKS: dict[str, Task] = {
    "pattern_matching": pattern_matching.TASK,
    "text_to_sql": text_to_sql.TASK,
    "molecules": molecules.TASK,
    "json_schema": json_schema.TASK,
    "goal_inference": goal_inference.TASK,
}


@dataclass(frozen=True)
class Settings:
    """What a result depends on, besides task, method and case."""

    model: str
    particles: int
    max_tokens: int
    seed: int


class OutOfTime(Exception):
    """A case took longer than its limit."""


def run_case(lm: LM, case: Case, method: str, settings: Settings, limit: float) -> dict[str, Any]:
    """Return what became of a case under a method.

    A constraint that cannot be made is `refused`; what runs over the limit or raises has `failed`. Both count as
    answers with score 0. The seconds are those of making the constraint and of inference, not of the judge.
    """
    start = time.perf_counter()
    try:
        with time_limit(limit):
            text = lm(case.prompt, stop="\n", max_tokens=settings.max_tokens)
            answer = METHODS[method](case, text, settings.particles, settings.seed)
    except GrammarError as error:
        return {"refused": error.message, "seconds": time.perf_counter() - start}
    except OutOfTime:
        return {"failed": f"no answer in {limit:g} s", "seconds": time.perf_counter() - start}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}", "seconds": time.perf_counter() - start}
    seconds, posterior = time.perf_counter() - start, answer.posterior
    answers = []
    for value, weight in posterior.top(len(posterior)) if len(posterior) else ():
        valid, score = case.judge(value)
        answers.append({"text": value, "weight": weight, "valid": valid, "score": score})
    return {
        "accuracy": sum(a["weight"] * a["score"] for a in answers),
        "valid": sum(a["weight"] * a["valid"] for a in answers),
        "finished": len(posterior),
        "seconds": seconds,
        "tokens": posterior.cost.tokens,
        "lm_tokens": posterior.cost.lm_tokens,
        "checks": answer.checks,
        "log_evidence": posterior.log_evidence if answers else None,
        "answers": answers,
    }


def run(
    lm: LM,
    task: str,
    methods: Sequence[str],
    cases: Sequence[Case],
    settings: Settings,
    out: Path,
    *,
    limit: float,
    until: float = math.inf,
    retry: bool = False,
) -> int:
    """Run what `out` does not hold yet, and append it; start nothing after `until` on the monotonic clock.

    With `retry`, runs that have failed are made again. Returns how many runs are missing.
    """
    done = {identity(row) for row in read(out) if not (retry and "failed" in row)}
    missing = 0
    with out.open("a", encoding="utf-8") as lines:
        for case in cases:
            for method in methods:
                head = {"task": task, "method": method, "case": case.id, **asdict(settings)}
                if identity(head) in done:
                    continue
                if time.monotonic() > until:
                    missing += 1
                    continue
                row = {**head, **run_case(lm, case, method, settings, limit)}
                lines.write(json.dumps(row) + "\n")
                lines.flush()
                print(summary(row), file=sys.stderr, flush=True)
    return missing


def identity(row: dict[str, Any]) -> tuple[object, ...]:
    """Return what tells a run from others."""
    keys = ("task", "method", "case", "model", "particles", "max_tokens", "seed")
    return tuple(row[key] for key in keys)


def read(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of results, the latest of each run; none if there is no file.

    A last line that was cut off is dropped.
    """
    if not path.exists():
        return []
    *lines, rest = path.read_text(encoding="utf-8").split("\n")
    if rest:
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    rows = map(json.loads, lines)
    return list({identity(row): row for row in rows}.values())


def summary(row: dict[str, Any]) -> str:
    """Return a line that tells how a run went."""
    outcome = row.get("refused") or row.get("failed")
    if outcome is None:
        best = repr(row["answers"][0]["text"]) if row["answers"] else "no survivors"
        outcome = f"score {row['accuracy']:.2f}  valid {row['valid']:.2f}  {best}"
    return f"{row['task']} {row['case']} {row['method']} {row['seconds']:.1f} s  {outcome}"


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `OutOfTime` in the block once `seconds` have passed."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, previous)
