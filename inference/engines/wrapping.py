"""Engines that wrap another: they read texts and prompts as it does, and change what their sessions answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from typing_extensions import override

from inference.engines.base import Engine

Ids = tuple[int, ...]


class WrappingEngine(Engine):
    """A language model with the vocabulary, prompts, chats and limits of another, its `base`."""

    def __init__(self, base: Engine, name: str) -> None:
        self.base = base
        self.name = name
        self.vocabulary = base.vocabulary
        self.context_length = base.context_length
        self.device = base.device
        self.weights = base.weights

    @override
    def encode(self, text: str) -> Ids:
        return self.base.encode(text)

    @override
    def encode_prompt(self, text: str) -> Ids:
        return self.base.encode_prompt(text)

    @override
    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> Ids:
        return self.base.encode_chat(messages)

    @override
    def check_fits(self, prompt: Sequence[int], max_tokens: int = 0) -> None:
        self.base.check_fits(prompt, max_tokens)
