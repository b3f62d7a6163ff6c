"""Rules over bytes for what is regular over characters.

The rules of an automaton are left-linear: a nonterminal for each state derives the words that lead there. An
Earley parser then holds one item set for all of a word, from where it began, and the loops of the automaton
come back to the same column; right-linear rules would pile up a column for each character.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from grammars.character_automaton import CharacterAutomaton
from grammars.characters import Characters
from grammars.rules import ByteSet, NonTerminal, Rule, Symbol

_Node: TypeAlias = tuple[tuple[int, int], ...]
"""A node of a trie of byte strings: bytes, ascending, each with the number of the node after it."""

_END = 1
_FORMS = ((0x80, 0x7FF, 0xC0, 1), (0x800, 0xFFFF, 0xE0, 2), (0x10000, 0x10FFFF, 0xF0, 3))
"""UTF-8 beyond ASCII: first and last code point, mark of the lead byte, number of bytes after it."""


class ByteRules:
    """Rules over bytes, for automata, that share what they can.

    Attributes
    ----------
    rules:
        The rules so far. The names of their nonterminals begin with `#`, or with the name of an automaton.
    """

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self._characters: dict[Characters, list[Symbol]] = {}
        self._numbers: dict[_Node, int] = {(): 0, ((-1, -1),): _END}
        self._nodes: list[_Node] = list(self._numbers)
        self._derived: dict[int, Symbol] = {}

    def automaton(self, name: str, automaton: CharacterAutomaton) -> NonTerminal:
        """Add rules for the words of an automaton, but for the empty one; return what derives them."""
        reached = {target for after in automaton.moves for target in after.values()}
        for state, after in enumerate(automaton.edges):
            for target, characters in after.items():
                for symbol in self._symbols(characters):
                    to = f"{name}#{target}"
                    if state == 0:
                        self.rules.append(Rule(to, (symbol,)))
                    if state in reached:
                        self.rules.append(Rule(to, (NonTerminal(f"{name}#{state}"), symbol)))
        ends = sorted(automaton.accepting & reached)
        self.rules += [Rule(name, (NonTerminal(f"{name}#{end}"),)) for end in ends]
        if not ends:
            self.rules.append(Rule(name, (ByteSet(b""),)))
        return NonTerminal(name)

    def _symbols(self, characters: Characters) -> list[Symbol]:
        """Return symbols that derive the characters between them: bytes of ASCII, and the rest."""
        if characters not in self._characters:
            ranges = characters.ranges
            ascii_bytes = [code for first, last in ranges for code in range(first, min(last, 127) + 1)]
            symbols: list[Symbol] = [ByteSet(ascii_bytes)] if ascii_bytes else []
            trie = self._trie(characters)
            self._characters[characters] = [*symbols, self._strings(trie)] if trie else symbols
        return self._characters[characters]

    def _strings(self, node: int) -> Symbol:
        """Return a symbol that derives the byte strings from a node on."""
        groups: defaultdict[int, list[int]] = defaultdict(list)
        for byte, after in self._nodes[node]:
            groups[after].append(byte)
        if groups.keys() == {_END}:
            return ByteSet(groups[_END])
        if node not in self._derived:
            symbol = self._derived[node] = NonTerminal(f"#{node}")
            for after, found in groups.items():
                self.rules.append(Rule(symbol.name, (ByteSet(found), self._strings(after))))
        return self._derived[node]

    def _trie(self, characters: Characters) -> int:
        """Return the node of the UTF-8 of the characters beyond ASCII."""
        leads: list[tuple[int, int]] = []
        for low, high, mark, depth in _FORMS:
            bits = np.zeros(high + 1, dtype=bool)
            for first, last in characters.ranges:
                bits[max(first, low) : last + 1] = True
            if bits.any():
                nodes = self._blocks(bits)
                for _ in range(depth - 1):
                    nodes = [self._node(nodes[at : at + 64]) for at in range(0, len(nodes), 64)]
                leads += [(mark | number, node) for number, node in enumerate(nodes) if node]
        return self._number(tuple(leads))

    def _blocks(self, bits: NDArray[np.bool_]) -> list[int]:
        """Return of each 64 code points the node of their last bytes."""
        rows = np.packbits(bits.reshape(-1, 64), axis=1)
        known: dict[bytes, int] = {}
        result = []
        for at, row in enumerate(map(bytes, rows)):
            if row not in known:
                known[row] = self._node([_END if bit else 0 for bit in bits[64 * at : 64 * at + 64]])
            result.append(known[row])
        return result

    def _node(self, after: list[int]) -> int:
        """Return the node of continuation bytes, from 0x80 on, after each of which comes another."""
        return self._number(tuple((0x80 + number, node) for number, node in enumerate(after) if node))

    def _number(self, node: _Node) -> int:
        if node not in self._numbers:
            self._numbers[node] = len(self._nodes)
            self._nodes.append(node)
        return self._numbers[node]
