"""The commands that infer, explain and check: each joins a source, what is asked, and how."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from inference.cli.asking import Prompt, Question
from inference.cli.checking import Verdict, check
from inference.cli.display import output, printable, show_explanation
from inference.cli.exit_codes import NO, BadInput
from inference.cli.groups import command
from inference.cli.infer_rows import infer_rows
from inference.cli.options import AsJson, Inference, ModelChoice
from inference.cli.programs import ProgramCall, ProgramTask
from inference.cli.rows import STDIN, Row
from inference.cli.sources import GrammarSource, JsonSource, RegexSource, Source, SqlSource
from inference.cli.tasks import SqlTask, Task, TextTask

infer = typer.Typer()
explain = typer.Typer(no_args_is_help=True)
check_ = typer.Typer(no_args_is_help=True)


@dataclass(frozen=True, kw_only=True)
class Running:
    """Whether queries are run."""

    run: Annotated[bool, typer.Option("--run", help="Run each query shown, and show its rows.")] = False


@infer.command("json")
@command
def infer_json(source: JsonSource, prompt: Prompt, how: Inference) -> None:
    """JSON under a schema, as the model continues a prompt or answers a message."""
    infer_rows("json", TextTask(source, prompt, parse=True), prompt.asked.rows, how)


@infer.command("sql")
@command
def infer_sql(source: SqlSource, question: Question, running: Running, how: Inference) -> None:
    """A query that answers a question to a database."""
    infer_rows("sql", SqlTask(source, question, running.run), question.asked.rows, how)


@infer.command("regex")
@command
def infer_regex(source: RegexSource, prompt: Prompt, how: Inference) -> None:
    """A text that a regular expression matches as a whole."""
    infer_rows("regex", TextTask(source, prompt), prompt.asked.rows, how)


@infer.command("grammar")
@command
def infer_grammar(source: GrammarSource, prompt: Prompt, how: Inference) -> None:
    """A text of a context-free grammar."""
    infer_rows("grammar", TextTask(source, prompt), prompt.asked.rows, how)


@infer.command("run")
@command
def infer_program(call: ProgramCall, how: Inference) -> None:
    """The posterior of a program of yours."""
    task = ProgramTask(call)
    infer_rows("run", task, task.rows, how)


@dataclass(frozen=True, kw_only=True)
class Explaining(ModelChoice):
    """How a plan is explained."""

    seed: Annotated[int, typer.Option(min=0, help="Of the examples with which the program is walked.")] = 0
    as_json: AsJson = False


@explain.command("json")
@command
def explain_json(source: JsonSource, prompt: Prompt, how: Explaining) -> None:
    """The plan of `ppl json`."""
    _explain(TextTask(source, prompt, parse=True), prompt.asked.rows, how)


@explain.command("sql")
@command
def explain_sql(source: SqlSource, question: Question, how: Explaining) -> None:
    """The plan of `ppl sql`."""
    _explain(SqlTask(source, question), question.asked.rows, how)


@explain.command("regex")
@command
def explain_regex(source: RegexSource, prompt: Prompt, how: Explaining) -> None:
    """The plan of `ppl regex`."""
    _explain(TextTask(source, prompt), prompt.asked.rows, how)


@explain.command("grammar")
@command
def explain_grammar(source: GrammarSource, prompt: Prompt, how: Explaining) -> None:
    """The plan of `ppl grammar`."""
    _explain(TextTask(source, prompt), prompt.asked.rows, how)


@explain.command("run")
@command
def explain_program(call: ProgramCall, how: Explaining) -> None:
    """The plan of `ppl run`."""
    task = ProgramTask(call)
    _explain(task, task.rows, how)


def _explain(task: Task, rows: Iterable[Row], how: Explaining) -> None:
    """Show the plan of the first row."""
    row = next(iter(rows), None)
    if row is None:
        raise BadInput("the input has no rows", hint="a plan is that of the first row")
    title = task.title(row)
    explanation = task.model(row, how.load() if task.needs_lm else None).explain(how.seed)
    explanation = replace(explanation, program=title)
    if how.as_json:
        print(json.dumps(asdict(explanation)))
    else:
        show_explanation(output(), explanation)


@dataclass(frozen=True, kw_only=True)
class Checking:
    """The text to check."""

    text: Annotated[str | None, typer.Argument(help="The text; without it, or as -, standard input.")] = None
    file: Annotated[Path | None, typer.Option(metavar="FILE", help="Check what a file holds.")] = None
    as_json: AsJson = False

    def read(self) -> bytes:
        """Return the text; a line end at the end of a file or of standard input is not part of it."""
        if self.file is not None:
            if self.text is not None:
                raise BadInput("a text and --file are two texts", hint="leave one of them out")
            try:
                data = self.file.read_bytes()
            except OSError as error:
                raise BadInput(
                    f"cannot read {self.file}: {error.strerror}", hint="--file names a file"
                ) from None
        elif self.text is None or self.text == STDIN:
            data = sys.stdin.buffer.read()
        else:
            return self.text.encode("utf-8", "surrogateescape")
        return data.removesuffix(b"\n").removesuffix(b"\r")


@check_.command("json")
@command
def check_json(source: JsonSource, checking: Checking) -> None:
    """Does JSON match a schema?"""
    _check(source, checking)


@check_.command("sql")
@command
def check_sql(source: SqlSource, checking: Checking) -> None:
    """Is a query in order on the tables of a database?"""
    _check(source, checking)


@check_.command("regex")
@command
def check_regex(source: RegexSource, checking: Checking) -> None:
    """Does a regular expression match a text as a whole?"""
    _check(source, checking)


@check_.command("grammar")
@command
def check_grammar(source: GrammarSource, checking: Checking) -> None:
    """Is a text in the language of a grammar?"""
    _check(source, checking)


def _check(source: Source, checking: Checking) -> None:
    verdict = check(source.constraint, checking.read())
    if checking.as_json:
        print(json.dumps(asdict(verdict)))
    else:
        output().print(Text(_shown(verdict)), soft_wrap=True)
    if not verdict.matches:
        raise typer.Exit(NO)


def _shown(verdict: Verdict) -> str:
    if verdict.matches:
        return "matches"
    if verdict.complete:
        return f"does not match as a whole\n  why    {printable(verdict.reason)}"
    place = f"byte {verdict.byte}, character {verdict.character}"
    if "\n" in verdict.read:
        place += f", line {verdict.line}, column {verdict.column}"
    read = verdict.read if len(verdict.read) <= 60 else f"...{verdict.read[-57:]}"
    could = [*map(printable, map(repr, verdict.expected)), *(["the end"] if verdict.may_end else [])]
    return "\n".join(
        [
            f"does not match at {place}",
            f"  why    {printable(verdict.reason)}",
            f"  after  {read!r}",
            f"  found  {verdict.found!r}" if verdict.found else "  found  the end",
            *([f"  could  {', '.join(could)}"] if could else []),
        ]
    )
