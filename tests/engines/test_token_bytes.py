"""Token bytes: exact for each family of tokenizers, and refused where they cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engines.errors import UnsupportedModel
from inference.engines.token_bytes import TokenBytes
from tests.engines import tokenizers_built as built

FAMILIES = {
    "byte-level": built.byte_level(),
    "byte-level, normalising": built.byte_level(prefix_space=True, normalise=True),
    "sentencepiece BPE": built.sentencepiece_bpe(),
    "sentencepiece unigram": built.sentencepiece_unigram(),
}
TOKENS = {name: TokenBytes.of(tokenizer, name) for name, tokenizer in FAMILIES.items()}
TEXTS = [
    "",
    " ",
    "   leading and trailing  ",
    "\n\t\r\n",
    "the quick brown fox",
    '{"a": [1, 2.5e-3, null], "b": "\\u00e9"}',
    "naïve café — “quotes”",
    "e\u0301 is not é, ﬁ is not fi, Ⅳ",
    "日本語 한국어 العربية हिन्दी",
    "👩‍👩‍👧‍👦🏳️‍🌈",
    "\x00\x01\x7f\x80\u00a0\u2028\ufeff",
    "<|end|> </s> <unk> <0x41>",
    "<tool>call</tool>",
    "\U0010ffff",
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("text", TEXTS)
def test_a_continuation_is_spelled_exactly(family: str, text: str) -> None:
    tokens = TOKENS[family]
    assert b"".join(tokens.tokens[v] or b"" for v in tokens.encode(text)) == text.encode()


@pytest.mark.parametrize("family", FAMILIES)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_spelled_exactly(family: str, text: str) -> None:
    tokens = TOKENS[family]
    assert b"".join(tokens.tokens[v] or b"" for v in tokens.encode(text)) == text.encode()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_byte_has_a_token_and_special_tokens_have_none(family: str) -> None:
    tokens, tokenizer = TOKENS[family].tokens, FAMILIES[family]
    assert {bytes([b]) for b in range(256)} <= set(tokens.values())
    assert set(tokens) == set(range(len(tokenizer)))
    assert all(tokens[v] is None for v in tokenizer.all_special_ids)


@pytest.mark.parametrize("family", FAMILIES)
def test_bytes_agree_with_the_tokenizers_own_decoder(family: str) -> None:
    tokens, tokenizer = TOKENS[family].tokens, FAMILIES[family]
    anchor = tokenizer.convert_tokens_to_ids("a")
    for v, data in tokens.items():
        if data is not None:
            shown = tokenizer.decode([anchor, v], clean_up_tokenization_spaces=False)
            assert shown.removeprefix("a") == data.decode(errors="replace")


def test_added_tokens_are_text_unless_special() -> None:
    tokenizer = FAMILIES["byte-level"]
    tokens = TOKENS["byte-level"]
    assert tokens.tokens[tokenizer.convert_tokens_to_ids("<tool>")] == b"<tool>"
    assert tokens.tokens[tokenizer.convert_tokens_to_ids("<|end|>")] is None
    assert tokenizer.eos_token_id not in tokens.encode("a<|end|>")


def test_no_space_is_put_in_front() -> None:
    for name in ("sentencepiece BPE", "sentencepiece unigram"):
        first = TOKENS[name].tokens[TOKENS[name].encode("the")[0]]
        assert first is not None
        assert first.startswith(b"t")


@pytest.mark.parametrize(
    "tokenizer", [built.word_piece(), built.characters()], ids=["wordpiece", "characters"]
)
def test_other_families_are_refused(tokenizer: Any) -> None:
    with pytest.raises(UnsupportedModel, match=r"(?s)'toy'.*hint:"):
        TokenBytes.of(tokenizer, "toy")


def test_a_tokenizer_without_a_table_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match=r"tokenizer\.json"):
        TokenBytes.of(object(), "toy")
