"""The judges and constraints of the five domains, the methods on a toy model, and the tables."""

import json
import math
import sqlite3
from contextlib import closing
from functools import partial
from itertools import combinations, product

import jsonschema
import pytest

from benchmarks.domains import goal_inference, json_schema, molecules, pattern_matching, text_to_sql
from benchmarks.domains import table as tables
from benchmarks.domains.blocksworld import closure, parse, same
from benchmarks.domains.case import Case, Verdict, few_shot, spread
from benchmarks.domains.methods import METHODS, maskable
from benchmarks.domains.run import Settings, read, run, run_case
from grammars import AnyText, Regex, Vocabulary, check_consistent, text_predicate
from inference import TableLM

OBJECTS = ("b1", "b2", "b3")


def goal(text):
    return parse(text, OBJECTS)


# Judges.


def test_patterns_are_judged_in_full_by_the_regex_package():
    assert pattern_matching.judge(r"(?<!a)b+", "bb") == (True, 1.0)
    assert pattern_matching.judge(r"b+", "bba") == (False, 0.0)
    assert pattern_matching.judge(r"(a|b)\1", "ab") == (False, 0.0)
    assert not pattern_matching.compiles("(")


def test_documents_are_judged_by_the_named_validator():
    judge = partial(json_schema.judge, jsonschema.Draft7Validator({"required": ["a"]}))
    assert judge('{"a": 1}') == (True, 1.0)
    assert judge('{"b": 1}') == (False, 0.0)
    assert judge('{"a": 1') == (False, 0.0)


def test_molecules_are_judged_by_rdkit():
    pytest.importorskip("rdkit")
    assert molecules.judge("c1ccccc1O").valid
    assert 0.0 < molecules.judge("c1ccccc1O").score < 1.0
    assert molecules.judge("c1ccccc1O(") == (False, 0.0)
    assert molecules.judge("C(C)(C)(C)(C)C") == (False, 0.0)
    assert molecules.judge("") == (False, 0.0)


def test_the_spelling_of_molecules_is_a_grammar_without_counting():
    spelling = Regex(molecules.SPELLING)
    for text in ("CC[NH2+][C@]1(CO)CC1", "Cc1nnc(-c2ccccc2)o1.[Na+]", "F/C=C/Cl", "c1ccccc1O("):
        assert spelling.matches(text), text
    for text in ("CCx", "a molecule", ""):
        assert not spelling.matches(text), text


@pytest.fixture
def music(tmp_path):
    path = tmp_path / "a music.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE singer (name TEXT, age INT);"
            "INSERT INTO singer VALUES ('Ann', 30), ('Bo', 20), ('Bo', 20), (CAST(x'ff41' AS TEXT), 9);"
        )
    return path


@pytest.mark.parametrize(
    ("query", "ordered", "verdict"),
    [
        ("SELECT name FROM singer WHERE age > 10 ORDER BY age", True, (True, 1.0)),
        ("SELECT name FROM singer WHERE age > 10 ORDER BY -age", True, (True, 0.0)),
        ("SELECT name FROM singer WHERE age > 10 ORDER BY -age", False, (True, 1.0)),
        ("SELECT DISTINCT name FROM singer WHERE age > 10", False, (True, 0.0)),
        ("SELECT name, age FROM singer WHERE age > 10", False, (True, 0.0)),
        ("SELECT nam FROM singer", False, (False, 0.0)),
        ("SELECT name FROM singer WHERE", False, (False, 0.0)),
        ("DROP TABLE singer", False, (False, 0.0)),
        ("ATTACH 'other' AS o", False, (False, 0.0)),
        ("", False, (False, 0.0)),
    ],
)
def test_queries_are_judged_by_their_rows(music, query, ordered, verdict):
    gold = "SELECT name FROM singer WHERE age > 10 ORDER BY age"
    assert text_to_sql.judge(music, gold, ordered, query) == verdict
    assert len(text_to_sql.execute(music, "SELECT * FROM singer")) == 4


def test_endless_queries_are_stopped(music, monkeypatch):
    monkeypatch.setattr(text_to_sql, "SECONDS", 0.1)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT "
    assert text_to_sql.judge(music, "SELECT 1", False, f"{endless} count(*) FROM n") == (False, 0.0)
    assert text_to_sql.judge(music, "SELECT 1", False, f"{endless} i FROM n") == (False, 0.0)


