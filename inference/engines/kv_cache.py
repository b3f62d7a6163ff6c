"""Key-value cache of a population: one buffer per layer, a slot per row, right-aligned columns.

A *row* is the keys and values of one context; it occupies one slot (first axis) and the columns [begin, end)
of its slot (third axis). The rows that take part in a forward pass stand in slots 0, ..., A - 1 and end at
one common column, so that the new keys and values of all of them are written into the column after it; a
shorter row has unused columns on its left. From this layout follows the cost of everything:

- a step writes one column in place (buffers grow by a constant factor, not at every step);
- a row that survives resampling stays in its slot, and only the rows that replace others are copied, from the
  end of the prompt on where both had the same prompt: a selection without a change copies nothing;
- a row that leaves costs nothing, and columns that no row uses any more are cropped by a view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import Cache, DynamicLayer, DynamicSlidingWindowLayer

from inference.engines.errors import UnsupportedModel

KV = list[tuple[Tensor, Tensor]]
"""One row: for each layer its keys and values, each (heads, n, width), n the columns it needs."""

_SPARE = 64
_GROWTH = 1.25


def attention_windows(config: object, name: str) -> list[int | None]:
    """Return for each layer of a model its sliding window, None where it attends to everything.

    Raises
    ------
    UnsupportedModel
        If a layer keeps another memory than keys and values of each token.
    """
    cache = DynamicCache(config=config)
    kinds = {type(layer) for layer in cache.layers}
    types = set(getattr(config, "layer_types", None) or ())
    odd = {k.__name__ for k in kinds - {DynamicLayer, DynamicSlidingWindowLayer}}
    odd |= types - {"full_attention", "sliding_attention"}
    if odd or not cache.layers:
        raise UnsupportedModel(
            f"{name!r} has layers whose memory particles cannot share: {', '.join(sorted(odd)) or 'unknown'}",
            hint="use a model with full or sliding-window attention in all layers",
        )
    return [getattr(layer, "sliding_window", None) for layer in cache.layers]


@dataclass
class _View:
    """What the next forward pass sees: slots [0, rows), columns [begin, end)."""

    rows: int = 0
    begin: int = 0
    end: int = 0


class _Layer(DynamicLayer):  # type: ignore[misc]
    """The buffers of one layer, (slots, heads, columns, width), seen by the model through the common view."""

    def __init__(self, view: _View, window: int | None) -> None:
        super().__init__()
        self.is_sliding = window is not None
        self._view = view
        self._window = window

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Write the new columns after the view's end; return those that the new tokens may attend to."""
        rows, new = key_states.shape[0], key_states.shape[2]
        last = self._view.end + new
        first = last - self.get_mask_sizes(new)[0]
        self.keys[:rows, :, last - new : last] = key_states
        self.values[:rows, :, last - new : last] = value_states
        return self.keys[:rows, :, first:last], self.values[:rows, :, first:last]

    def get_seq_length(self) -> int:
        """Return the number of columns in view, unused ones on the left included."""
        return self._view.end - self._view.begin

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return how many columns `query_length` new tokens attend to, and the first of them in the view."""
        seen = self.get_seq_length()
        kept = seen if self._window is None else min(seen, self._window - 1)
        return kept + query_length, seen - kept


class _Row(NamedTuple):
    """What stands in a slot: columns [begin, end), the first of them those of `prompt` (empty if unknown)."""

    prompt: tuple[int, ...]
    begin: int
    end: int

    def moved(self, by: int) -> _Row:
        return self._replace(begin=self.begin + by, end=self.end + by)


class KVRows:
    """The rows of a population; `cache` is what a transformers model takes as `past_key_values`.

    Parameters
    ----------
    windows:
        The sliding window of each layer, from `attention_windows`.
    """

    def __init__(self, windows: Sequence[int | None]) -> None:
        self._view = _View()
        self._layers = [_Layer(self._view, w) for w in windows]
        self.cache = Cache(layers=self._layers)
        self.copied = 0
        """Number of rows that were copied from slot to slot."""
        self._columns = 0
        # The rows that have left the end of `_rows` included: their bytes stay.
        self._slots: list[_Row | None] = []
        self._rows: list[_Row] = []

    def __len__(self) -> int:
        return len(self._rows)

    def arrange(self, sources: Sequence[int]) -> None:
        """Let slot i hold the row that was in slot sources[i]; all other rows leave."""
        moves = [(to, at) for to, at in enumerate(sources) if to != at]
        if len(sources) > len(self._slots):
            self._allocate(len(sources), before=0, after=1)
        if moves:
            first = min(self._first_difference(to, self._rows[at]) for to, at in moves)
            last = max(self._rows[at].end for _, at in moves)
            self._copy([to for to, _ in moves], [at for _, at in moves], first, last)
            self.copied += len(moves)
        self._rows = [self._rows[at] for at in sources]
        self._slots[: len(sources)] = self._rows

    def begin_step(self, rows: int) -> tuple[list[int], list[int]]:
        """Bring the rows of slots [0, rows) into view, aligned, with room for one more column.

        Returns for each of them the number of unused columns on its left, and its number of tokens.
        """
        if max(row.end for row in self._rows[:rows]) == self._columns:
            self._allocate(len(self._slots), before=0, after=1)
        end = max(row.end for row in self._rows[:rows])
        for slot, row in enumerate(self._rows[:rows]):
            if row.end != end:
                self._shift(slot, end - row.end)
        begin = min(row.begin for row in self._rows[:rows])
        self._view.rows, self._view.begin, self._view.end = rows, begin, end
        return [row.begin - begin for row in self._rows[:rows]], [
            row.end - row.begin for row in self._rows[:rows]
        ]

    def end_step(self) -> None:
        """Count the column that a forward pass has written to the rows in view."""
        for slot in range(self._view.rows):
            row = self._rows[slot]
            self._rows[slot] = self._slots[slot] = row._replace(end=row.end + 1)

    def append(self, kv: KV, length: int, prompt: tuple[int, ...], slots: int) -> None:
        """Add a row of `length` tokens that begins with `prompt`; about `slots` rows are to be expected."""
        slot, end = len(self._rows), max((row.end for row in self._rows), default=length)
        if slot >= len(self._slots) or end < length or end > self._columns:
            self._allocate(max(slots, slot + 1), before=length, after=1, like=kv)
            end = max((row.end for row in self._rows), default=length)
        for layer, (keys, values) in zip(self._layers, kv, strict=True):
            layer.keys[slot, :, end - keys.shape[1] : end] = keys
            layer.values[slot, :, end - values.shape[1] : end] = values
        whole = length == len(prompt) or all(keys.shape[1] == length for keys, _ in kv)
        # A window may have dropped the prompt of a longer row, which then is no place to copy only the rest to.
        self._rows.append(_Row(prompt if whole else (), end - length, end))
        self._slots[slot] = self._rows[slot]

    def clear(self) -> None:
        """Give back the memory."""
        self._rows, self._slots, self._columns = [], [], 0
        for layer in self._layers:
            layer.keys = layer.values = None  # `reset` of some versions of transformers keeps the buffers
            layer.is_initialized = False

    def _first_difference(self, slot: int, row: _Row) -> int:
        """Return the first column of `row` that must be copied to have it in `slot`."""
        there = self._slots[slot]
        if there is not None and there.begin == row.begin and there.prompt == row.prompt:
            return row.begin + len(row.prompt)
        return row.begin

    def _copy(self, to: list[int], at: list[int], first: int, last: int) -> None:
        device = self._layers[0].keys.device
        target, source = torch.tensor(to, device=device), torch.tensor(at, device=device)
        for layer in self._layers:
            for buffer in (layer.keys, layer.values):
                columns = buffer[:, :, first:last]
                rows = columns.index_select(0, source.to(buffer.device))
                columns.index_copy_(0, target.to(buffer.device), rows)

    def _shift(self, slot: int, by: int) -> None:
        row = self._rows[slot]
        for layer in self._layers:
            for buffer in (layer.keys, layer.values):
                buffer[slot, :, row.begin + by : row.end + by] = buffer[slot, :, row.begin : row.end].clone()
        self._rows[slot] = self._slots[slot] = row.moved(by)

    def _allocate(self, slots: int, *, before: int, after: int, like: KV | None = None) -> None:
        """Move the rows to new buffers with at least `before` columns up to their end and `after` more.

        The buffers are filled with zeros: what is masked must still be finite.
        """
        low = min((row.begin for row in self._rows), default=0)
        high = max((row.end for row in self._rows), default=0)
        by = max(before - (high - low), 0) - low
        columns = int((high + by + after) * _GROWTH) + _SPARE
        live = len(self._rows)
        for i, layer in enumerate(self._layers):
            old = (layer.keys, layer.values)
            for name, was, model in zip(("keys", "values"), old, like[i] if like else old, strict=True):
                new = model.new_zeros((slots, model.shape[-3], columns, model.shape[-1]))
                if live:
                    new[:live, :, low + by : high + by] = was[:live, :, low:high]
                setattr(layer, name, new)
            layer.is_initialized = True
        self._columns = columns
        self._rows = [row.moved(by) for row in self._rows]
        self._slots = [*self._rows, *[None] * (slots - live)]


def settle(sources: Sequence[int], first: int = 0) -> list[int]:
    """Return an order of `sources` in which as many as can be stay where they are.

    Entry i of the answer is the index of the source that goes to slot first + i; a source that is already in
    one of these slots keeps it (once, if it occurs several times).
    """
    order = [-1] * len(sources)
    rest = []
    for index, source in enumerate(sources):
        if 0 <= source - first < len(sources) and order[source - first] < 0:
            order[source - first] = index
        else:
            rest.append(index)
    free = iter(rest)
    return [index if index >= 0 else next(free) for index in order]
