"""Key-value cache of a population: one copy of each prompt, and a slot for what each row has after it.

A *row* is a prompt and the tokens after it. A prompt's keys and values are kept once, as the model has read them, for
all its rows. Each row has a slot of a buffer, (slots, heads, columns, width), in which its j-th token after the prompt
stands in column j. From this layout follows the cost of everything:

- a pass writes the new tokens' columns in place, several for a row that has several (buffers grow by a factor);
- rows of different lengths need no alignment, and a row that is not asked for stays where it is;
- prompts that no row of a pass continues cost it nothing, and to hold another one copies nothing;
- a row that survives resampling stays in its slot; the rows that replace others are copied from where both first
  differ: a selection without a change copies nothing, and copies of relatives copy little;
- a row that leaves costs nothing, and its slot is used again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import Cache, DynamicLayer, DynamicSlidingWindowLayer

from inference.engines.errors import UnsupportedModel
from inference.engines.prompt_cache import KV, Ids
from inference.engines.split_attention import Layout, Rows, current_pass

_SPARE = 8
_GROWTH = 1.1
PASS_SCORES = 1 << 27
"""Most attention scores of one layer in one pass, counted once for heads that share keys; more rows than that take
several passes."""


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


class _Layer(DynamicLayer):  # type: ignore[misc]
    """The slots of one layer."""

    def __init__(self, index: int, window: int | None) -> None:
        super().__init__()
        self.index, self.window = index, window

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Write the new tokens' (1, heads, M, width) into their slots and columns."""
        going = current_pass()
        self.write(key_states[0].transpose(0, 1), value_states[0].transpose(0, 1), going.layout)
        going.layer = self
        return key_states, value_states

    def write(self, keys: Tensor, values: Tensor, layout: Layout) -> None:
        """Write the (M, heads, width) keys and values of a pass into their slots and columns."""
        at, columns = layout.slots, layout.columns
        self.keys[at, :, columns] = keys
        self.values[at, :, columns] = values

    def get_seq_length(self) -> int:
        """Return 0: positions are given to the model, and masks are the attention's own."""
        return 0

    def forget(self) -> None:
        """Give back the memory."""
        self.__dict__.update(keys=None, values=None, is_initialized=False)

    def buffers(self) -> list[Tensor]:
        """Return the slots' keys and values."""
        return [self.keys, self.values]


class Tail(NamedTuple):
    """Tokens that a pass adds to the row in a slot, after its first `columns` columns."""

    slot: int
    columns: int
    tokens: Ids


@dataclass
class Pass:
    """What one forward pass evaluates: (M,) ids and positions, and their layout."""

    ids: Tensor
    positions: Tensor
    layout: Layout


