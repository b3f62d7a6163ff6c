"""Session of a transformers model: incremental next-token distributions for a changing set of contexts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.engines.base import Context, Guess, NextTokens, Session, check_numbers
from inference.engines.errors import PromptTooLong, SessionClosed
from inference.engines.forward import batches
from inference.engines.jobs import NOWHERE, Job, settle
from inference.engines.kv_cache import KVRows, Tail
from inference.engines.prompt_cache import Ids, Prompt
from inference.engines.prompt_reading import read_prompts

if TYPE_CHECKING:
    from inference.engines.transformers import TransformersEngine

Ints = NDArray[np.int64]

_PASS_COST = {"cpu": 26.0, "cuda": 256.0}
"""What a pass costs beyond its tokens, in tokens: on a CPU as measured (docs/performance.md), on a GPU a low guess."""
_ROUGH_COST = 12.0
"""The same of a rough pass, which there is on a CPU only."""


class _Answer(NamedTuple):
    """Logits of a context: a row of a table that a pass has made."""

    table: Tensor
    row: int


class _Known(NamedTuple):
    """A context whose answer is there: the first `columns` columns of a slot, or a bare prompt, NOWHERE."""

    slot: int
    columns: int
    answer: _Answer


class TransformersSession(Session):
    """Rows of a key-value cache for the contexts of the last call, and what is known beyond them.

    Each context that is asked for is one of three things. *Known*: asked in the last call too, or a draft that came
    true. *Bare*: a prompt, looked up among those that the model has read. *Grown*: some tokens longer than either; all
    of these take part in one forward pass, each with its draft.

    The tensors returned are shared with the session: do not write to them.
    """

    def __init__(self, engine: TransformersEngine) -> None:
        super().__init__()
        self._engine: TransformersEngine | None = engine
        self.pass_cost = (
            0.0 if not engine.forward.splits else _PASS_COST.get(engine.device.type, _PASS_COST["cuda"])
        )
        self.rough_cost = _ROUGH_COST if self.pass_cost and engine.forward.guesses else 0.0
        self._rows = KVRows(engine.windows)
        self._known: dict[Context, _Known] = {}
        self._ahead: dict[int, dict[int, _Answer]] = {}  # slot -> number of columns -> answer after them

    @property
    def pages_copied(self) -> int:
        """Number of cache pages copied so far because a context in the middle of one had several continuations."""
        return self._rows.copied

    @property
    def nbytes(self) -> int:
        """Bytes of the keys and values in this session."""
        return self._rows.nbytes

    def knows(self, context: Context) -> bool:
        """Return whether the answer for a context is there."""
        if context not in self._known:
            self._resolve(context)
        return context in self._known

    @torch.inference_mode()
    def recall(self, contexts: Sequence[Context]) -> NextTokens:
        """Return the distributions after contexts that are known; what else is known stays so."""
        return self._answers(contexts)

    @torch.inference_mode()
    def next_tokens(
        self,
        contexts: Sequence[Context],
        drafts: Sequence[Sequence[int]] = (),
        guess: Guess | None = None,
    ) -> NextTokens:
        """Return the (U, V) float32 distributions after the U distinct ones of `contexts`.

        Raises
        ------
        PromptTooLong
            If a context does not fit the model.
        """
        engine = self._open()
        guess = guess if self.rough_cost else None
        jobs: dict[tuple[Ids, int, int, Ids], Job] = {}
        for i, context in enumerate(contexts):
            if context in self._known:
                continue
            job = self._resolve(context)
            draft, guessed = drafts[i] if drafts else (), 0 if guess is None else guess.lengths[i]
            if not job.tokens and job.slot != NOWHERE:
                if not draft and not guessed:
                    continue
                # Known by what was guessed for another; whether this one is guessed for must not depend on that.
                del self._known[context]
                job = Job(context.prompt, job.slot, job.columns - 1, (context.token,))
            job.first, job.guessed = i, guessed
            job = jobs.setdefault((job.prompt, job.slot, job.columns, job.tokens), job)
            job.contexts.append(context)
            if len(draft) > len(job.draft):
                job.draft = tuple(draft)
        known = {c: self._known[c] for c in contexts if c in self._known}
        ahead = {slot: self._ahead[slot] for slot, *_ in known.values() if slot != NOWHERE}
        self._check(jobs.values())
        self._known, self._ahead = {}, {}
        bare = [job for job in jobs.values() if not job.tokens]
        grown = [job for job in jobs.values() if job.tokens]
        if engine.forward.splits:
            bare_or_new = [job.prompt for job in jobs.values() if job.slot == NOWHERE]
            prompts = read_prompts(engine, bare_or_new, self.usage)
            with self._rows.or_nothing():
                grown_known, grown_ahead = self._extend(grown, known, prompts, guess)
        else:
            prompts = read_prompts(engine, [job.prompt for job in bare], self.usage)
            grown_known, grown_ahead = self._whole(grown), {}
        for job in bare:
            answer = _Answer(prompts[job.prompt].logits[None], 0)
            known.update((context, _Known(NOWHERE, 0, answer)) for context in job.contexts)
        self._known, self._ahead = known | grown_known, ahead | grown_ahead
        return self._answers(contexts)

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
        self._engine, self._known, self._ahead = None, {}, {}
        self._rows.clear()

    def _open(self) -> TransformersEngine:
        if self._engine is None:
            raise SessionClosed("this session is closed", hint="ask the engine for a fresh session()")
        return self._engine

    def _resolve(self, context: Context) -> Job:
        """Return what is missing of a context; if no tokens are, and it has a slot, it becomes known."""
        tail: list[int] = []
        node = context
        while node.parent is not None and self._known.get(node, _BARE).slot == NOWHERE:
            tail.append(node.token)
            node = node.parent
        tail.reverse()
        found = self._known.get(node, _BARE)
        slot, columns, answer = found
        if slot == NOWHERE:
            slot, columns = self._rows.beginning(context.prompt, tail)
            return Job(context.prompt, slot, columns, tuple(tail[columns:]))
        ahead, tokens, done = self._ahead.get(slot, {}), self._rows.tokens[slot], 0
        while done < len(tail) and columns + 1 in ahead and tokens[columns] == tail[done]:
            columns, done = columns + 1, done + 1
            answer = ahead[columns]
        if done == len(tail):
            self._known[context] = _Known(slot, columns, answer)
        return Job(context.prompt, slot, columns, tuple(tail[done:]))

    def _answers(self, contexts: Sequence[Context]) -> NextTokens:
        """Return the distributions of known contexts."""
        engine = self._open()
        tables: dict[int, Tensor] = {}
        chosen: dict[int, set[int]] = {}
        for context in contexts:
            table, row = self._known[context].answer
            tables[id(table)] = table
            chosen.setdefault(id(table), set()).add(row)
        place: dict[tuple[int, int], int] = {}
        parts = []
        for key, table in tables.items():
            rows = sorted(chosen[key])
            place |= {(key, row): len(place) + k for k, row in enumerate(rows)}
            whole = len(rows) == len(table)
            parts.append(table if whole else table[torch.tensor(rows, device=table.device)])
        logits = parts[0] if len(parts) == 1 else torch.cat(parts)
        asked = [self._known[context].answer for context in contexts]
        index = np.array([place[id(table), row] for table, row in asked], dtype=np.int64)
        return NextTokens(engine.softmax(logits), index)

    def _check(self, jobs: Iterable[Job]) -> None:
        """Raise `PromptTooLong` if a context does not fit; shorten drafts to what fits."""
        engine = self._open()
        limit = engine.context_length
        for job in jobs:
            length = job.columns + len(job.tokens)
            if job.slot == NOWHERE:
                engine.check_fits(job.prompt, length)
            elif limit is not None and len(job.prompt) + length > limit:
                raise PromptTooLong(
                    f"a text has filled the context of {engine.name!r}, {limit} tokens",
                    hint="shorten the prompt, lower max_tokens, or load a model with a longer context",
                )
            if limit is not None:
                room = limit - len(job.prompt) - length
                job.draft, job.guessed = job.draft[:room], min(job.guessed, room)

    def _extend(
        self,
        jobs: list[Job],
        known: dict[Context, _Known],
        prompts: dict[Ids, Prompt],
        guess: Guess | None,
    ) -> tuple[dict[Context, _Known], dict[int, dict[int, _Answer]]]:
        """Evaluate the jobs; return what is known by it, and beyond that. What was known before stays."""
        if not jobs:
            return {}, {}
        rows = self._rows
        widest = max(job.columns + len(job.tokens) + max(len(job.draft), job.guessed) for job in jobs)
        pinned = {k.slot for k in known.values()} - {NOWHERE}
        rows.reserve(settle(jobs, pinned, rows.slots), widest)
        rows.copy([(job.to, job.slot, job.columns) for job in jobs if job.slot not in (NOWHERE, job.to)])
        for job in jobs:
            rows.prompt[job.to] = job.prompt
        new = {job.prompt: prompts[job.prompt].kv for job in jobs if job.slot == NOWHERE}
        rows.hold(new, pinned | {job.to for job in jobs})
        jobs.sort(key=lambda job: job.to)
        if guess is not None:
            self._guess(jobs, guess)
        keep, offset = list[int](), 0
        for job in jobs:
            offset += len(job.tokens) + len(job.draft)
            keep += range(offset - len(job.draft) - 1, offset)
        table = self._run([Tail(j.to, j.columns, j.tokens + j.draft) for j in jobs], keep)
        self.usage.tokens += offset
        self.usage.drafted += sum(len(job.draft) for job in jobs)
        grown, beyond, row = dict[Context, _Known](), dict[int, dict[int, _Answer]](), 0
        for job in jobs:
            columns = job.columns + len(job.tokens)
            place = _Known(job.to, columns, _Answer(table, row))
            grown.update((context, place) for context in job.contexts)
            beyond[job.to] = {columns + k: _Answer(table, row + k) for k in range(1, len(job.draft) + 1)}
            row += len(job.draft) + 1
        return grown, beyond

    def _guess(self, jobs: Sequence[Job], guess: Guess) -> None:
        """Give drafts to the jobs that have none, by rough passes over their rows."""
        engine = self._open()
        going = [(job, job.tokens) for job in jobs if job.guessed and not job.draft]
        while going:
            tails = [Tail(j.to, j.columns + len(j.tokens + j.draft) - len(new), new) for j, new in going]
            keep = np.cumsum([len(new) for _, new in going]) - 1
            logits = self._run(tails, keep, rough=True)
            following = NextTokens(engine.softmax(logits), np.arange(len(going)))
            tokens = guess(following, [job.first for job, _ in going])
            more = [(job, token) for (job, _), token in zip(going, tokens, strict=True) if token >= 0]
            for job, token in more:
                job.draft += (token,)
            going = [(job, (token,)) for job, token in more if len(job.draft) < job.guessed]

    def _run(self, tails: Sequence[Tail], keep: Sequence[int] | Ints, *, rough: bool = False) -> Tensor:
        """Add tokens to rows, sorted by slot; return the logits after the tokens `keep` of them, counted through."""
        engine, wanted, tables, before = self._open(), np.asarray(keep), [], 0
        evaluate = engine.forward.guess if rough else engine.forward.extend
        for going in self._rows.passes(tails):
            count = len(going.ids)
            within = wanted[(wanted >= before) & (wanted < before + count)] - before
            at = torch.from_numpy(within).to(engine.device)
            tables.append(evaluate(going, self._rows.cache, at))
            self.usage.rough += rough
            self.usage.calls += not rough
            before += count
        return tables[0] if len(tables) == 1 else torch.cat(tables)

    def _whole(self, jobs: Sequence[Job]) -> dict[Context, _Known]:
        """Evaluate whole texts, for a model whose rows cannot be kept."""
        engine = self._open()
        sequences = [job.prompt + job.tokens for job in jobs]
        known: dict[Context, _Known] = {}
        for batch in batches([len(ids) for ids in sequences], [1] * len(sequences), engine.vocabulary.size):
            table = engine.forward.evaluate([sequences[i] for i in batch])[:, -1]
            self.usage.calls += 1
            self.usage.tokens += sum(len(sequences[i]) for i in batch)
            for row, i in enumerate(batch):
                place = _Known(NOWHERE, 0, _Answer(table, row))
                known.update((context, place) for context in jobs[i].contexts)
        return known


_BARE = _Known(NOWHERE, 0, _Answer(torch.empty(0), 0))
