"""`ppl json`, `sql`, `regex`, `grammar`, `run`: values, probabilities, codes."""

import json
import math

import pytest

from grammars import Regex
from inference import SMC, Enumerate, infer
from inference.cli.methods import method_names, method_of
from ppl import program, sample
from tests.cli import toys

TABLE = ["--model", "tests.cli.toys:table"]


def probabilities(row):
    return {json.dumps(v["value"]): v["probability"] for v in row["values"]}


def test_a_posterior_is_that_of_the_table(ppl):
    ran = ppl("regex", "a?b?", "--prompt", "x", "--method", "enumerate", "--json", *TABLE)
    (row,) = ran.rows
    masses = {'""': 0.2, '"a"': 0.5 * 0.5, '"b"': 0.3 * 0.6, '"ab"': 0.5 * 0.4}
    total = sum(masses.values())
    assert ran.code == 0
    assert ran.err == ""
    assert row["log_evidence"] == pytest.approx(math.log(total), abs=1e-10)
    assert probabilities(row) == pytest.approx({k: m / total for k, m in masses.items()}, abs=1e-10)


def test_a_run_is_that_of_infer(ppl):
    @program
    def text():
        return sample(toys.abc("hi", stop=["cc"], max_tokens=4) & Regex("a+b?c*"))

    expected = infer(text(), SMC(8, ess_threshold=0.9), seed=3)
    options = ["--stop", "cc", "--max-tokens", "4", "--particles", "8", "--seed", "3", "--top", "100"]
    options += ["--method", "smc:ess_threshold=0.9", "--model", "tests.cli.toys:abc"]
    (row,) = ppl("regex", "a+b?c*", "--prompt", "hi", "--json", *options).rows
    assert row["log_evidence"] == expected.log_evidence
    assert row["ess"] == expected.ess
    assert row["method"] == repr(SMC(8, ess_threshold=0.9))
    assert [(v["value"], v["probability"]) for v in row["values"]] == expected.top(100)
    assert row["cost"]["tokens"] == expected.cost.tokens


def test_a_chat_is_not_a_prompt(ppl):
    @program
    def answer():
        return sample(toys.abc.chat("x", max_tokens=3) & Regex(".*"))

    options = ["--max-tokens", "3", "--json", "--model", "tests.cli.toys:abc"]
    evidences = [
        ppl("regex", ".*", option, "x", *options).rows[0]["log_evidence"] for option in ("--chat", "--prompt")
    ]
    assert evidences[0] == infer(answer(), SMC()).log_evidence != evidences[1]


def test_values_of_json_are_what_it_spells(ppl, schema):
    options = ["--prompt", "x", "--max-tokens", "20", "--model", "tests.cli.toys:spelling", "--json"]
    for given in (schema, "tests.cli.toys:Ticket"):
        ran = ppl("json", "--schema", given, "--particles", "64", *options)
        assert ran.code == 0, ran.err
        for value in ran.rows[0]["values"]:
            assert value["value"]["urgency"] in ("low", "high")


def test_grammar(ppl, tmp_path):
    (tmp_path / "g.lark").write_text('sum: "a" ("b" "a")*\n')
    ran = ppl("grammar", "--lark", tmp_path / "g.lark", "--start", "sum", "--prompt", "x", "--json", *TABLE)
    assert {v["value"] for v in ran.rows[0]["values"]} == {"a"}


@pytest.mark.parametrize("kind", ["sqlite_file", "duckdb_file"])
def test_sql_runs_its_queries(ppl, kind, request):
    path = request.getfixturevalue(kind)
    before = path.read_bytes()
    options = ["--question", "How many?", "--max-tokens", "12", "--model", "tests.cli.toys:spelling"]
    ran = ppl("sql", "--db", path, "--particles", "64", "--run", "--json", *options)
    assert ran.code == 0, ran.err
    for value in ran.rows[0]["values"]:
        assert value["error"] is None
        assert value["value"].startswith("SELECT")
        assert len(value["columns"]) == len(value["rows"][0])
    assert path.read_bytes() == before
    shown = ppl("sql", "--db", path, "--particles", "64", "--run", *options)
    assert ran.rows[0]["values"][0]["value"] in shown.out
    assert (
        "rows" not in ppl("sql", "--db", path, "--particles", "64", "--json", *options).rows[0]["values"][0]
    )