class KVRows:
    """The rows of a population; `cache` is what a transformers model takes as `past_key_values`.

    Parameters
    ----------
    windows:
        The sliding window of each layer, from `attention_windows`.

    Attributes
    ----------
    tokens:
        (slots, columns) the token whose keys and values stand in each column, after those before it; -1 for none.
    prompt:
        The prompt of the row in each slot; () where there has been none.
    copied:
        Number of rows that were copied from slot to slot.
    """

    def __init__(self, windows: Sequence[int | None]) -> None:
        self._layers = [_Layer(i, window) for i, window in enumerate(windows)]
        self.cache = Cache(layers=self._layers)
        self.copied = 0
        self._prompts: dict[Ids, KV] = {}
        self.tokens: NDArray[np.int64] = np.zeros((0, 0), dtype=np.int64)
        self.prompt: list[Ids] = []

    @property
    def slots(self) -> int:
        """Number of slots."""
        return len(self.prompt)

    @property
    def columns(self) -> int:
        """Number of columns of each slot."""
        return int(self.tokens.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values."""
        if not self._prompts:
            return 0
        prompts = [pair for kv in self._prompts.values() for pair in kv]
        return sum(t.nbytes for pair in [*prompts, *(x.buffers() for x in self._layers)] for t in pair)

    def beginning(self, prompt: Ids, tokens: Sequence[int]) -> tuple[int, int]:
        """Return the slot of a row that begins like `tokens` after a prompt, and for how many of them; (-1, 0): none.

        The last token is not compared: it is evaluated in any case, for what comes after it.
        """
        if len(tokens) < 2 or prompt not in self._prompts or not self.tokens.size:
            return -1, 0
        wanted = np.array(tokens[:-1])[: self.tokens.shape[1]]
        shared = _leading(self.tokens[:, : len(wanted)] == wanted)
        shared[[had != prompt for had in self.prompt]] = 0
        slot = int(shared.argmax())
        return (slot, int(shared[slot])) if shared[slot] else (-1, 0)

    def hold(self, prompts: dict[Ids, KV], live: Sequence[int]) -> None:
        """Keep these prompts, besides those of the rows in the `live` slots; forget all others."""
        kept = prompts.keys() | {self.prompt[slot] for slot in live}
        self._prompts = {ids: kv for ids, kv in (self._prompts | prompts).items() if ids in kept}
        for kv in prompts.values():
            for layer, (keys, values) in zip(self._layers, kv, strict=True):
                if not layer.is_initialized:
                    layer.keys = keys.new_zeros((0, keys.shape[0], 0, keys.shape[-1]))
                    layer.values = values.new_zeros((0, values.shape[0], 0, values.shape[-1]))
                    layer.is_initialized = True

    def only(self, live: Sequence[int]) -> dict[int, int]:
        """Keep the rows in these slots alone, as the first ones; return the new slot of each."""
        for layer in self._layers:
            at = torch.tensor(live, dtype=torch.int64, device=layer.keys.device)
            layer.keys, layer.values = (buffer[at] for buffer in layer.buffers())
        self.tokens = self.tokens[list(live)]
        self.prompt = [self.prompt[slot] for slot in live]
        return {slot: k for k, slot in enumerate(live)}

    def reserve(self, slots: int, columns: int) -> None:
        """Make room for so many slots and columns; what the buffers hold stays."""
        had, wide = self.tokens.shape
        if slots <= had and columns <= wide:
            return
        slots = max(slots, had)
        columns = wide if columns <= wide else int(columns * _GROWTH) + _SPARE
        for layer in self._layers:
            for name, was in zip(("keys", "values"), layer.buffers(), strict=True):
                buffer = was.new_zeros((slots, was.shape[1], columns, was.shape[3]))
                buffer[:had, :, :wide] = was
                setattr(layer, name, buffer)
        tokens = np.full((slots, columns), -1, dtype=np.int64)
        tokens[:had, :wide] = self.tokens
        self.tokens = tokens
        self.prompt += [()] * (slots - had)

    def copy(self, moves: Sequence[tuple[int, int, int]]) -> None:
        """Copy rows: (to, from, columns) each; no slot is both copied to and copied from."""
        moves = [move for move in moves if move[2]]
        if not moves:
            return
        to, at = np.array([m[0] for m in moves]), np.array([m[1] for m in moves])
        relatives = np.array([self.prompt[t] == self.prompt[a] for t, a, _ in moves])
        width = max(m[2] for m in moves)
        same = (self.tokens[to, :width] == self.tokens[at, :width]) & relatives[:, None]
        begin, end = int(_leading(same).min()), width
        if begin < end:
            device = self._layers[0].keys.device
            target, source = torch.from_numpy(to).to(device), torch.from_numpy(at).to(device)
            for layer in self._layers:
                for buffer in layer.buffers():
                    rows = buffer[:, :, begin:end]
                    copies = rows.index_select(0, source.to(buffer.device))
                    rows.index_copy_(0, target.to(buffer.device), copies)
        self.tokens[to] = -1
        self.tokens[to, :width] = self.tokens[at, :width]
        self.copied += len(moves)

    def passes(self, tails: Sequence[Tail]) -> list[Pass]:
        """Write the tails' tokens into their slots, sorted by slot; return the passes that evaluate them.

        The tokens of the passes, one after the other, are those of `tails` in order.
        """
        for slot, columns, tokens in tails:
            self.tokens[slot, columns : columns + len(tokens)] = tokens
            self.tokens[slot, columns + len(tokens) :] = -1  # what stands there followed other tokens
        return [self._pass(tails[low:high]) for low, high in self._chunks(tails)]

    @contextmanager
    def or_nothing(self) -> Iterator[None]:
        """If what is done meanwhile is interrupted, keep nothing: buffers may be half written, or half grown."""
        try:
            yield
        except BaseException:
            self.clear()
            raise

    def clear(self) -> None:
        """Give back the memory."""
        self._prompts, self.prompt = {}, []
        self.tokens = np.zeros((0, 0), dtype=np.int64)
        for layer in self._layers:
            layer.forget()

    def _chunks(self, tails: Sequence[Tail]) -> list[tuple[int, int]]:
        """Split tails into runs of bounded attention scores."""
        heads = self._layers[0].keys.shape[1]
        chunks, low, most, wide, longest = [], 0, 0, 0, 0
        for k, tail in enumerate(tails):
            new, prompt = len(tail.tokens), len(self.prompt[tail.slot])
            most, wide, longest = max(most, new), max(wide, tail.columns + new), max(longest, prompt)
            if k > low and (k - low + 1) * most * (longest + wide) * heads > PASS_SCORES:
                chunks.append((low, k))
                low, most, wide, longest = k, new, tail.columns + new, prompt
        return [*chunks, (low, len(tails))]

    def _pass(self, tails: Sequence[Tail]) -> Pass:
        device = self._layers[0].keys.device
        slots, new = np.array([t.slot for t in tails]), np.array([len(t.tokens) for t in tails])
        rows, each = len(tails), int(new.max())
        within = np.concatenate([np.arange(n) for n in new])
        columns = within + np.repeat([t.columns for t in tails], new)
        places = np.repeat(np.arange(rows), new) * each + within
        positions = np.full(rows * each, -1)
        positions[places] = columns
        queries = np.zeros(rows * each, dtype=np.int64)
        queries[places] = np.arange(len(places))
        width = int(columns.max()) + 1
        lengths = np.array([len(self.prompt[slot]) for slot in slots])
        of: dict[Ids, list[int]] = {}
        for row, slot in enumerate(slots):
            of.setdefault(self.prompt[slot], []).append(row)
        ids = np.concatenate([t.tokens for t in tails]).astype(np.int64)
        layout = Layout(
            _select(slots, device),
            torch.from_numpy(np.repeat(slots, new)).to(device),
            torch.from_numpy(columns).to(device),
            width,
            None if each == 1 else torch.from_numpy(queries.reshape(rows, each)).to(device),
            torch.from_numpy(places).to(device),
            torch.from_numpy(positions.reshape(rows, each)).to(device),
            each > 1 or bool((columns != width - 1).any()),
            [(self._prompts[prompt], _select(np.array(those), device)) for prompt, those in of.items()],
            torch.from_numpy(lengths).to(device),
            int(lengths.max()),
        )
        at = torch.from_numpy(columns + np.repeat(lengths, new)).to(device)
        return Pass(torch.from_numpy(ids).to(device), at, layout)


def _leading(same: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many of the first columns of each row are all true."""
    leading: NDArray[np.int64] = np.logical_and.accumulate(same, axis=1).sum(axis=1)
    return leading


def _select(places: NDArray[np.int64], device: torch.device) -> Rows:
    """Return ascending places as an index: of neighbours a slice, which copies nothing."""
    first, last = int(places[0]), int(places[-1])
    return slice(first, last + 1) if last - first < len(places) else torch.from_numpy(places).to(device)
