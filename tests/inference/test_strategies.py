"""Strategies for property tests: valid by construction, replayable, and shrinking within the constraint."""

import ast
import re
from collections import Counter
from dataclasses import dataclass

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st
from hypothesis.database import InMemoryExampleDatabase
from hypothesis.errors import Unsatisfiable

from grammars import (
    CFG,
    SMILES,
    SQL,
    Choice,
    JsonSchema,
    NonTerminal,
    Regex,
    Rule,
    prefix_predicate,
    text_predicate,
)
from grammars.algebra import AndMatcher, AnyText
from grammars.errors import ContradictionError
from grammars.vocabulary import Vocabulary
from inference import TableLM
from inference.strategies import from_constraint, from_program, from_schema, from_target
from inference.strategies.choices import GRAIN, ChoiceRng
from inference.strategies.completion import shortest_completion
from inference.testing import target_measure
from inference.testing.strategies import constraints, text_targets, toy_lms
from ppl import Categorical, condition, factor, program, sample
from ppl.errors import InvalidArgument, ProgramError

TREE = {
    "$ref": "#/$defs/tree",
    "$defs": {
        "tree": {
            "type": "object",
            "properties": {
                "v": {"type": "integer"},
                "c": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
            },
            "required": ["v", "c"],
            "additionalProperties": False,
        }
    },
}


@prefix_predicate
def at_most_two_a(text: str) -> bool:
    return text.count("a") <= 2


@text_predicate
def short(text: str) -> bool:
    return len(text) <= 3


CONSTRAINTS = [
    Regex(r"\d{3}-\w+"),
    Regex("x[^y]*y"),
    Regex("(?<=a)b|aa+(?!b)"),
    AnyText(),
    ~Choice(["a", ""]),
    Choice(["yes", "no", "né"]),
    JsonSchema(TREE),
    JsonSchema({"type": "string", "minLength": 30}),
    JsonSchema({"type": "object", "patternProperties": {"^x": {"type": "number"}}}),
    CFG([Rule("start", (b"(", NonTerminal("start"), b")", NonTerminal("start"))), Rule("start", ())]),
    Regex("[ab]*") & at_most_two_a,
    Regex(".*") & short,
]
QUIET = [HealthCheck.filter_too_much, HealthCheck.too_slow]


def examples(strategy, n=60):
    """Return the examples of a short test."""
    seen = []

    @settings(max_examples=n, database=None, suppress_health_check=QUIET)
    @given(strategy)
    def collect(value):
        seen.append(value)

    collect()
    return seen


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=str)
def test_texts_are_valid(constraint):
    texts = examples(from_constraint(constraint, max_length=12 if "short" in str(constraint) else 256))
    assert len(set(texts)) > 2
    assert all(map(constraint.matches, texts))


@settings(max_examples=40)
@given(constraints(), st.data())
def test_texts_of_random_constraints_are_valid(constraint, data):
    assert constraint.matches(data.draw(from_constraint(constraint, max_length=8)))


@settings(max_examples=60)
@given(st.data())
def test_draws_of_random_targets_have_mass(data):
    target = data.draw(text_targets(data.draw(toy_lms())))
    measure = target_measure(target)
    hypothesis.assume(any(measure.values()))
    assert measure[data.draw(from_target(target))] > 0.0


OPEN = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "price": {"type": "number"}, "é": {"type": "null"}},
    "required": ["name", "new"],
}
TABLES = SQL("sqlite", {"customer": ["id", "name"], "the order": ["total"]})


@pytest.mark.parametrize("constraint", [JsonSchema(OPEN), TABLES, SQL(), SMILES()], ids=str)
def test_what_leads_nowhere_is_finished_within_bounds(constraint, monkeypatch):
    """Of objects with names that must occur, of queries and molecules most that is begun at random leads nowhere."""
    tried = []
    consume = AndMatcher.consume
    monkeypatch.setattr(AndMatcher, "consume", lambda self, data: tried.append(data) or consume(self, data))
    texts = examples(from_constraint(constraint, max_length=64), 40)
    assert len(tried) < 2000 * 40
    assert all(map(constraint.matches, texts))
    assert len(set(texts)) > 5


