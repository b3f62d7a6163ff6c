"""Deterministic finite automata over the classes of an alphabet of characters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from grammars.characters import Alphabet, Characters


class CharacterAutomaton:
    """A deterministic finite automaton, trimmed: from every state a word can be completed.

    Parameters
    ----------
    alphabet:
        The classes of characters.
    moves:
        Of each state the state after a character of a class. State 0 is the start; it stays if no word can be
        completed, so that the automaton of no word has one state.
    accepting:
        The states in which a word may end.
    """

    def __init__(
        self, alphabet: Alphabet, moves: Sequence[Mapping[int, int]], accepting: Iterable[int]
    ) -> None:
        self.alphabet = alphabet
        ends = set(accepting)
        before: defaultdict[int, set[int]] = defaultdict(set)
        for state, after in enumerate(moves):
            for target in after.values():
                before[target].add(state)
        useful = set(ends)
        todo = list(ends)
        while todo:
            new = before[todo.pop()] - useful
            useful |= new
            todo += new
        numbers = {state: new for new, state in enumerate(sorted(useful | {0}))}
        self.moves = [
            {index: numbers[target] for index, target in moves[state].items() if target in useful}
            for state in numbers
        ]
        self.accepting = frozenset(numbers[state] for state in ends)

    @property
    def is_empty(self) -> bool:
        """Whether there is no word."""
        return not self.accepting

    @cached_property
    def edges(self) -> list[dict[int, Characters]]:
        """Of each state the characters that lead to each next state."""
        result: list[dict[int, Characters]] = []
        for after in self.moves:
            classes: defaultdict[int, list[int]] = defaultdict(list)
            for index, target in after.items():
                classes[target].append(index)
            result.append({target: self.alphabet.union(found) for target, found in classes.items()})
        return result

    @cached_property
    def lead_bytes(self) -> list[frozenset[int]]:
        """Of each state the bytes with which a next character may begin."""
        return [
            frozenset().union(*(characters.lead_bytes() for characters in after.values()))
            for after in self.edges
        ]

    def minimised(self) -> CharacterAutomaton:
        """Return the smallest automaton of the same words (Moore's algorithm)."""
        block = [int(state in self.accepting) for state in range(len(self.moves))]
        count = len(set(block))
        while True:
            numbers: dict[object, int] = {}
            keys = (
                (block[state], frozenset((index, block[target]) for index, target in after.items()))
                for state, after in enumerate(self.moves)
            )
            block = [numbers.setdefault(key, len(numbers)) for key in keys]
            if len(numbers) == count:
                break
            count = len(numbers)
        moves: list[dict[int, int]] = [{} for _ in range(count)]
        for state, after in enumerate(self.moves):
            moves[block[state]] = {index: block[target] for index, target in after.items()}
        return CharacterAutomaton(self.alphabet, moves, {block[state] for state in self.accepting})

    def equivalent(self, other: CharacterAutomaton) -> bool:
        """Return whether both have the same words; their alphabet must be the same object."""
        seen = {(0, 0)}
        todo = [(0, 0)]
        while todo:
            mine, theirs = todo.pop()
            here, there = self.moves[mine], other.moves[theirs]
            if (mine in self.accepting) != (theirs in other.accepting) or here.keys() != there.keys():
                return False
            for index, target in here.items():
                pair = (target, there[index])
                if pair not in seen:
                    seen.add(pair)
                    todo.append(pair)
        return True

    def pairs(self, other: CharacterAutomaton) -> set[tuple[int, int]]:
        """Return the pairs of states, of this and the other automaton, that some text leads to."""
        seen = {(0, 0)}
        todo = [(0, 0)]
        while todo:
            mine, theirs = todo.pop()
            there = other.moves[theirs]
            for index, target in self.moves[mine].items():
                if index in there and (pair := (target, there[index])) not in seen:
                    seen.add(pair)
                    todo.append(pair)
        return seen


def repeated(automata: Sequence[CharacterAutomaton], limit: int) -> CharacterAutomaton | None:
    """Return the automaton of one or more words of any of `automata`, in a row.

    None if it takes more than `limit` states. The automata must share their alphabet.
    """
    start = frozenset((which, 0) for which in range(len(automata)))
    numbers: dict[tuple[bool | None, frozenset[tuple[int, int]]], int] = {(None, start): 0}
    todo = [start]  # where in which automaton we may be, and whether a word may end there
    moves: list[dict[int, int]] = []
    while len(moves) < len(todo):
        after: defaultdict[int, set[tuple[int, int]]] = defaultdict(set)
        for which, state in todo[len(moves)]:
            for index, target in automata[which].moves[state].items():
                after[index].add((which, target))
        row: dict[int, int] = {}
        for index, targets in after.items():
            ends = any(target in automata[which].accepting for which, target in targets)
            key = ends, frozenset(targets | start if ends else targets)
            if key not in numbers:
                if len(numbers) == limit:
                    return None
                numbers[key] = len(numbers)
                todo.append(key[1])
            row[index] = numbers[key]
        moves.append(row)
    accepting = [number for (ends, _), number in numbers.items() if ends]
    return CharacterAutomaton(automata[0].alphabet, moves, accepting).minimised()