def test_a_program_gets_its_arguments_and_the_model(ppl):
    expected = infer(toys.words(2, "hello", toys.abc), Enumerate())
    call = ["run", "tests.cli.toys:words", "--arg", "n=2", "--arg", "start=hello", "--top", "50"]
    call += ["--model", "tests.cli.toys:make", "--method", "enumerate"]
    ran = ppl(*call, "--json")
    (row,) = ran.rows
    assert row["log_evidence"] == pytest.approx(expected.log_evidence, abs=1e-10)
    assert [(v["value"], v["probability"]) for v in row["values"]] == expected.top(50)
    assert '{"text": "a", "n": 2}' in ppl(*call).out


def test_arguments_are_json_or_strings_or_fields_of_the_row(ppl, tmp_path):
    toys.told.clear()
    for given in ("x=12", "x=[1, null]", "x={y}", 'x="12"', "x=a=b", "x=", "x=NaN"):
        ran = ppl("run", "tests.cli.toys:set_of", "--arg", given)
        assert (ran.code, "no JSON form" in ran.err) == (2, True)
    assert list(dict.fromkeys(map(repr, toys.told))) == [
        "12",
        "[1, None]",
        "'{y}'",
        "'12'",
        "'a=b'",
        "''",
        "'NaN'",
    ]
    toys.told.clear()
    (tmp_path / "in.jsonl").write_text('{"y": 5}\n')
    ppl("run", "tests.cli.toys:set_of", "--arg", "x={y}", "--input", tmp_path / "in.jsonl")
    ppl("run", "tests.cli.toys:set_of", "--arg", "x=n{y}", "--input", tmp_path / "in.jsonl")
    assert list(dict.fromkeys(map(repr, toys.told))) == ["5", "'n5'"]


def test_a_run_without_survivors(ppl):
    ran = ppl("run", "tests.cli.toys:never", "--model", "tests.cli.toys:abc", "--json")
    assert (ran.code, ran.rows[0]["log_evidence"], ran.rows[0]["values"]) == (1, None, [])
    assert "the condition was false" in ran.rows[0]["no_survivors"]
    ran = ppl("run", "tests.cli.toys:never", "--model", "tests.cli.toys:abc")
    assert (ran.code, "the condition was false" in ran.out) == (1, True)


def test_control_characters_and_markup_are_shown_as_they_are(ppl):
    ran = ppl("run", "tests.cli.toys:escapes")
    assert ran.code == 0
    assert r"\x1b[31mred [bold]x[/bold]" in ran.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["regex", "a(", "--prompt", "x"], 2, "missing )"),
        (["regex", "a"], 2, "--prompt or --chat"),
        (["regex", "a", "--prompt", "x", "--chat", "y"], 2, "--prompt or --chat"),
        (["regex", "a", "--prompt", "x", "--method", "smk"], 2, "did you mean smc"),
        (["regex", "a", "--prompt", "x", "--method", "smc:ess=1"], 2, "ess_threshold=0.5"),
        (["regex", "a", "--prompt", "x", "--method", "smc:ess_threshold=a"], 2, "ess_threshold='a'"),
        (["regex", "a", "--prompt", "x", "--method", "enumerate", "--particles", "2"], 2, "max_paths"),
        (
            ["regex", "a", "--prompt", "x", "--method", "smc:particles=3", "--particles", "2"],
            2,
            "given twice",
        ),
        (["regex", "a", "--prompt", "x", "--seed", "-1"], 2, "seed"),
        (["regex", "a", "--prompt", "x", "--resume"], 2, "--out FILE"),
        (["regex", "a", "--prompt", "x", "--model", "tests.cli.toys:number"], 2, "int, not a language model"),
        (
            ["regex", "a", "--prompt", "x", "--model", "tests.cli.toys:abc", "--device", "cpu"],
            2,
            "--device cpu",
        ),
        (["regex", "a", "--prompt", "x", "--model", "./nowhere"], 3, "no model './nowhere'"),
        (["json", "--schema", "nowhere.json", "--prompt", "x"], 2, "cannot read a schema"),
        (["json", "--schema", "tests.cli.nowhere:T", "--prompt", "x"], 2, "no module 'tests.cli.nowhere'"),
        (["json", "--schema", "tests.cli.toys:T", "--prompt", "x"], 2, "has no 'T'"),
        (["grammar", "--lark", "nowhere.lark", "--prompt", "x"], 2, "cannot read the grammar"),
        (["sql", "--db", "nowhere.db", "--question", "x"], 2, "cannot read the database"),
        (["sql", "--db", "README.md", "--question", "x"], 2, "is no database"),
        (["run", "tests.cli.toys:number"], 2, "int, not a program"),
        (["run", "toys"], 2, "module:name"),
        (["run", "tests.cli.toys:raises"], 2, "missing a required argument: 'x'"),
        (["run", "tests.cli.toys:raises", "--arg", "x"], 2, "--arg name=value"),
        (["run", "tests.cli.toys:raises", "--arg", "x=1", "--arg", "x=2"], 2, "given twice"),
        (
            ["regex", "a", "--prompt", "x", "--model", "tests.cli.toys:make_none"],
            2,
            "raised ZeroDivisionError",
        ),
        (["run", "tests.cli.toys:raises", "--arg", "x=1", "--model", "smollm2"], 2, "no parameter `lm`"),
        (["run", "tests.cli.toys:raises", "--arg", "x=1"], 4, "raised KeyError"),
    ],
)
def test_errors_are_messages_with_hints(ppl, arguments, code, said):
    ran = ppl(*arguments)
    assert ran.code == code, ran.err
    assert said in ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err


