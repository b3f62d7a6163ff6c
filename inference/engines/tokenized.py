"""Engines whose texts are read by a tokenizer of transformers: its vocabulary, prompts, chats and ends of text."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch

from grammars.vocabulary import Vocabulary
from inference.engines.base import Engine, TextSoftmax
from inference.engines.errors import NoChatTemplate, UnsupportedModel
from inference.engines.token_bytes import TokenBytes
from ppl.errors import InvalidArgument

_ENDS_OF_TURN = ("<|im_end|>", "<end_of_turn>", "<|eot_id|>", "<|end|>", "<|eot|>", "<turn|>", "<|return|>")
_ENDS_OF_DOCUMENT = ("<|endoftext|>", "<|end_of_text|>", "<｜end▁of▁sentence｜>", "</s>", "<eos>")


class TokenizedEngine(Engine):
    """A causal language model with a tokenizer of transformers, whatever runs it.

    Parameters
    ----------
    tokenizer:
        Byte-level BPE or SentencePiece with byte fallback.
    size:
        Number of ids that the model gives logits for.
    ends:
        The ids that the model's configuration says end a text.
    silent:
        Ids that stand for no text, whatever the tokenizer takes them for.
    device:
        Where the log-probabilities of its sessions are.
    name:
        Shown in messages.

    Raises
    ------
    UnsupportedModel
        If the tokens have no bytes of their own, or no id ends a text.

    Notes
    -----
    The ids that end a text are all of these together: those of the configuration, `eos_token_id` of the tokenizer;
    special tokens known to end a turn, if the chat template writes them; special tokens known to end a document, such
    as <|endoftext|>. The last matter because a chat model that continues plain text ends it as the documents of its
    pretraining ended, and its configuration need not say so: after a finished Python function SmolLM2-135M-Instruct
    gives <|endoftext|> 500 times the probability of <|im_end|>, its only configured end.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        size: int,
        ends: Iterable[int],
        silent: Collection[int] = (),
        device: torch.device,
        name: str,
    ) -> None:
        self.name = name
        self.device = device
        self._tokenizer = tokenizer
        everything = TokenBytes.of(tokenizer, name)
        self.vocabulary = self._vocabulary(everything, size, {*ends, *ids_of(tokenizer)}, silent)
        self._bytes = everything.within(self.vocabulary)
        self.softmax = TextSoftmax(self.vocabulary, device)
        self._render = lru_cache(maxsize=1024)(self._encode_chat)

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the ids that spell exactly `text`; special tokens in it are read as plain text.

        Raises
        ------
        NotSpellable
            If the vocabulary lacks bytes of the text.
        """
        return self._bytes.encode(text)

    def encode_prompt(self, text: str) -> tuple[int, ...]:
        """Return the ids of a prompt as the tokenizer reads it, special tokens and all.

        A prompt without any token begins with the beginning-of-sequence id, or else an end-of-sequence id.
        """
        ids = self._read(text, special=True)
        if ids and ids[-1] in self.vocabulary.eos:  # put there by the tokenizer? Then the text would be over
            plain = self._read(text, special=False)
            ids = ids if plain[-1:] == ids[-1:] else ids[:-1]
        if ids:
            return ids
        begin = self._tokenizer.bos_token_id
        return (self.vocabulary.end if begin is None else begin,)

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        """Return the ids of a conversation in the model's chat format, up to where its answer begins.

        Raises
        ------
        NoChatTemplate
            If the model has no chat format.
        InvalidArgument
            If the chat format does not take these messages.
        """
        return self._render(tuple(tuple(message.items()) for message in messages))

    def _encode_chat(self, messages: tuple[tuple[tuple[str, str], ...], ...]) -> tuple[int, ...]:
        if not getattr(self._tokenizer, "chat_template", None):
            raise NoChatTemplate(
                f"{self.name!r} has no chat template",
                hint="it is a base model: continue a text with lm(prompt), or load its instruct variant",
            )
        chat = [dict(message) for message in messages]
        try:
            text = self._tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        except Exception as error:
            raise InvalidArgument(
                f"the chat template of {self.name!r} does not take these messages: {error}",
                hint='pass a list of {"role": "system" | "user" | "assistant", "content": ...}, in turn',
            ) from error
        return self._read(text, special=False)

    def _read(self, text: str, *, special: bool) -> tuple[int, ...]:
        """Return the ids of a text in which special tokens count as such, with those that begin or end any prompt."""
        return tuple(self._tokenizer(text, add_special_tokens=special)["input_ids"])

    def _vocabulary(
        self, known: TokenBytes, size: int, configured: set[int], silent: Collection[int]
    ) -> Vocabulary:
        """Return the bytes of all ids of the model's logits, None for ids that the tokenizer lacks."""
        eos = {v for v in configured | self._named_ends(known) if 0 <= v < size}
        if not eos:
            raise UnsupportedModel(
                f"no id of {self.name!r} ends a text",
                hint="set eos_token_id in its generation_config.json, or eos_token of its tokenizer",
            )
        tokens = tuple(None if v in eos or v in silent else known.tokens.get(v) for v in range(size))
        return Vocabulary(tokens=tokens, eos=frozenset(eos))

    def _named_ends(self, known: TokenBytes) -> set[int]:
        """Return the special ids that end a text by their names; the rule is in the notes of the class."""
        template = str(getattr(self._tokenizer, "chat_template", None) or "")
        candidates = [*_ENDS_OF_DOCUMENT, *(token for token in _ENDS_OF_TURN if token in template)]
        ids = self._tokenizer.get_vocab()
        return {ids[t] for t in candidates if t in ids and known.tokens.get(ids[t], b"") is None}


def ids_of(*sources: Any) -> set[int]:
    """Return `eos_token_id` of configurations and tokenizers: one id, several, or none in each."""
    ends = set[int]()
    for source in sources:
        value = getattr(source, "eos_token_id", None)
        ends.update([value] if isinstance(value, int) else value or ())
    return ends
