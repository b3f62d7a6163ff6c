"""Engine `transformers`: causal language models of Hugging Face transformers, in PyTorch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from grammars.vocabulary import Vocabulary
from inference.engines.base import Engine, TextSoftmax
from inference.engines.errors import NoChatTemplate, UnsupportedModel
from inference.engines.forward import Forward
from inference.engines.kv_cache import attention_windows
from inference.engines.lora import with_adapter
from inference.engines.prompt_cache import PromptCache
from inference.engines.token_bytes import TokenBytes
from inference.engines.transformers_session import TransformersSession
from ppl.errors import InvalidArgument

_ENDS_OF_TURN = ("<|im_end|>", "<end_of_turn>", "<|eot_id|>", "<|end|>", "<|eot|>", "<turn|>", "<|return|>")
_ENDS_OF_DOCUMENT = ("<|endoftext|>", "<|end_of_text|>", "<｜end▁of▁sentence｜>", "</s>", "<eos>")


class TransformersEngine(Engine):
    """A causal language model of transformers with its tokenizer.

    Parameters
    ----------
    model:
        A model with a language-modelling head, on the device and in the precision it is to run in.
    tokenizer:
        Its tokenizer: byte-level BPE or SentencePiece with byte fallback.
    name:
        Shown in messages.

    Raises
    ------
    UnsupportedModel
        If the tokens have no bytes of their own, no id ends a text, or the model keeps another memory than
        the keys and values of each token.

    Notes
    -----
    The ids that end a text are all of these together: `eos_token_id` of the generation configuration, of the
    model's configuration and of the tokenizer; special tokens known to end a turn, if the chat template writes
    them; special tokens known to end a document, such as <|endoftext|>. The last matter because a chat
    model that continues plain text ends it as the documents of its pretraining ended, and its configuration
    need not say so: after a finished Python function SmolLM2-135M-Instruct gives <|endoftext|> 500 times the
    probability of <|im_end|>, its only configured end.
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str) -> None:
        config = model.config.get_text_config(decoder=True)
        self.name = name
        self.windows = attention_windows(config, name)
        self.context_length = getattr(config, "max_position_embeddings", None)
        self._tokenizer = tokenizer
        everything = TokenBytes.of(tokenizer, name)
        self.vocabulary = self._vocabulary(model, everything)
        self._bytes = everything.within(self.vocabulary)
        if getattr(config, "attn_logit_softcapping", None):
            model.set_attn_implementation("eager")  # the fused kernels have no soft cap
        self.forward = Forward(model.eval().requires_grad_(False))
        self.prompts = PromptCache()
        self.device = self.forward.device
        self.softmax = TextSoftmax(self.vocabulary, self.device)
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
        ids = tuple(self._tokenizer(text)["input_ids"])
        if ids and ids[-1] in self.vocabulary.eos:  # put there by the tokenizer? Then the text would be over
            plain = tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])
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

    def adapter(self, path: str | os.PathLike[str]) -> TransformersEngine:
        """Return this model with a LoRA adapter: another expert, which shares the weights that the adapter leaves.

        Parameters
        ----------
        path:
            A directory that `save_pretrained` of the package `peft` has written.

        Raises
        ------
        ModelNotFound, ModelDamaged, UnsupportedModel
            If it cannot be read, does not fit this model, or is another kind of adapter.
        """
        model = with_adapter(self.forward.model, path)
        return TransformersEngine(model, self._tokenizer, name=f"{self.name}+{Path(path).name}")

    def session(self) -> TransformersSession:
        """Return a fresh session."""
        return TransformersSession(self)

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
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _vocabulary(self, model: Any, known: TokenBytes) -> Vocabulary:
        """Return the bytes of all ids of the model's logits, None for ids that the tokenizer lacks."""
        size = int(model.get_output_embeddings().weight.shape[0])
        eos = {v for v in self._ends(model, known) if 0 <= v < size}
        if not eos:
            raise UnsupportedModel(
                f"no id of {self.name!r} ends a text",
                hint="set eos_token_id in its generation_config.json, or eos_token of its tokenizer",
            )
        tokens = tuple(None if v in eos else known.tokens.get(v) for v in range(size))
        return Vocabulary(tokens=tokens, eos=frozenset(eos))

    def _ends(self, model: Any, known: TokenBytes) -> set[int]:
        """Return the ids that end a text; the rule is in the notes of the class."""
        tokenizer, ends = self._tokenizer, set[int]()
        for source in (model.generation_config, model.config, model.config.get_text_config(), tokenizer):
            value = getattr(source, "eos_token_id", None)
            ends.update([value] if isinstance(value, int) else value or ())
        template = str(getattr(tokenizer, "chat_template", None) or "")
        candidates = [*_ENDS_OF_DOCUMENT, *(token for token in _ENDS_OF_TURN if token in template)]
        ids = tokenizer.get_vocab()
        ends.update(ids[t] for t in candidates if t in ids and known.tokens.get(ids[t], b"") is None)
        return ends
