"""Reduced grammars: numbered nonterminals, dotted rules as integers, nothing useless.

A nonterminal is *productive* if it derives a text, *reachable* if a derivation from the start uses it. In a
reduced grammar every nonterminal is both, so that whatever an Earley parser holds for possible can be
completed: the viable prefixes it recognises are exactly the prefixes of texts.

An *item* (dotted rule) is an integer; the item with the dot one symbol further is that integer plus 1.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import TypeAlias

from grammars.errors import ContradictionError, GrammarError
from grammars.rules import NonTerminal, Rule

Expanded: TypeAlias = tuple[str, tuple["str | frozenset[int]", ...], float]
"""Left-hand side, right-hand side (names, and bytes one by one), weight."""


class ReducedGrammar:
    """The useful rules of a grammar, as dotted items.

    Attributes
    ----------
    names:
        The nonterminals by number. Number 0 is the start; the last one, `whole`, stands for a complete text
        and has the one rule whole -> start.
    after:
        Of each item what follows the dot: the number of a nonterminal, a set of bytes, or None at the end.
    lhs:
        Of each item the number of the left-hand side.
    weights:
        Of each item the weight of its rule.
    first:
        Of each nonterminal the items with the dot in front, one for each rule.
    nullable:
        The nonterminals that derive the empty text.
    silent:
        The nonterminals that derive nothing else.
    whole, accept:
        The last nonterminal, and the item whole -> start • that marks complete texts.

    Raises
    ------
    GrammarError
        If a nonterminal has no rule.
    ContradictionError
        If no text can be derived from `start`.
    """

    def __init__(self, rules: Sequence[Rule], start: str) -> None:
        _check_defined(rules, start)
        useful = useful_rules([_expanded(rule) for rule in rules if rule.weight > 0], start)
        numbers = {start: 0}
        for lhs, _, _ in useful:
            numbers.setdefault(lhs, len(numbers))
        self.whole = len(numbers)
        self.names = (*numbers, "the whole text")
        self.after: list[int | frozenset[int] | None] = []
        self.lhs: list[int] = []
        self.weights: list[float] = []
        self.first: list[list[int]] = [[] for _ in self.names]
        for lhs, rhs, weight in useful:
            self._add(numbers[lhs], [numbers[s] if isinstance(s, str) else s for s in rhs], weight)
        self._add(self.whole, [0], 1.0)
        self.accept = len(self.after) - 1
        names = _derivable((lhs, rhs) for lhs, rhs, _ in useful if all(isinstance(s, str) for s in rhs))
        self.nullable = frozenset(numbers[name] for name in names)
        self.silent = self.nullable - {numbers[name] for name in _vocal(useful)}

    def _add(self, lhs: int, rhs: Sequence[int | frozenset[int]], weight: float) -> None:
        self.first[lhs].append(len(self.after))
        self.after += [*rhs, None]
        self.lhs += [lhs] * (len(rhs) + 1)
        self.weights += [weight] * (len(rhs) + 1)

    def rhs(self, item: int) -> list[int | frozenset[int]]:
        """Return what follows the dot of an item, up to the end of the rule."""
        rest = []
        while (symbol := self.after[item]) is not None:
            rest.append(symbol)
            item += 1
        return rest


def _check_defined(rules: Sequence[Rule], start: str) -> None:
    defined = {rule.lhs for rule in rules}
    if start not in defined:
        raise GrammarError(
            f"there is no rule for the start `{start}`", hint=_suggestion(start, defined, "pass start=...")
        )
    for rule in rules:
        for symbol in rule.rhs:
            if isinstance(symbol, NonTerminal) and symbol.name not in defined:
                raise GrammarError(
                    f"there is no rule for `{symbol}`, in {rule}",
                    hint=_suggestion(symbol.name, defined, f"add Rule({symbol.name!r}, ...)"),
                )


def _suggestion(name: str, defined: Iterable[str], otherwise: str) -> str:
    close = get_close_matches(name, defined, n=1)
    return f"did you mean `{close[0]}`?" if close else otherwise


def _expanded(rule: Rule) -> Expanded:
    symbols: list[str | frozenset[int]] = []
    for symbol in rule.rhs:
        if isinstance(symbol, NonTerminal):
            symbols.append(symbol.name)
        elif isinstance(symbol, bytes):
            symbols.extend(frozenset([byte]) for byte in symbol)
        else:
            symbols.append(symbol.values)
    return rule.lhs, tuple(symbols), rule.weight


def useful_rules(rules: list[Expanded], start: str) -> list[Expanded]:
    """Return the rules whose every symbol is productive and reachable, in their order."""
    rules = [rule for rule in rules if frozenset() not in rule[1]]
    productive = _derivable((lhs, rhs) for lhs, rhs, _ in rules)
    if start not in productive:
        raise ContradictionError(
            f"no text can be derived from `{start}`",
            hint="its recursion never ends, a set of bytes is empty, or a weight is 0",
        )
    rules = [rule for rule in rules if all(s in productive for s in rule[1] if isinstance(s, str))]
    uses: defaultdict[str, set[str]] = defaultdict(set)
    for lhs, rhs, _ in rules:
        uses[lhs].update(s for s in rhs if isinstance(s, str))
    reachable = {start}
    todo = [start]
    while todo:
        found = uses[todo.pop()] - reachable
        reachable |= found
        todo += found
    return [rule for rule in rules if rule[0] in reachable]


def _vocal(rules: list[Expanded]) -> set[str]:
    """Return the nonterminals that derive some byte; every symbol is productive."""
    users: defaultdict[str, set[str]] = defaultdict(set)
    todo = []
    for lhs, rhs, _ in rules:
        for symbol in rhs:
            if isinstance(symbol, str):
                users[symbol].add(lhs)
            else:
                todo.append(lhs)
    found = set(todo)
    while todo:
        new = users[todo.pop()] - found
        found |= new
        todo += new
    return found


def _derivable(rules: Iterable[tuple[str, tuple[str | frozenset[int], ...]]]) -> set[str]:
    """Return the nonterminals from which these rules derive something, bytes being derived already."""
    waiting: defaultdict[str, list[int]] = defaultdict(list)
    missing: list[int] = []
    heads: list[str] = []
    found: set[str] = set()
    todo: list[str] = []
    for number, (lhs, rhs) in enumerate(rules):
        needed = {symbol for symbol in rhs if isinstance(symbol, str)}
        heads.append(lhs)
        missing.append(len(needed))
        for name in needed:
            waiting[name].append(number)
        if not needed:
            todo.append(lhs)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        for number in waiting[name]:
            missing[number] -= 1
            if not missing[number]:
                todo.append(heads[number])
    return found
