"""Key-value cache of a population: one copy of each prompt, and pages for what each row has after it.

A *row* is a prompt and the tokens after it. A prompt's keys and values are kept once, as the model has read them, for
all its rows. Each row has a slot; its j-th token after the prompt stands in column j, in pages that rows share as far
as they are the same (`inference.engines.pages`). From this follows the cost of everything:

- a pass writes the new tokens in place, several for a row that has several, and reads the pages of its rows into one
  tensor, layer by layer, which the products that come next take from the processor's cache;
- rows of different lengths need no alignment, and a row that is not asked for stays where it is;
- prompts that no row of a pass continues cost it nothing, and to hold another one copies nothing;
- resampling copies nothing; of copies that go on differently all but one copy the page that they are in;
- a row that leaves costs nothing; its pages are used again, and given back where most of them are free.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
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
from inference.engines.pages import PAGE, Pages
from inference.engines.prompt_cache import KV, Ids
from inference.engines.split_attention import Layout, Rows, current_pass

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
    """The pages of one layer: keys and values are (heads, pages, PAGE, width)."""

    def __init__(self, index: int, window: int | None) -> None:
        super().__init__()
        self.index, self.window = index, window

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Write the new tokens' (1, heads, M, width) into their pages."""
        going = current_pass()
        self.write(key_states[0].transpose(0, 1), value_states[0].transpose(0, 1), going.layout)
        going.layer = self
        return key_states, value_states

    def write(self, keys: Tensor, values: Tensor, layout: Layout) -> None:
        """Write the (M, heads, width) keys and values of a pass into their pages."""
        at, places = layout.pages, layout.offsets
        self.keys[:, at, places] = keys.transpose(0, 1)
        self.values[:, at, places] = values.transpose(0, 1)

    def get_seq_length(self) -> int:
        """Return 0: positions are given to the model, and masks are the attention's own."""
        return 0

    def forget(self) -> None:
        """Give back the memory."""
        self.__dict__.update(keys=None, values=None, is_initialized=False)

    def resize(self, pages: int, remaining: Tensor | None = None) -> None:
        """Make room for so many pages; those in use stay, or only the `remaining` ones, as the first."""
        for name, had in zip(("keys", "values"), self.buffers(), strict=True):
            if had.shape[1] != pages:
                stay = had if remaining is None else had[:, remaining]
                buffer = had.new_zeros((had.shape[0], pages, *had.shape[2:]))
                buffer[:, : stay.shape[1]] = stay
                setattr(self, name, buffer)

    def change(self, used: Tensor, old: Tensor, new: Tensor, kept: Tensor) -> None:
        """Fill pages with zeros, and copy the first tokens of others, see `inference.engines.pages.Changes`."""
        for buffer in self.buffers():
            if len(used):
                buffer.index_fill_(1, used, 0.0)
            if len(old):
                copies = buffer.index_select(1, old)
                rest = torch.arange(PAGE, device=buffer.device) >= kept[:, None]
                buffer.index_copy_(1, new, copies.masked_fill_(rest[..., None], 0.0))

    def buffers(self) -> list[Tensor]:
        """Return the pages' keys and values."""
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
    """The rows of a population; `cache` is what a transformers model takes for one.

    Parameters
    ----------
    windows:
        The sliding window of each layer, from `attention_windows`.

    Attributes
    ----------
    prompt:
        The prompt of the row in each slot; () where there has been none.
    copied:
        Number of pages that were copied because rows which shared them went on differently.
    """

    def __init__(self, windows: Sequence[int | None]) -> None:
        self._layers = [_Layer(i, window) for i, window in enumerate(windows)]
        self.cache = Cache(layers=self._layers)
        self.copied = 0
        self._prompts: dict[Ids, KV] = {}
        self._pages = Pages()
        self._live: Collection[int] = ()
        self.prompt: list[Ids] = []

    @property
    def slots(self) -> int:
        """Number of slots."""
        return len(self.prompt)

    @property
    def tokens(self) -> NDArray[np.int64]:
        """The (slots, columns) token that stands in each column, -1 for none."""
        return self._pages.tokens

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
        same = self.tokens[:, : len(wanted)] == wanted
        shared = np.logical_and.accumulate(same, axis=1).sum(axis=1)
        shared[[had != prompt for had in self.prompt]] = 0
        slot = int(shared.argmax())
        return (slot, int(shared[slot])) if shared[slot] else (-1, 0)

    def hold(self, prompts: dict[Ids, KV], live: Collection[int]) -> None:
        """Keep the rows in the `live` slots, and their prompts, new ones among these; all others may be forgotten."""
        self._live = live
        kept = {self.prompt[slot] for slot in live}
        self._prompts = {ids: kv for ids, kv in (self._prompts | prompts).items() if ids in kept}
        for kv in prompts.values():
            for layer, (keys, values) in zip(self._layers, kv, strict=True):
                if not layer.is_initialized:
                    layer.keys = keys.new_zeros((keys.shape[0], 0, PAGE, keys.shape[-1]))
                    layer.values = values.new_zeros((values.shape[0], 0, PAGE, values.shape[-1]))
                    layer.is_initialized = True

    def reserve(self, slots: int, columns: int) -> None:
        """Make room for so many slots, and so many columns in each; memory is taken when something is written."""
        self._pages.reserve(slots, columns)
        self.prompt += [()] * (slots - len(self.prompt))

    def copy(self, moves: Sequence[tuple[int, int, int]]) -> None:
        """Let rows be copies of others: (to, from, columns) each; no slot is both copied to and copied from."""
        if moves:
            self._pages.share(*np.array(moves).T)

    def passes(self, tails: Sequence[Tail]) -> list[Pass]:
        """Make room for the tails' tokens, sorted by slot; return the passes that evaluate them.

        The tokens of the passes, one after the other, are those of `tails` in order.
        """
        slots, begin = np.array([t.slot for t in tails]), np.array([t.columns for t in tails])
        end = begin + np.array([len(t.tokens) for t in tails])
        remaining = self._pages.shrink(self._live)
        for layer in self._layers if remaining is not None else ():
            layer.resize(self._pages.count, torch.from_numpy(remaining).to(layer.keys.device))
        changes = self._pages.open(slots, begin, end, self._live)
        grown = self._pages.count > self._layers[0].keys.shape[1]
        for layer in self._layers if grown or any(map(len, changes)) else ():
            layer.resize(self._pages.count)
            layer.change(*(torch.from_numpy(ids).to(layer.keys.device) for ids in changes))
        self.copied += int((changes.old != changes.new).sum())
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
        self._prompts, self.prompt, self._live = {}, [], ()
        self._pages = Pages()
        for layer in self._layers:
            layer.forget()

    def _chunks(self, tails: Sequence[Tail]) -> list[tuple[int, int]]:
        """Split tails into runs of bounded attention scores."""
        heads = self._layers[0].keys.shape[0]
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
        table = self._pages.table[slots, : -(-width // PAGE)]
        # Where a row has no page, its first: nothing is seen there, but a share of 0 of another's NaN would be NaN.
        table = np.where(table < 0, table[:, :1], table)
        layout = Layout(
            _neighbours(table) or torch.from_numpy(table).to(device),
            torch.from_numpy(table[np.repeat(np.arange(rows), new), columns // PAGE]).to(device),
            torch.from_numpy(columns % PAGE).to(device),
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


def _neighbours(table: NDArray[np.int64]) -> slice | None:
    """Return the pages of a single row as a slice, if they follow each other."""
    first, count = int(table[0, 0]), table.size
    run = len(table) == 1 and bool((table[0] == np.arange(first, first + count)).all())
    return slice(first, first + count) if run else None


def _select(places: NDArray[np.int64], device: torch.device) -> Rows:
    """Return ascending places as an index: of neighbours a slice, which copies nothing."""
    first, last = int(places[0]), int(places[-1])
    return slice(first, last + 1) if last - first < len(places) else torch.from_numpy(places).to(device)
