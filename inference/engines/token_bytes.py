"""Token bytes: what each id of a tokenizer adds to a text, and how a text is spelled as a continuation.

Two families of tokenizers can spell every byte string, and for them the bytes of a token do not depend on its
neighbours: byte-level BPE, whose token strings write each byte as one printable character (Radford et al.
2019), and SentencePiece with byte fallback, whose token strings write a space as U+2581 and other single
bytes as <0xHH> (Kudo and Richardson 2018). Anything else is refused rather than guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from tokenizers import Tokenizer

from grammars.vocabulary import Vocabulary
from inference.engines.errors import NotSpellable, UnsupportedModel

_SPACE = "\u2581"
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_PROBES = (
    "a",
    " a",
    "a  b\n\tc",
    "x=1; // ok",
    "naïve café",
    "日本語と한국어",
    "👩‍👩‍👧 e\u0301",
    "\x00\x7f\u00a0",
    " ",
)


@dataclass(frozen=True)
class TokenBytes:
    """The bytes of the ids of a tokenizer, and its canonical spelling of continuations."""

    tokens: Mapping[int, bytes | None]
    """For each id of the tokenizer its bytes, None for special tokens."""
    name: str
    _speller: Tokenizer

    @classmethod
    def of(cls, tokenizer: Any, name: str) -> TokenBytes:
        """Read the tokens of a transformers tokenizer.

        Raises
        ------
        UnsupportedModel
            If it is neither byte-level nor SentencePiece with byte fallback, or if a text does not survive
            being encoded and decoded.
        """
        spec = json.loads(_backend(tokenizer, name).to_str())
        convert = _converter(spec, name)
        vocab = spec["model"]["vocab"]
        strings = (
            vocab.items() if isinstance(vocab, dict) else ((entry[0], v) for v, entry in enumerate(vocab))
        )
        unknown = _unknown(spec["model"])
        tokens = {v: None if string == unknown or v == unknown else convert(string) for string, v in strings}
        for added in spec["added_tokens"]:
            # A piece of SentencePiece that is also an added token, as runs of spaces are in Gemma, is a piece.
            literal = added["content"].encode() if convert is _byte_level else convert(added["content"])
            tokens[added["id"]] = None if added["special"] else literal
        self = cls(tokens, name, _speller(spec))
        for probe in _PROBES:
            if self._canonical(probe) is None:
                raise UnsupportedModel(
                    f"the tokenizer of {name!r} does not give back {probe!r} when it encodes and decodes it",
                    hint="use a model whose tokenizer is byte-level BPE or SentencePiece with byte fallback",
                )
        return self

    def within(self, vocabulary: Vocabulary) -> TokenBytes:
        """Return the same with only the ids that stand for text in a model's vocabulary.

        A model may end a text with an id that its tokenizer takes for text, and have fewer ids than the tokenizer.
        """
        tokens = {v: vocabulary.tokens[v] if v < vocabulary.size else None for v in self.tokens}
        return replace(self, tokens=tokens)

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the ids with which the tokenizer spells exactly `text`: nothing is added or normalised.

        Where the tokenizer would read a part of the text as a special token, the longest tokens from the left
        are taken instead.

        Raises
        ------
        NotSpellable
            If the vocabulary lacks bytes of the text.
        """
        ids = self._canonical(text)
        return self._greedy(text) if ids is None else ids

    def _canonical(self, text: str) -> tuple[int, ...] | None:
        """Return the ids of the tokenizer, None where they do not spell the text."""
        ids = tuple(self._speller.encode(text, add_special_tokens=False).ids)
        pieces = [self.tokens.get(v) for v in ids]
        exact = None not in pieces and b"".join(piece or b"" for piece in pieces) == text.encode()
        return ids if exact else None

    def _greedy(self, text: str) -> tuple[int, ...]:
        data, ids = text.encode(), []
        while data:
            heads = (data[:n] for n in range(min(len(data), self._longest), 0, -1))
            head = next((head for head in heads if head in self._ids), None)
            if head is None:
                raise NotSpellable(
                    f"the vocabulary of {self.name!r} has no token that begins {data[:20]!r}, in {text!r}",
                    hint="use a model whose vocabulary has all single bytes",
                )
            ids.append(self._ids[head])
            data = data[len(head) :]
        return tuple(ids)

    @cached_property
    def _ids(self) -> dict[bytes, int]:
        return {data: v for v, data in self.tokens.items() if data}

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._ids))


