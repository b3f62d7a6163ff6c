"""Constraint and matcher: a set of texts, and the state of reading one.

A `Constraint` c denotes a set L(c) of byte strings. It is an immutable value: equal constraints denote the
same set, so plans can be cached by it and a replay can tell that a site is the same as before.
`c.matcher(vocabulary)` starts reading: a `Matcher` stands for a prefix of bytes and tells how it may go on,
in terms of bytes and of the tokens of one vocabulary.

A matcher offers a *mask* (all allowed next tokens at once), a *check* (is this one token allowed?), or both:

* `mask()` returns None where a mask would cost a look at every token; then only the check is offered. That can
  differ from state to state.
* `allows(token)` is always there; by default it tries the token's bytes on a fork.

Where `mask_is_exact` is False (a conjunction with a part that only checks), the mask holds every token that
`allows` allows and perhaps more: draw from the mask, then ask `allows`. Both answer the same question, *may
this prefix, extended by the token, still become a text of L(c)?*, and may err on one side only: a matcher may
allow a token that turns out to be a dead end (the particle then loses its weight), never forbid one that does
not. The end of a text is decided by `is_accepting()` and `Constraint.accepts`.

What a matcher answers is a function of the bytes it has read, however they were cut into tokens: results are
shared between all particles whose texts are equal.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

from grammars.errors import ParseError
from grammars.vocabulary import Mask, Vocabulary


class Matcher(ABC):
    """The state of one constraint after a prefix of bytes, for the tokens of one vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    @abstractmethod
    def consume(self, data: bytes) -> bool:
        """Advance by `data`; return False, leaving the state as it was, if no text continues that way."""

    @abstractmethod
    def is_accepting(self) -> bool:
        """Return whether the bytes consumed so far are a complete text (before `Constraint.accepts`)."""

    @abstractmethod
    def fork(self) -> Self:
        """Return an independent copy of this state."""

    def allows(self, token: int) -> bool:
        """Return whether `token` may come next; False for ids without text. The state does not change."""
        data = self.vocabulary.tokens[token]
        return bool(data) and self.fork().consume(data)  # type: ignore[arg-type]

    def advance(self, token: int) -> bool:
        """Advance by one token; return False, leaving the state as it was, if it is not allowed."""
        data = self.vocabulary.tokens[token]
        return bool(data) and self.consume(data)  # type: ignore[arg-type]

    def mask(self) -> Mask | None:
        """Return the packed mask of allowed next tokens (text ids only, never the end), or None: check only.

        The array is the caller's to keep, and to change.
        """
        return None

    @property
    def mask_is_exact(self) -> bool:
        """Whether `mask()` holds exactly the tokens that `allows` allows.

        False where it is a superset of them, or None.
        """
        return type(self).mask is not Matcher.mask

    def confirms(self, token: int) -> bool:
        """Return whether `token`, which `mask()` holds, may come: asks only what the mask leaves open."""
        return self.mask_is_exact or self.allows(token)

    def prefetch(self, tokens: Sequence[int]) -> None:
        """Announce that `allows` will soon be asked of `tokens`, so that slow checks can start elsewhere.

        Changes no answer. By default nothing happens.
        """
        return

    def hints(self) -> tuple[bytes, ...]:
        """Return what is worth writing next where the allowed tokens do not show it, the best first.

        For whoever writes without a language model: the names of listed members in an object that may have any
        other, what closes a ring of a molecule. Changes no answer, and need not be allowed. By default there is none.
        """
        return ()


def text_bytes(text: str | bytes) -> bytes:
    """Return the bytes of a text.

    Raises
    ------
    ParseError
        If it is neither a string nor bytes.
    UnicodeEncodeError
        If it holds a lone surrogate that stands for no byte.
    """
    if isinstance(text, str):
        return text.encode("utf-8", "surrogateescape")
    if isinstance(text, bytes):
        return text
    raise ParseError(f"a text must be a str, not {text!r}", hint="pass the text as the model writes it")


