"""Forward passes of a transformers model over sequences of different lengths, left-padded into batches."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from inference.engines.kv_cache import Pass
from inference.engines.prompt_cache import KV
from inference.engines.split_attention import split

BATCH_TOKENS = 4096
"""Most tokens, padding included, in one batch of several sequences; bounds the memory of a prefill."""
BATCH_LOGITS = 1 << 26
"""Most logits that one batch of several sequences returns."""

_ONE_AT_A_TIME = threading.Lock()
"""The way to attend is a setting of a model's configuration, which adapters of the model share."""


class Forward:
    """A causal LM of transformers as a function of ids, padding and cache.

    Parameters
    ----------
    model:
        The model, in evaluation mode.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.device: torch.device = model.get_input_embeddings().weight.device
        accepted = inspect.signature(model.forward).parameters
        self._takes_positions = "position_ids" in accepted
        self._takes_keep = "logits_to_keep" in accepted
        self._cache = "cache" if "cache" in accepted else "past_key_values"  # renamed in transformers 5.24
        self.config = model.config.get_text_config(decoder=True)
        self.splits = bool(getattr(model, "_supports_attention_backend", False)) and self._takes_positions
        """Whether rows can share the keys and values of their prompts: the model leaves attention to an interface."""
        self.guesses = False
        """Whether `guess` computes something."""

    def extend(self, going: Pass, cache: Any, keep: Tensor) -> Tensor:
        """Return the (K, V') logits after the tokens `keep` (K,) of the M of a pass; `cache` takes up all."""
        options = {"logits_to_keep": keep} if self._takes_keep else {}
        with _ONE_AT_A_TIME, split(self.config, going.layout):
            out = self.model(
                input_ids=going.ids[None],
                position_ids=going.positions[None],
                use_cache=True,
                return_dict=True,
                **{self._cache: cache},
                **options,
            )
        logits: Tensor = out.logits[0]
        return logits if self._takes_keep else logits[keep]

    def guess(self, going: Pass, cache: Any, keep: Tensor) -> Tensor:
        """Return what `extend` does, roughly, in a fraction of the time."""
        raise NotImplementedError(f"{type(self).__name__} has no rough passes")

    def evaluate(self, sequences: Sequence[tuple[int, ...]], cache: Any = None, *, keep: int = 1) -> Tensor:
        """Return the (B, keep, V') logits after the last `keep` tokens of B sequences, and fill `cache`."""
        width = max(map(len, sequences))
        pads = [width - len(ids) for ids in sequences]
        padded = torch.tensor([[0] * pad + list(ids) for pad, ids in zip(pads, sequences, strict=True)])
        positions = (torch.arange(width) - torch.tensor(pads)[:, None]).clamp_(min=0)
        mask = self._mask(pads, width)
        return self._call(padded.to(self.device), positions.to(self.device), mask, cache, keep)[:, -keep:]

    def continued(self, begin: KV, rest: tuple[int, ...]) -> tuple[Tensor, KV]:
        """Return the (V',) logits after a sequence of which the beginning is known, and its keys and values."""
        cache = DynamicCache()  # windows too keep everything: rows may look back from any place
        for i, (keys, values) in enumerate(begin):
            cache.update(keys[None], values[None], i)
        ids = torch.tensor([rest], device=self.device)
        start = begin[0][0].shape[1]
        positions = torch.arange(start, start + len(rest), device=self.device)[None]
        logits = self._call(ids, positions, None, cache, keep=1)[0, -1]
        return logits, [(layer.keys[0], layer.values[0]) for layer in cache.layers]

    def prefill(self, sequences: Sequence[tuple[int, ...]]) -> tuple[Tensor, list[KV]]:
        """Return the (B, V') logits at the end of B sequences, and the keys and values of each."""
        cache = DynamicCache()  # windows too keep everything: rows may look back from any place
        logits = self.evaluate(sequences, cache)[:, -1]
        rows: list[KV] = []
        for i, ids in enumerate(sequences):
            parts = [
                (layer.keys[i, :, -len(ids) :], layer.values[i, :, -len(ids) :]) for layer in cache.layers
            ]
            rows.append(parts if len(sequences) == 1 else [(k.clone(), v.clone()) for k, v in parts])
        return logits, rows

    def _mask(self, pads: Sequence[int], width: int) -> Tensor | None:
        """Return which of `width` columns are used, (B, width); None where all are, which is faster."""
        if not any(pads):
            return None
        return (torch.arange(width) >= torch.tensor(pads)[:, None]).to(self.device)

    def _call(self, ids: Tensor, positions: Tensor, mask: Tensor | None, cache: Any, keep: int) -> Tensor:
        options: dict[str, Any] = {}
        if self._takes_positions:
            options["position_ids"] = positions
        if self._takes_keep:
            options["logits_to_keep"] = keep
        with _ONE_AT_A_TIME:
            out = self.model(
                input_ids=ids,
                attention_mask=mask,
                use_cache=cache is not None,
                return_dict=True,
                **{self._cache: cache},
                **options,
            )
        logits: Tensor = out.logits
        return logits


def batches(lengths: Sequence[int], kept: Sequence[int], vocabulary: int) -> Iterator[list[int]]:
    """Split sequences of `lengths` tokens, `kept[i]` logits wanted of each, into batches of bounded memory.

    Yields lists of indices, the longest sequences first so that little padding is needed.
    """
    batch: list[int] = []
    width = most = 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        width, most = max(width, lengths[i]), max(most, kept[i])
        n = len(batch) + 1
        if batch and (n * width > BATCH_TOKENS or n * most * vocabulary > BATCH_LOGITS):
            yield batch
            batch, width, most = [], lengths[i], kept[i]
        batch.append(i)
    if batch:
        yield batch
