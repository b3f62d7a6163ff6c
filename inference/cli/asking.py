"""What is asked: a prompt, a message or a question, and the rows that fill it where it is a template."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import typer

from inference.cli.exit_codes import BadInput
from inference.cli.rows import STDIN, Row, Template, read_prompts, read_rows
from ppl import LM, Target

Input = Annotated[
    Path | None,
    typer.Option(
        "--input", metavar="FILE", help="JSON Lines, whose fields fill {name}; - is standard input."
    ),
]
_MaxTokens = Annotated[int, typer.Option(min=1, help="The longest text, in tokens.")]


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt to continue or to answer."""

    prompt: Annotated[
        str | None, typer.Option(help="A text to continue, or a template; -: each line of standard input.")
    ] = None
    chat: Annotated[
        str | None, typer.Option(help="A message to answer, or a template; -: each line of standard input.")
    ] = None
    input: Input = None
    stop: Annotated[list[str], typer.Option(help="A string that ends the text. Several may be given.")] = (
        field(default_factory=list)
    )
    max_tokens: _MaxTokens = 256

    @cached_property
    def asked(self) -> Asked:
        """The template of the text, and the rows."""
        if (self.prompt is None) == (self.chat is None):
            raise BadInput(
                "--prompt or --chat is needed, and not both", hint="--prompt - reads standard input"
            )
        name = "prompt" if self.chat is None else "chat"
        text = self.prompt if self.chat is None else self.chat
        assert text is not None
        return asked(name, text, self.input)

    def target(self, row: Row, lm: LM) -> Target[str]:
        """Return the texts that a model writes for a row."""
        write = lm if self.chat is None else lm.chat
        return write(self.asked.template.fill(row), stop=self.stop, max_tokens=self.max_tokens)

    @property
    def settings(self) -> dict[str, Any]:
        """What results depend on besides the row."""
        return {**self.asked.settings, "stop": self.stop, "max_tokens": self.max_tokens}


@dataclass(frozen=True)
class Asked:
    """A template under the name of its option, and the rows that fill it."""

    option: str
    template: Template
    rows: Iterable[Row]

    @property
    def settings(self) -> dict[str, Any]:
        """What results depend on besides the row."""
        return {self.option: self.template.text}


def asked(option: str, text: str, path: Path | None) -> Asked:
    """Return the rows, and the template that they fill: of a file, of standard input, or one row without fields."""
    if text == STDIN:
        if path is not None:
            raise BadInput(f"--{option} - and --input are two inputs", hint="leave one of them out")
        return Asked(option, Template(f"{{{option}}}"), read_prompts(option))
    if path is None:
        return Asked(option, Template(text, literal=True), [Row()])
    return Asked(option, Template(text), read_rows(path))


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question to a database."""

    question: Annotated[
        str, typer.Option(help="A question in words, or a template; -: each line of standard input.")
    ]
    input: Input = None
    max_tokens: _MaxTokens = 96

    @cached_property
    def asked(self) -> Asked:
        """The template of the question, and the rows."""
        return asked("question", self.question, self.input)