def test_open_objects_have_the_members_that_they_list():
    records = examples(from_schema(OPEN), 100)
    assert all({"name", "new"} <= set(record) for record in records)
    assert {"price", "é"} <= set().union(*records)
    assert any(set(record) - {"name", "new", "price", "é"} for record in records)


@pytest.mark.parametrize("length", [1, 2, 20])
def test_long_texts_are_completed(length):
    texts = examples(from_constraint(JsonSchema(TREE, whitespace="compact"), max_length=length))
    assert max(map(len, texts)) <= length + 60
    assert all(map(JsonSchema(TREE).matches, texts))


def test_a_short_completion_is_found():
    vocabulary = Vocabulary.of_bytes()
    for constraint, begun, rest in [
        (Regex("x[^y]*y"), b"xabc", b"y"),
        (Regex(r"\d{12}z"), b"1", b"0" * 11 + b"z"),
        (JsonSchema(TREE, whitespace="compact"), b'{"v":3,"c":[{"c":[', b'],"v":0}]}'),
    ]:
        matcher = constraint.matcher(vocabulary)
        assert matcher.consume(begun)
        assert shortest_completion(matcher, begun, constraint.accepts) == rest


def test_no_text_at_all():
    with pytest.raises(ContradictionError):
        from_constraint(Choice(["a"]) & Choice(["b"]))
    never = Regex("a*") & text_predicate(lambda text: False)
    with pytest.raises(Unsatisfiable):
        find(from_constraint(never, max_length=4), lambda text: True, settings=settings(database=None))


@dataclass
class Order:
    number: int
    notes: list[str]


def test_schemas_give_values():
    orders = examples(from_schema(Order))
    assert all(isinstance(order, Order) for order in orders)
    assert any(order.notes for order in orders)
    trees = examples(from_schema(TREE))
    assert all(set(tree) == {"v", "c"} for tree in trees)


# Shrinking and replay.


def minimal_example(strategy, fails):
    """Return what a property that fails where `fails` holds is shrunk to."""
    seen = []

    @settings(max_examples=3000, database=None)
    @given(strategy)
    def test(value):
        seen.append(value)
        assert not fails(value)

    with pytest.raises(AssertionError):
        test()
    return seen[-1]


@pytest.mark.parametrize(
    ("strategy", "fails", "minimal"),
    [
        (
            from_constraint(Regex(r"\w+ \w+")),
            lambda text: "q" in text,
            {"q 0", "0 q", "0q 0", "0 0q"},
        ),  # a letter that is deleted changes what the next choice means
        (
            from_constraint(Regex("[a-z]{2,}-[0-9]{2,}")),
            lambda text: len(text) >= 7,
            {"aa-0000", "aaaa-00", "aaa-000"},
        ),
        (
            from_schema(TREE),
            lambda tree: any(child["v"] > 9 for child in tree["c"]),
            [{"v": 0, "c": [{"v": 10, "c": []}]}],
        ),
        (from_schema(Order), lambda order: any("'" in note for note in order.notes), [Order(0, ["'"])]),
    ],
    ids=["words", "lengths", "nested", "dataclass"],
)
def test_minimal_examples_are_small_and_valid(strategy, fails, minimal):
    assert minimal_example(strategy, fails) in minimal


WORDS = TableLM.ngram(["the cat sat", "the dog sat", "the rat ran"], order=4, alpha=0.01)


def test_a_language_model_shrinks_to_usual_texts():
    texts = from_constraint(Regex("[a-z]+( [a-z]+)*"), WORDS("", max_tokens=20))
    assert minimal_example(texts, lambda text: "dog" in text) in ("the dog", "dog")


def failing(strategy, letter, **options):
    """Return a test that fails for texts with a letter, and what it has seen."""
    seen = []

    @settings(max_examples=1000, print_blob=True, **options)
    @given(strategy)
    def test(text):
        seen.append(text)
        assert letter not in text

    return test, seen


LETTERS = [
    pytest.param(from_constraint(Regex(r"\w+ \w+")), "q", id="grammar"),
    pytest.param(from_constraint(Regex("[a-z ]+"), WORDS("", max_tokens=20)), "g", id="language model"),
]


@pytest.mark.parametrize(("strategy", "letter"), LETTERS)
def test_the_database_repeats_the_example(strategy, letter):
    database = InMemoryExampleDatabase()
    test, seen = failing(strategy, letter, database=database, derandomize=False)
    with pytest.raises(AssertionError):
        test()
    minimal = seen[-1]
    seen.clear()
    with pytest.raises(AssertionError):
        test()
    assert seen[0] == minimal


