"""Pages against rows that are lists: what is read is what was written, and what is shared is held once."""

from __future__ import annotations

import random

import numpy as np
import pytest

from inference.engines.pages import PAGE, Pages


class Rows:
    """Rows as lists, beside the same rows in pages, whose contents stand in an array."""

    def __init__(self, slots: int) -> None:
        self.pages = Pages()
        self.lists: list[list[int]] = [[] for _ in range(slots)]
        self.memory = np.zeros((0, PAGE), dtype=np.int64)
        self.own: list[set[int]] = [
            {0} for _ in range(slots)
        ]  # what each row has written; it may stand there still
        self.copied = self.shrunk = 0
        self._next = 1

    def share(self, moves: list[tuple[int, int, int]]) -> None:
        self.pages.share(*np.array(moves).T)
        for to, at, columns in moves:
            self.lists[to] = self.lists[at][:columns]
            self.own[to] = {0, *self.lists[to]}

    def write(self, tails: list[tuple[int, int, int]], live: set[int]) -> None:
        """Write new tokens into (slot, columns, number)."""
        slots, begin, count = np.array(tails).T
        self.pages.reserve(len(self.lists), int((begin + count).max()))
        remaining = self.pages.shrink(live)
        if remaining is not None:
            self.memory = self.memory[remaining]
            self._make_room()
            self.shrunk += 1
        changes = self.pages.open(slots, begin, begin + count, live)
        self._make_room()
        self.memory[changes.used] = 0
        contents = self.memory[changes.old]
        contents[np.arange(PAGE) >= changes.kept[:, None]] = 0
        self.memory[changes.new] = contents
        self.copied += int((changes.old != changes.new).sum())
        for slot, columns, number in tails:
            new = list(range(self._next, self._next + number))
            self._next += number
            for column, token in enumerate(new, columns):
                self.memory[self.pages.table[slot, column // PAGE], column % PAGE] = token
            self.pages.tokens[slot, columns : columns + number] = new
            self.pages.tokens[slot, columns + number :] = -1
            self.lists[slot] = self.lists[slot][:columns] + new
            self.own[slot] |= set(new)

    def _make_room(self) -> None:
        more = self.pages.count - len(self.memory)
        self.memory = np.concatenate([self.memory, np.zeros((more, PAGE), dtype=np.int64)])

    def check(self, live: set[int]) -> None:
        for slot in live:
            expected = self.lists[slot]
            held = self.pages.table[slot]
            assert (held >= 0).sum() == -(-len(expected) // PAGE)
            stands = self.memory[held[held >= 0]].ravel()
            assert stands[: len(expected)].tolist() == expected
            assert self.pages.tokens[slot][: len(expected)].tolist() == expected
            if slot not in self.pages._copies:  # those that are written into next
                assert not set(stands[len(expected) :]) - self.own[slot], "a page holds what was another's"
        held = self.pages.table[self.pages.table >= 0]
        assert np.bincount(held, minlength=self.pages.count).tolist() == self.pages._holders.tolist()


@pytest.mark.parametrize("seed", range(30))
def test_what_is_read_is_what_was_written(seed: int) -> None:
    rng = random.Random(seed)
    rows = Rows(12)
    rows.pages.reserve(12, 1)
    for _ in range(60):
        live = set(rng.sample(range(12), rng.randint(1, 12)))
        parents = rng.sample(range(12), rng.randint(1, 4))
        children = [slot for slot in live if slot not in parents and rng.random() < 0.5]
        moves = []
        for child in children:
            parent = rng.choice(parents)
            moves.append((child, parent, rng.randint(0, len(rows.lists[parent]))))
        if moves:
            rows.share(moves)
        writers = [slot for slot in live if rng.random() < 0.7] or [min(live)]
        tails = [
            (slot, max(0, len(rows.lists[slot]) - rng.choice([0, 0, 0, 1, 9])), rng.choice([1, 1, 1, 3, 20]))
            for slot in sorted(writers)
        ]
        rows.write(tails, live)
        rows.check(live)
        for slot in set(range(12)) - live:  # may be forgotten, but is never another's
            tokens = rows.pages.tokens[slot]
            rows.lists[slot] = tokens[tokens >= 0].tolist()
        rows.check(set(range(12)))


def test_a_copy_takes_no_page_until_it_goes_on_differently() -> None:
    rows = Rows(4)
    rows.write([(0, 0, 2 * PAGE + 3)], {0})
    assert rows.pages.count == 3
    rows.share([(slot, 0, 2 * PAGE + 3) for slot in (1, 2, 3)])
    rows.write([(slot, 2 * PAGE + 3, 1) for slot in range(4)], {0, 1, 2, 3})
    assert rows.pages.count == 3 + 3
    assert rows.copied == 3
    rows.check({0, 1, 2, 3})


def test_a_page_that_another_row_goes_on_holding_is_not_written_into() -> None:
    rows = Rows(2)
    rows.write([(0, 0, 3)], {0})
    rows.share([(1, 0, 3)])
    rows.write([(1, 3, 1)], {0, 1})
    assert rows.copied == 1
    rows.check({0, 1})


def test_rows_that_have_left_give_their_pages() -> None:
    rows = Rows(8)
    rows.write([(slot, 0, 4 * PAGE) for slot in range(8)], set(range(8)))
    count = rows.pages.count
    rows.write([(0, 4 * PAGE, 20 * PAGE), (1, 4 * PAGE, 1)], {0, 1})
    assert rows.pages.count == count
    assert rows.shrunk == 0
    rows.check({0, 1})
    assert (rows.pages.tokens[2:] == -1).all()


def test_where_most_pages_are_free_they_are_given_back() -> None:
    rows = Rows(40)
    rows.write([(slot, 0, 3 * PAGE + 1) for slot in range(40)], set(range(40)))
    rows.write([(30, 3 * PAGE + 1, 2), (7, 3 * PAGE, 1)], {7, 30, 31})
    assert rows.shrunk == 1
    assert rows.pages.count == 2 * 3 * 4
    rows.check({7, 30, 31})
