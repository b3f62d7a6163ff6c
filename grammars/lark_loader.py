"""Loading a grammar through Lark: what it says, once imports, templates and operators are worked out.

Lark itself reads the grammar, so that it means what it means there. Of what Lark refuses, and of what only
Lark's other parsers can do, the error shows line and column.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeAlias

from lark import Token
from lark.exceptions import LarkError, VisitError
from lark.load_grammar import load_grammar

from grammars.errors import GrammarError
from grammars.grammar_text import GrammarText
from grammars.lark_limits import check_limits, check_terminals

_PLACE = re.compile(r"at line (\d+),? column (\d+)")
_HINT = "the notation is that of the Lark library: https://lark-parser.readthedocs.io/en/stable/grammar.html"

LarkRule: TypeAlias = "tuple[str, tuple[str | Terminal, ...]]"
"""A rule: its name, and what it consists of, rules by name."""


@dataclass(frozen=True)
class Terminal:
    """A terminal, by name."""

    name: str


@dataclass(frozen=True)
class LoadedGrammar:
    """A grammar as Lark compiles it.

    Attributes
    ----------
    text:
        Its text.
    lark:
        Lark's own object, for Lark's parsers.
    rules:
        The rules that are in use.
    patterns:
        Of each terminal in use the pattern, in the syntax of Python's `re`, and the literal that it stands for
        if it has no name of its own.
    ignored:
        The terminals to ignore.
    files:
        The imported files, each with a hash of what it held.
    """

    text: GrammarText
    lark: Any
    rules: tuple[LarkRule, ...]
    patterns: dict[str, tuple[str, str | None]]
    ignored: tuple[str, ...]
    files: tuple[tuple[str, str], ...]

    def terminal_error(self, name: str, reason: str, hint: str) -> GrammarError:
        """Return the error about a terminal, with its place."""
        raw = self.patterns[name][1] if name in self.patterns else None
        at = self.text.find([raw] if raw else [])
        if at is None:
            at = self.text.find_imported(name)
        ignored = re.fullmatch(r"__IGNORE_(\d+)", name)
        if ignored:
            directives = [token.at for token in self.text.tokens if token.text == "%ignore"]
            at = directives[int(ignored[1])] if int(ignored[1]) < len(directives) else None
        label = raw if raw else "what is ignored" if ignored else name
        return self.text.error(f"`{label}`: {reason}", at, hint)


def load(
    text: GrammarText, start: str, source: str | None, import_paths: Sequence[str], keep_all_tokens: bool
) -> LoadedGrammar:
    """Return the grammar as Lark compiles it.

    Parameters
    ----------
    text, start:
        The grammar, and its first rule.
    source:
        The file that it comes from, beside which `%import .name` looks; None: beside the main script.
    import_paths:
        Directories in which `%import name` looks first.
    keep_all_tokens:
        As in Lark.

    Raises
    ------
    GrammarError
        If Lark refuses it.
    """
    check_terminals(text)
    try:
        grammar, files = load_grammar(
            text.for_lark, source or "<string>", list(import_paths), keep_all_tokens
        )
        check_limits(text, grammar)
        _check_start(text, grammar, start)
        terminals, rules, ignored = grammar.compile([start], set())
    except GrammarError:
        raise
    except RecursionError:
        raise text.error("it is nested too deeply", None, "give names to the parts") from None
    except Exception as error:  # of Lark: also OSError, and assertions about grammars
        raise _translated(text, error) from error
    loaded = LoadedGrammar(
        text,
        grammar,
        tuple((rule.origin.name, tuple(map(_symbol, rule.expansion))) for rule in rules),
        {terminal.name: (terminal.pattern.to_regexp(), _raw(terminal, grammar)) for terminal in terminals},
        tuple(dict.fromkeys(ignored)),
        tuple(sorted((str(path), digest) for path, digest in files.items())),
    )
    used = [s.name for _, right in loaded.rules for s in right if isinstance(s, Terminal)]
    for name in (*used, *loaded.ignored):
        if name not in loaded.patterns:
            raise loaded.terminal_error(
                name,
                "a terminal that is only declared, so that nothing tells what it matches",
                "define it; there is no postlexer here",
            )
    return loaded


def _symbol(symbol: Any) -> str | Terminal:
    return Terminal(symbol.name) if symbol.is_term else str(symbol.name)


def _raw(terminal: Any, grammar: Any) -> str | None:
    """Return the literal that a terminal without a definition stands for."""
    named = any(name == terminal.name for name, _ in grammar.term_defs)
    return None if named else terminal.pattern.raw


def _translated(text: GrammarText, error: Exception) -> GrammarError:
    """Return what an error of Lark's says, with the place, as far as it tells."""
    reason = re.split(r"\n\n|\nExpected", str(error), maxsplit=1)[0].strip() or type(error).__name__
    reason = re.sub(r"\bToken\('\w+', (.*?)\)(?=\W*$)", r"\1", reason)
    place = _PLACE.search(reason)
    at: int | None = None
    if place:
        at = text.index(int(place[1]), int(place[2]))
        reason = re.sub(rf",? *{_PLACE.pattern}( in [^\n:]*)?:?", "", reason).strip()
    elif isinstance(error, OSError):
        name = re.split(r"[\\/.]", error.filename or "")[-2:][:1]
        at = text.find([*name, "%import"])
        reason = f"there is no grammar to import at {error.filename!r}"
    elif isinstance(error, VisitError):
        tokens = error.obj.scan_values(lambda value: isinstance(value, Token))
        token = next((token for token in tokens if token.line), None)
        at = text.index(token.line, token.column) if token else None
        reason = f"this {error.obj.data} has no meaning"
    elif isinstance(error, LarkError):
        at = _named_in(text, reason)
    else:
        reason = f"Lark cannot read it ({type(error).__name__}: {reason})"
    return text.error(reason[:500], at, _HINT)


def _named_in(text: GrammarText, reason: str) -> int | None:
    """Return the place of what Lark speaks of: a name in quotes, a repetition, a literal, any name."""
    quoted = re.findall(r"['`{](\w+)", reason)
    names = [name for name in quoted if text.find([name]) is not None]
    numbers = re.search(r"\((-?\d+)\.\.(-?\d+)", reason)
    if numbers:
        repetition = re.search(rf"~\s*{numbers[1]}\s*\.\.\s*{numbers[2]}(?!\d)", text.text)
        return repetition.start() if repetition else None
    written = (token.text for token in text.tokens if token.text[0] in '"/')
    literals = [literal for literal in written if literal in reason or repr(literal[1:-1]) in reason]
    return text.find([*names, *literals, *re.findall(r"\w+", reason)])


def _check_start(text: GrammarText, grammar: Any, start: str) -> None:
    names = [str(name) for name, parameters, _, _ in grammar.rule_defs if not parameters]
    if start not in names:
        close = get_close_matches(start, names, n=1)
        raise text.error(
            f"there is no rule `{start}` to start with",
            None,
            f"did you mean start={close[0]!r}?" if close else "name the first rule: start=...",
        )
