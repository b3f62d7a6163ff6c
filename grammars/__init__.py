"""What may be said: constraints over bytes, and the matchers that read them token by token."""

from grammars.algebra import And, AnyText, check_satisfiable
from grammars.choice import Choice
from grammars.constraint import Constraint, Matcher
from grammars.errors import ContradictionError, GrammarError, MatcherError, ParseError, PPLError
from grammars.json_schema import JsonSchema
from grammars.lark import Lark
from grammars.pinned import Pinned
from grammars.regex import Regex
from grammars.stop import StopMatcher
from grammars.stop_scanner import StopScanner, stop_scanner
from grammars.types import constraint_of
from grammars.vocabulary import Mask, Vocabulary, pack, unpack

__all__ = [
    "And",
    "AnyText",
    "Choice",
    "Constraint",
    "ContradictionError",
    "GrammarError",
    "JsonSchema",
    "Lark",
    "Mask",
    "Matcher",
    "MatcherError",
    "PPLError",
    "ParseError",
    "Pinned",
    "Regex",
    "StopMatcher",
    "StopScanner",
    "Vocabulary",
    "check_satisfiable",
    "constraint_of",
    "pack",
    "stop_scanner",
    "unpack",
]
