"""JSON documents for real schemas: how many compile, complete, and are valid, and how long it takes.

    python -m benchmarks.json_schema --cases 60 --particles 8 --max-tokens 256

Each case asks the model for a document under one development schema, by SMC with the schema as constraint. A
worker process runs the cases, so that a case that crashes it or overruns its time limit is counted and costs
only itself. Every completed text is judged by `json.loads` and the `jsonschema` validator that the case names.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from multiprocessing.connection import Connection
from typing import Any

import jsonschema

from benchmarks.common import data_rows, print_result
from grammars import JsonSchema
from grammars.errors import GrammarError
from inference import SMC, infer, load
from ppl import LM, program, sample

PROMPT_CHARACTERS = 2000
START_SECONDS = 300.0


@program
def document(lm: LM, schema: str, constraint: JsonSchema, max_tokens: int) -> Any:
    prompt = f"Write a short JSON document that follows this JSON schema:\n{schema[:PROMPT_CHARACTERS]}"
    return sample(lm.chat(prompt, max_tokens=max_tokens), constraint, name="document")


def run_case(lm: LM, case: dict[str, Any], particles: int, max_tokens: int) -> dict[str, Any]:
    """Return what became of one case; `refused` is the reason where the schema does not compile."""
    start = time.perf_counter()
    try:
        constraint = JsonSchema(case["schema"], validator=case["validator"])
    except GrammarError as error:
        return {"refused": error.message, "seconds": time.perf_counter() - start}
    compiled = time.perf_counter()
    model = document(lm, json.dumps(case["schema"]), constraint, max_tokens)
    posterior = infer(model, SMC(particles), seed=0, progress=False)
    texts = [s.trace["document"].outcome for s in posterior.samples]
    validator = getattr(jsonschema, case["validator"])(case["schema"])
    return {
        "completed": len(texts),
        "valid": sum(is_valid(text, validator) for text in texts),
        "log_evidence": posterior.log_evidence if texts else None,
        "final_checks": list(constraint.final_checks),
        "compile_seconds": compiled - start,
        "tokens": posterior.cost.tokens,
        "seconds": time.perf_counter() - start,
    }


def is_valid(text: str, validator: Any) -> bool:
    """Return whether a text is JSON that the validator accepts."""
    try:
        return bool(validator.is_valid(json.loads(text)))
    except ValueError:
        return False


def work(connection: Connection, model: str, particles: int, max_tokens: int) -> None:
    """Run the cases that arrive, until None does."""
    lm = load(model)
    connection.send("ready")
    while (case := connection.recv()) is not None:
        try:
            connection.send(run_case(lm, case, particles, max_tokens))
        except Exception as error:
            connection.send({"crashed": f"{type(error).__name__}: {error}"})


class Worker:
    """A process that runs cases; restarted after one that it did not survive."""

    def __init__(self, *settings: Any, limit: float) -> None:
        self._settings, self._limit = settings, limit
        self._process: Any = None

    def run(self, case: dict[str, Any]) -> dict[str, Any]:
        """Return the result of a case, or how it failed."""
        if self._process is None:
            self._start()
        self._connection.send(case)
        try:
            if self._connection.poll(self._limit):
                result: dict[str, Any] = self._connection.recv()
                return result
            failure = {"hung": f"no result in {self._limit:.0f} s"}
        except EOFError:
            failure = {"crashed": "the worker process ended"}
        self._process.kill()
        self._process = None
        return failure

    def close(self) -> None:
        """Let the process end."""
        if self._process is not None:
            self._connection.send(None)
            self._process.join()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs, *self._settings), daemon=True)
        self._process.start()
        theirs.close()
        if not self._connection.poll(START_SECONDS):
            raise SystemExit("the model did not load")
        self._connection.recv()


def summary(cases: list[dict[str, Any]], particles: int) -> dict[str, Any]:
    """Return the figures of the issue from the results of the cases."""
    ran = [case for case in cases if "completed" in case]
    texts = sum(case["completed"] for case in ran)
    return {
        "cases": len(cases),
        "compiled": sum("refused" not in case for case in cases) / len(cases),
        "crashed": [case["id"] for case in cases if "crashed" in case],
        "hung": [case["id"] for case in cases if "hung" in case],
        "completed": sum(case["completed"] > 0 for case in ran) / max(len(ran), 1),
        "completed_particles": texts / max(len(ran) * particles, 1),
        "texts": texts,
        "valid": sum(case["valid"] for case in ran) / max(texts, 1),
        "seconds": sum(case.get("seconds", 0.0) for case in cases),
        "median_seconds": statistics.median([case["seconds"] for case in ran] or [0.0]),
        "tokens_per_second": sum(c["tokens"] for c in ran) / max(sum(c["seconds"] for c in ran), 1e-9),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=60, help="spread evenly over the development schemas")
    parser.add_argument("--particles", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--limit", type=float, default=180.0, help="seconds for one case")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--details", action="store_true", help="print the result of every case, too")
    options = parser.parse_args(arguments)
    rows = data_rows("json_schema/dev.jsonl")
    count = min(options.cases, len(rows))
    chosen = [rows[i * len(rows) // count] for i in range(count)]
    worker = Worker(options.model, options.particles, options.max_tokens, limit=options.limit)
    results = [{"id": row["id"], **worker.run(row)} for row in chosen]
    worker.close()
    settings = {"particles": options.particles, "max_tokens": options.max_tokens, "model": options.model}
    figures = {"benchmark": "json_schema", **settings, **summary(results, options.particles)}
    print_result({**figures, **({"results": results} if options.details else {})})


if __name__ == "__main__":
    main()