def test_debug_shows_the_traceback(ppl):
    ran = ppl("run", "tests.cli.toys:raises", "--arg", "x=1", "--debug")
    assert ran.code == 4
    assert "Traceback" in ran.err
    assert 'raise KeyError("boo")' in ran.err


def test_a_fault_of_ppl_is_not_a_run_without_survivors(ppl, monkeypatch):
    monkeypatch.setattr("inference.cli.commands.infer_rows", lambda *_: 1 / 0)
    ran = ppl("regex", "a", "--prompt", "x")
    assert (ran.code, "ZeroDivisionError" in ran.err, "report it" in ran.err) == (70, True, True)


def test_memory_that_runs_out_is_no_fault_of_ppl(ppl, monkeypatch):
    def exhaust(*_):
        raise MemoryError

    monkeypatch.setattr("inference.cli.commands.infer_rows", exhaust)
    ran = ppl("regex", "a", "--prompt", "x")
    assert (ran.code, "--particles" in ran.err, "Traceback" in ran.err) == (4, True, False)


def test_methods_have_the_names_of_their_classes():
    names = method_names()
    assert {"smc", "importance", "tempered-smc", "rejection", "enumerate", "locally-constrained"} <= set(
        names
    )
    for name in names:
        assert type(method_of(name)) is names[name]
    assert method_of(" SMC : particles = 3 , resampling=ssp") == SMC(3, resampling="ssp")
    assert method_of("tempered_smc:exponents=[0.5, 1],moves=2", 4) == names["tempered-smc"](
        4, exponents=(0.5, 1), moves=2
    )


def test_explain(ppl, schema, sqlite_file, tmp_path):
    (tmp_path / "g.lark").write_text('start: "a"\n')
    toy, spelling = (
        ["--model", "tests.cli.toys:abc"],
        ["--model", "tests.cli.toys:spelling", "--max-tokens", "40"],
    )
    for arguments in (
        ["regex", "a+", "--prompt", "hello", *toy],
        ["grammar", "--lark", tmp_path / "g.lark", "--prompt", "hello", *toy],
        ["json", "--schema", schema, "--prompt", "hello", *spelling],
    ):
        ran = ppl("explain", *arguments)
        assert ran.code == 0, ran.err
        assert "hello" in ran.out
        assert "masked" in ran.out
        (plan,) = ppl("explain", *arguments, "--json").rows
        assert plan["sites"][0]["kernel"] == "masked"
    assert "SQL(sqlite" in ppl("explain", "sql", "--db", sqlite_file, "--question", "?", *spelling).out
    ran = ppl("explain", "run", "tests.cli.toys:words", "--arg", "n=2", "--arg", "start=x", *toy)
    assert "words(n=2, start='x')" in ran.out


