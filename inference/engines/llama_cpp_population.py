"""Population of a llama.cpp session: contexts that fork and leave as sequences of one memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from inference.engines.base import Context, Usage, check_numbers
from inference.engines.forward import BATCH_LOGITS
from inference.engines.llama_cpp_cells import MOST_SEQUENCES, Cells, Origin, Stretch

if TYPE_CHECKING:
    from inference.engines.llama_cpp import LlamaCppEngine

Ids = tuple[int, ...]

PROMPTS = 16
"""How many recent prompts a population remembers besides its contexts."""


class _Asked(NamedTuple):
    """Contexts by what is to be done with them."""

    kept: dict[int, None]
    """Sequences whose answers are repeated."""
    grown: dict[tuple[int, int], Context]
    """(sequence of the parent, token) -> context."""
    fresh: dict[tuple[Ids, Ids], Context]
    """(prompt, tokens after it) -> context."""
    place: dict[Context, Any]
    """The key of each context in one of these."""


class Population:
    """Contexts, those of the last call and `PROMPTS` recent prompts, each a sequence of one memory of llama.cpp.

    Each context that is asked for is one of three things. *Kept*: asked in the last call too, or a prompt that is
    remembered; its answer is repeated. *Grown*: one token longer than a context of the last call. *Fresh*: anything
    else; it shares with some sequence the beginning that both have, and the rest is evaluated. All grown and fresh ones
    take part in one evaluation.
    """

    def __init__(self, engine: LlamaCppEngine, usage: Usage) -> None:
        self._engine = engine
        self._usage = usage
        self._cells = Cells(engine.model)
        self._sound = True
        self._slot: dict[Context, int] = {}  # contexts of the last call -> sequence
        self._holds: dict[int, Context] = {}  # sequence -> a context that it is
        self._answer: dict[int, Tensor] = {}  # sequence -> (V,) log-probabilities
        self._prompts: OrderedDict[Ids, int] = OrderedDict()  # recent prompts -> sequence

    def is_home_of(self, context: Context) -> bool:
        """Return whether a context, or its parent, was among those of the last call."""
        return context in self._slot or context.parent in self._slot

    def next_tokens(self, contexts: Sequence[Context]) -> tuple[Tensor, dict[Context, int]]:
        """Return the (U, V) log-probabilities after contexts, and the row of each.

        There must be sequences for all: at most `MOST_SEQUENCES` - `PROMPTS` contexts.
        """
        self._begin()
        asked = self._sort(contexts)
        texts = [prompt + generated for prompt, generated in asked.fresh]
        origins: list[Origin] = [(slot, _length(self._holds[slot])) for slot, _ in asked.grown]
        origins += self._common(texts, [len(text) - 1 for text in texts])
        tokens: list[Ids] = [(token,) for _, token in asked.grown]
        tokens += [text[base:] for text, (_, base) in zip(texts, origins[len(tokens) :], strict=True)]
        targets = self._settle(origins, staying={*asked.kept, *self._prompts.values()})
        new = [*asked.grown.values(), *asked.fresh.values()]
        self._holds |= dict(zip(targets, new, strict=True))
        parts = zip(targets, origins, tokens, new, strict=True)
        logprobs, rows = self._evaluate([Stretch(t, o, ids, len(c.prompt)) for t, o, ids, c in parts])

        at = {target: row for target, (row,) in zip(targets, rows, strict=True)}
        at |= {slot: len(logprobs) + i for i, slot in enumerate(asked.kept)}
        if asked.kept:
            logprobs = torch.cat([logprobs, torch.stack([self._answer[slot] for slot in asked.kept])])
        keys = [*asked.grown, *asked.fresh, *asked.kept]
        sequences = dict(zip(keys, [*targets, *asked.kept], strict=True))
        self._slot = {context: sequences[key] for context, key in asked.place.items()}
        self._remember(logprobs, at, [c for c in asked.fresh.values() if not c.length])
        self._sound = True
        return logprobs, {context: at[sequence] for context, sequence in self._slot.items()}

    def _sort(self, contexts: Sequence[Context]) -> _Asked:
        asked = _Asked({}, {}, {}, {})
        for context in contexts:
            slot = self._slot.get(context, self._remembered(context))
            parent = None if context.parent is None else self._slot.get(context.parent)
            if slot is not None:
                asked.place[context] = slot
                asked.kept[slot] = None
            elif parent is not None:
                asked.place[context] = parent, context.token
                asked.grown.setdefault((parent, context.token), context)
            else:
                asked.place[context] = context.prompt, context.generated()
                asked.fresh.setdefault(asked.place[context], context)
        return asked

    def along(self, requests: Sequence[tuple[Ids, Ids]]) -> list[Tensor]:
        """Return for each (prompt, continuation) its (len(continuation) + 1, V) log-probabilities."""
        self._begin()
        answers = []
        for group in self._groups(requests):
            texts = [prompt + continuation for prompt, continuation in group]
            origins = self._common(texts, [len(prompt) - 1 for prompt, _ in group])
            targets = self._settle(origins, staying=set(self._holds))
            parts = zip(targets, origins, texts, group, strict=True)
            logprobs, rows = self._evaluate(
                [Stretch(t, o, ids[o[1] :], len(p), keep=len(c) + 1) for t, o, ids, (p, c) in parts]
            )
            for target in targets:
                self._cells.remove(target)
            answers += [logprobs[kept] for kept in rows]
        self._sound = True
        return answers

    def close(self) -> None:
        """Give back the memory."""
        self._cells.close()
        self._slot, self._answer = {}, {}

    def _begin(self) -> None:
        """Start a call; if the last one was interrupted, nobody knows what is in memory: forget everything."""
        if not self._sound:
            self._cells.clear()
            self._slot, self._holds, self._answer = {}, {}, {}
            self._prompts.clear()
        self._sound = False

    def _remembered(self, context: Context) -> int | None:
        """Return the sequence of a context that is a recent prompt."""
        if context.length or context.prompt not in self._prompts:
            return None
        self._prompts.move_to_end(context.prompt)
        return self._prompts[context.prompt]

    def _common(self, texts: Sequence[Ids], most: Sequence[int]) -> list[Origin]:
        """Return for each text a sequence that begins like it, and how far: at most so many tokens."""
        if not texts:
            return []
        begins = _Beginnings()
        for sequence, context in self._holds.items():
            if self._cells.whole(sequence):
                begins.add(_ids(context), sequence)
        found = [begins.longest(text) for text in texts]
        cut = [(source, min(length, limit)) for (source, length), limit in zip(found, most, strict=True)]
        return [(source, base) if base else (None, 0) for source, base in cut]

    def _settle(self, origins: Sequence[Origin], staying: set[int]) -> list[int]:
        """Return a sequence for each origin, which holds it now; sequences that do not stay leave.

        One that leaves is taken over by the first that begins with it, the others get copies.
        """
        heirs: dict[int, int] = {}
        for i, (source, _) in enumerate(origins):
            if source is not None and source not in staying:
                heirs.setdefault(source, i)
        for sequence in [s for s in self._holds if s not in staying and s not in heirs]:
            self._drop(sequence)
        free = (s for s in range(MOST_SEQUENCES) if s not in self._holds)
        self._cells.reserve(len(self._holds) + len(origins) - len(heirs))
        targets = []
        for i, (source, base) in enumerate(origins):
            if source is not None and heirs.get(source) == i:
                targets.append(source)
            else:
                targets.append(next(free))
                if source is not None:
                    self._cells.copy(source, targets[-1], base)
        for source, i in heirs.items():  # after the copies, which may need more of it
            self._cells.remove(source, first=origins[i][1])
        return targets

    def _evaluate(self, stretches: list[Stretch]) -> tuple[Tensor, list[list[int]]]:
        """Return log-probabilities, and for each stretch the rows of what it wanted."""
        engine = self._engine
        if not stretches:
            return torch.empty((0, engine.vocabulary.size)), []
        answer = self._cells.evaluate(stretches)
        self._usage.calls += answer.calls
        self._usage.prompt_tokens += answer.prompt_tokens
        self._usage.tokens += answer.tokens
        logprobs = engine.softmax(answer.logits)
        if any(len(stretch.tokens) > 1 for stretch in stretches):
            check_numbers(logprobs, engine.name)
        return logprobs, answer.rows

    def _remember(self, logprobs: Tensor, at: dict[int, int], prompts: list[Context]) -> None:
        """Keep the answers of this call, and those of the most recent prompts."""
        pinned = {s: self._answer[s] for s in self._prompts.values()}
        self._answer = pinned | {s: logprobs[row] for s, row in at.items() if s not in pinned}
        for context in prompts:
            sequence = self._slot[context]
            self._prompts[context.prompt] = sequence
            self._answer[sequence] = self._answer[sequence].clone()  # not all of `logprobs`
        while len(self._prompts) > PROMPTS:
            _, sequence = self._prompts.popitem(last=False)
            if sequence not in at:
                self._drop(sequence)

    def _drop(self, sequence: int) -> None:
        self._cells.remove(sequence)
        del self._holds[sequence]
        self._answer.pop(sequence, None)

    def _groups(self, requests: Sequence[tuple[Ids, Ids]]) -> Iterator[list[tuple[Ids, Ids]]]:
        """Split requests so that each part has enough sequences, and not too many logits."""
        sequences, rows = MOST_SEQUENCES - len(self._holds), BATCH_LOGITS // self._engine.vocabulary.size
        group: list[tuple[Ids, Ids]] = []
        for request in requests:
            if group and (len(group) == sequences or sum(len(c) + 1 for _, c in [*group, request]) > rows):
                yield group
                group = []
            group.append(request)
        if group:
            yield group


class _Beginnings:
    """Sequences by their tokens, as a tree: which of them begins most like a text?"""

    def __init__(self) -> None:
        self._root: dict[int, Any] = {}  # token -> (sequence that passes here, what follows)

    def add(self, ids: Ids, sequence: int) -> None:
        node = self._root
        for token in ids:
            node = node.setdefault(token, (sequence, {}))[1]

    def longest(self, text: Ids) -> tuple[int | None, int]:
        node, sequence = self._root, None
        for length, token in enumerate(text):
            if token not in node:
                return sequence, length
            sequence, node = node[token]
        return sequence, len(text)


def _ids(context: Context) -> Ids:
    return context.prompt + context.generated()


def _length(context: Context) -> int:
    return len(context.prompt) + context.length
