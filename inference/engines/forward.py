"""Forward passes of a transformers model over sequences of different lengths, left-padded into batches."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from inference.engines.kv_cache import KV

BATCH_TOKENS = 4096
"""Most tokens, padding included, in one batch of several sequences; bounds the memory of a prefill."""
BATCH_LOGITS = 1 << 26
"""Most logits that one batch of several sequences returns."""


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

    def step(self, tokens: Sequence[int], pads: Sequence[int], lengths: Sequence[int], cache: Any) -> Tensor:
        """Return the (B, V') logits after one more token in each of B rows of a cache.

        Row i of the cache holds `lengths[i]` tokens after `pads[i]` unused columns.
        """
        ids = torch.tensor(tokens, device=self.device)[:, None]
        positions = torch.tensor(lengths, device=self.device)[:, None]
        return self._call(ids, positions, self._mask(pads, pads[0] + lengths[0] + 1), cache, keep=1)[:, -1]

    def evaluate(self, sequences: Sequence[tuple[int, ...]], cache: Any = None, *, keep: int = 1) -> Tensor:
        """Return the (B, keep, V') logits after the last `keep` tokens of B sequences, and fill `cache`."""
        width = max(map(len, sequences))
        pads = [width - len(ids) for ids in sequences]
        padded = torch.tensor([[0] * pad + list(ids) for pad, ids in zip(pads, sequences, strict=True)])
        positions = (torch.arange(width) - torch.tensor(pads)[:, None]).clamp_(min=0)
        mask = self._mask(pads, width)
        return self._call(padded.to(self.device), positions.to(self.device), mask, cache, keep)[:, -keep:]

    def prefill(self, sequences: Sequence[tuple[int, ...]]) -> tuple[Tensor, list[KV]]:
        """Return the (B, V') logits at the end of B sequences, and the keys and values of each."""
        cache = DynamicCache(config=self.model.config)
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
        out = self.model(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=cache is not None,
            return_dict=True,
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
