"""Sources of constraints: the options of `json`, `sql`, `regex` and `grammar` that say which texts are allowed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import typer

from grammars import SQL, Constraint, JsonSchema, Lark, Regex
from grammars.errors import GrammarError
from inference.cli.database import Rows, open_read_only, run_query
from inference.cli.exit_codes import BadInput
from inference.cli.references import is_reference, resolve


@dataclass(frozen=True, kw_only=True)
class JsonSource:
    """JSON under a schema."""

    schema: Annotated[
        str,
        typer.Option(
            metavar="FILE|MODULE:TYPE", help="A JSON Schema, or a Python type such as a pydantic model."
        ),
    ]
    whitespace: Annotated[str, typer.Option(help="Between parts of the JSON: compact, bounded or any.")] = (
        "bounded"
    )

    @cached_property
    def constraint(self) -> Constraint:
        """The JSON texts of the schema."""
        if not is_reference(self.schema) or Path(self.schema).is_file():
            return JsonSchema(self.schema, whitespace=self.whitespace)  # type: ignore[arg-type]
        type_ = resolve(self.schema, "a type")
        if isinstance(type_, Constraint):
            raise BadInput(f"{self.schema} is a constraint, not a type", hint="use it in a program: ppl run")
        return JsonSchema(type_, whitespace=self.whitespace)  # type: ignore[arg-type]

    @property
    def settings(self) -> dict[str, Any]:
        """What results depend on: the schema itself, and not where it is."""
        constraint = self.constraint
        assert isinstance(constraint, JsonSchema)
        return {"schema": constraint.text, "whitespace": constraint.whitespace, "order": constraint.order}


@dataclass(frozen=True, kw_only=True)
class SqlSource:
    """SELECT statements on the tables of a database file."""

    db: Annotated[
        Path, typer.Option(metavar="FILE", help="A file of SQLite or DuckDB, which is opened read-only.")
    ]

    @cached_property
    def connection(self) -> Any:
        """The connection to the database."""
        return open_read_only(self.db)

    @cached_property
    def constraint(self) -> SQL:
        """The queries that are in order on the tables of the database."""
        try:
            return SQL.from_connection(self.connection)
        except GrammarError as error:
            error.add_note(f"in the database {self.db}")
            raise

    @property
    def tables(self) -> list[tuple[str, list[str]]]:
        """The tables and views, with the names of their columns."""
        schema = self.constraint.schema
        assert schema is not None
        return [(name, [column for column, _ in columns]) for name, columns in schema.tables]

    @property
    def settings(self) -> dict[str, Any]:
        """What results depend on: the tables and not their rows."""
        return {"dialect": self.constraint.dialect, "tables": self.tables}

    def run(self, query: str) -> Rows:
        """Return the first rows of a query."""
        return run_query(self.connection, query)


@dataclass(frozen=True, kw_only=True)
class RegexSource:
    """Texts that a regular expression matches as a whole."""

    pattern: Annotated[str, typer.Argument(help="A regular expression, in the dialect of the package regex.")]

    @cached_property
    def constraint(self) -> Constraint:
        """The texts of the pattern."""
        return Regex(self.pattern)

    @property
    def settings(self) -> dict[str, Any]:
        """What results depend on."""
        return {"pattern": self.pattern}


@dataclass(frozen=True, kw_only=True)
class GrammarSource:
    """Texts of a context-free grammar."""

    lark: Annotated[Path, typer.Option(metavar="FILE", help="A grammar in the notation of the Lark library.")]
    start: Annotated[str, typer.Option(help="The rule that the whole text must match.")] = "start"

    @cached_property
    def constraint(self) -> Lark:
        """The texts of the grammar."""
        return Lark.open(self.lark, self.start)

    @property
    def settings(self) -> dict[str, Any]:
        """What results depend on: the grammar and what it imports."""
        return {"grammar": self.constraint.text, "files": self.constraint.files, "start": self.start}


Source = JsonSource | SqlSource | RegexSource | GrammarSource
