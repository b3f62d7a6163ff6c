"""The tasks of `benchmarks.peers.awrs`: a prompt and a predicate each, in plain Python, for both environments.

A predicate is a pair of functions of a str: whether a prefix can still become valid, and whether a complete text is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import regex

_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_DATE = regex.compile(rf"(?:{_MONTHS}) [1-9][0-9]?, (?:1[6-9]|20)[0-9][0-9]")


@dataclass(frozen=True)
class Task:
    prompt: str
    prefix: Callable[[str], bool]
    complete: Callable[[str], bool]
    max_tokens: int
    """Tokens before the end."""


def _date_prefix(text: str) -> bool:
    return _DATE.fullmatch(text, partial=True) is not None


def _date(text: str) -> bool:
    return _DATE.fullmatch(text) is not None


def _lipogram_prefix(text: str) -> bool:
    """Return whether an ASCII text has no "e", and no full stop before its end."""
    return (
        text.isascii() and "e" not in text and "E" not in text and "." not in text[:-1] and "\n" not in text
    )


def _lipogram(text: str) -> bool:
    return text.endswith(".") and _lipogram_prefix(text)


def _colours_prefix(text: str) -> bool:
    """Return whether a text begins a list of different words, such as "red, blue"."""
    *words, last = text.split(", ")
    written = last.rstrip(",")
    return (
        all(re.fullmatch("[A-Z]?[a-z]{2,10}", word) for word in words)
        and re.fullmatch("([A-Z]?[a-z]{0,10}|[A-Z]?[a-z]{2,10},)", last) is not None
        and len({word.lower() for word in words}) == len(words)
        and (last == written or written.lower() not in {word.lower() for word in words})
    )


def _colours(text: str) -> bool:
    words = text.lower().split(", ")
    return _colours_prefix(text + ",") and len(words) == len(set(words)) >= 3


def _chat(question: str) -> str:
    """Return a question in SmolLM2's chat format, after which it ends its answer by itself."""
    return f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"


TASKS = {
    "date": Task(
        _chat("When was Albert Einstein born? Give the date only, such as: May 7, 1901"),
        _date_prefix,
        _date,
        10,
    ),
    "lipogram": Task(_chat("Say in one sentence what a dog is."), _lipogram_prefix, _lipogram, 20),
    "colours": Task(
        _chat("Name four colours, separated by commas, without any other words."),
        _colours_prefix,
        _colours,
        16,
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
