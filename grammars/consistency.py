"""A public check of constraints: do they say the same about a text however it is read?

Two promises are made by every constraint and checked for none in normal use, since it would cost a question per
byte. *Prefix-closed*: what is allowed has no prefix that is refused. *A function of the bytes*: what a matcher
answers does not depend on how the bytes were cut. A predicate that accepts `ab` but rejects `a` breaks the first;
under it the token `ab` has mass and its spelling as `a`, `b` has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

from grammars.algebra import And
from grammars.constraint import Constraint, Matcher, text_bytes
from grammars.errors import GrammarError, ParseError, PredicateError
from grammars.predicate import PrefixPredicate
from grammars.predicate_checks import shown
from grammars.vocabulary import Vocabulary


def check_consistent(
    constraint: Constraint,
    texts: Iterable[str | bytes] = (),
    *,
    alphabet: Sequence[str | bytes] = (),
    depth: int = 4,
) -> None:
    """Look for a text on which `constraint` contradicts itself.

    Each of `texts` is read at once, byte by byte, and in two parts for every cut; all must be allowed, and agree
    on which prefixes are complete. So must every text of at most `depth` symbols of `alphabet` that is allowed
    when read at once, of which there are |alphabet|^depth: keep it small.

    Parameters
    ----------
    constraint:
        Any constraint; of a conjunction, each part.
    texts:
        Texts that `constraint` allows, complete or not.
    alphabet:
        Characters, or longer pieces, to make more texts of.
    depth:
        Number of symbols of the longest of these.

    Raises
    ------
    PredicateError
        If it contradicts itself; the message shows a text and its prefix, or the cut. Also if a predicate fails.
    ParseError
        If one of `texts` is not allowed at all.
    GrammarError
        If there is nothing to check.
    """
    if not isinstance(constraint, Constraint):
        raise GrammarError(f"not a constraint: {constraint!r}", hint="constraint_of(T) makes one of a type")
    examples, symbols = [text_bytes(text) for text in texts], [text_bytes(symbol) for symbol in alphabet]
    if not examples and not symbols:
        raise GrammarError("no text to check", hint="give valid texts, or an alphabet to make texts of")
    for part in constraint.parts if isinstance(constraint, And) else (constraint,):
        reader = _Reader(part)
        for text in examples:
            reader.require(text)
            reader.check(text)
        for length in range(1, depth + 1 if symbols else 0):
            for word in product(symbols, repeat=length):
                text = b"".join(word)
                if reader.at_once(text)[0]:
                    reader.check(text)


class _Reader:
    """Reads texts in several ways and compares."""

    def __init__(self, constraint: Constraint) -> None:
        self.constraint = constraint
        self._start = constraint.matcher(Vocabulary.of_bytes())
        self._known: dict[bytes, tuple[bool, bool]] = {}
        self._checked: set[bytes] = set()

    def at_once(self, text: bytes) -> tuple[bool, bool]:
        """Return whether `text`, read in one piece, is allowed, and whether it is accepting."""
        if text not in self._known:
            matcher = self._start.fork()
            allowed = matcher.consume(text)
            self._known[text] = allowed, allowed and matcher.is_accepting()
        return self._known[text]

    def require(self, text: bytes) -> None:
        """Raise unless `text`, which should be valid, is allowed."""
        if self.at_once(text)[0]:
            return
        part = self.constraint
        if isinstance(part, PrefixPredicate) and part.complete is not None and part.accepts(text):
            rejected = next(text[:end] for end in range(len(text) + 1) if not self.at_once(text[:end])[0])
            raise self._error(
                f"it rejects {_shown(rejected)} but its `complete` accepts {_shown(text)}",
                "a text that has a valid extension can still become valid: accept it, or reject both",
            )
        raise ParseError(
            f"{part} does not allow the text {_shown(text)}", hint="give texts that should be valid"
        )

    def check(self, text: bytes) -> None:
        """Raise unless every way to read `text`, which is allowed, gives the same."""
        for end in range(len(text) + 1):
            if not self.at_once(text[:end])[0]:
                raise self._error(
                    f"it rejects {_shown(text[:end])} but allows its extension {_shown(text)}",
                    "a text that cannot become valid has no valid extension: accept the prefix, or reject both",
                )
        by_byte = self._start.fork()
        for end in range(len(text) + 1):
            if end:
                self._check_cut(by_byte, text[:end], end - 1)
            if text[:end] not in self._checked:
                self._check_cut(self._after(text[:end]), text, end)
        self._checked.add(text)

    def _after(self, text: bytes) -> Matcher:
        matcher = self._start.fork()
        matcher.consume(text)
        return matcher

    def _check_cut(self, matcher: Matcher, text: bytes, cut: int) -> None:
        """Let `matcher`, which has read `text[:cut]`, read the rest; raise unless it ends as if read at once."""
        allowed = matcher.consume(text[cut:])
        if (allowed, allowed and matcher.is_accepting()) != self.at_once(text):
            raise self._error(
                f"read as {_shown(text[:cut])} and then {_shown(text[cut:])}, a text is not what it is in one piece",
                "the state of a matcher must be a function of the bytes it has read",
            )

    def _error(self, what: str, hint: str) -> PredicateError:
        return PredicateError(f"{self.constraint} contradicts itself: {what}", hint=hint)


def _shown(text: bytes) -> str:
    try:
        return shown(text.decode())
    except UnicodeDecodeError:
        return repr(text)
