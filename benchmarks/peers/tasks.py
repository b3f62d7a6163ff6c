"""The tasks of `benchmarks.peers.awrs`: a prompt and a predicate each, in plain Python, for both environments.

A predicate is a pair of functions of a str: whether a prefix can still become valid, and whether a complete text is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import regex

_TIME = regex.compile(r"(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01]) (?:[01]\d|2[0-3]):[0-5]\d")
_PERSON = regex.compile(
    r'\{"name": "[A-Za-z .]{1,30}", "born": (?:1\d{3}|20[0-2]\d), "alive": (?:true|false)\}'
)  # a JSON schema of three members in order, the first of at most 30 letters
_LIST = re.compile(r"(?:[A-Za-z]+,? )*[A-Za-z]*[,.]?")


@dataclass(frozen=True)
class Task:
    prompt: str
    prefix: Callable[[str], bool]
    complete: Callable[[str], bool]
    max_tokens: int
    """Tokens before the end."""


def _time_prefix(text: str) -> bool:
    return _TIME.fullmatch(text, partial=True) is not None


def _time(text: str) -> bool:
    return _TIME.fullmatch(text) is not None


def _person_prefix(text: str) -> bool:
    return _PERSON.fullmatch(text, partial=True) is not None


def _person(text: str) -> bool:
    return _PERSON.fullmatch(text) is not None


def _lipogram_prefix(text: str) -> bool:
    """Return whether an ASCII text has no "u", and no full stop before its end."""
    return (
        text.isascii() and "u" not in text and "U" not in text and "." not in text[:-1] and "\n" not in text
    )


def _lipogram(text: str) -> bool:
    return text.endswith(".") and _lipogram_prefix(text)


def _words_prefix(text: str) -> bool:
    """Return whether a text begins a list of different words, such as "red, blue"; the last may go on."""
    return _LIST.fullmatch(text) is not None and _differ(re.findall("[A-Za-z]+(?=[^A-Za-z])", text))


def _words(text: str) -> bool:
    words = re.findall("[A-Za-z]+", text)
    return len(words) >= 3 and _LIST.fullmatch(text) is not None and _differ(words)


def _differ(words: list[str]) -> bool:
    return len({word.lower() for word in words}) == len(words)


def _chat(question: str) -> str:
    """Return a question in SmolLM2's chat format, after which it ends its answer by itself."""
    return f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"


TASKS = {
    "time": Task(
        _chat(
            "When did people first land on the moon? Give the date and time only, such as: 2001-02-03 04:05"
        ),
        _time_prefix,
        _time,
        20,
    ),
    "json": Task(
        _chat(
            "Who wrote the play Hamlet? Answer in JSON, such as: "
            '{"name": "Marie Curie", "born": 1867, "alive": false}'
        ),
        _person_prefix,
        _person,
        40,
    ),
    "lipogram": Task(_chat("Say in one sentence what a dog is."), _lipogram_prefix, _lipogram, 32),
    "words": Task(
        _chat("Name four colours, separated by commas, without any other words."),
        _words_prefix,
        _words,
        24,
    ),
}


class Counted:
    """A predicate that counts how often it is asked."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.checks = 0

    def prefix(self, text: str) -> bool:
        self.checks += 1
        return self._task.prefix(text)

    def complete(self, text: str) -> bool:
        self.checks += 1
        return self._task.complete(text)
