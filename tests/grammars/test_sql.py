"""SQL: names, faults that databases find, schemas from mappings, DDL and connections, dialects."""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grammars import SQL, Choice, GrammarError, MatcherError, ParseError, Vocabulary, unpack
from grammars.sql_schema import Schema

MUSIC = {"singer": ["name", "age"], "concert": {"singer_name": "TEXT", "year": "INTEGER"}}
DDL = """
CREATE TABLE singer (name TEXT PRIMARY KEY, age INTEGER);
CREATE TABLE "two words" ("a b" TEXT);
CREATE INDEX by_age ON singer (age);
CREATE VIEW adult AS SELECT name AS adult_name FROM singer WHERE age >= 18;
"""

IN_ORDER = [
    "SELECT name FROM singer",
    "select NAME from Singer where AGE>=18 and not(age<0)",
    "SELECT DISTINCT s.name AS n, c.* FROM singer AS s LEFT OUTER JOIN concert c ON s.name = c.singer_name",
    "SELECT count(*), avg(DISTINCT age) FROM singer GROUP BY name HAVING count(*) > 1 ORDER BY 1 DESC NULLS LAST",
    "SELECT name FROM singer WHERE age IN (SELECT max(year) FROM concert) OR EXISTS (SELECT 1 FROM concert)",
    "SELECT name FROM singer UNION ALL SELECT singer_name FROM concert EXCEPT SELECT 'x' LIMIT 5 OFFSET 2",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT i FROM n, singer",
    "SELECT row_number() OVER (PARTITION BY name ORDER BY age ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM singer",
    "SELECT sum(age) FILTER (WHERE age > 1) OVER w FROM singer WINDOW w AS (ORDER BY name)",
    "SELECT CASE age WHEN 1 THEN 'a' ELSE 'b' END, CAST(age AS VARCHAR(10)), -age, +1, ~2 FROM singer",
    "SELECT CASE WHEN age BETWEEN 1 AND 2 + 3 THEN x'00ff' END FROM singer WHERE name LIKE 'a!%' ESCAPE '!'",
    "SELECT name FROM singer WHERE name IS NOT NULL AND age NOTNULL AND name NOT GLOB 'x*' COLLATE nocase",
    'SELECT "name", `age`, [age], singer."name", main.singer.age FROM "singer"',
    "SELECT t.n FROM (SELECT name AS n FROM singer) AS t NATURAL JOIN singer CROSS JOIN concert, singer s2",
    "SELECT 1.5e3, .5, 0x1F, NULL, TRUE",
    "VALUES (1, 'it''s'), (2, 'b')",
    "SELECT (age, name) = (1, 'a'), age - -1, age -1 FROM singer",
    "SELECT j.value FROM json_each('[1]') AS j",
    "SELECT name FROM singer;",
    "SELECT\n    name\nFROM\n    singer\n",
]

FAULTS = {
    "SELECT nam FROM singer": "no such column: nam",
    "SELECT s.name FROM singer": "no such column: s.name",
    "SELECT singer.year FROM singer, concert": "no such column: singer.year",
    "SELECT name FROM singer AS a, singer AS b": "ambiguous column name: name",
    "SELECT name FROM singer WHERE count(*) > 1": "misuse of aggregate",
    "SELECT abs() FROM singer": "wrong number of arguments to function abs()",
    "SELECT name FROM singer ORDER BY 2": "1st ORDER BY term out of range",
    "SELECT name FROM singer GROUP BY 2": "1st GROUP BY term out of range",
    "SELECT name FROM singer UNION SELECT 1, 2": "SELECTs to the left and right of UNION",
    "SELECT name FROM singer WHERE age = (SELECT 1, 2)": "row value misused",
    "SELECT name FROM singer LIMIT 'x'": "datatype mismatch",
    "SELECT abs(-9223372036854775807 - 1)": "integer overflow",
    "WITH t AS (SELECT name FROM singer) SELECT age FROM t": "no such column: age",
    "WITH t AS (SELECT name FROM nobody) SELECT name FROM t": "no such table: nobody",
    "SELECT rank() OVER w FROM singer": "no such window: w",
}

NOT_GENERATED = [
    "",
    "SELECT",
    "SELECT name FROM nobody",
    "SELECT nothing(name) FROM singer",
    "SELECT load_extension('x')",
    "SELECT name FROM sqlite_master",
    "SELECT name FROM singer WHERE age > 1ANDage < 2",
    "SELECT name FROM singer WHERE age ANDname",
    "SELECT name FROM singer -- all of them",
    "SELECT name FROM" + " " * 33 + "singer",
    "SELECT name FROM singer WHERE age = ?",
    "SELECT name FROM singer; SELECT 1",
    "DELETE FROM singer",
    "WITH t AS (SELECT 1) DELETE FROM singer",
    "PRAGMA user_version",
    "SELECT name FROM singer WHERE name LIKE 'a' ESCAPE 'bc'",
    "SELECT name FROM singer WHERE name MATCH 'a'",
    "SELECT name FROM singer WHERE age IN ()",
    "SELECT 'a",
    'SELECT "a',
    "SELECT a--1",
]