class Constraint(ABC):
    """A set of texts. Subclasses are immutable values with structural equality (frozen dataclasses)."""

    @abstractmethod
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        """Return the state before the first byte, over the tokens of `vocabulary`."""

    def accepts(self, text: bytes) -> bool:
        """Return whether a text on which the matcher is accepting is in L(c).

        This is for what only a complete text shows.
        """
        return True

    def prefetch(self, text: bytes) -> None:
        """Announce that `accepts` will soon be asked of `text`; see `Matcher.prefetch`."""
        return

    @property
    def slow(self) -> bool:
        """Whether a check takes so long that `check_satisfiable` should not ask any."""
        return False

    @property
    def final_checks(self) -> tuple[str, ...]:
        """Names of the conditions that only a complete text shows, such as those that `accepts` enforces."""
        return ()

    def matches(self, text: str | bytes) -> bool:
        """Return whether `text` is in L(c).

        Bytes that are no UTF-8 may be written as Python's `surrogateescape` does; other lone surrogates stand
        for no bytes, so that no constraint matches them.

        Raises
        ------
        ParseError
            If `text` is no text.
        """
        try:
            data = text_bytes(text)
        except UnicodeEncodeError:
            return False
        matcher = self.matcher(Vocabulary.of_bytes())
        return matcher.consume(data) and matcher.is_accepting() and self.accepts(data)

    def parse(self, text: str) -> Any:
        """Return the Python value that `text` spells; the text itself unless the constraint says otherwise.

        Raises
        ------
        ParseError
            If `text` is not in L(c).
        """
        self.require(text)
        return text

    def require(self, text: str) -> None:
        """Raise `ParseError` unless `text` is a string in L(c)."""
        if isinstance(text, bytes):
            raise ParseError("`parse` reads a str, not bytes", hint="decode them first: data.decode()")
        if not self.matches(text):
            raise ParseError(f"{text!r} does not match {self}", hint="`.matches(text)` tells without raising")

    def by_mask(self) -> Constraint:
        """Return the same set, always enforced by its mask; see `Pinned`."""
        from grammars.pinned import Pinned

        return Pinned(self, "mask")

    def by_check(self) -> Constraint:
        """Return the same set, always enforced by checks of single tokens, never by its mask; see `Pinned`."""
        from grammars.pinned import Pinned

        return Pinned(self, "check")

    def __contains__(self, text: str | bytes) -> bool:
        return self.matches(text)

    def __and__(self, other: Constraint) -> Constraint:
        """Return the constraint of the texts that are in both: L(a & b) = L(a) ∩ L(b)."""
        from grammars.algebra import And

        return And.of(self, other) if isinstance(other, Constraint) else NotImplemented

    def __or__(self, other: Constraint) -> Constraint:
        """Return the constraint of the texts that are in one or both: L(a | b) = L(a) ∪ L(b)."""
        from grammars.union import Or

        return Or.of(self, other) if isinstance(other, Constraint) else NotImplemented

    def __invert__(self) -> Constraint:
        """Return the constraint of the byte strings that are not in this one, see `grammars.complement`."""
        from grammars.complement import Not

        return Not.of(self)

    def __add__(self, other: Constraint | str) -> Constraint:
        """Return the constraint of the texts x + y with x in this one and y in `other`; a str means itself."""
        from grammars.sequence import Concat

        return Concat.of(self, other) if isinstance(other, (Constraint, str)) else NotImplemented

    def __radd__(self, other: str) -> Constraint:
        """Return the constraint of the texts that begin with the str `other` and go on as this one."""
        from grammars.sequence import Concat

        return Concat.of(other, self) if isinstance(other, str) else NotImplemented

    def repeat(
        self, min: int = 0, max: int | None = None, separator: str | Constraint | None = None
    ) -> Constraint:
        """Return the constraint of `min` to `max` texts of this one in a row, with `separator` between two.

        Raises
        ------
        GrammarError
            If the numbers are negative or in the wrong order.
        """
        from grammars.sequence import Repeat

        return Repeat.of(self, min, max, separator)
