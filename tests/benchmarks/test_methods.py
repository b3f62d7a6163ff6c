"""The tasks of the benchmark of methods: conditions and judges; its tables at equal budgets."""

import json

import numpy as np
import pytest

from benchmarks.methods import function_calls, sql
from benchmarks.methods.__main__ import outcome, read
from benchmarks.methods.methods import METHODS
from benchmarks.methods.question import Question
from benchmarks.methods.table import Curve, comparison, curves, table
from grammars import Choice
from inference import TableLM, infer
from ppl import program, sample
from ppl.targets import Target

REQUEST = "Book a table for three at Chez Paul, $1,200 at most, paid in euros."


def said(arguments, listed=frozenset()):
    return function_calls.said(REQUEST, listed, json.dumps({"name": "f", "arguments": arguments}))


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"guests": 3},
        {"most": 1200.0},
        {"most": -1200},
        {"place": "chez paul, Paris"},
        {"a": [True, None, ""]},
    ],
)
def test_what_the_request_mentions_may_be_an_argument(arguments) -> None:
    assert said(arguments)


@pytest.mark.parametrize("arguments", [{"guests": 4}, {"place": "Bistro"}, {"a": [{"b": 3}, {"b": 7}]}])
def test_what_it_does_not_mention_may_not(arguments) -> None:
    assert not said(arguments)


def test_a_listed_text_need_not_be_mentioned() -> None:
    row = {"output_schema": {"properties": {"seat": {"enum": ["terrace", 4]}}}}
    assert said({"seat": "terrace"}, function_calls.choices(row))
    assert not said({"seat": "terrace"})


GOLD = {"book": {"guests": [3, "three"], "place": ["Chez Paul"], "note": ["none", ""]}}


@pytest.mark.parametrize(
    ("name", "arguments", "score"),
    [
        ("book", {"guests": 3, "place": "chez-paul"}, 1.0),
        ("book", {"guests": 3, "place": "Chez Paul", "note": "none"}, 1.0),
        ("cancel", {"guests": 3, "place": "Chez Paul"}, 0.0),
        ("book", {"guests": 3}, 0.0),
        ("book", {"guests": 2, "place": "Chez Paul"}, 0.0),
        ("book", {"guests": 3, "place": "Chez Paul", "date": "today"}, 0.0),
        ("book", {"guests": 3, "place": "Chez Paul", "note": "some"}, 0.0),
    ],
)
def test_calls_are_judged_argument_by_argument(name, arguments, score) -> None:
    assert function_calls.judge(GOLD, json.dumps({"name": name, "arguments": arguments})) == score


def test_calls_that_say_the_same_vote_together() -> None:
    assert function_calls.canonical('{"name": "F", "arguments": {"a": 1, "b": "X y"}}') == (
        function_calls.canonical('{"arguments": {"b": "x-Y", "a": 1}, "name": "f"}')
    )


def test_the_examples_of_a_question_do_not_give_it_away() -> None:
    rows = [
        {"db_id": "d", "question": "How many birds are there?", "gold_sql": "SELECT 1"},
        {"db_id": "d", "question": "How many birds do exist?", "gold_sql": "select 1"},
        {"db_id": "d", "question": "How many cats are there?", "gold_sql": "SELECT 2"},
        {"db_id": "e", "question": "How many birds are there?", "gold_sql": "SELECT 3"},
        {"db_id": "d", "question": "Name all.", "gold_sql": "SELECT 4"},
    ]
    assert [row["gold_sql"] for row in sql.nearest(rows[0], rows)] == ["SELECT 4", "SELECT 2"]


@program
def word(target: Target[str]) -> str:
    return sample(target)


def test_the_outcome_is_of_the_posterior() -> None:
    lm = TableLM(["a", "b"], {(): [0.75, 0.25, 0.0], (0,): [0, 0, 1.0], (1,): [0, 0, 1.0]})
    question = Question("q", word(lm("") & Choice(["a", "b"])), lambda text: float(text == "b"), str)
    row = outcome(question, infer(question.model, METHODS["smc"].of_size(400), seed=0))
    assert 0.15 < row["score"] < 0.35
    assert row["voted"] == 0.0
    assert row["answered"]
    assert row["tokens"] > 0
    assert outcome(question, ValueError("no"))["failed"] == "ValueError: no"


def rows_of(method, size, tokens, votes):
    return [
        {"task": "sql", "method": method, "size": size, "model": "m", "case": str(i), "seed": 0}
        | {"tokens": tokens, "score": v, "voted": v, "answered": True}
        for i, v in enumerate(votes)
    ]


def test_budgets_are_compared_between_the_sizes() -> None:
    curve = Curve(
        (4, 16),
        np.array([100.0, 400.0]),
        np.zeros((2, 2)),
        np.array([[0.0, 0.0], [1.0, 0.5]]),
        np.ones((2, 2)),
    )
    assert curve.at(200.0) == pytest.approx([0.5, 0.25])
    assert curve.at(400.0) == pytest.approx([1.0, 0.5])
    assert curve.at(99.0) is None
    assert curve.at(401.0) is None


def test_tables_hold_the_cases_that_all_have_run(tmp_path) -> None:
    rows = [
        *rows_of("smc", 4, 100, [0, 1]),
        *rows_of("smc", 16, 400, [1, 1]),
        *rows_of("beam", 4, 300, [0, 1, 1]),
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"cut', encoding="utf-8")
    found = curves(read(path), "sql")
    assert found["beam"].vote.shape == (1, 2)
    assert "| smc | as n grows | 16 | 400 | 1.00 (1.00 to 1.00) | 1.00" in table("sql", found)
    assert "beam" not in comparison(found, 400.0)
    assert "| beam | 0.50 (0.00 to 1.00) | " in comparison(found, 300.0)
