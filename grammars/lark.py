"""Context-free grammars in the notation of the Lark library.

Lark itself loads the grammar: imports, templates, `%extend`, `%override`, `[...]`, `~ n..m`, aliases and
priorities are what they are there. The language is that of Lark's Earley parser with the lexer
`dynamic_complete`: a text is in L(c) if the rules derive *some* cut of it into words of terminals, where words
of `%ignore`d terminals may stand before, between and after them. No cut is preferred, so priorities and the
greed of quantifiers do not change the language; they choose the tree. A word of a terminal is what its pattern
takes whole: w with `re.match(pattern, w).end() == len(w)`, so that lazy quantifiers stop where they can.

Where terminals do not compete, that is also what a greedy lexer reads, and the mask engine offers masks.
Otherwise the exact recogniser checks.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from grammars.cfg import CFG
from grammars.constraint import Constraint, Matcher
from grammars.errors import GrammarError
from grammars.grammar_text import GrammarText
from grammars.lark_compiler import CompiledLark
from grammars.lark_loader import load
from grammars.lark_tree import TreeParser
from grammars.llguidance import GrammarMatcher
from grammars.vocabulary import Vocabulary

if TYPE_CHECKING:
    import lark


@dataclass(frozen=True)
class Lark(Constraint):
    """The texts that a grammar of the Lark library generates.

    Parameters
    ----------
    text:
        The grammar. Strings may also stand in single quotes.
    start:
        The rule that a whole text must match.
    keep_all_tokens, maybe_placeholders:
        What trees hold, as in Lark; the language does not depend on them.
    import_paths:
        Directories in which `%import name` looks before it looks into Lark's own grammars.
    source:
        The file that the text comes from, beside which `%import .name` looks; by default beside the main
        script. `Lark.open` sets it.

    Attributes
    ----------
    files:
        The imported files, each with a hash of its contents.

    Raises
    ------
    GrammarError
        If Lark refuses the grammar, or a terminal has no regular meaning: backreferences, anchors, and
        look-arounds that see beyond their word. The message names line and column.
    ContradictionError
        If no text matches.
    """

    text: str
    start: str = "start"
    keep_all_tokens: bool = field(default=False, kw_only=True)
    maybe_placeholders: bool = field(default=True, kw_only=True)
    import_paths: tuple[str, ...] = field(default=(), kw_only=True)
    source: str | None = field(default=None, kw_only=True)
    files: tuple[tuple[str, str], ...] = field(default=(), init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.start, str) or not self.start.isidentifier():
            raise GrammarError(f"not the name of a rule: start={self.start!r}", hint="as start='sum'")
        object.__setattr__(self, "import_paths", _paths(self.import_paths))
        object.__setattr__(self, "files", self._compiled.loaded.files)

    @classmethod
    def open(cls, path: str | os.PathLike[str], start: str = "start", **options: Any) -> Lark:
        """Return the grammar in a file; `%import .name` looks beside it. The options are those of `Lark`.

        Raises
        ------
        GrammarError
            If the file cannot be read, or its grammar is invalid.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise GrammarError(
                f"cannot read the grammar {os.fspath(path)!r}: {error}", hint="a grammar is a file in UTF-8"
            ) from None
        return cls(text, start, source=os.fspath(path), **options)

    @override
    def matcher(self, vocabulary: Vocabulary) -> Matcher:
        grammar = self._compiled.engine_grammar
        return GrammarMatcher(vocabulary, grammar) if grammar is not None else self._cfg.matcher(vocabulary)

    @property
    def unmasked_because(self) -> str | None:
        """Why texts are checked, token by token, where masks would be faster; None if there are masks."""
        return self._compiled.unmasked_because

    @override
    def parse(self, text: str) -> lark.Tree[Any]:
        """Return Lark's tree of `text`; of several, the one that Lark prefers.

        Raises
        ------
        ParseError
            If `text` is not in L(c).
        """
        self.require(text)
        return self._trees.parse(text)

    def to_cfg(self) -> CFG:
        """Return the same texts as a grammar over bytes."""
        return self._cfg

    @cached_property
    def _compiled(self) -> CompiledLark:
        text = GrammarText(self.text)
        return CompiledLark(
            load(text, self.start, self.source, self.import_paths, self.keep_all_tokens), self.start
        )

    @cached_property
    def _cfg(self) -> CFG:
        return self._compiled.cfg()

    @cached_property
    def _trees(self) -> TreeParser:
        return TreeParser(
            self._compiled.loaded.lark,
            self.start,
            explicit=self._compiled.ignored_competes,
            keep_all_tokens=self.keep_all_tokens,
            maybe_placeholders=self.maybe_placeholders,
        )

    def __str__(self) -> str:
        return f"Lark({self.source or self.text.strip()[:40]!r}..., start={self.start!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        options = (self.keep_all_tokens, self.maybe_placeholders, self.import_paths, self.source)
        return _rebuilt, (type(self), self.text, self.start, *options)


def _rebuilt(
    cls: type[Lark],
    text: str,
    start: str,
    keep: bool,
    maybe: bool,
    paths: tuple[str, ...],
    source: str | None,
) -> Lark:
    return cls(text, start, keep_all_tokens=keep, maybe_placeholders=maybe, import_paths=paths, source=source)


def _paths(paths: Sequence[str | os.PathLike[str]]) -> tuple[str, ...]:
    if isinstance(paths, (str, os.PathLike)):
        paths = (paths,)
    try:
        return tuple(os.fspath(path) for path in paths)
    except TypeError:
        raise GrammarError(
            f"import_paths must be paths of directories, not {paths!r}", hint="as import_paths=['grammars']"
        ) from None
