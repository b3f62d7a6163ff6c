"""Session of a vLLM engine: next-token distributions of a population whose sequences vLLM keeps running."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from inference.engines.base import Context, Guess, NextTokens, Session, check_numbers
from inference.engines.errors import SessionClosed
from inference.engines.vllm_batch import Pass

if TYPE_CHECKING:
    from inference.engines.vllm import VLLMEngine

Ids = tuple[int, ...]


class VLLMSession(Session):
    """The contexts of the last call, and the sequences of vLLM that hold them.

    Each context that is asked for is one of three things. *Kept*: asked in the last call too; its answer is
    repeated. *Grown*: one token longer than a context of the last call whose sequence waits; it is given the
    token. *Begun*: anything else, a second child of one parent too; a new sequence, which shares with all sequences
    of this session the full blocks that they have in common. What is not asked for is dropped.

    Sessions of one engine share its batch. They may take turns, and each finds its sequences dropped when it
    comes back; but blocks stay where they are until they are needed, so that little is evaluated again.

    `usage.tokens` counts what was evaluated, the rest of the last block of a fork included.

    The tensors returned are shared with the session: do not write to them.
    """

    def __init__(self, engine: VLLMEngine, salt: str) -> None:
        super().__init__()
        self._engine: VLLMEngine | None = engine
        self._salt = salt
        """What a session answers must not depend on what others have computed: it shares blocks with none."""
        self._rows: dict[Context, int] = {}
        self._names: list[str | None] = []
        self._logprobs: Tensor | None = None

    @torch.inference_mode()
    def next_tokens(
        self,
        contexts: Sequence[Context],
        drafts: Sequence[Sequence[int]] = (),
        guess: Guess | None = None,
    ) -> NextTokens:
        """Return the (U, V) float32 distributions after the U distinct ones of `contexts`; drafts are left out.

        Raises
        ------
        PromptTooLong
            If a context does not fit the model.
        """
        wanted = self._wanted(contexts)
        if wanted.prompts or self._logprobs is None:
            self._evaluate(wanted)
        assert self._logprobs is not None
        return NextTokens(self._logprobs, np.array([self._rows[c] for c in contexts], dtype=np.int64))

    @torch.inference_mode()
    def along(self, requests: Sequence[tuple[Ids, Ids]]) -> list[Tensor]:
        """Return for each (prompt, continuation) its (len(continuation) + 1, V) log-probabilities."""
        engine = self._open()
        distinct = list(dict.fromkeys(requests))
        for prompt, continuation in distinct:
            engine.check_fits(prompt, len(continuation))
        begun = {
            engine.batch.begin(prompt + continuation, self._salt, whole=True): (prompt, continuation)
            for prompt, continuation in distinct
        }
        prompts = {name: len(prompt) for name, (prompt, _) in begun.items()}
        parts: dict[str, list[Tensor]] = {name: [] for name in begun}
        for done in engine.batch.passes({}, begun):
            self._count(done, prompts)
            offset = 0
            for name, (start, stop) in done.spans.items():
                first = max(start, prompts[name] - 1)
                if first < stop:
                    hidden = done.hidden[offset + first - start : offset + stop - start]
                    parts[name].append(engine.softmax(engine.batch.logits(hidden)))
                    check_numbers(parts[name][-1], engine.name)
                offset += stop - start
        engine.batch.drop(begun)
        answers = {begun[name]: torch.cat(rows) for name, rows in parts.items()}
        return [answers[request] for request in requests]

    def close(self) -> None:
        """Give back the blocks of the cache."""
        if self._engine is not None:
            self._engine.batch.drop([name for name in self._names if name is not None])
        self._engine, self._rows, self._names, self._logprobs = None, {}, [], None

    def _open(self) -> VLLMEngine:
        if self._engine is None:
            raise SessionClosed("this session is closed", hint="ask the engine for a fresh session()")
        return self._engine

    def _wanted(self, contexts: Sequence[Context]) -> _Wanted:
        """Return where the answer of each context is or will be, and begin the sequences that this takes."""
        engine = self._open()
        for c in contexts:
            engine.check_fits(c.prompt, c.length)
        wanted = _Wanted()
        names: dict[tuple[object, object], str] = {}
        for c in contexts:
            if c in wanted.place:
                continue
            if (row := self._rows.get(c)) is not None:
                wanted.place[c] = row
                continue
            parent = None if c.parent is None else self._rows.get(c.parent)
            key = (c.prompt, c.generated()) if parent is None else (parent, c.token)
            if key not in names:
                held = None if parent is None else self._names[parent]
                if held in engine.batch.waiting and held not in wanted.chosen:
                    assert held is not None
                    wanted.chosen[held] = c.token
                    names[key] = held
                else:
                    names[key] = engine.batch.begin(c.prompt + c.generated(), self._salt)
                wanted.prompts[names[key]] = len(c.prompt)
            wanted.place[c] = names[key]
        return wanted

    def _evaluate(self, wanted: _Wanted) -> None:
        """Make the rows of what is wanted the rows of the session."""
        engine = self._open()
        before, self._logprobs = self._logprobs, None
        self._rows, self._names = {}, []  # an interrupted call leaves no rows
        begun = wanted.prompts.keys() - wanted.chosen.keys()
        answers: list[Tensor] = []
        names: list[str | None] = []
        at: dict[int | str, int] = {}
        for done in engine.batch.passes(wanted.chosen, begun):
            self._count(done, wanted.prompts)
            rows = [i for i, complete in enumerate(done.complete) if complete]
            logits = done.logits if len(rows) == len(done.complete) else done.logits[rows]
            if rows:
                answers.append(engine.softmax(logits))
            for name, complete in zip(done.spans, done.complete, strict=True):
                if complete:
                    at[name] = len(names)
                    names.append(name)
        if begun:
            for logprobs in answers:
                check_numbers(logprobs, engine.name)
        if kept := sorted({row for row in wanted.place.values() if isinstance(row, int)}):
            assert before is not None
            answers.append(before[torch.tensor(kept, device=before.device)])
            at |= {row: len(names) + i for i, row in enumerate(kept)}
            names += [None] * len(kept)
        self._logprobs = answers[0] if len(answers) == 1 else torch.cat(answers)
        self._names = names
        self._rows = {c: at[row] for c, row in wanted.place.items()}

    def _count(self, done: Pass, prompts: Mapping[str, int]) -> None:
        """Add a pass to what the session has spent; `prompts` has the number of prompt tokens of each sequence."""
        self.usage.calls += 1
        for name, (start, stop) in done.spans.items():
            self.usage.prompt_tokens += max(0, min(stop, prompts[name]) - start)
            self.usage.tokens += max(0, stop - max(start, prompts[name]))


@dataclass
class _Wanted:
    """What one call asks for."""

    place: dict[Context, int | str] = field(default_factory=dict)
    """Of each context the row in the last call, where it is kept, or else its sequence."""
    chosen: dict[str, int] = field(default_factory=dict)
    """The tokens of sequences that grow."""
    prompts: dict[str, int] = field(default_factory=dict)
    """The number of prompt tokens of each sequence, grown or begun."""
