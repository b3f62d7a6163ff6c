"""Predicates that worker processes import; a module of its own, so that they import nothing else."""

from __future__ import annotations

import os
import time
from pathlib import Path

from grammars import prefix_predicate, text_predicate


class UnsendableError(Exception):
    """An exception that pickle cannot make again."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


def misbehave(text: str) -> bool:
    """Do what the last character says; valid is what has no `x`."""
    match text[-1:]:
        case "C":
            os._exit(7)
        case "K":
            os.kill(os.getpid(), 9)
        case "E":
            raise ValueError(f"cannot read {text}")
        case "U":
            raise UnsendableError("one", "two")
        case "Q":
            raise SystemExit(3)
        case "N":
            return None  # type: ignore[return-value]
        case "T":
            time.sleep(60)
        case "L":
            time.sleep(1.2)
    return "x" not in text


def ends_with_b(text: str) -> bool:
    return text.endswith("b")


here = prefix_predicate(complete=ends_with_b)(misbehave)


@prefix_predicate(workers=1, timeout=30)
def alone(text: str) -> bool:
    return misbehave(text)


@prefix_predicate(workers=2, timeout=1)
def hasty(text: str) -> bool:
    return misbehave(text)


@text_predicate(workers=1)
def in_process_of(text: str, log: str) -> bool:
    """Log the process and the text."""
    with Path(log).open("a") as file:
        file.write(f"{os.getpid()} {text}\n")
    return len(text) < 3
