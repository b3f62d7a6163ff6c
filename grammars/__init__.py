"""What may be said: constraints over bytes, and the matchers that read them token by token."""

from grammars.algebra import And, AnyText, Nothing
from grammars.cfg import CFG
from grammars.choice import Choice
from grammars.complement import Not
from grammars.consistency import check_consistent
from grammars.constraint import Constraint, Matcher
from grammars.engine_grammar import EngineGrammar
from grammars.errors import (
    ContradictionError,
    GrammarError,
    MatcherError,
    ParseError,
    PPLError,
    PredicateError,
)
from grammars.fusion import Fused, fuse
from grammars.incremental import Automaton, Incremental
from grammars.json_schema import JsonSchema
from grammars.lark import Lark
from grammars.pcfg import PCFG, PCFGState
from grammars.pinned import Pinned
from grammars.predicate import PrefixPredicate, TextPredicate, prefix_predicate, text_predicate
from grammars.regex import Regex
from grammars.rules import ByteSet, NonTerminal, Rule
from grammars.satisfiability import check_satisfiable
from grammars.sequence import Concat, Repeat
from grammars.smiles import SMILES
from grammars.sql import SQL
from grammars.stop import StopMatcher
from grammars.stop_scanner import StopScanner, stop_scanner
from grammars.types import constraint_of
from grammars.union import Or
from grammars.vocabulary import Mask, Vocabulary, pack, unpack

__all__ = [
    "CFG",
    "PCFG",
    "SMILES",
    "SQL",
    "And",
    "AnyText",
    "Automaton",
    "ByteSet",
    "Choice",
    "Concat",
    "Constraint",
    "ContradictionError",
    "EngineGrammar",
    "Fused",
    "GrammarError",
    "Incremental",
    "JsonSchema",
    "Lark",
    "Mask",
    "Matcher",
    "MatcherError",
    "NonTerminal",
    "Not",
    "Nothing",
    "Or",
    "PCFGState",
    "PPLError",
    "ParseError",
    "Pinned",
    "PredicateError",
    "PrefixPredicate",
    "Regex",
    "Repeat",
    "Rule",
    "StopMatcher",
    "StopScanner",
    "TextPredicate",
    "Vocabulary",
    "check_consistent",
    "check_satisfiable",
    "constraint_of",
    "fuse",
    "pack",
    "prefix_predicate",
    "stop_scanner",
    "text_predicate",
    "unpack",
]
