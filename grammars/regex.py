r"""Regular expressions: the texts that a pattern matches from the first character to the last.

The dialect is that of the `regex` package for Unicode strings, which extends Python's `re`:

    L(Regex(p)) = {t : regex.fullmatch(p, t)}

for texts t in UTF-8; other bytes are not in it. What is regular, look-arounds and word boundaries included, is
enforced by the mask engine (`regex_mask`), with the classes and the case folding of `regex`. The rest, such as
references to groups, recursion and look-arounds in loops, is enforced by three parts together: the mask of a regular
superset, checks of single tokens by a partial match (`regex_prefix`), and a full match of the complete text.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from functools import lru_cache

import regex
from typing_extensions import override

from grammars.algebra import AndMatcher
from grammars.constraint import Constraint, Matcher
from grammars.errors import ContradictionError, GrammarError, MatcherError
from grammars.llguidance import GrammarMatcher, check_grammar
from grammars.predicate_checks import Answers
from grammars.predicate_matcher import PredicateMatcher, ask_bytes
from grammars.regex_checks import Compiled, compile_pattern, full_matches, partial_matches
from grammars.regex_language import ANY, enlarged
from grammars.regex_mask import translate
from grammars.regex_parser import read_pattern
from grammars.regex_prefix import prefix_pattern
from grammars.regex_reader import Unread
from grammars.regex_spelling import grammar, terminal
from grammars.regex_syntax import Characters, Pattern, endless_call, walk
from grammars.utf8 import Utf8Matcher
from grammars.vocabulary import Vocabulary

_DIALECT = "the dialect is that of the `regex` package; a backslash before a sign makes it literal"
_HINTS = {
    r"incomplete escape \u": r"write the character itself, or four digits, or eight: \u00E9, \U0001F600",
    r"incomplete escape \x": r"write two digits, \xE9, or four or eight: \u00E9, \U0001F600",
    "undefined named list": r"write the words out: (?:one|two), or use Choice",
    "unknown extension": "inline flags are a, f, i, m, s, x; groups are (...), (?:...), (?<name>...), (?>...)",
    "expected }": r"a brace behind a backslash is literal: \{",
    "multiple repeat": "repeat a group: (?:a+)*",
}


@dataclass(frozen=True)
class Regex(Constraint):
    """The texts that `pattern` matches in full, as `regex.fullmatch` of the `regex` package decides.

    Parameters
    ----------
    pattern:
        A regular expression of that package, version 0 unless it says (?V1).

    Raises
    ------
    GrammarError
        If the pattern is invalid; the message shows where.
    ContradictionError
        If it is seen at once that no text matches.
    MatcherError
        Later, where a text is checked, if that takes too long.

    Warns
    -----
    UserWarning
        If a set seems to use operators such as `&&`, which are literal signs unless the pattern begins with (?V1).
    """

    pattern: str

    def __post_init__(self) -> None:
        if not isinstance(self.pattern, str):
            raise GrammarError(
                f"a regex pattern must be a str, not {self.pattern!r}",
                hint="of a compiled `re.Pattern`, pass `.pattern`",
            )
        if re.search("[\ud800-\udfff]", self.pattern):
            raise GrammarError(
                f"invalid regex {self.pattern!r}: it holds a lone surrogate, which no UTF-8 text does",
                hint=r"write the character that it is half of, or an escape such as \U0001F600",
            )
        if self._plan.operator:
            warnings.warn(
                f"in {self.pattern!r} the operator in {self._plan.operator} stands for itself: begin with (?V1)",
                stacklevel=3,
            )

    @property
    def _plan(self) -> _Plan:
        return _plan(self.pattern)

    @override
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        plan = self._plan
        mask = Utf8Matcher(vocabulary) if plan.grammar is None else GrammarMatcher(vocabulary, plan.grammar)
        if plan.prefixes is None:
            return mask
        return AndMatcher((mask, PredicateMatcher(vocabulary, plan.prefixes)))

    @override
    def accepts(self, text: bytes) -> bool:
        return self._plan.texts is None or ask_bytes(self._plan.texts, text)

    @property
    @override
    def final_checks(self) -> tuple[str, ...]:
        return () if self._plan.texts is None else (f"regex {self.pattern}",)


def regex_terminal(pattern: str) -> str | None:
    """Return the mask engine's terminal of the texts of a pattern; None if a mask alone does not enforce it."""
    return _plan(pattern).terminal


