"""Prompt cache: the keys and values of prompts that a model has read, for all runs with it.

A prompt that is asked for again is not evaluated; of one that begins like a remembered one only the rest is. The least
recently used are forgotten first.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from torch import Tensor

KV = list[tuple[Tensor, Tensor]]
"""For each layer its keys and values, each (heads, n, width)."""
Ids = tuple[int, ...]

PROMPT_BYTES = 1 << 28
"""Most memory in which prompts are remembered, unless a single one is larger."""
_LEAST = 16
"""Fewest tokens in common that are worth another batch."""


class Prompt(NamedTuple):
    """What is known of a prompt: keys and values, and the (V',) logits after it."""

    kv: KV
    logits: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes of all of it."""
        return self.logits.nbytes + sum(keys.nbytes + values.nbytes for keys, values in self.kv)


class PromptCache:
    """Recent prompts of one model."""

    def __init__(self, capacity: int = PROMPT_BYTES) -> None:
        self._capacity = capacity
        self._bytes = 0
        self._known: OrderedDict[Ids, Prompt] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, prompt: Ids) -> Prompt | None:
        """Return what is known of a prompt."""
        if prompt in self._known:
            self._known.move_to_end(prompt)
        return self._known.get(prompt)

    def beginning(self, prompt: Ids) -> tuple[int, KV]:
        """Return how many tokens a remembered prompt has in common, short of all, and their keys and values.

        0 and nothing where it is not worth it.
        """
        best, longest = None, _LEAST - 1
        for ids in self._known:
            if ids[longest : longest + 1] == prompt[longest : longest + 1]:
                n = min(_common(ids, prompt), len(prompt) - 1)
                best, longest = (ids, n) if n > longest else (best, longest)
        if best is None:
            return 0, []
        self._known.move_to_end(best)
        return longest, [(keys[:, :longest], values[:, :longest]) for keys, values in self._known[best].kv]

    def put(self, prompt: Ids, known: Prompt) -> None:
        """Remember a prompt."""
        self._known[prompt] = known
        self._bytes += known.nbytes
        while self._bytes > self._capacity and len(self._known) > 1:
            self._bytes -= self._known.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()
        self._bytes = 0


def _common(a: Ids, b: Ids) -> int:
    """Return the length of the longest common beginning, by halving: slices compare in C."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if a[:middle] == b[:middle] else (low, middle - 1)
    return low