@pytest.mark.parametrize(("strategy", "letter"), LETTERS)
def test_reproduce_failure(strategy, letter):
    test, seen = failing(strategy, letter, database=None)
    with pytest.raises(AssertionError) as failure:
        test()
    notes = "\n".join(failure.value.__notes__)
    version, blob = re.search(r"reproduce_failure\('(.+?)', (b'.+?')\)", notes).groups()
    minimal = seen[-1]
    seen.clear()
    with pytest.raises(AssertionError):
        hypothesis.reproduce_failure(version, ast.literal_eval(blob))(test)()
    assert set(seen) == {minimal}


# Programs.


@program
def pair(word):
    first = sample(WORDS("", max_tokens=12) & Regex("the [a-z]+"))
    factor(-50.0)  # a weight above 0 rejects nothing
    second = sample(Categorical(["x", "y"]))
    condition((word, second) != ("p", "x"))
    return word, first, second


def test_values_of_programs():
    values = examples(from_program(pair, st.sampled_from("pq")), 100)
    assert {(word, second) for word, _, second in values} == {("p", "y"), ("q", "x"), ("q", "y")}
    assert all(re.fullmatch("the [a-z]+", first) for _, first, _ in values)
    assert {word for word, _, _ in examples(from_program(pair("q")))} == {"q"}


def test_a_condition_that_never_holds():
    @program
    def never():
        condition(False)

    with pytest.raises(Unsatisfiable):
        find(from_program(never()), lambda value: True, settings=settings(database=None))


def test_errors_of_programs_are_errors():
    @program
    def broken():
        raise KeyError("no such thing")

    with pytest.raises(ProgramError, match="no such thing"):
        find(from_program(broken()), lambda value: True, settings=settings(database=None))


@pytest.mark.parametrize(
    "call",
    [
        lambda: from_program(pair("q"), "p"),
        lambda: from_program(len),
        lambda: from_target("text"),
        lambda: from_constraint("a+"),
        lambda: from_constraint(Regex("a"), max_length=0),
        lambda: from_constraint(Regex("a"), "smollm2"),
    ],
)
def test_bad_arguments(call):
    with pytest.raises(InvalidArgument, match="hint"):
        call()


# The law of draws, by enumeration of a choice on a coarse grid.


def scripted(*numbers):
    """Return a generator that is given these choices, of 0 to G - 1."""
    left = [int(number).to_bytes(3, "big") for number in numbers]
    return ChoiceRng(lambda strategy: left.pop(0))


def test_choices_follow_the_masses():
    masses = torch.tensor([0.125, 0.0, 0.5, 0.375], dtype=torch.float64)
    rows = np.zeros(1, dtype=np.int64)
    drawn = [int(scripted(n * GRAIN // 64).categorical(masses.log()[None], rows)[0]) for n in range(64)]
    assert drawn == sorted(drawn, key=[2, 3, 0].index)  # the likeliest first
    assert Counter(drawn) == {2: 32, 3: 24, 0: 8}


def test_what_is_forced_takes_no_choice():
    logits = torch.tensor([[-torch.inf, 0.5]])
    assert scripted().categorical(logits, np.zeros(1, dtype=np.int64)).tolist() == [1]


def test_what_is_refused_takes_no_further_choice():
    logits = torch.tensor([[0.1, 0.2, 0.7]], dtype=torch.float64).log()
    draws = scripted(GRAIN - 1).without_replacement(logits, np.zeros(1, dtype=np.int64))
    drawn = [draws.next([0])[0] for _ in range(4)]
    assert [draw.token for draw in drawn] == [0, 1, 2, -1]
    assert np.exp([draw.log_before for draw in drawn]) == pytest.approx([1.0, 0.9, 0.7, 0.0], abs=1e-12)
    assert np.exp([draw.log_after for draw in drawn]) == pytest.approx([0.9, 0.7, 0.0, 0.0], abs=1e-12)


def test_the_end_comes_first():
    target = TableLM(["a"], lambda prompt, text: [0.999, 0.001])("", max_tokens=3)
    assert find(from_target(target), lambda text: True, settings=settings(database=None)) == ""
