r"""Regular expressions: the texts that a pattern matches from the first byte to the last.

The dialect is that of Rust's `regex` crate: Perl-like, over Unicode characters, linear in time. `.` is any
character but a newline (`(?s:.)` any character), `\d`, `\w` and `\s` are Unicode classes, `[a-z&&[^aeiou]]`
intersects classes, `\p{Greek}` names a property, `(?i)` and the other flags work. `^` and `$` may stand at
the ends of the pattern, where they change nothing. Lazy quantifiers mean the same as greedy ones. There are
no look-arounds, word boundaries, backreferences, conditionals, atomic groups or possessive quantifiers: `&`
with a second constraint often does instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from typing_extensions import override

from grammars.constraint import Constraint, Matcher
from grammars.errors import ContradictionError, GrammarError
from grammars.llguidance import GrammarMatcher, check_grammar, compile_error, summary
from grammars.vocabulary import Vocabulary

_HINTS = (
    (
        r"look-?around",
        "look-arounds and word boundaries are not regular here: intersect two constraints with `&`",
    ),
    (r"backreference", "backreferences are not regular: list the cases, or check with a condition"),
    (r"invalid UTF-8", "patterns match characters, not bytes: leave the `u` flag on"),
    (r"lexer error", "write the character as an escape, such as \\n"),
)
_DIALECT = "the dialect is that of Rust's `regex` crate; a backslash before a sign makes it literal"
_CLASS = r"\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]"
_QUANTIFIED = re.compile(rf"\\.|{_CLASS}|(?P<possessive>(?:[*+?]|\{{\d+(?:,\d*)?\}})\+)", re.DOTALL)
_ZERO_WIDTH = {
    "Start": r"\^",
    "End": r"\$",
    "StartLF": r"\^",
    "EndLF": r"\$",
    "WordUnicode": r"\\b",
    "WordUnicodeNegate": r"\\B",
}


@dataclass(frozen=True)
class Regex(Constraint):
    """The texts that `pattern` matches in full.

    Parameters
    ----------
    pattern:
        A regular expression in the dialect of this module; the empty text is in where the pattern matches it.

    Raises
    ------
    GrammarError
        If the pattern is invalid or needs what is not regular; the message shows where.
    ContradictionError
        If no text matches.
    """

    pattern: str

    def __post_init__(self) -> None:
        if not isinstance(self.pattern, str):
            raise GrammarError(
                f"a regex pattern must be a str, not {self.pattern!r}",
                hint="of a compiled `re.Pattern`, pass `.pattern`",
            )
        if "\n" in self.pattern and re.search(r"\(\?[a-zA-Z]*x", self.pattern):
            raise GrammarError(
                f"regex {self.pattern!r}: verbose patterns over several lines are not supported",
                hint="join the parts of the pattern in Python",
            )
        if re.search("[\ud800-\udfff]", self.pattern):
            raise GrammarError(
                f"invalid regex {self.pattern!r}: it holds a lone surrogate, which no UTF-8 text does",
                hint="write the character that it is half of, or an escape such as \\u{1F600}",
            )
        if re.fullmatch(r"(?:\\.|[^\\])*\\", self.pattern, re.DOTALL):
            raise GrammarError(
                f"invalid regex: a backslash escapes nothing{_caret(self.pattern, len(self.pattern) - 1)}",
                hint="a backslash itself is written as two",
            )
        possessive = next((m for m in _QUANTIFIED.finditer(self.pattern) if m["possessive"]), None)
        if possessive:
            raise GrammarError(
                f"unsupported regex: possessive quantifier{_caret(self.pattern, possessive.start())}",
                hint="write it without the last `+`, or in a group to repeat it: (?:a+)+",
            )
        grammar = regex_grammar(self.pattern)
        message = compile_error(grammar)
        if message is not None:
            raise _error(self.pattern, message)
        try:
            check_grammar(grammar)
        except ContradictionError:
            raise ContradictionError(
                f"no text matches the regex {self.pattern!r}", hint="a class in it is empty"
            ) from None

    @override
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        return GrammarMatcher(vocabulary, regex_grammar(self.pattern))


def regex_grammar(pattern: str) -> str:
    """Return the engine grammar of the texts that `pattern` matches in full."""
    return f"start: {regex_terminal(pattern)}"


def regex_terminal(pattern: str) -> str:
    """Return the engine's terminal of the texts that `pattern` matches in full."""
    return f"/{_literal(pattern)}/" if pattern else '""'


def _literal(pattern: str) -> str:
    """Return `pattern` fit to stand between slashes: slashes and line ends escaped, other escapes kept."""
    ends = {"/": r"\/", "\n": r"\n", "\r": r"\r"}
    return re.sub(r"\\?[/\n\r]|\\.", lambda found: ends.get(found[0][-1], found[0]), pattern, flags=re.DOTALL)


def _pointed(pattern: str, excerpt: str) -> str:
    """Return the engine's excerpt with its caret, in terms of the pattern as written if that is one line."""
    if excerpt.count("\n") > 1:
        return f"\n{excerpt}"
    column = len(excerpt.split("\n")[-1].split("^")[0]) - 4
    for part in re.finditer(r"\\?[/\n\r]|\\.|.", pattern, re.DOTALL):
        written = len(_literal(part[0]))
        if column < written:
            return _caret(pattern, part.start() + min(column, len(part[0]) - 1))
        column -= written
    return _caret(pattern, len(pattern))


def _caret(pattern: str, at: int) -> str:
    """Return the pattern, or 80 characters of it around `at`, on one line with a caret under `at`."""
    begin = max(0, at - 40) if len(pattern) > 80 else 0
    shown = re.sub("[\x00-\x1f\x7f]", "·", pattern[begin : begin + 80])
    return f"\n    {shown}\n    {' ' * (at - begin)}^"


def _error(pattern: str, message: str) -> GrammarError:
    """Return the error that shows `pattern`, with a caret at the fault if its place is known."""
    reason = summary(message).partition("(in regex): ")[2] or summary(message)
    hint = next((hint for key, hint in _HINTS if re.search(key, message, re.IGNORECASE)), _DIALECT)
    marked = re.fullmatch(r"regex parse error:\n(.*\n[\s^]*\^)\nerror: (.*)", reason, re.DOTALL)
    if marked:
        return GrammarError(f"invalid regex: {marked[2]}{_pointed(pattern, marked[1])}", hint=hint)
    zero_width = re.search(r"not supported yet; (\w+)", reason)
    if zero_width and zero_width[1] in _ZERO_WIDTH:
        sign = _ZERO_WIDTH[zero_width[1]]
        found = [m.start("it") for m in re.finditer(rf"(?P<it>{sign})|\\.|{_CLASS}", pattern) if m["it"]]
        inner = [at for at in found if 0 < at < len(pattern) - 1] or found
        where = _caret(pattern, inner[0]) if inner else f" {pattern!r}"
        return GrammarError(f"unsupported regex: zero-width match inside a pattern{where}", hint=hint)
    return GrammarError(f"invalid regex {pattern[:80]!r}: {reason}", hint=hint)