@pytest.mark.parametrize("query", IN_ORDER)
def test_queries_in_order(query: str) -> None:
    assert SQL(schema=MUSIC).parse(query) == query
    assert SQL().matches(query)


@pytest.mark.parametrize("query", FAULTS)
def test_faults_that_sqlite_finds(query: str) -> None:
    constraint = SQL(schema=MUSIC)
    assert not constraint.matches(query)
    with pytest.raises(ParseError, match=re.escape(FAULTS[query])):
        constraint.parse(query)
    assert SQL().matches(query)  # as far as syntax goes


@pytest.mark.parametrize("query", NOT_GENERATED)
def test_what_the_grammar_does_not_generate(query: str) -> None:
    constraint = SQL(schema=MUSIC)
    matcher = constraint.matcher(Vocabulary.of_bytes())
    assert not (matcher.consume(query.encode()) and matcher.is_accepting())
    with pytest.raises(ParseError):
        constraint.parse(query)


def test_sqlite_runs_what_is_in_order() -> None:
    database = sqlite3.connect(":memory:")
    database.executescript(
        "CREATE TABLE singer (name, age); CREATE TABLE concert (singer_name TEXT, year INTEGER)"
    )
    for query in IN_ORDER:
        database.execute(query).fetchall()


def test_tables_are_in_the_mask() -> None:
    words = Vocabulary(
        tokens=(
            b"singer",
            b"Sing",
            b"concert",
            b"album_name",
            b"(",
            b'"sin',
            b"SELECT name FROM ",
            b"WITH a AS ",
            b")",
            None,
        ),
        eos=frozenset({9}),
    )
    matcher = SQL(schema=MUSIC).matcher(words)
    assert matcher.consume(b"SELECT name FROM ")
    assert unpack(matcher.mask(), 10).nonzero()[0].tolist() == [0, 1, 2, 4, 5]
    within = SQL(schema=MUSIC).matcher(words)
    assert within.consume(b"WITH album AS (SELECT 1) SELECT name FROM ")
    assert within.allows(3)


def test_columns_of_the_schema_in_the_mask() -> None:
    words = Vocabulary(
        tokens=(
            b"name",
            b"Year",
            b"album_name",
            b"s.",
            b"rowid",
            b"count(",
            b"*",
            b"'x'",
            b'"na',
            b"1",
            b"(SELECT ",
            None,
        ),
        eos=frozenset({11}),
    )
    named = SQL(schema=MUSIC, columns="schema")
    anything = SQL(schema=MUSIC).matcher(words)
    matcher = named.matcher(words)
    for clause in [b"SELECT ", b"name FROM singer AS s JOIN concert ON ", b"s.age = 3 WHERE "]:
        assert matcher.consume(clause)
        assert anything.consume(clause)
        assert not matcher.allows(2)
        assert anything.allows(2)
        assert all(matcher.allows(token) for token in (0, 1, 3, 4, 5, 7, 8, 9))
    assert matcher.consume(b"year = 3 ORDER BY ")
    assert matcher.allows(2)
    assert named.matches(
        "SELECT count(*) AS n, s.name FROM singer AS s GROUP BY s.name HAVING n > 1 ORDER BY n"
    )
    assert named.matches("WITH x AS (SELECT age AS n FROM singer) SELECT n FROM x WHERE n > 1")
    assert named.matches("SELECT singer.name, abcd.year FROM singer, concert AS abcd")
    assert not named.matches("SELECT abcde.year FROM singer, concert AS abcde")
    assert named.matches('SELECT "name" FROM singer WHERE [name] = "a"')
    assert not named.matches("SELECT n FROM (SELECT age AS n FROM singer)")
    assert named != SQL(schema=MUSIC)
    assert str(named) == "SQL(sqlite, tables singer, concert, columns='schema')"


@pytest.mark.parametrize("end", ["", ";", " ;\n", "\n"])
def test_ends(end: str) -> None:
    assert SQL(schema=MUSIC).matches("SELECT name FROM singer" + end)


def test_a_schema_without_names_knows_syntax_only() -> None:
    assert SQL().matches("SELECT f(x) FROM main.t, g(1) WHERE y IN u")
    assert not SQL().matches("SELECT f(x FROM t")
    assert SQL().final_checks == ("SQLite parses it",)


