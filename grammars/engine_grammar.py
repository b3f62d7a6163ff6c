"""Context-free grammars in the mask engine's dialect of Lark.

The engine documents the dialect (`docs/syntax.md` of llguidance). In short: the rule `start` is matched from
the first byte to the last; lower-case names are rules, upper-case names terminals (regular expressions);
`%ignore` skips between terminals; `&` and `~` combine terminals; `%json {...}` embeds a JSON Schema.
Terminals are matched greedily: in `/a*/ "a"` the first terminal takes every `a`, so write terminals that do
not compete.

What would make the language depend on tokens rather than bytes is refused: special tokens such as `<|x|>`,
token ids such as `<[7]>`, `max_tokens=`, `stop=` and `temperature=`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from typing_extensions import override

from grammars.constraint import Constraint, Matcher
from grammars.errors import ContradictionError, GrammarError
from grammars.llguidance import GrammarMatcher, check_grammar, compile_error, position, summary, warnings
from grammars.vocabulary import Vocabulary

_DIALECT = "the dialect is llguidance's, see the documentation of this class"
_QUOTED = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|#[^\n]*|/(?:\\.|[^/\\\n])+/')
_TOKENWISE = re.compile(r"<|\b(?:max_tokens|stop|temperature)\s*=")


@dataclass(frozen=True)
class EngineGrammar(Constraint):
    """The texts that a grammar generates.

    Parameters
    ----------
    text:
        The grammar.
    start:
        The rule that a whole text must match.

    Raises
    ------
    GrammarError
        If the grammar does not compile; the message shows the line and column.
    ContradictionError
        If no text matches.
    """

    text: str
    start: str = "start"

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise GrammarError(f"a grammar must be a str, not {self.text!r}", hint="of a file, pass its text")
        if not isinstance(self.start, str) or not re.fullmatch(r"\w+", self.start):
            raise GrammarError(f"not the name of a rule: start={self.start!r}", hint="as start='sum'")
        surrogate = re.search("[\ud800-\udfff]", self.text)
        if surrogate:
            raise self._error(
                "a lone surrogate, which no UTF-8 text holds",
                _place(self.text, surrogate.start()),
                "write the character that it is half of",
            )
        bare = _QUOTED.sub(lambda found: " " * len(found[0]), self.text)
        tokenwise = _TOKENWISE.search(bare)
        if tokenwise:
            raise self._error(
                f"`{tokenwise[0]}` speaks of tokens, not of bytes",
                _place(bare, tokenwise.start()),
                "spell the bytes; limit lengths in the regex, such as /.{0,80}/",
            )
        if self.start != "start" and re.search(r"^\s*\??start\b", bare, re.MULTILINE):
            raise GrammarError(
                f"the grammar has a rule `start`, but starts at `{self.start}`",
                hint="rename the rule `start`",
            )
        message = compile_error(self._grammar)
        if message is not None:
            raise self._error(summary(message), position(message), _DIALECT)
        ignored = warnings(self._grammar)
        if ignored:
            raise GrammarError(
                f"the mask engine would not enforce all of this grammar: {'; '.join(ignored)}",
                hint="take `lenient` out of `x-guidance`, or use JsonSchema, which checks the rest at the end",
            )
        try:
            check_grammar(self._grammar)
        except ContradictionError:
            raise ContradictionError(
                f"no text matches the rule `{self.start}`",
                hint="its recursion never ends, or a class is empty",
            ) from None

    @override
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        return GrammarMatcher(vocabulary, self._grammar)

    @property
    def _grammar(self) -> str:
        return self.text if self.start == "start" else f"{self.text}\nstart: {self.start}"

    def _error(self, reason: str, at: tuple[int, int] | None, hint: str | None) -> GrammarError:
        lines = self.text.split("\n")
        if at is None or at[0] > len(lines):
            return GrammarError(f"invalid grammar: {reason}", hint=hint)
        line, column = at
        begin = max(0, column - 41)
        excerpt = f"    {lines[line - 1][begin : begin + 80]}\n    {' ' * (column - 1 - begin)}^"
        return GrammarError(f"invalid grammar, line {line}, column {column}: {reason}\n{excerpt}", hint=hint)


def _place(text: str, at: int) -> tuple[int, int]:
    """Return the line and column, from 1, of an index."""
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
