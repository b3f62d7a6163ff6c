"""Tokenizers trained on the spot, one for each family."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

CORPUS = [
    "the quick brown fox jumps over the lazy dog, then naps: a dog's life.",
    "def f(x):\n    return {'a': x + 1, 'b': [x, None]}\n",
    "SELECT name, count(*) FROM people WHERE age > 30 GROUP BY name;",
    '{"product": "printer", "urgency": 3, "summary": "it is on fire"}',
] * 4
BYTES = [f"<0x{b:02X}>" for b in range(256)]


@cache
def byte_level(*, prefix_space: bool = False, normalise: bool = False) -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    if normalise:
        tokenizer.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(
        vocab_size=290,
        special_tokens=["<|end|>", "<|begin|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_tokens([AddedToken("<tool>", special=False, normalized=False)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", bos_token="<|begin|>")


@cache
def sentencepiece_bpe() -> Any:
    """As Llama 2's: normaliser prepends and replaces the space, no pre-tokenizer."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<unk>", "<s>", "</s>", *BYTES], show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_tokens([AddedToken("▁▁▁▁", special=False, normalized=False)])  # as in Gemma
    return _without_special_bytes(tokenizer)


@cache
def sentencepiece_unigram() -> Any:
    """As Gemma's and T5's: Metaspace in front, a normaliser that folds compatibility forms."""
    pieces = {w for text in CORPUS for w in text.replace(" ", " ▁").split(" ")} | set("".join(CORPUS))
    vocab = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *((b, -9.0) for b in BYTES)]
    vocab += [(p, -5.0 + 0.1 * len(p)) for p in sorted({*pieces, "▁"}) if p and " " not in p]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=0, byte_fallback=True))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", bos_token="<s>", unk_token="<unk>"
    )


@cache
def word_piece() -> Any:
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1, "##b": 2}, unk_token="[UNK]"))
    tokenizer.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="a", unk_token="[UNK]")


@cache
def characters() -> Any:
    """A Unigram model that knows a few characters and no bytes."""
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.0), ("▁", -1.0)], unk_id=0))
    tokenizer.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="a", unk_token="<unk>")


def _without_special_bytes(tokenizer: Tokenizer) -> Any:
    """Bytes are ordinary pieces of the model; the trainer can only reserve them as special tokens."""
    spec = json.loads(tokenizer.to_str())
    spec["added_tokens"] = [t for t in spec["added_tokens"] if t["content"] not in BYTES]
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(spec)),
        eos_token="</s>",
        bos_token="<s>",
        unk_token="<unk>",
    )
