"""Grammars over terminals, each of which is a regular language of characters.

Between terminals, before the first and after the last, any number of *ignored* words may stand. A text is in
the language if it can be cut into words, some of them ignored, such that the others are words of terminals
which the rules derive in that order. Every cut counts: no word is preferred because it is longer, or because
of a priority.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grammars.byte_rules import ByteRules
from grammars.character_automaton import CharacterAutomaton
from grammars.reduced import useful_rules
from grammars.rules import NonTerminal, Rule, Symbol

WHOLE = "#text"
_IGNORED = "#ignored"


@dataclass(frozen=True)
class TerminalGrammar:
    """A grammar over terminals, with nothing useless in it.

    Attributes
    ----------
    rules:
        Left-hand side, and right-hand side: names of nonterminals, and numbers of terminals.
    start:
        The nonterminal of a whole text.
    names:
        Of each terminal its name.
    automata:
        Of each terminal its words, none of them empty.
    ignored:
        One or more words to ignore in a row; None if nothing is ignored.
    """

    rules: tuple[tuple[str, tuple[str | int, ...]], ...]
    start: str
    names: tuple[str, ...]
    automata: tuple[CharacterAutomaton, ...]
    ignored: CharacterAutomaton | None

    @classmethod
    def of(
        cls,
        rules: Sequence[tuple[str, tuple[str | int, ...]]],
        start: str,
        names: Sequence[str],
        automata: Sequence[CharacterAutomaton],
        ignored: CharacterAutomaton | None,
    ) -> TerminalGrammar:
        """Return the grammar without the rules that no text needs.

        Raises
        ------
        ContradictionError
            If no text can be derived.
        """
        empty = {number for number, automaton in enumerate(automata) if automaton.is_empty}
        marked = [
            (lhs, tuple(s if isinstance(s, str) else frozenset({s} - empty) for s in rhs), 1.0)
            for lhs, rhs in rules
        ]
        useful = tuple(
            (lhs, tuple(s if isinstance(s, str) else next(iter(s)) for s in rhs))
            for lhs, rhs, _ in useful_rules(marked, start)
        )
        return cls(useful, start, tuple(names), tuple(automata), ignored)

    @property
    def used(self) -> list[int]:
        """The terminals that occur in the rules."""
        return sorted({symbol for _, rhs in self.rules for symbol in rhs if isinstance(symbol, int)})

    def byte_rules(self) -> list[Rule]:
        """Return rules over bytes that derive the texts from `WHOLE`."""
        words = ByteRules()
        rest: tuple[Symbol, ...] = ()
        if self.ignored is not None:
            run = words.automaton("#run", self.ignored)
            rest = (NonTerminal(_IGNORED),)
            words.rules += [Rule(_IGNORED), Rule(_IGNORED, (run,))]
        symbols: dict[str | int, Symbol] = {}
        for number in self.used:
            word = words.automaton(f"#{self.names[number]}", self.automata[number])
            symbol = symbols[number] = NonTerminal(f"#{self.names[number]} and what is ignored")
            words.rules.append(Rule(symbol.name, (word, *rest)))
        for lhs, rhs in self.rules:
            right = (symbols.get(symbol) or NonTerminal(str(symbol)) for symbol in rhs)
            words.rules.append(Rule(lhs, tuple(right)))
        words.rules.append(Rule(WHOLE, (*rest, NonTerminal(self.start))))
        return words.rules
