"""The one adapter to the mask engine, llguidance.

A grammar in the engine's Lark dialect denotes a set of byte strings; this module reads it over any
vocabulary. What it does about the engine's habits:

* Every grammar is compiled with `no_forcing`. By default the engine's masks hold only the canonical token
  where the next bytes are forced; the other spellings are texts of the grammar just as well.
* A token that does not fit puts an engine matcher into an error state for good, so tokens are validated
  first.
* Fast-forwarding may loop on user grammars and is never used.
* The 256 single bytes are added behind the V ids of the vocabulary, ids V to V + 255, and the engine's own
  end of text is id V + 256. So any bytes can be consumed with any vocabulary, and no mask names an end:
  whoever draws a token asks `is_accepting()` before ending.
* A matcher that exceeds a limit (parser items, lexer fuel) raises `MatcherError`; it never poses as a dead
  end. The engine itself reports it late: copies of a matcher share one lexer, and once that is out of fuel
  they all refuse every byte without an error. So after each refusal a byte that the start is known to allow
  is tried there.

The byte 0xFF, which occurs in no UTF-8 text, is the engine's own mark of special tokens: no grammar allows
it.
"""

from __future__ import annotations

import re
from typing import Any, Self

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from typing_extensions import override

from grammars.cache import per_vocabulary
from grammars.constraint import Matcher
from grammars.errors import ContradictionError, GrammarError, MatcherError
from grammars.vocabulary import Mask, Vocabulary

_NO_FORCING = '\n%llguidance {"no_forcing": true}\n'  # at the end, where it overrules and moves no line
_LIMITS = LLParserLimits(
    initial_lexer_fuel=10_000_000,  # about 0.2 s for a compilation
    step_lexer_fuel=10_000_000,  # about 0.7 s from one mask to the next
    step_max_items=200_000,  # about 10 ms for a mask
    max_items_in_row=40_000,  # a union of some thousand objects
    verbose_errors=False,
)
_POSITION = re.compile(r"(?:at )?(\d+)\((\d+)\): ")


class GrammarMatcher(Matcher):
    """The state of a grammar after a prefix.

    Parameters
    ----------
    vocabulary:
        The tokens to read.
    grammar:
        Grammar text in the engine's Lark dialect, already checked by `check_grammar`.
    """

    def __init__(self, vocabulary: Vocabulary, grammar: str) -> None:
        super().__init__(vocabulary)
        self._grammar = _start(vocabulary, grammar)
        self._engine: Any = self._grammar.start.deep_copy()

    @override
    def consume(self, data: bytes) -> bool:
        first = self.vocabulary.size
        return self._consume([first + byte for byte in data])

    @override
    def advance(self, token: int) -> bool:
        return bool(self.vocabulary.tokens[token]) and self._consume([token])

    @override
    def allows(self, token: int) -> bool:
        return bool(self.vocabulary.tokens[token]) and self._valid([token])

    @override
    def is_accepting(self) -> bool:
        if self._engine.is_accepting():
            return True
        self._check()
        return False

    @override
    def mask(self) -> Mask:
        bits = np.frombuffer(self._engine.compute_bitmask(), dtype=np.uint32)
        self._check()
        return bits[: self.vocabulary.words] & self.vocabulary.text_mask

    @override
    def fork(self) -> Self:
        other = object.__new__(type(self))
        other.vocabulary = self.vocabulary
        other._grammar = self._grammar
        other._engine = self._engine.deep_copy()
        return other

    def _valid(self, ids: list[int]) -> bool:
        count = self._engine.validate_tokens(ids)
        if count < len(ids):
            self._check()
        return bool(count == len(ids))

    def _consume(self, ids: list[int]) -> bool:
        if not self._valid(ids):
            return False
        if not self._engine.consume_tokens(ids):
            self._check()
        return True

    def _check(self) -> None:
        """Raise if the engine stopped for any other reason than that no text goes on from here."""
        message = self._engine.get_error()
        if (message and not message.startswith("NoExtension")) or self._grammar.lexer_failed():
            raise MatcherError(
                f"the mask engine gave up: {summary(message) or 'its lexer ran out of fuel'}",
                hint="the grammar is too ambiguous or too large here; simplify it, or bound its repetitions",
            )


def check_grammar(grammar: str) -> None:
    """Compile `grammar` and see that it has a text.

    Raises
    ------
    GrammarError
        If it does not compile; the message is the engine's, with line and column.
    ContradictionError
        If its language is visibly empty: it neither accepts the empty text nor allows any first byte.
    """
    matcher = GrammarMatcher(Vocabulary.of_bytes(), grammar)
    if not matcher.is_accepting() and not matcher.mask().any():
        raise ContradictionError(
            "no text satisfies this grammar", hint="look for empty classes and endless recursion"
        )


def compile_error(grammar: str) -> str | None:
    """Return the engine's message if `grammar` does not compile, or None."""
    start = _compiled(Vocabulary.of_bytes(), grammar)[0].start
    return str(start.get_error()) if start.is_error() else None


def warnings(grammar: str) -> list[str]:
    """Return what the engine says that it ignores in a grammar that compiles."""
    return [str(warning) for warning in _start(Vocabulary.of_bytes(), grammar).start.get_grammar_warnings()]


def position(message: str) -> tuple[int, int] | None:
    """Return the line and column, from 1, that an engine message names, or None."""
    found = _POSITION.search(message)
    return (int(found[1]), int(found[2])) if found else None


def summary(message: str) -> str:
    """Return an engine message without its position, source excerpt and stack trace."""
    text = re.split(r"\n\s*\d+ \| |\n?<(?:backtrace|state|grammar|non-verbose)\b", message, maxsplit=1)[0]
    return _POSITION.sub("", text, count=1).strip()


class _Tokens:
    """The face that the engine wants a tokenizer to have."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.tokens = [data or b"" for data in vocabulary.tokens] + [bytes([b]) for b in range(256)] + [b""]
        self.eos_token_id = vocabulary.size + 256
        self.special_token_ids = [self.eos_token_id]

    def __call__(self, text: str) -> list[int]:
        return [self.eos_token_id - 256 + byte for byte in text.encode()]


@per_vocabulary(limit=1)
def _tokenizer(vocabulary: Vocabulary, _: None) -> Any:
    tokens = _Tokens(vocabulary)
    return LLTokenizer(tokens, n_vocab=len(tokens.tokens))


class _Grammar:
    """A grammar compiled for one vocabulary: the matcher before the first byte, to be copied."""

    def __init__(self, vocabulary: Vocabulary, grammar: str) -> None:
        text = grammar + _NO_FORCING
        self.start: Any = LLMatcher(_tokenizer(vocabulary, None), text, log_level=0, limits=_LIMITS)
        size = vocabulary.size
        singles = range(size, size + 256) if not self.start.is_error() else ()
        self._witness = next(([byte] for byte in singles if self.start.validate_tokens([byte])), [])

    def lexer_failed(self) -> bool:
        """Return whether the lexer that all copies share is out of fuel."""
        return bool(self._witness) and self.start.validate_tokens(self._witness) == 0


@per_vocabulary(limit=256)
def _compiled(vocabulary: Vocabulary, grammar: str) -> list[_Grammar]:
    return [_Grammar(vocabulary, grammar)]


def _start(vocabulary: Vocabulary, grammar: str) -> _Grammar:
    slot = _compiled(vocabulary, grammar)
    if slot[0].lexer_failed():
        slot[0] = _Grammar(vocabulary, grammar)
    if slot[0].start.is_error():
        raise GrammarError(f"invalid grammar: {summary(slot[0].start.get_error())}")
    return slot[0]
