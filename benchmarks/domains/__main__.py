"""Five domains, seven methods, one model: answers to real cases, judged.

    python -m benchmarks.domains --task pattern_matching --method awrs --cases 20 --out results.jsonl

Results are appended to `--out` as they come, one JSON line for each case and method; what is there already is not
run again, so that a run can be made in pieces. `python -m benchmarks.domains.table results.jsonl` prints the tables.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks.domains.methods import METHODS
from benchmarks.domains.run import TASKS, Settings, run
from inference import load


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.domains",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--task", nargs="+", choices=TASKS, default=list(TASKS), metavar="TASK", help=", ".join(TASKS)
    )
    parser.add_argument(
        "--method",
        nargs="+",
        choices=METHODS,
        default=list(METHODS),
        metavar="METHOD",
        help=", ".join(METHODS),
    )
    parser.add_argument("--cases", type=int, default=20, help="of each task, spread evenly over its data")
    parser.add_argument("--particles", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, help="of an answer; by default what the task needs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines; made if it is not there")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for one case under one method")
    parser.add_argument(
        "--stop-after", type=float, default=float("inf"), help="seconds; then no case is begun"
    )
    parser.add_argument("--retry", action="store_true", help="make runs again that failed, as by the limit")
    options = parser.parse_args(arguments)
    until = time.monotonic() + options.stop_after
    lm = load(options.model)
    missing = 0
    for name in options.task:
        task = TASKS[name]
        limit = options.max_tokens or task.max_tokens
        settings = Settings(options.model, options.particles, limit, options.seed)
        missing += run(
            lm,
            name,
            options.method,
            task.cases(options.cases),
            settings,
            options.out,
            limit=options.limit,
            until=until,
            retry=options.retry,
        )
    print(f"{missing} runs are missing: run again" if missing else "complete", file=sys.stderr)


if __name__ == "__main__":
    main()
