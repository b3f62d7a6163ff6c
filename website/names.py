"""Docstrings that describe several parameters at once, `row, title:`, for griffe: each gets an entry of its own.

griffe would show the type and the default of the first for all of them.
"""

import re
from typing import Any

import griffe


class EachByItself(griffe.Extension):
    """Repeats a description for each of the names that share it."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of what was just loaded."""
        if obj.docstring is not None:
            obj.docstring.value = each_by_itself(obj.docstring.value)


def each_by_itself(docstring: str) -> str:
    """Return the docstring with an entry for each name."""
    lines, found, at = docstring.splitlines(), [], 0
    while at < len(lines):
        shared = re.fullmatch(r"( *)(\w+(?:, \w+)+):", lines[at])
        end = at + 1
        while shared and end < len(lines) and (not lines[end] or lines[end].startswith(f"{shared[1]} ")):
            end += 1
        heads = [f"{shared[1]}{name}:" for name in shared[2].split(", ")] if shared else [lines[at]]
        for head in heads:
            found += [head, *lines[at + 1 : end]]
        at = end
    return "\n".join(found)
