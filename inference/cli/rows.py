"""Rows: what is asked, one prompt or many, and templates that a row fills.

A row is a JSON object. Rows come from a file of JSON Lines or, where the prompt is `-`, from standard input, each
line the prompt of a row. Without either there is one row without fields, and prompts are taken as they stand.

In a template `{name}` is replaced by a field of the row: a string as it is, anything else as JSON. Other braces stand
for themselves, so that a prompt may hold JSON; `{{name}}` stands for `{name}`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grammars.json_text import read_json
from inference.cli.exit_codes import BadInput

STDIN = "-"
_FIELD = re.compile(r"\{\{([^\W\d]\w*)\}\}|\{([^\W\d]\w*)\}")


@dataclass(frozen=True)
class Row:
    """One row of the input.

    Attributes
    ----------
    line:
        Its line in the input, from 1.
    fields:
        Its members.
    source:
        What messages call the input; empty where there is none.
    """

    line: int = 1
    fields: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""

    @property
    def where(self) -> str:
        """The place, for messages."""
        return f"{self.source}, line {self.line}" if self.source else ""

    def bad(self, problem: str, hint: str) -> BadInput:
        """Return an error about this row."""
        return BadInput(f"{self.where}: {problem}" if self.source else problem, hint=hint)


@dataclass(frozen=True)
class Template:
    """A text with fields; `literal` where braces mean nothing."""

    text: str
    literal: bool = False

    def fill(self, row: Row) -> str:
        """Return the text for a row; raise `BadInput` if it lacks a field."""
        if self.literal:
            return self.text
        return _FIELD.sub(lambda found: _spelled(self._value(found, row)), self.text)

    def value(self, row: Row) -> Any:
        """Return the text for a row, or the field itself, with its type, if the template is nothing else."""
        found = None if self.literal else _FIELD.fullmatch(self.text)
        return self.fill(row) if found is None else self._value(found, row)

    def _value(self, found: re.Match[str], row: Row) -> Any:
        literal, name = found.groups()
        if literal is not None:
            return f"{{{literal}}}"
        if name not in row.fields:
            raise row.bad(
                f"no field {name!r}, which the template {self.text!r} needs",
                f"the row has {', '.join(row.fields) or 'no fields'}; write {{{{{name}}}}} for the braces themselves",
            )
        return row.fields[name]


def _spelled(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def read_rows(path: Path) -> Iterable[Row]:
    """Return the rows of a file of JSON Lines, or of standard input (`-`), there as they come.

    Raises
    ------
    BadInput
        If the file cannot be read, or a line is not a JSON object in UTF-8; it names the line.
    """
    if str(path) == STDIN:
        return (_row(line, number, "standard input") for number, line in _lines(sys.stdin.buffer))
    try:
        with path.open("rb") as file:
            return [_row(line, number, str(path)) for number, line in _lines(file)]
    except OSError as error:
        raise BadInput(
            f"cannot read {path}: {error.strerror}", hint="--input names a file of JSON Lines"
        ) from None


def read_prompts(name: str) -> Iterator[Row]:
    """Return a row with the field `name` for each line of standard input, as they come; blank lines are none."""
    for number, line in _lines(sys.stdin.buffer):
        row = Row(number, source="standard input")
        yield Row(number, {name: _decoded(line, row).rstrip("\r\n")}, row.source)


def _lines(file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Return the lines that are not blank, numbered from 1."""
    return ((number, line) for number, line in enumerate(file, 1) if line.strip())


def _decoded(line: bytes, row: Row) -> str:
    try:
        return line.decode("utf-8-sig" if row.line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise row.bad(
            f"not UTF-8: {error.reason} at byte {error.start}", "convert the input to UTF-8"
        ) from None


def _row(line: bytes, number: int, source: str) -> Row:
    row = Row(number, source=source)
    try:
        value = read_json(_decoded(line, row).strip())
    except BadInput:
        raise
    except ValueError as error:
        raise row.bad(f"not JSON: {error}", "each line is one JSON object") from None
    if not isinstance(value, dict):
        raise row.bad(f"a JSON object is needed, not {line.decode().strip():.40}", 'such as {"text": "..."}')
    return Row(number, value, source)
