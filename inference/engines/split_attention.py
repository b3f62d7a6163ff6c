"""Split attention: queries of many rows against one copy of their prompts' keys, and against their own.

A population has few prompts and many rows that continue them. For the query q of a row with the prompt keys K_p, shared
by all rows of that prompt, and its own keys K_s,

    softmax([q K_pᵀ | q K_sᵀ]) [V_p ; V_s] = P_p V_p + P_s V_s,

where the first product is one matrix product for all rows of a prompt: its keys and values are read once, and kept
once. A pass takes these products one prompt after the other, each at its own length, and only for prompts of its own
rows; one padded product for all would need the prompts next to each other, copied when another set of them is in use.
The function is registered with the attention interface of transformers, so that the models' own code runs around it;
it is used in the passes of `inference.engines.kv_cache` only.

Reference: Juravsky et al. (2024), *Hydragen: high-throughput LLM inference with shared prefixes*, where the two halves
are normalised apart and merged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import AttentionInterface

from inference.engines.errors import UnsupportedModel
from inference.engines.prompt_cache import KV

NAME = "ppl_split"
Rows = slice | Tensor
"""An index of R rows: neighbours, or any (R,)."""


@dataclass(frozen=True)
class Layout:
    """Where the M new tokens of a pass stand: at the ends of A rows, at most Q in each.

    Attributes
    ----------
    table:
        (A, blocks) the pages of the A rows, its first where a row has none; of one row whose pages are neighbours a
        slice, which copies nothing.
    pages, offsets:
        (M,) the page of each token, and its place there.
    width:
        Columns in use in these rows, the new ones included.
    queries:
        (A, Q) the token of each place, for places without one any; None where each row has one.
    places:
        (M,) the place of each token among the A · Q.
    positions:
        (A, Q) the column of each place's query, and -1 for places without a token.
    ragged:
        Whether some query may not see all columns.
    prompts:
        The prompts of these rows, and which of the A rows continue each.
    lengths:
        (A,) the length of each row's prompt.
    longest:
        The length of the longest of these prompts.
    """

    table: slice | Tensor
    pages: Tensor
    offsets: Tensor
    width: int
    queries: Tensor | None
    places: Tensor
    positions: Tensor
    ragged: bool
    prompts: list[tuple[KV, Rows]]
    lengths: Tensor
    longest: int
    masks: dict[int | None, tuple[Tensor | None, Tensor | None]] = field(default_factory=dict)
    _gathered: dict[tuple[torch.Size, torch.dtype], tuple[Tensor, Tensor]] = field(default_factory=dict)

    def gather(self, buffer: Tensor) -> Tensor:
        """Return the (A, heads, width, w) contents of the rows, from pages (heads, pages, PAGE, w).

        It stands where what was gathered before has stood.
        """
        if isinstance(self.table, slice):
            first = self.table.start * buffer.shape[2]
            flat = buffer.view(1, buffer.shape[0], -1, buffer.shape[3])
            return flat[:, :, first : first + self.width]
        key = buffer.shape, buffer.dtype
        heads, pages, size, _ = buffer.shape
        if key not in self._gathered:
            of_heads = torch.arange(heads, device=buffer.device)[:, None] * pages
            index = (of_heads + self.table[:, None]).view(-1)
            self._gathered[key] = index, buffer.new_empty((len(index), size * buffer.shape[-1]))
        index, room = self._gathered[key]
        torch.index_select(buffer.view(heads * pages, -1), 0, index, out=room)
        return room.view(len(self.table), heads, -1, buffer.shape[-1])[:, :, : self.width]

    def hidden(self, window: int | None) -> tuple[Tensor | None, Tensor | None]:
        """Return what queries must not see: (A, 1, 1, Q, P) of the prompts, (A, 1, 1, Q, S) of the rows' own columns.

        None where everything is seen. P is the length of the longest prompt, S the width.
        """
        if window not in self.masks:
            self.masks[window] = self._hidden(window)
        return self.masks[window]

    def _hidden(self, window: int | None) -> tuple[Tensor | None, Tensor | None]:
        device = self.positions.device
        at = self.positions[:, None, None, :, None]
        lengths = self.lengths[:, None, None, None, None]
        columns = torch.arange(self.width, device=device)
        before = torch.arange(self.longest, device=device)
        own = columns > at if self.ragged else None
        prompt = before >= lengths if len(self.prompts) > 1 else None
        if window is not None and self.width + self.longest > window:
            near = at - columns >= window
            own = near if own is None else own | near
            far = lengths + at - before >= window
            prompt = far if prompt is None else prompt | far
        return prompt, own


class Layer(Protocol):
    """What the function reads of a layer of the cache."""

    keys: Tensor
    values: Tensor
    index: int
    window: int | None


@dataclass
class Going:
    """A forward pass that is going on: its layout, and the layer whose new keys were written last."""

    layout: Layout
    layer: Layer | None = None


_current: ContextVar[Going | None] = ContextVar("pass", default=None)


@contextmanager
def split(config: Any, layout: Layout) -> Iterator[None]:
    """Let the models with this configuration attend by the function below."""
    before = config._attn_implementation
    token = _current.set(Going(layout))
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        _current.reset(token)


def current_pass() -> Going:
    """Return the pass that is going on."""
    going = _current.get()
    assert going is not None
    return going


def split_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Return the (1, M, H, width) attention of the (1, H, M, width) queries of a pass.

    `key` and `value` are the new ones, which the cache has written. `softcap` and `s_aux` (attention sinks) are as in
    the models that have them.
    """
    going = current_pass()
    layer, layout = going.layer, going.layout
    if layer is None or attention_mask is not None:
        raise UnsupportedModel(
            f"{type(module).__name__} does not keep keys and values of its own, or brings a mask of its own",
            hint="use a model whose layers all attend to the tokens before, in the usual way",
        )
    going.layer = None
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return attend(query[0].transpose(0, 1) * scale, layer, layout, softcap, s_aux)[None], None


