"""The matcher of prefix predicates: asks once per token, about the characters that the token completes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from typing_extensions import override

from grammars.predicate_checks import Answers
from grammars.utf8 import CharacterMatcher, read_utf8
from grammars.vocabulary import Vocabulary


class PredicateMatcher(CharacterMatcher):
    """The characters read so far, of which the predicate said yes, and the beginning of another."""

    def __init__(self, vocabulary: Vocabulary, answers: Answers) -> None:
        super().__init__(vocabulary)
        self._answers = answers
        self._text = ""
        self._viable = (
            False  # whether the predicate is known to have said yes; it is not asked before it must be
        )
        self._announced: list[str] = []

    @property
    def text(self) -> str:
        """The characters that were read."""
        return self._text

    @override
    def consume(self, data: bytes) -> bool:
        read = read_utf8(self._tail, data)
        if read is None or not self._extends(read[0]):
            return False
        self._text += read[0]
        self._tail, self._viable = read[1], True
        if self._announced:
            self._answers.withdraw(self._announced)
            self._announced = []
        return True

    @override
    def allows(self, token: int) -> bool:
        data = self.vocabulary.tokens[token]
        read = read_utf8(self._tail, data) if data else None
        return read is not None and self._extends(read[0])

    @override
    def is_accepting(self) -> bool:
        return not self._tail and self._extends("")

    @override
    def prefetch(self, tokens: Sequence[int]) -> None:
        for token in tokens:
            data = self.vocabulary.tokens[token]
            read = read_utf8(self._tail, data) if data else None
            if read is not None and (read[0] or not self._viable):
                text = self._text + read[0]
                if self._answers.prefetch(text):
                    self._announced.append(text)

    @override
    def fork(self) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._announced = []
        return other

    def _extends(self, characters: str) -> bool:
        if not characters and self._viable:
            return True
        return self._answers.ask(self._text + characters)


def ask_bytes(answers: Answers, text: bytes) -> bool:
    """Return the answer for a text in UTF-8; False for other bytes."""
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        return False
    return answers.ask(decoded)


def prefetch_bytes(answers: Answers, text: bytes) -> None:
    """Announce that `ask_bytes` will be asked about `text`."""
    try:
        answers.prefetch(text.decode())
    except UnicodeDecodeError:
        return