def test_ddl() -> None:
    constraint = SQL.from_ddl(DDL)
    assert constraint.matches('SELECT adult_name, "a b" FROM adult, "two words" INDEXED BY nothing') is False
    assert constraint.matches('SELECT adult_name, "a b" FROM adult, "two words"')
    assert constraint.matches("SELECT name FROM singer INDEXED BY by_age WHERE age = 1")
    assert constraint == SQL.from_ddl(DDL)
    assert hash(constraint) == hash(SQL.from_ddl(DDL))
    assert constraint != SQL.from_ddl(DDL + "CREATE TABLE other (x);")
    with pytest.raises(GrammarError, match='near "TABEL": syntax error'):
        SQL.from_ddl("CREATE TABEL t (x)")
    with pytest.raises(GrammarError, match="without tables"):
        SQL.from_ddl("SELECT 1")
    with pytest.raises(GrammarError, match="authorized"):
        SQL.from_ddl("ATTACH 'x.db' AS y")


def database(path: Path | str = ":memory:") -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.executescript(DDL)
    connection.execute("INSERT INTO singer VALUES ('a', 20)")
    connection.commit()
    return connection


def test_a_connection_is_read_and_nothing_else() -> None:
    connection = database()
    connection.create_function("initials", 1, lambda name: name[0])
    connection.create_collation("german", lambda a, b: (a > b) - (a < b))
    for explain in (False, True):
        constraint = SQL.from_connection(connection, explain=explain)
        actions: set[int] = set()
        connection.set_authorizer(lambda action, *_, seen=actions: seen.add(action) or sqlite3.SQLITE_OK)
        assert constraint.matches("SELECT initials(adult_name) FROM adult ORDER BY adult_name COLLATE german")
        assert not constraint.matches("SELECT initials(adult_name, 1) FROM adult")
        connection.set_authorizer(None)
        assert bool(actions) == explain
        assert actions <= {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION}
    assert not connection.in_transaction
    assert connection.execute("SELECT * FROM singer").fetchall() == [("a", 20)]


def test_the_live_database_has_the_last_word(tmp_path: Path) -> None:
    path = tmp_path / "music.db"
    connection = database(path)
    before = SQL.from_connection(connection)
    live = SQL.from_connection(connection, explain=True)
    connection.execute("DROP VIEW adult")
    assert before.matches("SELECT adult_name FROM adult")
    assert not live.matches("SELECT adult_name FROM adult")
    assert live.final_checks == ("SQLite runs it on empty tables", "the database explains it")
    with pytest.raises(ParseError, match="no such table: adult"):
        live.parse("SELECT adult_name FROM adult")
    connection.close()
    with pytest.raises(MatcherError, match="closed"):
        live.matches("SELECT name FROM singer")


def test_the_database_is_a_part_of_equality(tmp_path: Path) -> None:
    first, second = database(), database()
    assert SQL.from_connection(first) == SQL.from_connection(second) == SQL.from_ddl(DDL)
    assert SQL.from_connection(first, explain=True) == SQL.from_connection(first, explain=True)
    assert SQL.from_connection(first, explain=True) != SQL.from_connection(second, explain=True)
    assert SQL.from_connection(first, explain=True) != SQL.from_connection(first)
    database(tmp_path / "a.db").close()
    one, same = sqlite3.connect(tmp_path / "a.db"), sqlite3.connect(tmp_path / "a.db")
    assert SQL.from_connection(one, explain=True) == SQL.from_connection(same, explain=True)


