"""Pattern matching: write a string that a regular expression matches in full."""

from __future__ import annotations

from functools import partial

import regex

from benchmarks.common import data_rows
from benchmarks.domains.case import Case, Task, Verdict, few_shot, spread
from grammars import Regex

INSTRUCTION = "Each string matches the regular expression above it."
EXAMPLES = (("(ab)+", "ababab"), ("[A-Z][a-z]+ [0-9]{2}", "Room 42"), (r"\d{3}-\d{4}", "555-0199"))


def cases(count: int) -> list[Case]:
    rows = [r for r in data_rows("pattern_matching/patterns_dev.jsonl") if compiles(r["regex"])]
    return [case(row["id"], row["regex"]) for row in spread(rows, count)]


def case(id_: str, pattern: str) -> Case:
    prompt = few_shot(INSTRUCTION, ("Pattern", "String"), EXAMPLES, pattern)
    return Case(id_, prompt, partial(Regex, pattern), partial(judge, pattern))


def compiles(pattern: str) -> bool:
    """Return whether the judge can read the pattern."""
    try:
        regex.compile(pattern)
    except regex.error:
        return False
    return True


def judge(pattern: str, text: str) -> Verdict:
    """Valid, and right, is what the pattern matches in full."""
    matches = regex.fullmatch(pattern, text) is not None
    return Verdict(matches, float(matches))


TASK = Task(cases, max_tokens=32, score="matches")
