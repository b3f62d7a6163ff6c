"""Text of runs, made fit to be shown: nothing in it may act on the page or hide from the reader."""

from __future__ import annotations

import unicodedata

_HIDDEN = {"Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn"}
"""Categories of characters that do not print: controls, directions, zero widths, lone surrogates, unassigned ones."""
_JOINERS = {"\u200c", "\u200d"}
"""Zero-width (non-)joiners, which are part of how some scripts and emoji are spelled."""


def shown(text: str) -> str:
    """Return a text with its characters that do not print written as escapes, newlines and tabs too."""
    return "".join(
        c if c in _JOINERS or unicodedata.category(c) not in _HIDDEN else _escape(ord(c)) for c in text
    )


def _escape(code: int) -> str:
    if code < 0x100:
        return {9: "\\t", 10: "\\n", 13: "\\r"}.get(code, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
