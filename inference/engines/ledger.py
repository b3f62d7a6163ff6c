"""Ledger: what an engine with a perfect cache evaluates, counted from the contexts that are asked for.

A prompt is evaluated once, and so is each text after it; equal texts are one, whoever asks. The texts form a tree,
whose nodes are numbered: prompts from -1 downwards, a token after a node from 0 upwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from inference.engines.base import Context, Usage

Ids = tuple[int, ...]


class Ledger:
    """The contexts that were asked for, and what they cost, which is added to `usage`."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage
        self._prompts: dict[Ids, int] = {}
        self._tokens: dict[tuple[int, int], int] = {}
        self._asked: set[int] = set()
        self._last: dict[Context, int] = {}

    def next_tokens(self, contexts: Sequence[Context], drafts: Sequence[Sequence[int]] = ()) -> None:
        """Count a call for the tokens that follow contexts; fast for those that extend the last ones.

        With the tokens of drafts, which count as evaluated, too.
        """
        last, self._last = self._last, {}
        for context in contexts:
            if context not in self._last:
                self._last[context] = self._node(context, last)
        nodes = list(self._last.values())
        for context, draft in zip(contexts, drafts, strict=False):
            node = self._last[context]
            for token in draft:
                node = self._token(node, token)
                nodes.append(node)
        self._count(nodes)

    def along(self, requests: Iterable[tuple[Ids, Ids]]) -> None:
        """Count a call for the distributions along continuations of prompts."""
        nodes = []
        for prompt, continuation in requests:
            nodes.append(self._prompt(prompt))
            for token in continuation:
                nodes.append(self._token(nodes[-1], token))
        self._count(nodes)

    def _node(self, context: Context, known: dict[Context, int]) -> int:
        path = []
        node = known.get(context)
        while node is None:
            if context.parent is None:
                node = self._prompt(context.prompt)
                break
            path.append(context.token)
            context = context.parent
            node = known.get(context)
        for token in reversed(path):
            node = self._token(node, token)
        return node

    def _prompt(self, prompt: Ids) -> int:
        if prompt not in self._prompts:
            self._prompts[prompt] = -1 - len(self._prompts)
            self._usage.prompt_tokens += len(prompt)
        return self._prompts[prompt]

    def _token(self, node: int, token: int) -> int:
        return self._tokens.setdefault((node, token), len(self._tokens))

    def _count(self, nodes: Iterable[int]) -> None:
        fresh = set(nodes) - self._asked
        self._usage.calls += bool(fresh)
        self._usage.tokens += sum(node >= 0 for node in fresh)
        self._asked |= fresh