def test_the_constraint_on_queries_knows_the_database(music):
    row = {"id": "x", "question": "Who?", "gold_sql": "SELECT name FROM singer", "ordered": False}
    asked = text_to_sql.case(row, {"singer": [["name", "text"], ["age", "number"]]}, music)
    assert asked.prompt.endswith("Question:\nsinger(name, age)\nWho?\nQuery:\n")
    assert asked.constraint().matches("SELECT name FROM singer")
    assert not asked.constraint().matches("SELECT nam FROM singer")
    assert asked.judge("SELECT name FROM singer") == (True, 1.0)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("(arm-empty) (clear b1) (on b1 b2) (on b2 b3) (on-table b3)", (True, 1.0)),
        ("(on b1 b2) (on b2 b3)", (True, 1.0)),  # the rest follows
        ("(on b2 b3)", (True, 0.0)),  # true at the end, and not all of the goal
        ("(on b2 b1) (on b1 b3)", (False, 0.0)),
        ("(on b1 b2) (on b2 b3) (on b1 b3)", (False, 0.0)),
        ("(on b1 b4)", (False, 0.0)),
        ("(on b1)", (False, 0.0)),
        ("on b1 b2", (False, 0.0)),
        ("", (False, 0.0)),
    ],
)
def test_goals_are_judged(text, verdict):
    state = goal("(arm-empty) (clear b1) (on b1 b2) (on b2 b3) (on-table b3)")
    assert goal_inference.judge(OBJECTS, state, state, False, text) == verdict


def test_the_names_of_blocks_matter_unless_the_goal_is_abstract():
    a, b = goal("(on b1 b2) (on-table b3)"), goal("(on b3 b1) (on-table b2)")
    assert not same(a, b, OBJECTS, renamed=False)
    assert same(a, b, OBJECTS, renamed=True)
    assert not same(a, goal("(on b1 b2) (on b2 b3)"), OBJECTS, renamed=True)
    assert not same(a, goal("(on b1 b2) (holding b3)"), OBJECTS, renamed=True)
    circle = goal("(on b1 b2) (on b2 b1)")
    assert not same(circle, goal("(on b2 b3) (on b3 b2)"), OBJECTS, renamed=True)


def states(objects):
    """All states of the blocksworld, by brute force."""
    for below in product(("table", "arm", *objects), repeat=len(objects)):
        place = dict(zip(objects, below, strict=True))
        on = [(a, b) for a, b in place.items() if b in objects]
        held = [a for a, b in place.items() if b == "arm"]
        supports = [b for _, b in on]
        if len(held) > 1 or len(set(supports)) < len(supports) or set(held) & set(supports):
            continue
        if any(reaches_itself(a, place, objects) for a in objects):
            continue
        atoms = {("on", a, b) for a, b in on} | {("holding", a) for a in held}
        atoms |= {("on-table", a) for a, b in place.items() if b == "table"}
        atoms |= {("clear", a) for a in objects if a not in supports and a not in held}
        yield frozenset(atoms | (set() if held else {("arm-empty",)}))


def reaches_itself(block, place, objects):
    at = place[block]
    for _ in objects:
        if at == block:
            return True
        at = place.get(at)
    return False


def test_the_closure_is_what_holds_in_all_states_with_the_goal():
    everything = list(states(OBJECTS))
    goals = {frozenset(c) for s in everything for n in range(len(s) + 1) for c in combinations(s, n)}
    assert len(everything) == 13 + 9  # heaps of three blocks, and of two while one is held
    for g in goals:
        expected = frozenset.intersection(*(s for s in everything if g <= s))
        assert closure(g, OBJECTS) == expected, g


def test_the_constraint_on_goals_admits_what_the_plan_reaches():
    state = goal("(arm-empty) (clear b1) (on b1 b2) (on-table b2)")
    constraint = goal_inference.constraint(OBJECTS, state)
    assert constraint.matches("(on b1 b2) (arm-empty)")
    for text in ("(on b2 b1)", "(on b1 b2) (on b1 b2)", "(on b1 b2) ", "(on b1", "", "(on b1 b2)(arm-empty)"):
        assert not constraint.matches(text), text
    _, check = constraint.parts
    check_consistent(check, ["(on b1 b2) (on-table b2)"], alphabet=["(on b1 b2)", " ", "(on b", "(clear b1)"])
    matcher = constraint.matcher(Vocabulary.of_bytes())
    assert matcher.consume(b"(on b1 b2) (")
    assert matcher.fork().consume(b"arm")
    assert not matcher.consume(b"on b")  # the only atom that begins so is written already