def test_bench_measures_every_size(ppl):
    ran = ppl(
        "bench", "--model", "tests.cli.toys:abc", "--particles", 1, "--particles", 4, "--rounds", 3, "--json"
    )
    (result,) = ran.rows
    assert [speed["particles"] for speed in result["speeds"]] == [1, 4]
    for speed in result["speeds"]:
        assert len(speed["seconds"]) == 3
        rates = sorted(speed["tokens"] / s for s in speed["seconds"])
        assert speed["tokens_per_second"] == rates[1]
        assert speed["spread"] == (rates[2] - rates[0]) / rates[1]
    assert "tokens/s" in ppl("bench", "--model", "tests.cli.toys:abc", "--rounds", 1, "--particles", 2).out


@pytest.mark.model
def test_a_real_model(ppl):
    ran = ppl(
        *["json", "--schema", "tests.cli.toys:Ticket", "--chat", "My printer is on fire! Urgency as JSON?"],
        *["--particles", "4", "--max-tokens", "20", "--json"],
    )
    assert ran.code == 0, ran.err
    assert ran.rows[0]["values"][0]["value"]["urgency"] in ("low", "high")


# Reports.


def test_a_report_is_written_and_changes_no_result(ppl, tmp_path):
    call = [
        "regex",
        "[abc]*",
        "--prompt",
        "x",
        "--max-tokens",
        "3",
        "--model",
        "tests.cli.toys:abc",
        "--json",
    ]
    plain, ran = ppl(*call), ppl(*call, "--report", tmp_path / "run.html")
    assert (ran.code, ran.rows[0]["values"]) == (0, plain.rows[0]["values"])
    assert "report in" in ran.err
    page = (tmp_path / "run.html").read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert '"record":{' in page
    assert ppl(*call, "--report", tmp_path / "run.html").code == 0, "an older one is replaced"


def test_every_command_that_infers_writes_reports(ppl, tmp_path, schema, sqlite_file):
    (tmp_path / "g.lark").write_text('start: "a" ("b" "a")*\n')
    spelling = ["--max-tokens", "20", "--model", "tests.cli.toys:spelling"]
    commands = [
        ["json", "--schema", schema, "--prompt", "x", *spelling],
        ["sql", "--db", sqlite_file, "--question", "How many?", *spelling],
        ["grammar", "--lark", tmp_path / "g.lark", "--prompt", "x", *TABLE],
        ["run", "tests.cli.toys:words", "--arg", "n=2", "--arg", "start=x", *TABLE],
        ["run", "tests.cli.toys:never", *TABLE],
    ]
    for number, command in enumerate(commands):
        assert ppl(*command, "--report", tmp_path / f"{number}.html").code in (0, 1)
        assert (tmp_path / f"{number}.html").exists()


def test_several_rows_have_a_report_each(ppl, tmp_path):
    rows = tmp_path / "in.jsonl"
    rows.write_text('{"x": "p"}\n\n{"x": "q"}\n')
    call = ["regex", "[abc]*", "--prompt", "{x}", "--input", rows, "--model", "tests.cli.toys:abc"]
    call += ["--max-tokens", "2", "--report", tmp_path / "run.html", "--out", tmp_path / "out.jsonl"]
    assert ppl(*call).code == 0
    assert sorted(path.name for path in tmp_path.glob("*.html")) == ["run-1.html", "run-3.html"]
    (tmp_path / "run-1.html").unlink()
    assert ppl(*call, "--resume").code == 0
    assert not (tmp_path / "run-1.html").exists(), "what was there before has no run to report"
    ran = ppl(
        "regex", "[abc]*", "--prompt", "-", "--model", "tests.cli.toys:abc", "--max-tokens", "2",
        "--report", tmp_path / "in.html", stdin="p\n",
    )  # fmt: skip
    assert (ran.code, (tmp_path / "in-1.html").exists()) == (0, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--method", "particle-gibbs"], "no population"),
        (["--method", "suffix-mcmc"], "no population"),
        (["--report", "nowhere/run.html"], "there is no folder nowhere"),
        (["--report", "."], "it is a folder"),
    ],
)
def test_a_report_that_cannot_be_is_refused_before_the_run(ppl, options, said):
    call = [
        "regex",
        "a",
        "--prompt",
        "x",
        "--report",
        "run.html",
        *options,
        "--model",
        "tests.cli.toys:make_none",
    ]
    ran = ppl(*call)
    assert (ran.code, said in ran.err, "hint" in ran.err) == (2, True, True)
    assert "make_none" not in ran.err, "no model is loaded"
