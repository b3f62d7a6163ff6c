"""Tasks: what a command makes of a row, a program applied to arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from inference.cli.asking import Prompt, Question
from inference.cli.rows import Row
from inference.cli.sources import Source, SqlSource
from ppl import LM, Model, Target, program, sample


class Task(Protocol):
    """What is computed for each row."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What results depend on besides the row, as JSON."""

    @property
    def needs_lm(self) -> bool:
        """Whether the program is given a language model."""

    def title(self, row: Row) -> str:
        """Return what is asked for a row, for people; raise `BadInput` if the row will not do."""

    def model(self, row: Row, lm: LM | None) -> Model[Any]:
        """Return the program of a row with its arguments."""

    def details(self, value: Any) -> dict[str, Any]:
        """Return what there is to say of a value of the posterior, as JSON."""


@program
def constrained(target: Target[str], constraint: Any) -> Any:
    """Return the value of a text under a constraint, as `parse` gives it."""
    return sample(target, constraint)


@program
def text(target: Target[str]) -> str:
    """Return a text."""
    return sample(target)


@dataclass(frozen=True)
class TextTask:
    """A text under the constraint of a source; the value is the text or, for JSON, what it spells."""

    source: Source
    prompt: Prompt
    parse: bool = False
    needs_lm: bool = True

    @property
    def settings(self) -> Mapping[str, Any]:
        """What results depend on besides the row."""
        return {**self.source.settings, **self.prompt.settings}

    def title(self, row: Row) -> str:
        """Return the prompt."""
        return self.prompt.asked.template.fill(row)

    def model(self, row: Row, lm: LM | None) -> Model[Any]:
        """Return the program of a row."""
        assert lm is not None
        target = self.prompt.target(row, lm)
        constraint = self.source.constraint
        return constrained(target, constraint) if self.parse else text(target & constraint)

    def details(self, value: Any) -> dict[str, Any]:
        """Return nothing: the value says it all."""
        return {}


@dataclass(frozen=True)
class SqlTask:
    """A query that answers a question; `run` also runs the queries."""

    source: SqlSource
    question: Question
    run: bool = False
    needs_lm: bool = True

    @property
    def settings(self) -> Mapping[str, Any]:
        """What results depend on besides the row."""
        asked = self.question.asked.settings
        return {**self.source.settings, **asked, "max_tokens": self.question.max_tokens, "run": self.run}

    def title(self, row: Row) -> str:
        """Return the question."""
        return self.question.asked.template.fill(row)

    def model(self, row: Row, lm: LM | None) -> Model[Any]:
        """Return the program of a row."""
        assert lm is not None
        prompt = sql_prompt(self.source.tables, self.title(row))
        return text(lm(prompt, stop="\n", max_tokens=self.question.max_tokens) & self.source.constraint)

    def details(self, value: Any) -> dict[str, Any]:
        """Return the rows of a query, if it is to be run."""
        return asdict(self.source.run(value)) if self.run else {}


def sql_prompt(tables: Sequence[tuple[str, Sequence[str]]], question: str) -> str:
    """Return a prompt: the tables, two questions that any table answers, and the question."""
    listed = ", ".join(f"{name}({', '.join(columns)})" for name, columns in tables)
    (name, columns), *_ = tables
    return (
        f"Tables: {listed}\n\n"
        f"Question: How many rows of {name} are there?\nSELECT count(*) FROM {quoted(name)}\n\n"
        f"Question: Which {columns[0]} are in {name}?\n"
        f"SELECT DISTINCT {quoted(columns[0])} FROM {quoted(name)}\n\n"
        f"Question: {' '.join(question.split())}\n"
    )


def quoted(name: str) -> str:
    """Return a name as SQL writes it."""
    return name if name.isidentifier() and name.isascii() else '"' + name.replace('"', '""') + '"'