# Methods, on a model that knows three letters.

LM = TableLM(["a", "b", "c"], lambda prompt, ids: [0.35, 0.15, 0.3, 0.2], name="toy")
SETTINGS = Settings("toy", 40, 3, 0)


@text_predicate
def ends_in_c(text):
    return text.endswith("c")


def case(constraint, id_="one"):
    return Case(id_, "a", constraint, lambda text: Verdict(text.endswith("c"), float(text == "ac")))


@pytest.mark.parametrize("method", METHODS)
def test_methods_report_what_they_did(method):
    result = run_case(
        LM, case(lambda: Regex("[ab]{1,2}c").by_check() & Regex("[abc]*")), method, SETTINGS, 60
    )
    assert result["finished"] > 0
    assert math.isclose(sum(a["weight"] for a in result["answers"]), 1.0)
    assert result["accuracy"] <= result["valid"] <= 1.0 + 1e-9
    conditioned = method not in ("base", "masked")
    assert math.isclose(result["valid"], 1.0) == conditioned
    assert (result["checks"] > 0) == conditioned
    assert result["lm_tokens"] > 0


def test_methods_agree_where_their_targets_do():
    masses = [0.35 * 0.3, 0.15 * 0.3, *(p * q * 0.3 for p in (0.35, 0.15) for q in (0.35, 0.15))]
    exact, local = masses[0] / sum(masses), 0.7 * 0.3 / 0.8  # of "ac", among all of [ab]{1,2}c
    settings = Settings("toy", 600, 3, 0)
    for method in ("rerank", "twisted", "masked_twisted", "awrs"):
        result = run_case(LM, case(lambda: Regex("[ab]{1,2}c").by_check()), method, settings, 60)
        assert result["accuracy"] == pytest.approx(exact, abs=0.08)
    for method in ("masked", "rejection_local"):
        distorted = run_case(LM, case(lambda: Regex("[ab]{1,2}c")), method, settings, 60)["accuracy"]
        assert distorted == pytest.approx(local, abs=0.06)


def test_what_can_be_masked_is_found():
    vocabulary = Vocabulary.of_bytes()
    grammar = Regex("a+")
    assert maskable(grammar & ends_in_c.by_check(), vocabulary) == grammar
    assert maskable(grammar.by_check(), vocabulary) == AnyText()
    given = Case(
        "x", "a", lambda: Regex("[abc]c").by_check(), lambda t: Verdict(True, 1.0), lambda: Regex("c")
    )
    (answer,) = run_case(LM, given, "masked", SETTINGS, 60)["answers"]
    assert answer["text"] == "c"


def test_refused_failed_and_overdue_cases_are_told_apart():
    def overdue():
        while True:
            pass

    assert "invalid regex" in run_case(LM, case(lambda: Regex("[")), "awrs", SETTINGS, 60)["refused"]
    assert "ZeroDivisionError" in run_case(LM, case(lambda: 1 / 0), "awrs", SETTINGS, 60)["failed"]
    assert "0.2 s" in run_case(LM, case(overdue), "awrs", SETTINGS, 0.2)["failed"]
    nobody = run_case(LM, case(lambda: Regex("c{9}")), "awrs", SETTINGS, 60)
    assert nobody["answers"] == []
    assert nobody["accuracy"] == nobody["valid"] == 0.0
    json.dumps(nobody, allow_nan=False)


def test_runs_are_resumed(tmp_path):
    out, asked = tmp_path / "results.jsonl", []

    def constraint():
        asked.append(1)
        return Regex("[abc]*c")

    cases = [case(constraint, "one"), case(constraint, "two")]
    go = partial(run, LM, "pattern_matching", ["awrs", "rerank"], settings=SETTINGS, out=out, limit=60)
    assert go(cases[:1]) == 0
    first = read(out)
    assert len(first) == len(asked) == 2
    out.write_text(out.read_text() + '{"task": "pat')  # cut off while writing
    assert go(cases, until=-math.inf) == 2
    assert go(cases) == 0
    assert len(asked) == 4
    assert read(out)[:2] == first
    assert [(r["case"], r["method"]) for r in read(out)[2:]] == [("two", "awrs"), ("two", "rerank")]


