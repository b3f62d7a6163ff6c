"""The loop of all commands that infer: rows to posteriors, each shown and kept as soon as it is there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import typer

from grammars.errors import PPLError
from inference.cli.display import output, show_outcome
from inference.cli.exit_codes import NO, BadInput, say
from inference.cli.methods import method_of
from inference.cli.options import Inference
from inference.cli.report_files import ReportFiles
from inference.cli.results import Outcome, ResultsFile, as_json, digest
from inference.cli.rows import Row
from inference.cli.tasks import Task

if TYPE_CHECKING:
    from inference import Method


def infer_rows(command: str, task: Task, rows: Iterable[Row], options: Inference) -> None:
    """Compute the posterior of each row.

    What can be refused without a model is refused before one is loaded: settings, the method, the file of results,
    and the rows of a file.

    Raises
    ------
    typer.Exit
        With code 1, if a row had no survivors.
    """
    _check(task, rows, options)
    method = method_of(options.method, options.particles)
    many = not isinstance(rows, list) or len(rows) > 1
    report = None if options.report is None else ReportFiles(options.report, method, many=many)
    settings = _settings(command, task, method, options)
    results = (
        nullcontext()
        if options.out is None
        else ResultsFile(options.out, resume=options.resume, settings=settings)
    )
    console, tally = output(), Counter[str]()
    with results as file:
        compute = _computation(task, method, options)
        for row in rows:
            line = None if file is None else file.take(row)
            if line is None:
                outcome = compute(row)
                if report is not None:
                    report.write(outcome)
                line = json.dumps(outcome.to_dict(settings), allow_nan=False)
                if file is not None:
                    file.write(line)
                if not options.as_json:
                    show_outcome(console, outcome, heading=many, diagnose=options.diagnose)
            else:
                tally["known"] += 1
            if options.as_json:
                print(line, flush=True)
            tally["rows"] += 1
            tally["dead"] += json.loads(line)["no_survivors"] is not None
    if many or tally["known"]:
        known = f", {tally['known']} of them there before" if tally["known"] else ""
        say(f"{tally['rows']} rows{known}; {tally['dead']} without survivors")
    if tally["dead"]:
        raise typer.Exit(NO)


def _check(task: Task, rows: Iterable[Row], options: Inference) -> None:
    if options.resume and options.out is None:
        raise BadInput("--resume without --out", hint="--out FILE names the results to go on with")
    if options.model is not None and not task.needs_lm:
        raise BadInput("--model, but the program has no parameter `lm`", hint="add it, or leave --model out")
    _ = task.settings  # refuses a faulty constraint before torch is imported for the method
    if isinstance(rows, list):
        for row in rows:
            task.title(row)


def _settings(command: str, task: Task, method: Method, options: Inference) -> str:
    """Return the digest of all that results depend on but the row."""
    model = options.name if task.needs_lm else None
    own = {
        "command": command,
        "model": model,
        "method": repr(method),
        "seed": options.seed,
        "top": options.top,
    }
    return digest(own | {"task": task.settings})


def _computation(task: Task, method: Method, options: Inference) -> Callable[[Row], Outcome]:
    """Return the function from rows to outcomes; the model is loaded when it is first asked."""
    from inference import infer

    loaded: list[Any] = []

    def compute(row: Row) -> Outcome:
        try:
            title = task.title(row)
            if task.needs_lm and not loaded:
                loaded.append(options.load())
            posterior = infer(
                task.model(row, loaded[0] if loaded else None),
                method,
                seed=options.seed,
                record=options.report is not None,
            )
            best = posterior.top(options.top) if posterior.samples else []
            values = [{"value": as_json(v), "probability": p, **as_json(task.details(v))} for v, p in best]
        except PPLError as error:
            if row.source and not isinstance(error, BadInput):
                error.add_note(f"at {row.where}")
            raise
        return Outcome(row, title, posterior, tuple(values))

    return compute