def _backend(tokenizer: Any, name: str) -> Tokenizer:
    """Return what does the work in a transformers tokenizer, converted if need be."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if isinstance(backend, Tokenizer):
        return backend
    try:
        from transformers.convert_slow_tokenizer import convert_slow_tokenizer

        converted: Tokenizer = convert_slow_tokenizer(tokenizer)
        return converted
    except Exception as error:
        raise UnsupportedModel(
            f"the tokenizer of {name!r}, a {type(tokenizer).__name__}, has no token table that can be read",
            hint="save it once as a fast tokenizer (a tokenizer.json) and load that directory",
        ) from error


def _parts(node: Any) -> Iterator[dict[str, Any]]:
    """Yield the elementary components of a normaliser, pre-tokenizer or decoder, sequences flattened."""
    if node is not None:
        inner = next((node[k] for k in ("normalizers", "pretokenizers", "decoders") if k in node), None)
        if inner is None:
            yield node
        else:
            for part in inner:
                yield from _parts(part)


def _converter(spec: Mapping[str, Any], name: str) -> Callable[[str], bytes]:
    """Return the function from a token's string to its bytes."""
    kinds = {part["type"] for key in ("pre_tokenizer", "decoder") for part in _parts(spec[key])}
    model = spec["model"]
    if model["type"] == "BPE" and "ByteLevel" in kinds and not model.get("end_of_word_suffix"):
        return _byte_level
    if model["type"] in ("BPE", "Unigram") and ("ByteFallback" in kinds or model.get("byte_fallback")):
        return _sentencepiece
    raise UnsupportedModel(
        f"the tokenizer of {name!r} ({model['type']}, {', '.join(sorted(kinds)) or 'no decoder'}) is neither "
        "byte-level BPE nor SentencePiece with byte fallback: its tokens have no bytes of their own",
        hint="use a causal language model; WordPiece and character tokenizers cannot spell every text",
    )


def _unknown(model: Mapping[str, Any]) -> str | int | None:
    """Return the string or id of the unknown token."""
    unknown: str | int | None = model.get("unk_token", model.get("unk_id"))
    return unknown


def _byte_characters() -> dict[str, int]:
    """Return the byte of each printable character of byte-level BPE.

    Printable Latin-1 characters stand for themselves; the other bytes, in order, for U+0100, U+0101, ...
    """
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(0x100) if b not in own]
    return {chr(b): b for b in own} | {chr(0x100 + i): b for i, b in enumerate(others)}


_CHARACTERS = _byte_characters()


def _byte_level(token: str) -> bytes:
    if all(c in _CHARACTERS for c in token):
        return bytes(_CHARACTERS[c] for c in token)
    return token.encode()


def _sentencepiece(token: str) -> bytes:
    if byte := _BYTE.fullmatch(token):
        return bytes([int(byte[1], 16)])
    return token.replace(_SPACE, " ").encode()


def _speller(spec: dict[str, Any]) -> Tokenizer:
    """Return the tokenizer without what changes a text: normalisation, a space in front, special tokens."""
    spec = dict(spec, post_processor=None, truncation=None, padding=None)
    spec["added_tokens"] = [added for added in spec["added_tokens"] if not added["special"]]
    kept = [p for p in _parts(spec["normalizer"]) if p["type"] == "Replace" and p["content"] == _SPACE]
    spec["normalizer"] = {"type": "Sequence", "normalizers": kept} if kept else None
    for part in _parts(spec["pre_tokenizer"]):
        if part["type"] == "ByteLevel":
            part["add_prefix_space"] = False
        if part["type"] == "Metaspace":
            part["prepend_scheme"] = "never"
    return Tokenizer.from_str(json.dumps(spec))
