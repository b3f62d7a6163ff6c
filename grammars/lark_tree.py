"""Parse trees from Lark's own Earley parser.

Lark's parser, with its lexer `dynamic_complete`, tries every way to cut a text into terminals, but for three
things, which are mended here in the grammar that it is given:

* Of ignored text it skips the longest piece only. Where a shorter one might do, what is ignored becomes part
  of the rules.
* It fails where a text ends in two ways, with ignored text and without. So an end mark that no text holds is
  made part of the grammar, and of the text.
* What is ignored becomes one terminal, since a run of pieces may have to be cut in another way than greedily.
"""

from __future__ import annotations

from typing import Any

import lark
from lark.exceptions import LarkError
from lark.grammar import NonTerminal, Rule, RuleOptions, Terminal
from lark.lexer import PatternRE, PatternStr, TerminalDef
from lark.load_grammar import Grammar

from grammars.errors import MatcherError

_END = "\udfff"  # half a character, which no text holds
_WHOLE = "__whole"
_IGNORED = "__ignored"


class _Ended(Grammar):  # type: ignore[misc]
    """A grammar whose texts end in the end mark, with one terminal to ignore at most."""

    def __init__(self, grammar: Any, start: str, explicit: bool) -> None:
        super().__init__(grammar.rule_defs, grammar.term_defs, grammar.ignore)
        self._start = start
        self._explicit = explicit

    def compile(self, start: Any, terminals_to_keep: Any) -> tuple[list[Any], list[Any], list[str]]:
        terminals, rules, ignored = super().compile([self._start], terminals_to_keep)
        terminals.append(TerminalDef("__END", PatternStr(_END)))
        end = Terminal("__END", filter_out=True)
        if not ignored:
            whole = [NonTerminal(self._start), end]
            return terminals, [*rules, _rule(_WHOLE, whole)], []
        if self._explicit:
            skip = NonTerminal(_IGNORED)
            pieces = [[skip, Terminal(name, filter_out=True)] for name in dict.fromkeys(ignored)]
            room = [_rule(_IGNORED, piece, order) for order, piece in enumerate([[], *pieces])]
            whole = [skip, NonTerminal(self._start), end]
            return terminals, [*map(_skipping, rules), *room, _rule(_WHOLE, whole)], []
        patterns = [t.pattern.to_regexp() for t in terminals if t.name in ignored]
        used = {symbol.name for rule in rules for symbol in rule.expansion}
        terminals = [t for t in terminals if t.name not in ignored or t.name in used]
        terminals.append(TerminalDef("__IGNORED", PatternRE(f"{ignored_pattern(patterns)}(?<!{_END})")))
        return terminals, [*rules, _rule(_WHOLE, [NonTerminal(self._start), end])], ["__IGNORED"]


def ignored_pattern(patterns: list[str]) -> str:
    """Return the pattern of one or more pieces of ignored text."""
    return f"(?:{'|'.join(f'(?:{pattern})' for pattern in patterns)})+"


def _rule(name: str, expansion: list[Any], order: int = 0) -> Any:
    return Rule(NonTerminal(name), expansion, order, None, RuleOptions())


def _skipping(rule: Any) -> Any:
    """Return a rule with room for ignored text after each terminal."""
    options = rule.options
    absent = list(options.empty_indices) if options else []
    expansion: list[Any] = []
    marks: list[bool] = []
    symbols = iter(rule.expansion)
    for empty in absent or [False] * len(rule.expansion):
        marks.append(empty)
        if not empty:
            symbol = next(symbols)
            expansion.append(symbol)
            if symbol.is_term:
                expansion.append(NonTerminal(_IGNORED))
                marks.append(False)
    if absent:
        options = RuleOptions(
            options.keep_all_tokens, options.expand1, options.priority, options.template_source, tuple(marks)
        )
    return Rule(rule.origin, expansion, rule.order, rule.alias, options)


class TreeParser:
    """Lark's parser for one grammar.

    Parameters
    ----------
    grammar:
        Lark's object of the grammar.
    start:
        The rule to start with.
    explicit:
        Whether ignored text may have to end before it can go on no further.
    keep_all_tokens, maybe_placeholders:
        As in Lark.
    """

    def __init__(
        self, grammar: Any, start: str, *, explicit: bool, keep_all_tokens: bool, maybe_placeholders: bool
    ) -> None:
        self._start = start
        self._lark = lark.Lark(
            _Ended(grammar, start, explicit),
            parser="earley",
            lexer="dynamic_complete",
            start=_WHOLE,
            keep_all_tokens=keep_all_tokens,
            maybe_placeholders=maybe_placeholders,
        )

    def parse(self, text: str) -> Any:
        """Return the tree of a text of the grammar.

        Raises
        ------
        MatcherError
            If Lark finds none.
        """
        try:
            whole = self._lark.parse(text + _END)
        except (LarkError, RecursionError) as error:
            raise MatcherError(
                f"Lark's Earley parser failed on a text of the grammar: {type(error).__name__}",
                hint="the text is in the language; please report the grammar",
            ) from error
        if self._start.startswith("_"):
            return lark.Tree(self._start, whole.children)
        return whole.children[0]
