"""Earley's recogniser over bytes: incremental, with shared immutable columns.

A *column* stands for a prefix of a text. It holds for each *origin* (an earlier column, where a nonterminal
began) the set of items A -> α • β for which α derives the bytes since then. Four ideas make a byte cheap:

* Items with the same origin are kept as one `ItemSet`, and what such a set becomes on a byte or on a
  nonterminal is looked up in a table that fills as it is used: an LR(0) automaton, built lazily. [1]
* Empty derivations never reach the columns: the dot passes nullable nonterminals when an item is made. [1]
* What a nonterminal that began at a column brings about once it ends, *through all chains of rules that end
  with it*, is worked out once for each column. As in Leo's algorithm, right recursion then takes linear time,
  since an item whose dot is at the end is never stored, only the items that it leads to. [2]
* A column is a value: equal columns are one object, which remembers its successors. A fork is a reference,
  texts that share a prefix share its columns, and so do the loops of a text, such as the characters of a
  string.

The columns that remember their successors are counted; beyond a limit all of them forget. That costs time
only. A byte that takes too many steps raises `MatcherError`.

References
----------
.. [1] J. Aycock, R. N. Horspool. "Practical Earley Parsing". The Computer Journal 45(6), 2002.
.. [2] J. M. I. M. Leo. "A general context-free parsing algorithm running in linear time on every LR(k)
   grammar without using lookahead". Theoretical Computer Science 82, 1991.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TypeAlias

from grammars.errors import MatcherError
from grammars.reduced import ReducedGrammar

STEPS_PER_BYTE = 1_000_000  # about 0.2 s
COLUMNS = 50_000  # about 50 MB
ITEM_SETS = 50_000

Ended: TypeAlias = frozenset[int]
"""Nonterminals that end at a column, having begun at one origin."""


class ItemSet:
    """Items with one origin, none with the dot at the end but the one that accepts.

    Attributes
    ----------
    items:
        The items.
    calls:
        The nonterminals that follow a dot.
    accepting:
        Whether the item that accepts is among them.
    on_byte, on_ended, closures, unions:
        What became of it: tables of the recogniser.
    """

    __slots__ = ("accepting", "calls", "closures", "items", "on_byte", "on_ended", "unions", "waiting")

    def __init__(self, items: frozenset[int], grammar: ReducedGrammar) -> None:
        self.items = items
        self.accepting = grammar.accept in items
        self.waiting: defaultdict[int, list[int]] = defaultdict(list)
        for item in items:
            symbol = grammar.after[item]
            if isinstance(symbol, int):
                self.waiting[symbol].append(item + 1)
        self.calls = frozenset(self.waiting)
        self.on_byte: dict[int, tuple[ItemSet | None, Ended]] = {}
        self.on_ended: dict[Ended, tuple[ItemSet | None, Ended]] = {}
        self.closures: dict[Ended, tuple[ItemSet | None, Ended]] = {}
        self.unions: dict[ItemSet, ItemSet] = {}


class Column:
    """What the recogniser knows of a prefix.

    Attributes
    ----------
    kernels:
        Each origin with its items: those that have moved since the origin.
    predicted:
        The items that begin here, closed under prediction.
    accepting:
        Whether the prefix is a text.
    successors:
        The columns after each byte tried so far; None where no text goes on that way.
    reductions:
        For nonterminals that begin here what they bring about when they end: origins and items.
    """

    __slots__ = ("accepting", "kernels", "predicted", "reductions", "successors")

    def __init__(
        self, kernels: tuple[tuple[Column, ItemSet], ...], predicted: ItemSet, accepting: bool
    ) -> None:
        self.kernels = kernels
        self.predicted = predicted
        self.accepting = accepting
        self.successors: dict[int, Column | None] = {}
        self.reductions: dict[Ended, tuple[tuple[Column, ItemSet], ...]] = {}


class Recogniser:
    """The columns of one grammar, and the way from each to the next.

    Parameters
    ----------
    grammar:
        The grammar, reduced.

    Attributes
    ----------
    start:
        The column of the empty prefix.
    """

    def __init__(self, grammar: ReducedGrammar) -> None:
        self._grammar = grammar
        self._corners = _left_corners(grammar)
        self._item_sets: dict[frozenset[int], ItemSet] = {}
        self._predictions: dict[frozenset[ItemSet] | ItemSet, ItemSet] = {}
        self._columns: dict[object, Column] = {}
        self._steps_left = STEPS_PER_BYTE
        predicted = self._predict([grammar.whole])
        self.start = Column((), predicted, predicted.accepting)

    def step(self, column: Column, byte: int) -> Column | None:
        """Return the column after one more byte, or None if no text goes on that way.

        Raises
        ------
        MatcherError
            If that takes more than `STEPS_PER_BYTE` steps.
        """
        try:
            return column.successors[byte]
        except KeyError:
            pass
        found: dict[Column, ItemSet] = {}
        self._steps_left = STEPS_PER_BYTE
        for origin, items in (*column.kernels, (column, column.predicted)):
            moved = items.on_byte.get(byte)
            if moved is None:
                moved = self._scan(items, byte)
            stay, ended = moved
            if stay is not None:
                self._join(found, origin, stay)
            if ended:
                reduction = origin.reductions.get(ended)
                if reduction is None:
                    reduction = self._reduce(origin, ended)
                self._count(len(reduction))
                for other, others in reduction:
                    self._join(found, other, others)
        following = self._column(found) if found else None
        column.successors[byte] = following
        return following

    def _join(self, found: dict[Column, ItemSet], origin: Column, items: ItemSet) -> None:
        old = found.setdefault(origin, items)
        if old is not items:
            union = old.unions.get(items)
            if union is None:
                union = old.unions[items] = self._item_set(old.items | items.items)
            found[origin] = union

    def _column(self, found: dict[Column, ItemSet]) -> Column:
        kernels = tuple(found.items())
        key: object = kernels[0] if len(kernels) == 1 else frozenset(kernels)
        column = self._columns.get(key)
        if column is None:
            if len(self._columns) >= COLUMNS or len(self._item_sets) >= ITEM_SETS:
                self._forget()
            sets = frozenset(found.values())
            predicted = self._predictions.get(sets)
            if predicted is None:
                calls = frozenset().union(*(items.calls for items in sets))
                predicted = self._predictions[sets] = self._predict(calls)
            column = Column(kernels, predicted, any(items.accepting for items in sets))
            self._columns[key] = column
        return column

    def _forget(self) -> None:
        """Drop every table, so that only the columns stay that someone holds."""
        for column in (self.start, *self._columns.values()):
            column.successors.clear()
        for items in self._item_sets.values():
            for table in (items.on_byte, items.on_ended, items.closures, items.unions):
                table.clear()
        self._columns.clear()
        self._item_sets.clear()
        self._predictions.clear()

    def _count(self, steps: int) -> None:
        self._steps_left -= steps
        if self._steps_left < 0:
            raise MatcherError(
                f"a byte took more than {STEPS_PER_BYTE} steps of the recogniser",
                hint="the grammar is too ambiguous for so long a text; bound its repetitions, or rewrite it",
            )

    def _reduce(self, column: Column, ended: Ended) -> tuple[tuple[Column, ItemSet], ...]:
        """Return what the end of nonterminals that began at `column` brings about: origins and their items.

        Reductions need reductions of earlier columns, down to the start of the text: hence the stack. A chain
        of columns that lead to one item each is not counted, since it is walked only once.
        """
        stack = [(column, ended)]
        while stack:
            begin, ended = stack[-1]
            if ended in begin.reductions:
                stack.pop()
                continue
            stay, ended_here = self._close(begin.predicted, ended)
            found: dict[Column, ItemSet] = {} if stay is None else {begin: stay}
            missing = []
            self._count(len(begin.kernels) - 1)
            for origin, items in begin.kernels:
                stay, more = self._go(items, ended_here)
                if stay is not None:
                    self._join(found, origin, stay)
                if more:
                    reduction = origin.reductions.get(more)
                    if reduction is None:
                        missing.append((origin, more))
                    elif not missing:
                        self._count(len(reduction) - 1)
                        for other, others in reduction:
                            self._join(found, other, others)
            if missing:
                stack += missing
            else:
                begin.reductions[ended] = tuple(found.items())
                stack.pop()
        return column.reductions[ended]

    def _scan(self, items: ItemSet, byte: int) -> tuple[ItemSet | None, Ended]:
        after = self._grammar.after
        following = []
        for item in items.items:
            symbol = after[item]
            if isinstance(symbol, frozenset) and byte in symbol:
                following.append(item + 1)
        moved = items.on_byte[byte] = self._moved(following)
        return moved

    def _go(self, items: ItemSet, ended: Ended) -> tuple[ItemSet | None, Ended]:
        """Return what `items` become when the nonterminals `ended` come to their end."""
        moved = items.on_ended.get(ended)
        if moved is None:
            moved = self._moved([item for name in items.calls & ended for item in items.waiting[name]])
            items.on_ended[ended] = moved
        return moved

    def _close(self, predicted: ItemSet, ended: Ended) -> tuple[ItemSet | None, Ended]:
        """Return the items at an origin after the nonterminals `ended`, and all that end there with them."""
        closure = predicted.closures.get(ended)
        if closure is None:
            following: list[int] = []
            closed = set(ended)
            todo = list(ended)
            while todo:
                items = predicted.waiting.get(todo.pop(), [])
                following += items
                new = self._moved(items)[1] - closed
                closed |= new
                todo += new
            closure = predicted.closures[ended] = (self._moved(following)[0], frozenset(closed))
        return closure

    def _moved(self, items: Iterable[int]) -> tuple[ItemSet | None, Ended]:
        """Let dots pass nullable nonterminals; return the items, and the left-hand sides of those at an end."""
        grammar = self._grammar
        stay: set[int] = set()
        ended: set[int] = set()
        for start in items:
            item = start
            while item not in stay:
                symbol = grammar.after[item]
                if symbol is None and item != grammar.accept:
                    ended.add(grammar.lhs[item])
                    break
                if symbol not in grammar.silent:
                    stay.add(item)
                if symbol not in grammar.nullable:
                    break
                item += 1
        return self._item_set(frozenset(stay)) if stay else None, frozenset(ended)

    def _predict(self, calls: Iterable[int]) -> ItemSet:
        names: frozenset[int] = frozenset().union(*(self._corners[name] for name in calls))
        items, _ = self._moved([item for name in names for item in self._grammar.first[name]])
        return items or self._item_set(frozenset())

    def _item_set(self, items: frozenset[int]) -> ItemSet:
        found = self._item_sets.get(items)
        if found is None:
            found = self._item_sets[items] = ItemSet(items, self._grammar)
        return found


def _left_corners(grammar: ReducedGrammar) -> list[frozenset[int]]:
    """Return of each nonterminal those that its derivations can begin with, itself included."""
    direct: list[set[int]] = [set() for _ in grammar.names]
    for name, starts in enumerate(grammar.first):
        for item in starts:
            while isinstance(symbol := grammar.after[item], int):
                direct[name].add(symbol)
                if symbol not in grammar.nullable:
                    break
                item += 1
    corners = []
    for name in range(len(direct)):
        reached = {name}
        todo = [name]
        while todo:
            new = direct[todo.pop()] - reached
            reached |= new
            todo += new
        corners.append(frozenset(reached))
    return corners
