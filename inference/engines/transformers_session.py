"""Session of a transformers model: incremental next-token distributions for a changing set of contexts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from inference.engines.base import Context, NextTokens, Session, check_numbers
from inference.engines.errors import PromptTooLong, SessionClosed
from inference.engines.forward import batches
from inference.engines.kv_cache import KV, KVRows, settle

if TYPE_CHECKING:
    from inference.engines.transformers import TransformersEngine

Ids = tuple[int, ...]

PROMPT_BYTES = 1 << 28
"""Most memory in which a session remembers prompts besides those in use."""


class TransformersSession(Session):
    """Rows of a key-value cache, one for each distinct context of the last call.

    Each context that is asked for is one of three things. *Kept*: asked in the last call too; its answer
    is repeated. *Grown*: one token longer than a context of the last call; all of these take part in one
    forward pass. *Fresh*: anything else; a bare prompt is looked up among recent prompts, the rest is
    evaluated whole.

    The tensors returned are shared with the session: do not write to them.
    """

    def __init__(self, engine: TransformersEngine) -> None:
        super().__init__()
        self._engine: TransformersEngine | None = engine
        self._rows = KVRows(engine.windows)
        self._slot: dict[Context, int] = {}
        self._logprobs: Tensor | None = None
        self._prompts = _Prompts(PROMPT_BYTES)

    @property
    def rows_copied(self) -> int:
        """Number of cache rows copied so far because a context had several continuations, or moved."""
        return self._rows.copied

    @torch.inference_mode()
    def next_tokens(self, contexts: Sequence[Context]) -> NextTokens:
        """Return the (U, V) float32 distributions after the U distinct ones of `contexts`.

        Raises
        ------
        PromptTooLong
            If a context does not fit the model.
        """
        self._open()
        if not self._slot:
            self._rows.clear()  # after an interrupted call the buffers may be half written
        kept: dict[int, int] = {}
        grown: dict[tuple[int, int], int] = {}
        fresh: dict[tuple[Ids, Ids], int] = {}
        place: dict[Context, tuple[int, int]] = {}  # context -> (group, index in it)
        for c in contexts:
            if c in place:
                continue
            if (slot := self._slot.get(c)) is not None:
                place[c] = (1, kept.setdefault(slot, len(kept)))
            elif c.parent is not None and (slot := self._slot.get(c.parent)) is not None:
                place[c] = (0, grown.setdefault((slot, c.token), len(grown)))
            else:
                place[c] = (2, fresh.setdefault((c.prompt, c.generated()), len(fresh)))

        self._slot, before, self._logprobs = {}, self._logprobs, None  # an interrupted call leaves no rows
        moved = settle([slot for slot, _ in grown])
        stayed = settle(list(kept), first=len(grown))
        parents, tokens = [slot for slot, _ in grown], [token for _, token in grown]
        slots = list(kept)
        self._rows.arrange([parents[i] for i in moved] + [slots[i] for i in stayed])

        answers = []
        if grown:
            answers.append(self._step([tokens[i] for i in moved]))
        if kept and before is not None:
            order = [slots[i] for i in stayed]
            whole = order == list(range(len(before)))
            answers.append(before if whole else before[torch.tensor(order, device=before.device)])
        for (prompt, generated), (kv, logprobs) in zip(fresh, self._evaluate(list(fresh)), strict=True):
            self._rows.append(kv, len(prompt) + len(generated), prompt, slots=len(contexts))
            answers.append(logprobs[None])

        self._logprobs = answers[0] if len(answers) == 1 else torch.cat(answers)
        at = (_inverse(moved), _inverse(stayed), list(range(len(fresh))))
        offset = (0, len(grown), len(grown) + len(kept))
        self._slot = {c: offset[group] + at[group][index] for c, (group, index) in place.items()}
        return NextTokens(self._logprobs, np.array([self._slot[c] for c in contexts], dtype=np.int64))

    @torch.inference_mode()
    def along(self, requests: Sequence[tuple[Ids, Ids]]) -> list[Tensor]:
        """Return for each (prompt, continuation) its (len(continuation) + 1, V) log-probabilities."""
        engine = self._open()
        distinct = list(dict.fromkeys(requests))
        for prompt, continuation in distinct:
            engine.check_fits(prompt, len(continuation))
        kept = [len(continuation) + 1 for _, continuation in distinct]
        lengths = [len(prompt) + len(continuation) for prompt, continuation in distinct]
        answers: dict[tuple[Ids, Ids], Tensor] = {}
        for batch in batches(lengths, kept, engine.vocabulary.size):
            most = max(kept[i] for i in batch)
            logits = engine.forward.evaluate([distinct[i][0] + distinct[i][1] for i in batch], keep=most)
            self.usage.calls += 1
            for row, i in enumerate(batch):
                answers[distinct[i]] = engine.softmax(logits[row, most - kept[i] :])
                check_numbers(answers[distinct[i]], engine.name)
        self.usage.prompt_tokens += sum(len(prompt) for prompt, _ in distinct)
        self.usage.tokens += sum(len(continuation) for _, continuation in distinct)
        return [answers[request] for request in requests]

    def close(self) -> None:
        """Give back the memory of the cache."""
        self._engine, self._slot, self._logprobs = None, {}, None
        self._rows.clear()
        self._prompts.clear()

    def _open(self) -> TransformersEngine:
        if self._engine is None:
            raise SessionClosed("this session is closed", hint="ask the engine for a fresh session()")
        return self._engine

    def _step(self, tokens: list[int]) -> Tensor:
        """Return the (A, V) log-probabilities after `tokens`, one more in each of the first A rows."""
        engine = self._open()
        pads, lengths = self._rows.begin_step(len(tokens))
        if engine.context_length is not None and max(lengths) >= engine.context_length:
            raise PromptTooLong(
                f"a text has filled the context of {engine.name!r}, {engine.context_length} tokens",
                hint="shorten the prompt, lower max_tokens, or load a model with a longer context",
            )
        logits = engine.forward.step(tokens, pads, lengths, self._rows.cache)
        self._rows.end_step()
        self.usage.calls += 1
        self.usage.tokens += len(tokens)
        return engine.softmax(logits)

    def _evaluate(self, wanted: list[tuple[Ids, Ids]]) -> list[tuple[KV, Tensor]]:
        """Return the keys and values and the (V,) log-probabilities of whole contexts (prompt, generated)."""
        engine = self._open()
        found: dict[tuple[Ids, Ids], tuple[KV, Tensor]] = {}
        for prompt, generated in wanted:
            engine.check_fits(prompt, len(generated))
            if not generated and (known := self._prompts.get(prompt)):
                found[prompt, generated] = known
        missing = [key for key in wanted if key not in found]
        sequences = [prompt + generated for prompt, generated in missing]
        for batch in batches([len(ids) for ids in sequences], [1] * len(sequences), engine.vocabulary.size):
            logits, rows = engine.forward.prefill([sequences[i] for i in batch])
            logprobs = engine.softmax(logits)
            check_numbers(logprobs, engine.name)
            self.usage.calls += 1
            for i, kv, row in zip(batch, rows, logprobs, strict=True):
                prompt, generated = missing[i]
                self.usage.prompt_tokens += len(prompt)
                self.usage.tokens += len(generated)
                found[missing[i]] = (kv, row.clone())
                if not generated:
                    self._prompts.put(prompt, found[missing[i]])
        return [found[key] for key in wanted]


class _Prompts:
    """The keys, values and log-probabilities of recent prompts, the least recently used forgotten first."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._bytes = 0
        self._known: OrderedDict[Ids, tuple[KV, Tensor]] = OrderedDict()

    def get(self, prompt: Ids) -> tuple[KV, Tensor] | None:
        if prompt in self._known:
            self._known.move_to_end(prompt)
        return self._known.get(prompt)

    def put(self, prompt: Ids, row: tuple[KV, Tensor]) -> None:
        self._known[prompt] = row
        self._bytes += _bytes(row)
        while self._bytes > self._capacity and len(self._known) > 1:
            self._bytes -= _bytes(self._known.popitem(last=False)[1])

    def clear(self) -> None:
        self._known.clear()
        self._bytes = 0


def _bytes(row: tuple[KV, Tensor]) -> int:
    kv, logprobs = row
    return logprobs.nbytes + sum(keys.nbytes + values.nbytes for keys, values in kv)


def _inverse(order: Sequence[int]) -> list[int]:
    """Return where each index stands in `order`."""
    at = [0] * len(order)
    for position, index in enumerate(order):
        at[index] = position
    return at