def test_a_virtual_table_is_rebuilt() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE mail USING fts5(subject, body)")
    constraint = SQL.from_connection(connection)
    assert constraint.matches("SELECT subject FROM mail WHERE mail MATCH 'x' ORDER BY rank")
    assert not constraint.matches("SELECT sender FROM mail")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SQL("klingon"), "unknown dialect 'klingon'"),
        (lambda: SQL(schema={}), "without tables"),
        (lambda: SQL(schema=["t"]), "not a schema"),
        (lambda: SQL(schema={"t": "ab"}), "not the columns of table 't'"),
        (lambda: SQL(schema={"t": []}), "not the columns of table 't'"),
        (lambda: SQL(schema={"t": ["a", "A"]}), "'A' occurs twice in table 't'"),
        (lambda: SQL(schema={"t": ["a"], "T": ["a"]}), "'T' occurs twice in the schema"),
        (lambda: SQL(schema={"t": {"a": 3}}), "not the type of column 'a'"),
        (lambda: SQL(schema={"t": {"a": ") x"}}), "SQLite does not create these tables"),
        (lambda: SQL(3), "not a dialect"),
        (lambda: SQL(columns="schema"), "without a schema"),
        (lambda: SQL(schema=MUSIC, columns="some"), "columns='some'"),
        (lambda: SQL.from_ddl(b"x"), "not a script"),
        (lambda: SQL.from_connection("music.db"), "not a connection"),
        (lambda: SQL(explain="music.db"), "not a connection"),
        (lambda: SQL("postgres", explain=sqlite3.connect(":memory:")), "cannot explain"),
    ],
)
def test_refusals(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(GrammarError, match=message) as caught:
        build()
    assert caught.value.hint


def test_text_that_is_no_query() -> None:
    constraint = SQL(schema=MUSIC)
    for text in ["SELECT '\ud800'", "SELECT '\0'", "SELECT '\udcff'"]:
        assert not constraint.matches(text)
        with pytest.raises(ParseError):
            constraint.parse(text)
    with pytest.raises(ParseError):
        constraint.parse(b"SELECT 1")  # type: ignore[arg-type]


def test_a_query_that_runs_for_long_is_in_order() -> None:
    endless = "WITH RECURSIVE c AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
    assert SQL(schema=MUSIC).matches(endless)


def test_conjunction() -> None:
    both = SQL(schema=MUSIC) & Choice(["SELECT name FROM singer", "SELECT nam FROM singer", "SELECT"])
    assert both.matches("SELECT name FROM singer")
    assert not both.matches("SELECT nam FROM singer")


def test_duckdb() -> None:
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t (a INTEGER, b VARCHAR); CREATE VIEW v AS SELECT a AS c FROM t")
    read = SQL.from_connection(connection)
    assert read == SQL.from_ddl(
        "CREATE TABLE t (a INTEGER, b VARCHAR); CREATE VIEW v AS SELECT a AS c FROM t", "duckdb"
    )
    for constraint in (read, SQL.from_connection(connection, explain=True)):
        for query in [
            "SELECT a::VARCHAR || b FROM t WHERE b ILIKE 'x%'",
            "SELECT c, row_number() OVER (ORDER BY c) AS r FROM v QUALIFY r = 1",
            "SELECT string_agg(b, ',' ORDER BY a) FROM t",
            "SELECT DATE '2024-02-29' + INTERVAL 1 DAY, EXTRACT(year FROM DATE '2024-02-29')",
            "WITH w AS (SELECT a FROM t) SELECT w.a FROM w JOIN main.t USING (a)",
        ]:
            assert constraint.parse(query) == query
        for query in [
            "SELECT x FROM t",
            "SELECT sum(b) FROM t",
            "SELECT a FROM t LIMIT 'x",
            "SELECT a, b FROM t GROUP BY a",
        ]:
            assert not constraint.matches(query)
        assert not constraint.matches("SELECT * FROM read_csv('x.csv')")
        assert not constraint.matches("SELECT * FROM connection")  # a variable of this program
    assert SQL("duckdb").matches("SELECT x FROM y")
    assert not SQL("duckdb").matches("SELECT x FROM y WHERE WHERE")
    with pytest.raises(GrammarError, match="must have a type"):
        SQL("duckdb", {"t": ["a"]})
    live = SQL.from_connection(connection, explain=True)
    connection.close()
    with pytest.raises(MatcherError, match="closed"):
        live.matches("SELECT a FROM t")


def test_sqlglot() -> None:
    pytest.importorskip("sqlglot")
    constraint = SQL("postgres", MUSIC)
    for query in [
        "SELECT name FROM singer WHERE age::int > 3",
        "SELECT s.name, year FROM singer s JOIN concert ON singer_name = s.name",
        "WITH old AS (SELECT name AS n FROM singer) SELECT n FROM old UNION SELECT singer_name FROM concert",
        "SELECT name FROM singer AS s WHERE EXISTS (SELECT 1 FROM concert WHERE singer_name = s.name)",
    ]:
        assert constraint.parse(query) == query
    for query in [
        "SELECT nam FROM singer",
        "SELECT c.name FROM singer AS s",
        "SELECT name FROM singer AS a, singer AS b",
        "WITH old AS (SELECT name FROM nobody) SELECT name FROM old",
        "SELECT name FROM singer UNION SELECT singer_name, year FROM concert",
    ]:
        assert not constraint.matches(query)
        with pytest.raises(ParseError):
            constraint.parse(query)
    read = SQL.from_ddl("CREATE TABLE t (a INT); CREATE VIEW v AS SELECT a AS b FROM t", "postgres")
    assert read.schema == Schema((("t", (("a", "INT"),)), ("v", (("b", ""),))))
    assert read.matches("SELECT b FROM v")
    for script in ["CREATE TABLE", "SELECT 1", "CREATE TABLE t"]:
        with pytest.raises(GrammarError):
            SQL.from_ddl(script, "postgres")


@pytest.mark.parametrize("module", ["sqlglot", "duckdb"])
def test_missing_packages(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    dialect, schema = (
        ("duckdb", {"unseen": {"x": "INTEGER"}}) if module == "duckdb" else ("postgres", {"unseen": ["x"]})
    )
    with pytest.raises(GrammarError, match="needs") as caught:
        SQL(dialect, schema)
    assert "pip install" in str(caught.value.hint)
