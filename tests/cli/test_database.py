"""Databases are opened read-only, and queries have limits."""

import pytest

from inference.cli.database import LIMIT_ROWS, open_read_only, run_query
from inference.cli.exit_codes import BadInput


@pytest.fixture(params=["sqlite_file", "duckdb_file"])
def connection(request):
    path = request.getfixturevalue(request.param)
    before = path.read_bytes()
    with open_read_only(path) as connection:
        yield connection
    connection.close()
    assert path.read_bytes() == before
    assert [other.name for other in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO t VALUES (3, 'cy')",
        "UPDATE t SET x = 0",
        "DELETE FROM t",
        "DROP TABLE t",
        "CREATE TABLE u (x INTEGER)",
    ],
)
def test_nothing_can_be_written(connection, statement):
    found = run_query(connection, statement)
    assert "read" in found.error.lower()
    assert run_query(connection, "SELECT count(*) FROM t").rows == ((2,),)


def test_rows_and_columns(connection):
    found = run_query(connection, "SELECT x AS number, name FROM t ORDER BY x")
    assert (found.columns, found.rows, found.more) == (("number", "name"), ((1, "ann"), (2, "bo")), False)
    many = run_query(connection, f"SELECT 1 FROM {', '.join(f't AS t{i}' for i in range(6))}")
    assert (len(many.rows), many.more) == (LIMIT_ROWS, True)


def test_a_query_that_takes_too_long_is_stopped(connection):
    tables = ", ".join(f"t AS t{i}" for i in range(40))
    total = " + ".join(f"t{i}.x" for i in range(40))
    endless = f"SELECT count(*) FROM {tables} WHERE ({total}) % 7 = 3"
    assert run_query(connection, endless, seconds=0.2).error == "stopped after 0.2 s"
    assert run_query(connection, "SELECT count(*) FROM t").rows == ((2,),)


def test_duckdb_reads_no_other_file(duckdb_file, tmp_path):
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    connection = open_read_only(duckdb_file)
    found = run_query(connection, f"SELECT * FROM read_csv('{tmp_path / 'secret.csv'}')")
    assert found.rows == ()
    assert "disabled" in found.error
    assert run_query(connection, "SET enable_external_access = true").error is not None


def test_other_files_are_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"SQLite")
    with pytest.raises(BadInput, match="is no database"):
        open_read_only(tmp_path / "x")
    (tmp_path / "y").write_bytes(b"SQLite format 3\x00" + b"\xff" * 600)
    with pytest.raises(BadInput, match="cannot open"):
        open_read_only(tmp_path / "y")
