"""Pages: where the tokens of rows stand in a cache, so that rows which begin alike keep that beginning once.

A *page* has room for the keys and values of `PAGE` tokens that follow each other. A row in a *slot* is a list of pages,
one for each `PAGE` columns, and a page may be held by several rows. A copy of a row holds the pages of the row, and
nothing moves. Before a row writes into a page that others go on holding, it gets a page of its own, with what stands
before the new tokens (copy on write). A page that no row holds is free. What a page does not hold is 0: it takes no
share in attention, but a share of 0 of what is not a number is none either.

What is kept here are numbers; the keys and values stand in the layers of `inference.engines.kv_cache`.

Reference: Kwon et al. (2023), *Efficient memory management for large language model serving with PagedAttention*.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

PAGE = 8
"""Tokens of a page. At the end of a row half a page is empty on average."""
_FEW = 64
"""So many pages are not given back."""
_NO_PAGE = _NO_TOKEN = -1


class Changes(NamedTuple):
    """What is to be done with the contents of pages before anything is written."""

    used: Ints
    """Pages to be filled with zeros."""
    old: Ints
    new: Ints
    """Pages to be copied to others or to themselves, all at once and after that."""
    kept: Ints
    """How many tokens of each are copied; the others are zeros."""


class Pages:
    """The pages of rows, and the tokens that stand in them.

    Attributes
    ----------
    table:
        (slots, blocks) the page in which each row has its columns from block · PAGE on; -1 for none.
    tokens:
        (slots, blocks · PAGE) the token in each column, which follows those before it; -1 for none.
    """

    def __init__(self) -> None:
        self.table: Ints = np.zeros((0, 0), dtype=np.int64)
        self.tokens: Ints = np.zeros((0, 0), dtype=np.int64)
        self._holders: Ints = np.zeros(0, dtype=np.int64)  # how many rows hold each page
        self._copies: set[int] = set()  # slots whose last page may go on with what is another's

    @property
    def count(self) -> int:
        """Number of pages, free ones included."""
        return len(self._holders)

    def reserve(self, slots: int, columns: int) -> None:
        """Make room in the table for so many slots and columns; no page is taken."""
        had, blocks = self.table.shape
        if slots <= had and columns <= blocks * PAGE:
            return
        if columns > blocks * PAGE:
            blocks = columns // PAGE * 5 // 4 + 1
        shape = max(slots, had), blocks
        self.table = _widened(self.table, shape, _NO_PAGE)
        self.tokens = _widened(self.tokens, (shape[0], blocks * PAGE), _NO_TOKEN)

    def share(self, to: Ints, at: Ints, columns: Ints) -> None:
        """Let the rows `to` be the first `columns` columns of the rows `at`; nobody is both."""
        held = self.table[at]
        held[np.arange(held.shape[1]) * PAGE >= columns[:, None]] = _NO_PAGE
        np.add.at(self._holders, held[held >= 0], 1)
        self._drop(self.table[to])
        self.table[to] = held
        tokens = self.tokens[at]
        tokens[np.arange(tokens.shape[1]) >= columns[:, None]] = _NO_TOKEN
        self.tokens[to] = tokens
        self._copies.update(to.tolist())

    def shrink(self, live: Collection[int]) -> Ints | None:
        """Leave out free pages where rows in `live` slots hold less than a quarter of many; return those that remain.

        They are numbered anew, in that order, and as many free ones come after them. None: all remain.
        """
        if self.count <= _FEW:
            return None
        held = np.unique(self.table[sorted(live)])
        held = held[held >= 0]
        if 4 * len(held) >= self.count:
            return None
        self._forget_all_but(live)
        places = np.full(self.count + 1, _NO_PAGE)
        places[held] = np.arange(len(held))
        self.table = places[self.table]
        self._holders = np.concatenate([self._holders[held], np.zeros_like(held)])
        return held

    def open(self, slots: Ints, begin: Ints, end: Ints, live: Collection[int]) -> Changes:
        """Give rows pages of their own for the columns from `begin` to `end`; what stood after `begin` is forgotten.

        Where pages are missing, rows in slots that are not `live` are forgotten, and then there are more pages. The
        rows of `slots` are live.
        """
        blocks = np.arange(self.table.shape[1])
        first, last = begin // PAGE, (end - 1) // PAGE
        held = self.table[slots]
        after = blocks * PAGE >= begin[:, None]  # what stood there may have been another row's
        self._drop(held[after])
        held[after] = _NO_PAGE
        row, block = np.nonzero((blocks >= first[:, None]) & (blocks <= last[:, None]))
        pages = held[row, block]
        needed = (pages < 0) | self._foreign(pages)
        before = self.count
        new = self._take(int(needed.sum()), live)
        shared = needed & (pages >= 0)
        copied = new[shared[needed]]
        used = np.setdiff1d(new[new < before], copied)
        stays = (pages >= 0) & ~needed & np.isin(slots[row], list(self._copies))
        self._copies.difference_update(slots.tolist())
        changes = Changes(
            used,
            np.concatenate([pages[shared], pages[stays]]),
            np.concatenate([copied, pages[stays]]),
            np.concatenate([begin[row[shared]], begin[row[stays]]]) % PAGE,
        )
        self._drop(pages[shared])
        self._holders[new] = 1
        held[row[needed], block[needed]] = new
        self.table[slots] = held
        return changes

    def _foreign(self, pages: Ints) -> NDArray[np.bool_]:
        """Return whether each page is held by another row as well, which is to go on holding it.

        Where all who hold a page are about to write into it, the first of them keeps it.
        """
        holders = np.zeros_like(pages)
        holders[pages >= 0] = self._holders[pages[pages >= 0]]
        if holders.max(initial=0) <= 1:
            return holders > 1
        _, at, inverse, writers = np.unique(pages, return_index=True, return_inverse=True, return_counts=True)
        keeps = np.zeros(len(pages), dtype=bool)
        keeps[at] = True
        foreign: NDArray[np.bool_] = (holders > 1) & ~(keeps & (writers[inverse] == holders))
        return foreign

    def _take(self, count: int, live: Collection[int]) -> Ints:
        free = np.flatnonzero(self._holders == 0)
        if len(free) < count:
            self._forget_all_but(live)
            free = np.flatnonzero(self._holders == 0)
        if len(free) < count:
            more = max(count - len(free), self.count // 16)
            self._holders = np.concatenate([self._holders, np.zeros(more, dtype=np.int64)])
            free = np.flatnonzero(self._holders == 0)
        return free[:count]

    def _forget_all_but(self, live: Collection[int]) -> None:
        slots = sorted(set(range(len(self.table))) - set(live))
        self._drop(self.table[slots])
        self.table[slots] = _NO_PAGE
        self.tokens[slots] = _NO_TOKEN

    def _drop(self, held: Ints) -> None:
        np.subtract.at(self._holders, held[held >= 0], 1)


def _widened(had: Ints, shape: tuple[int, int], empty: int) -> Ints:
    result = np.full(shape, empty, dtype=np.int64)
    result[: had.shape[0], : had.shape[1]] = had
    return result
