"""Does greedy lexing change a language?

A greedy lexer gives a terminal the longest word that any terminal allowed there can have. That is the only
way to cut a text, and so changes nothing, if no word can go on where it may also end: there are no terminals
A and B, allowed at the same place, with a word w of A and a byte c such that w c begins a word of B, and c may
also begin what follows A. Then all derivations of a text agree on where words end, and greed finds these ends:
by induction, if two derivations agree so far and the next word of one were a proper prefix of the next word of
the other, then the byte after it would be such a c.

What is allowed at one place is overestimated, so that the answer errs on one side: a conflict may be harmless.
A place is described by the terminals that may come next. From the start all pairs of places are explored that
some text might lead to at once, because terminals can have words in common.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import NamedTuple, TypeAlias

from grammars.character_automaton import CharacterAutomaton
from grammars.terminal_grammar import TerminalGrammar

_PAIRS = 50_000  # of places; about 2 s
_IGNORED = -1

_Occurrences: TypeAlias = frozenset[tuple[int, int]]
"""Terminals in rules: number of the rule, and position in it."""


class _Place(NamedTuple):
    """What may come next, and whether ignored words may come before that."""

    next: _Occurrences
    skips: bool


def conflict(grammar: TerminalGrammar) -> str | None:
    """Return a reason why greedy lexing might change the language, or None if it does not."""
    return _Search(grammar).run()


class _Search:
    def __init__(self, grammar: TerminalGrammar) -> None:
        self._grammar = grammar
        self._next = _Next(grammar)
        self._rows: dict[_Place, dict[int, tuple[frozenset[int], frozenset[_Place]]]] = {}

    def run(self) -> str | None:
        if self._harmless_anywhere():
            return None
        start = _Place(self._next.first[self._grammar.start], self._skips)
        todo = [(start, start)]
        seen = set(todo)
        while todo:
            row, other_row = map(self._row, todo.pop())
            for a, (follow, places) in row.items():
                for b in self._rivals[a] & other_row.keys():
                    follow_other, places_other = other_row[b]
                    if self._going_on(a, b) & follow:
                        return self._report(a, b)
                    if self._going_on(b, a) & follow_other:
                        return self._report(b, a)
                    if self._relations[a, b][1]:
                        new = {(p, q) for p in places for q in places_other} - seen
                        seen |= new
                        todo += new
            if len(seen) > _PAIRS:
                return "its terminals have too much in common to tell where words end"
        return None

    def _harmless_anywhere(self) -> bool:
        """Return whether there is no conflict even if all terminals were allowed everywhere."""
        follow: defaultdict[int, frozenset[int]] = defaultdict(frozenset)
        places = {_Place(next_ones, self._skips) for next_ones in self._next.all_after}
        for row in map(self._row, places):
            for terminal, (bytes_after, _) in row.items():
                follow[terminal] |= bytes_after
        return not any(on & follow[a] for (a, _), (on, _) in self._relations.items())

    def _report(self, ends: int, continues: int) -> str:
        other = "it" if ends == continues else self._name(continues)
        also = " also" if ends == continues else ""
        return f"a word of {self._name(ends)} may end where {other} could{also} go on"

    def _row(self, place: _Place) -> dict[int, tuple[frozenset[int], frozenset[_Place]]]:
        """Return of each terminal allowed at a place the bytes that may follow it, and where it leads."""
        if place not in self._rows:
            after: defaultdict[int, set[_Place]] = defaultdict(set)
            for occurrence in place.next:
                following = self._next.after(occurrence)
                after[self._next.terminal(occurrence)].add(_Place(following, self._skips))
            if place.skips:
                after[_IGNORED].add(_Place(place.next, False))
            self._rows[place] = {
                terminal: (frozenset().union(*map(self._lead_bytes, places)), frozenset(places))
                for terminal, places in after.items()
            }
        return self._rows[place]

    @property
    def _skips(self) -> bool:
        return self._grammar.ignored is not None

    def _lead_bytes(self, place: _Place) -> frozenset[int]:
        terminals = {self._next.terminal(occurrence) for occurrence in place.next}
        if place.skips:
            terminals.add(_IGNORED)
        return frozenset().union(*(self._automaton(terminal).lead_bytes[0] for terminal in terminals))

    def _going_on(self, a: int, b: int) -> frozenset[int]:
        """Return the bytes with which b can go on where a word of a ends."""
        return self._relations[a, b][0]

    @cached_property
    def _relations(self) -> dict[tuple[int, int], tuple[frozenset[int], bool]]:
        """Of terminals a, b the bytes with which b can go on where a word of a ends, and if they share a word.

        Only of those that have to do with each other.
        """
        found = {}
        terminals = [*self._grammar.used, *([_IGNORED] if self._skips else [])]
        for a, b in itertools.product(terminals, terminals):
            one, other = self._automaton(a), self._automaton(b)
            if one.moves[0].keys().isdisjoint(other.moves[0].keys()):
                continue
            ends = [pair for pair in one.pairs(other) if pair[0] in one.accepting]
            on = frozenset[int]().union(*(other.lead_bytes[there] for _, there in ends))
            found[a, b] = on, any(there in other.accepting for _, there in ends)
        return found

    @cached_property
    def _rivals(self) -> defaultdict[int, set[int]]:
        """Of each terminal those that begin as it does."""
        found: defaultdict[int, set[int]] = defaultdict(set)
        for a, b in self._relations:
            found[a].add(b)
        return found

    def _automaton(self, terminal: int) -> CharacterAutomaton:
        found = self._grammar.ignored if terminal == _IGNORED else self._grammar.automata[terminal]
        assert found is not None
        return found

    def _name(self, terminal: int) -> str:
        return "what is ignored" if terminal == _IGNORED else self._grammar.names[terminal]


class _Next:
    """Which terminals may come first, and next; ignored words do not count.

    Attributes
    ----------
    first:
        Of each nonterminal the terminals that may come first in it.
    """

    def __init__(self, grammar: TerminalGrammar) -> None:
        self._rules = grammar.rules
        self._start = grammar.start
        self._nullable: set[str] = set()
        while True:
            new = {lhs for lhs, rhs in self._rules if all(s in self._nullable for s in rhs)}
            if new == self._nullable:
                break
            self._nullable = new
        self.first = self._fixed_point(self._firsts())
        self._after: dict[tuple[int, int], _Occurrences] = {}

    def terminal(self, occurrence: tuple[int, int]) -> int:
        """Return the terminal of an occurrence."""
        symbol = self._rules[occurrence[0]][1][occurrence[1]]
        assert isinstance(symbol, int)
        return symbol

    @property
    def all_after(self) -> set[_Occurrences]:
        """What may come next, at the start and after each terminal."""
        occurrences = (
            (rule, at)
            for rule, (_, rhs) in enumerate(self._rules)
            for at, symbol in enumerate(rhs)
            if isinstance(symbol, int)
        )
        return {self.first[self._start], *map(self.after, occurrences)}

    def after(self, occurrence: tuple[int, int]) -> _Occurrences:
        """Return the terminals that may come next after one."""
        if occurrence not in self._after:
            rule, position = occurrence
            found, ends = self._beginning(rule, position + 1)
            self._after[occurrence] = found | self._follow[self._rules[rule][0]] if ends else found
        return self._after[occurrence]

    def _beginning(self, rule: int, position: int) -> tuple[_Occurrences, bool]:
        """Return the terminals that may come first from a position on, and whether the rule may end there."""
        found: set[tuple[int, int]] = set()
        rhs = self._rules[rule][1]
        for at in range(position, len(rhs)):
            symbol = rhs[at]
            if isinstance(symbol, int):
                found.add((rule, at))
                return frozenset(found), False
            found |= self.first[symbol]
            if symbol not in self._nullable:
                return frozenset(found), False
        return frozenset(found), True

    def _firsts(self) -> Iterator[tuple[str, str | tuple[int, int]]]:
        for rule, (lhs, rhs) in enumerate(self._rules):
            for at, symbol in enumerate(rhs):
                yield lhs, (rule, at) if isinstance(symbol, int) else symbol
                if symbol not in self._nullable:
                    break

    @cached_property
    def _follow(self) -> dict[str, _Occurrences]:
        """Of each nonterminal the terminals that may come next after it."""
        given: list[tuple[str, str | tuple[int, int]]] = []
        for rule, (lhs, rhs) in enumerate(self._rules):
            for at, symbol in enumerate(rhs):
                if isinstance(symbol, str):
                    found, ends = self._beginning(rule, at + 1)
                    given += ((symbol, occurrence) for occurrence in found)
                    if ends:
                        given.append((symbol, lhs))
        return self._fixed_point(given)

    def _fixed_point(self, given: Iterable[tuple[str, str | tuple[int, int]]]) -> dict[str, _Occurrences]:
        """Return the least sets that hold what is given, an occurrence or all of another nonterminal's."""
        found: dict[str, set[tuple[int, int]]] = {lhs: set() for lhs, _ in self._rules}
        users: defaultdict[str, set[str]] = defaultdict(set)
        for name, item in given:
            if isinstance(item, str):
                users[item].add(name)
            else:
                found[name].add(item)
        todo = [name for name, items in found.items() if items]
        while todo:
            name = todo.pop()
            for user in users[name]:
                if not found[name] <= found[user]:
                    found[user] |= found[name]
                    todo.append(user)
        return {name: frozenset(items) for name, items in found.items()}
