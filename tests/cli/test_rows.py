"""Rows and files of results: templates, errors that name the line, resuming."""

import json

import pytest

from inference import infer
from inference.cli.rows import Row, Template

COMMAND = ["regex", "a+b?", "--prompt", "say {t}", "--model", "tests.cli.toys:abc", "--max-tokens", "4"]


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"t": "one"}\n\n{"t": {"k": 2}, "id": 7}\n{"t": "three"}\n')
    return path


def test_templates():
    row = Row(fields={"t": "é", "k": {"a": ["ü", 1]}, "s": "{t}"})
    assert Template('{"a": {t}} {k} {{t}} {s} {} {').fill(row) == '{"a": é} {"a": ["ü", 1]} {t} {t} {} {'
    assert Template("{t}", literal=True).fill(row) == "{t}"
    assert Template("{k}").value(row) == {"a": ["ü", 1]}
    assert Template("{{t}}").value(row) == "{t}"


def test_each_row_is_what_it_is_alone(ppl, rows):
    ran = ppl(*COMMAND, "--input", rows, "--json")
    assert [(row["line"], row["input"]) for row in ran.rows] == [
        (1, {"t": "one"}),
        (3, {"t": {"k": 2}, "id": 7}),
        (4, {"t": "three"}),
    ]
    for prompt, row in zip(["say one", 'say {"k": 2}', "say three"], ran.rows, strict=True):
        alone = ppl(*COMMAND[:3], prompt, *COMMAND[4:], "--json").rows[0]
        assert alone["values"] == row["values"]
        assert alone["log_evidence"] == row["log_evidence"]


def test_standard_input(ppl, rows):
    ran = ppl(*COMMAND[:3], "-", *COMMAND[4:], "--json", stdin="say one\r\n\nsay {t}\n")
    assert [row["input"] for row in ran.rows] == [{"prompt": "say one"}, {"prompt": "say {t}"}]
    assert ran.rows[0]["values"] == ppl(*COMMAND, "--input", rows, "--json").rows[0]["values"]
    ran = ppl(*COMMAND, "--input", "-", "--json", stdin=rows.read_text())
    assert len(ran.rows) == 3
    assert ppl(*COMMAND[:3], "-", *COMMAND[4:], "--input", rows).code == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"t": 1', "line 3: not JSON"),
        (b'{"t": 1, "t": 2}', "line 3: not JSON: the member 't' is repeated"),
        (b"[1]", "line 3: a JSON object is needed, not [1]"),
        (b'{"t": "\xff"}', "line 3: not UTF-8"),
        (b'{"u": 1}', "line 3: no field 't'"),
    ],
)
@pytest.mark.parametrize("piped", [False, True])
def test_errors_name_the_line(ppl, tmp_path, line, said, piped):
    path = tmp_path / "in.jsonl"
    content = b'{"t": 0}\n\n' + line + b"\n"
    path.write_bytes(content)
    ran = ppl(*COMMAND, "--json", "--input", "-" if piped else path, stdin=content if piped else None)
    assert ran.code == 2
    assert said in ran.err
    assert len(ran.rows) == piped  # a file is read before anything is computed, standard input as it comes


def test_a_failure_names_the_line_and_keeps_what_was_done(ppl, tmp_path):
    path, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    path.write_text('{"n": 1}\n{"n": "x"}\n')
    call = [
        "run",
        "tests.cli.toys:words",
        "--arg",
        "n={n}",
        "--arg",
        "start=s",
        "--model",
        "tests.cli.toys:abc",
    ]
    ran = ppl(*call, "--input", path, "--out", out)
    assert (ran.code, "line 2" in ran.err) == (4, True)
    assert [json.loads(line)["input"] for line in out.read_text().splitlines()] == [{"n": 1}]
    path.write_text('{"n": 1}\n{"n": 2}\n')
    ran = ppl(*call, "--input", path, "--out", out, "--resume", "--json")
    assert [row["input"] for row in ran.rows] == [{"n": 1}, {"n": 2}]
    assert "1 of them there before" in ran.err


def test_resuming_computes_what_is_missing_and_drops_a_torn_line(ppl, rows, tmp_path, monkeypatch):
    out = tmp_path / "out.jsonl"
    whole = ppl(*COMMAND, "--input", rows, "--out", out, "--json")
    lines = out.read_text().splitlines(keepends=True)
    assert whole.out == "".join(lines)
    out.write_text(lines[2] + lines[0][:40])
    computed = []

    def counted(model, *arguments, **options):
        computed.append(model)
        return infer(model, *arguments, **options)

    monkeypatch.setattr("inference.infer", counted)
    ran = ppl(*COMMAND, "--input", rows, "--out", out, "--resume", "--json")
    assert ran.code == 0
    assert len(computed) == 2
    answers = [(row["input"], row["values"]) for row in whole.rows]
    assert [(row["input"], row["values"]) for row in ran.rows] == answers
    kept = [json.loads(line)["input"] for line in out.read_text().splitlines()]
    assert kept == [{"t": "three"}, {"t": "one"}, {"t": {"k": 2}, "id": 7}]
    computed.clear()
    assert ppl(*COMMAND, "--input", rows, "--out", out, "--resume", "--json").code == 0
    assert computed == []


def test_equal_rows_are_as_many_results(ppl, tmp_path):
    path, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    path.write_text('{"t": 1}\n{"t": 1}\n')
    ppl(*COMMAND, "--input", path, "--out", out)
    path.write_text('{"t": 1}\n{"t": 1}\n{"t": 1}\n')
    assert "2 of them there before" in ppl(*COMMAND, "--input", path, "--out", out, "--resume").err
    assert len(out.read_text().splitlines()) == 3


def test_results_under_other_settings_are_not_mixed(ppl, rows, tmp_path):
    out = tmp_path / "out.jsonl"
    ppl(*COMMAND, "--input", rows, "--out", out)
    before = out.read_bytes()
    for other in (
        ["--seed", "1"],
        ["--particles", "3"],
        ["--max-tokens", "5"],
        ["--model", "tests.cli.toys:make"],
        ["--prompt", "tell {t}"],
        ["--top", "2"],
        ["--stop", "c"],
    ):
        ran = ppl(*COMMAND, *other, "--input", rows, "--out", out, "--resume")
        assert (ran.code, "line 1: a result under other settings" in ran.err) == (2, True), other
    ran = ppl("regex", "a+", *COMMAND[2:], "--input", rows, "--out", out, "--resume")
    assert ran.code == 2
    assert out.read_bytes() == before


def test_results_are_not_overwritten(ppl, rows, tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_text("mine\n")
    ran = ppl(*COMMAND, "--input", rows, "--out", out)
    assert (ran.code, "has content" in ran.err) == (2, True)
    ran = ppl(*COMMAND, "--input", rows, "--out", out, "--resume")
    assert (ran.code, "line 1: not a result" in ran.err) == (2, True)
    assert out.read_text() == "mine\n"
    ran = ppl(*COMMAND, "--input", rows, "--out", tmp_path / "no" / "out.jsonl")
    assert (ran.code, "cannot write" in ran.err) == (2, True)


def test_rows_without_survivors_that_are_there_count(ppl, tmp_path):
    path, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    path.write_text("{}\n")
    call = ["run", "tests.cli.toys:never", "--model", "tests.cli.toys:abc", "--input", path, "--out", out]
    assert ppl(*call).code == 1
    assert ppl(*call, "--resume").code == 1
