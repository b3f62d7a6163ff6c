"""The text of a grammar in Lark's notation: where its names and literals are, and errors that show the place."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from grammars.errors import GrammarError

_LONGEST = 300_000
_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|\#[^\n]*)
    |(?P<regexp>/(?!/)(?:\\/|\\\\|[^/])*?/[imslux]*)
    |(?P<string>"(?:\\"|\\\\|[^"\n])*?"i?)
    |(?P<single>'(?:\\'|\\\\|[^'\n])*?'i?)
    |(?P<name>%?[A-Za-z_]\w*)""",
    re.VERBOSE,
)


class Token(NamedTuple):
    """A name, directive or literal of a grammar, as Lark spells it, and the index where it begins."""

    text: str
    at: int


class GrammarText:
    """The text of a grammar.

    Parameters
    ----------
    text:
        The grammar.

    Attributes
    ----------
    text:
        The grammar as it was written.
    tokens:
        Its names, directives (`%import`) and literals, in order, without those in comments.
    for_lark:
        The grammar as Lark reads it: with double quotes for single quotes.

    Raises
    ------
    GrammarError
        If it is no string, too long, or holds half a character.
    """

    def __init__(self, text: object) -> None:
        if not isinstance(text, str):
            raise GrammarError(f"a grammar must be a str, not {text!r}", hint="of a file, pass its text")
        self.text = text
        if len(text) > _LONGEST:
            raise GrammarError(
                f"the grammar has {len(text)} characters, more than {_LONGEST}",
                hint="split the task; so large a grammar is too slow to load",
            )
        surrogate = re.search("[\ud800-\udfff]", text)
        if surrogate:
            raise self.error(
                "a lone surrogate, which no UTF-8 text holds",
                surrogate.start(),
                "write the character that it is half of",
            )
        self.tokens: list[Token] = []
        self._shifts = [(0, 0)]  # indices for Lark, and as written, from which on both run in step
        pieces = []
        done = length = 0
        for found in _TOKEN.finditer(text):
            spelling = _double_quoted(found[0]) if found["single"] else found[0]
            if not found["comment"]:
                self.tokens.append(Token(spelling, found.start()))
            if found["single"]:
                pieces += [text[done : found.start()], spelling]
                length += found.start() - done + len(spelling)
                done = found.end()
                self._shifts.append((length, done))
        self.for_lark = "".join([*pieces, text[done:]])

    def index(self, line: int, column: int) -> int:
        """Return the index of a place in `for_lark`, line and column from 1, in the text as written."""
        lines = self.for_lark.split("\n")
        there = sum(len(before) + 1 for before in lines[: line - 1]) + column - 1
        lark, written = self._shifts[bisect.bisect_right(self._shifts, (there, len(self.text))) - 1]
        return min(written + there - lark, len(self.text))

    def find(self, names: Iterable[str]) -> int | None:
        """Return where the first of `names` is defined that occurs, or else where it stands first."""
        for name in names:
            places = [token.at for token in self.tokens if token.text == name]
            defined = (at for at in places if self._is_definition(at + len(name)))
            if places:
                return next(defined, places[0])
        return None

    def definitions(self) -> Iterator[tuple[Token, bool]]:
        """Yield the tokens, each with whether it is the name of what is defined there."""
        for token in self.tokens:
            yield token, token.text[0] not in '"/%' and self._is_definition(token.at + len(token.text))

    def find_imported(self, name: str) -> int | None:
        """Return where the grammar speaks of what Lark calls `name`; Lark prefixes what is imported."""
        parts = name.strip("_").split("__")
        return self.find([name, parts[-1], f"_{parts[-1]}", parts[0]])

    def _is_definition(self, end: int) -> bool:
        return (
            re.match(r"\s*(?:\{[^}\n]*\})?\s*(?:\.\s*[+-]?\d+)?\s*:", self.text[end : end + 200]) is not None
        )

    def error(self, reason: str, at: int | None, hint: str | None) -> GrammarError:
        """Return the error that says `reason` and shows the place `at`, if that is known."""
        if at is None:
            return GrammarError(f"invalid grammar: {reason}", hint=hint)
        begin_of_line = self.text.rfind("\n", 0, at) + 1
        line, column = self.text.count("\n", 0, at) + 1, at - begin_of_line + 1
        begin = max(0, column - 41)
        excerpt = self.text[begin_of_line:].split("\n", 1)[0][begin : begin + 80]
        pointer = " " * (column - 1 - begin)
        return GrammarError(
            f"invalid grammar, line {line}, column {column}: {reason}\n    {excerpt}\n    {pointer}^",
            hint=hint,
        )


def _double_quoted(literal: str) -> str:
    """Return a literal in single quotes as one in double quotes."""
    body, _, flags = literal[1:].rpartition("'")
    body = re.sub(r"""\\.|\"""", lambda found: {"\\'": "'", '"': '\\"'}.get(found[0], found[0]), body)
    return f'"{body}"{flags}'