def attend(
    q: Tensor, layer: Layer, layout: Layout, softcap: float | None = None, sinks: Tensor | None = None
) -> Tensor:
    """Return the (M, H, width) attention of (M, H, width) queries, scaled; their keys and values are in the layer."""
    heads, shared = q.shape[1], layer.keys.shape[0]
    rows, each = layout.positions.shape
    if layout.queries is not None:
        q = q[layout.queries].transpose(1, 2)  # (A, H, Q, width)
    q = q.reshape(rows, shared, heads // shared * each, -1)

    prompts, longest = [(*kv[layer.index], those) for kv, those in layout.prompts], layout.longest
    scores = _scores(q, layout.gather(layer.keys), prompts, longest).view(
        rows, shared, heads // shared, each, -1
    )
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    for part, hidden in zip(
        (scores[..., :longest], scores[..., longest:]), layout.hidden(layer.window), strict=True
    ):
        if hidden is not None:
            part.masked_fill_(hidden, -torch.inf)
    shares = _shares(scores, sinks).type_as(q).view(rows, shared, -1, scores.shape[-1])
    out = shares[..., longest:] @ layout.gather(layer.values)
    if len(prompts) == 1:
        out += _product(shares[..., :longest], prompts[0][1])
    else:
        for _keys, values, those in prompts:
            out[those] += _product(shares[those, ..., : values.shape[1]], values)
    out = out.reshape(rows, heads, each, -1).transpose(1, 2).reshape(rows * each, heads, -1)
    return out if layout.queries is None else out[layout.places]


def _scores(
    q: Tensor, own_keys: Tensor, prompts: Sequence[tuple[Tensor, Tensor, Rows]], longest: int
) -> Tensor:
    """Return the (A, K, m, P + S) scores of the rows' queries; P is the length of the longest prompt."""
    own = q @ own_keys.transpose(-1, -2)
    if len(prompts) == 1:
        return torch.cat([_product(q, prompts[0][0].transpose(-1, -2)), own], dim=-1)
    scores = q.new_empty((*q.shape[:3], longest + own.shape[-1]))
    scores[..., longest:] = own
    for keys, _values, those in prompts:
        scores[those, ..., : keys.shape[1]] = _product(q[those], keys.transpose(-1, -2))
    return scores


def _shares(scores: Tensor, sinks: Tensor | None) -> Tensor:
    """Return the softmax of the (A, K, H / K, Q, P + S) scores in float32; sinks take a share and give nothing."""
    if sinks is None:
        return torch.softmax(scores, dim=-1, dtype=torch.float32)
    column = sinks.float().view(1, scores.shape[1], scores.shape[2], 1, 1)
    with_sinks = torch.cat([scores.float(), column.expand(*scores.shape[:-1], 1)], dim=-1)
    return torch.softmax(with_sinks, dim=-1)[..., :-1]


def _product(rows: Tensor, shared: Tensor) -> Tensor:
    """Return the products (R, K, m, b) of the rows' matrices (R, K, m, a) with those that they share, (K, a, b)."""
    count, kinds, m, _ = rows.shape
    if count == 1:
        return rows @ shared
    flat = rows.transpose(0, 1).reshape(kinds, count * m, -1) @ shared
    return flat.view(kinds, count, m, -1).transpose(0, 1)


AttentionInterface.register(NAME, split_attention)