@dataclass(frozen=True)
class _Plan:
    """How a pattern is enforced.

    Attributes
    ----------
    grammar:
        The mask engine's grammar of a superset of its texts; None for all texts.
    prefixes:
        Answers to whether a text can still become one of the pattern, where the mask does not tell; or None.
    texts:
        Answers to whether a complete text matches; None if the grammar decides.
    operator:
        A set of the pattern that seems to be meant in version 1.
    terminal:
        The grammar as one terminal, if it decides and is not too large for that.
    """

    grammar: str | None
    prefixes: Answers | None
    texts: Answers | None
    operator: str | None = None
    terminal: str | None = None


@lru_cache(maxsize=512)
def _plan(pattern: str) -> _Plan:
    """Return how a pattern is enforced.

    Raises
    ------
    GrammarError
        As `Regex` does.
    """
    compiled, version = _compiled(pattern)
    if compiled.flags & regex.LOCALE:
        raise GrammarError(
            f"unsupported regex {pattern!r}: flag L reads bytes of a locale", hint="leave it out, for Unicode"
        )
    texts = full_matches(compiled)
    try:
        tree = read_pattern(compiled, version)
        if endless_call(tree):
            raise GrammarError(
                f"unsupported regex {pattern!r}: it calls itself without reading anything, which never ends",
                hint="let a character come before the call, as in \\((?R)?\\)",
            )
        language = translate(tree)
        rewritten = None if language.exact else prefix_pattern(tree)
        operator = _operator(tree) if version == regex.V0 else None
    except Unread:
        return _Plan(None, None, texts)
    except RecursionError:
        raise _too_deep() from None
    prefixes = partial_matches(compile_pattern(rewritten, version), repr(pattern)) if rewritten else None
    mask = None if language in (ANY, enlarged(ANY)) else grammar(language)
    try:
        if mask is not None:
            check_grammar(mask)
    except ContradictionError:
        raise ContradictionError(
            f"no text matches the regex {pattern!r}", hint="see what excludes what"
        ) from None
    except (GrammarError, MatcherError):  # too large for the engine, which `regex` need not mind
        return _Plan(None, prefixes, texts, operator)
    if not language.exact:
        return _Plan(mask, prefixes, texts, operator)
    return _Plan(mask, None, None, operator, terminal(language))


def _compiled(pattern: str) -> tuple[Compiled, int]:
    """Compile a pattern, and return it with its version flag."""
    try:
        return compile_pattern(pattern, regex.V0), regex.V0
    except (regex.error, ValueError, KeyError) as error:
        problem: Exception = error
    except RecursionError:
        raise _too_deep() from None
    if "V1" in pattern:
        try:
            if compile_pattern(pattern, 0).flags & regex.V1:
                return compile_pattern(pattern, regex.V1), regex.V1
        except (regex.error, ValueError) as error:
            problem = error
    message = getattr(problem, "msg", str(problem))
    where = _caret(pattern, getattr(problem, "pos", None) or 0)
    hint = next((hint for key, hint in _HINTS.items() if message.startswith(key)), _DIALECT)
    raise GrammarError(f"invalid regex: {message}{where}", hint=hint) from None


def _too_deep() -> GrammarError:
    return GrammarError("invalid regex: its groups are nested too deeply", hint="write it with fewer groups")


def _operator(tree: Pattern) -> str | None:
    """Return the first set that holds an operator of version 1, if there is one."""
    sets = (node.source for node in walk(tree.root) if isinstance(node, Characters) and node.source[0] == "[")
    return next((source for source in sets if re.search(r".(?:&&|--|~~|\|\|).", source[1:-1])), None)


def _caret(pattern: str, at: int) -> str:
    """Return the pattern, or 80 characters of it around `at`, on one line with a caret under `at`."""
    begin = max(0, at - 40) if len(pattern) > 80 else 0
    shown = re.sub("[\x00-\x1f\x7f]", "·", pattern[begin : begin + 80])
    return f"\n    {shown}\n    {' ' * (at - begin)}^"