def test_failed_runs_are_made_again_on_request(tmp_path):
    out, constraints = tmp_path / "results.jsonl", [lambda: 1 / 0, lambda: Regex("c")]
    go = partial(run, LM, "pattern_matching", ["awrs"], settings=SETTINGS, out=out, limit=60)
    cases = [case(lambda: constraints.pop(0)())]
    go(cases)
    go(cases)
    assert "failed" in read(out)[0]
    go(cases, retry=True)
    assert len(read(out)) == 1
    assert read(out)[0]["accuracy"] == 0.0
    assert read(out)[0]["valid"] == pytest.approx(1.0)


# Tables.


def rows(method, scores, **more):
    base = {"task": "pattern_matching", "method": method, "model": "toy", "particles": 2, "max_tokens": 3}
    cost = {"seconds": 2.0, "tokens": 10, "lm_tokens": 30, "checks": 5, "answers": [1], "seed": 0}
    return [
        {**base, **cost, "case": str(i), "accuracy": s, "valid": 1.0, **more} for i, s in enumerate(scores)
    ]


def test_tables_compare_the_cases_that_all_methods_have_run():
    found = tables.summaries([*rows("awrs", [1.0, 0.5, 0.0]), *rows("base", [0.0, 0.5])])
    assert list(found["pattern_matching"]) == ["base", "awrs"]
    base, awrs = found["pattern_matching"].values()
    assert (base.cases, base.accuracy, awrs.cases, awrs.accuracy) == (2, 0.25, 2, 0.75)
    assert (awrs.seconds, awrs.lm_tokens, awrs.checks_per_token, awrs.answered) == (2.0, 30.0, 0.5, 1.0)
    text = tables.table("pattern_matching", found["pattern_matching"])
    assert "| awrs | 0.75 | 0.50 to 1.00 | 1.00 | 1.00 | 2.0 | 30 | 0.50 |" in text


def test_cases_without_an_answer_count_as_wrong():
    failed = {
        k: v for k, v in rows("awrs", [1.0, 1.0])[1].items() if k in ("task", "method", "model", "seed")
    }
    failed |= {"particles": 2, "max_tokens": 3, "case": "1", "failed": "no answer in 1 s", "seconds": 1.0}
    summary = tables.summaries([rows("awrs", [1.0])[0], failed])["pattern_matching"]["awrs"]
    assert (summary.accuracy, summary.valid, summary.answered, summary.seconds) == (0.5, 0.5, 0.5, 1.5)
    assert summary.lm_tokens == 30.0


def test_several_settings_are_not_mixed():
    with pytest.raises(SystemExit, match="several settings"):
        tables.summaries([*rows("awrs", [1.0]), *rows("base", [1.0], particles=4)])


def test_the_bootstrap_covers_the_mean():
    low, high = tables.bootstrap([0.0] * 50 + [1.0] * 50)
    assert low == pytest.approx(0.5 - 1.96 * 0.05, abs=0.02)
    assert high == pytest.approx(0.5 + 1.96 * 0.05, abs=0.02)
    assert tables.bootstrap([0.3]) == (pytest.approx(0.3), pytest.approx(0.3))


def test_tables_and_plots_are_commands(tmp_path, capsys):
    plots = pytest.importorskip("benchmarks.domains.plot")
    results = tmp_path / "results.jsonl"
    lines = [*rows("awrs", [1.0, 0.5]), *rows("base", [0.0, 0.5])]
    results.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    tables.main([str(results)])
    assert "2 cases, 2 particles, at most 3 tokens, toy" in capsys.readouterr().out
    for name in ("one.svg", "two.svg"):
        plots.main([str(results), str(tmp_path / name)])
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert "pattern_matching (2 cases)" in (tmp_path / "one.svg").read_text()
    results.write_text("")
    with pytest.raises(SystemExit, match="no case"):
        tables.main([str(results)])


def test_cases_are_spread_and_prompts_end_where_the_answer_begins():
    assert spread(range(10), 3) == [0, 3, 6]
    assert spread(range(2), 3) == [0, 1]
    prompt = few_shot("Do.", ("Q", "A"), [("1", "2")], "3")
    assert prompt == "Do.\n\nQ:\n1\nA:\n2\n\nQ:\n3\nA:\n"
