"""Spelling terms of texts (`regex_language`) for the mask engine, as grammars and as single terminals.

What is free of intersections and complements becomes a regular expression in the engine's dialect, in which every
class is written as ranges of characters; the rest uses the engine's operators on terminals.
"""

from __future__ import annotations

from collections import Counter

from grammars.regex_characters import UNICODE, Ranges
from grammars.regex_language import Both, Cat, Chars, Either, Enlarged, Language, Loop, Not

LARGEST = 10_000
"""Size of a term that is written as one terminal."""


def grammar(language: Language) -> str:
    """Return the mask engine's grammar of the texts in `language`."""
    speller = _Speller(language)
    return "\n".join([f"start: T\nT: {speller.term}", *speller.lines])


def terminal(language: Language) -> str | None:
    """Return the mask engine's terminal of the texts in `language`, or None if it is too large to write in one."""
    return _Speller(language, named=False).term if language.size <= LARGEST else None


class _Speller:
    """Spells a term: as one regular expression where there are no complements and intersections in it."""

    def __init__(self, language: Language, *, named: bool = True) -> None:
        self._uses: Counter[int] = Counter()
        self._plain: dict[int, bool] = {}
        self._count(language)
        self._names: dict[int, str] = {}
        self._named = named
        self.lines: list[str] = []
        """The terminals of parts that are used more than once."""
        self.term = self._term(language)

    def _count(self, language: Language) -> bool:
        """Count how often each part is used, and return whether it is free of complements."""
        self._uses[id(language)] += 1
        if id(language) in self._plain:
            return self._plain[id(language)]
        match language:
            case Cat(parts) | Either(parts) | Both(parts):
                inner = [self._count(part) for part in parts]
                plain = all(inner) and not isinstance(language, Both)
            case Loop(body) | Not(body) | Enlarged(body):
                plain = self._count(body) and not isinstance(language, Not)
            case _:
                plain = True
        self._plain[id(language)] = plain
        return plain

    def _term(self, language: Language) -> str:
        """Return the spelling of a part as a terminal's body: its name, if it is used more than once."""
        key = id(language)
        if key not in self._names:
            pattern = _regex(language) if self._plain[key] else ""
            body = f"/{pattern}/" if pattern else self._composed(language)
            if not self._named or self._uses[key] == 1 or len(body) < 20:
                return body
            name = f"T{len(self._names)}"
            self._names[key] = name
            self.lines.append(f"{name}: {body}")
        return self._names[key]

    def _composed(self, language: Language) -> str:
        """Return the spelling in terms of the parts."""
        match language:
            case Cat(parts):
                return " ".join(map(self._term, parts)) if parts else '""'
            case Either(parts):
                return f"({' | '.join(map(self._term, parts))})"
            case Both(parts):
                return f"({' & '.join(map(self._term, parts))})"
            case Loop(body, least, most):
                return f"({self._term(body)}){_counts(least, most)}"
            case Not(body):
                return f"~({self._term(body)})"
            case Enlarged(body):
                return self._term(body)
        raise AssertionError(language)


def _regex(language: Language) -> str:
    """Return the spelling of a term without complements as a regular expression."""
    match language:
        case Chars(ranges):
            return _class(ranges)
        case Cat(parts):
            return "".join(_regex(part) for part in parts)
        case Either(parts):
            return f"(?:{'|'.join(map(_regex, parts))})" if parts else r"[^\x{0}-\x{10FFFF}]"
        case Enlarged(body):
            return _regex(body)
        case Loop(body, least, most):
            inner = _regex(body)
            return (inner if isinstance(body, Chars) else f"(?:{inner})") + _counts(least, most)
    raise AssertionError(language)


def _class(ranges: Ranges) -> str:
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return _code(ranges[0][0])
    if ranges == UNICODE:
        return "(?s:.)"
    pairs = (_code(first) if first == last else f"{_code(first)}-{_code(last)}" for first, last in ranges)
    return f"[{''.join(pairs)}]"


def _code(code: int) -> str:
    return chr(code) if chr(code).isascii() and chr(code).isalnum() else f"\\x{{{code:X}}}"


def _counts(least: int, most: int | None) -> str:
    short = {(0, None): "*", (1, None): "+", (0, 1): "?"}
    return short.get((least, most)) or f"{{{least},{'' if most is None else most}}}"
