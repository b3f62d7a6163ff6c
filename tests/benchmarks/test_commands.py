"""Every benchmark runs, small, through its command line and prints what it promises."""

import json
import shutil
import time
from pathlib import Path

import pytest

from benchmarks import (
    adaptive_rejection,
    drafts,
    engines,
    generate,
    json_schema,
    overhead,
    property_tests,
    rejection,
    report,
    scaling,
    throughput,
    weights,
)
from benchmarks.common import data_rows
from benchmarks.methods import __main__ as methods
from benchmarks.methods import plot as methods_plot
from benchmarks.methods import table as methods_table
from benchmarks.peers import __main__ as peers
from benchmarks.peers import awrs
from benchmarks.peers.process import HERE


def result(capsys):
    return json.loads(capsys.readouterr().out)


@pytest.mark.model
def test_overhead(capsys):
    overhead.main(["--particles", "2", "--contexts", "8", "--ticks", "4"])
    (run,) = result(capsys)["runs"]
    assert run["ticks"] > 0
    assert run["ratio"] > 0.0
    assert run["ratio_to_floor"] > 0.0


@pytest.mark.model
def test_overhead_of_masks_and_resampling(capsys):
    overhead.main(["--particles", "32", "--contexts", "64", "--ticks", "12", "--kinds", "json", "resampled"])
    assert [run["kind"] for run in result(capsys)["runs"]] == ["json", "resampled"]


@pytest.mark.model
def test_generate(capsys):
    generate.main(["--particles", "2", "--tokens", "4", "--rounds", "1"])
    (run,) = result(capsys)["runs"]
    assert run["smc"] > 0.0
    assert run["drafts"] > 0.0


@pytest.mark.model
def test_scaling(capsys):
    scaling.main(["--particles", "1", "2", "3", "--contexts", "8", "16", "24", "--tokens", "2"])
    memory = result(capsys)["memory"]
    assert memory["distinct"] < 1.3
    assert memory["end"] < 1.6
    assert memory["resampled"] < 2.5


@pytest.mark.model
def test_drafts(capsys):
    try:
        data_rows("text_to_sql/dev/questions.jsonl")
    except SystemExit as absent:
        pytest.skip(str(absent))
    drafts.main(["--task", "text_to_sql", "--cases", "1", "--particles", "2"])
    found = result(capsys)
    (run,), (ceiling,) = found["runs"], found["ceilings"]
    assert max(ceiling["free"]) > 1.0
    assert 0.0 < run["passes"] <= 1.5
    assert run["speed"] > 0.0


@pytest.mark.model
def test_engines(capsys):
    engines.main(["--particles", "2", "--contexts", "8", "--steps", "1"])
    (run,) = result(capsys)["runs"]
    assert {"stock", "transformers"} <= set(run["milliseconds"])
    assert min(run["milliseconds"].values()) > 0.0


@pytest.mark.model
def test_weights(capsys):
    pytest.importorskip("llama_cpp")
    weights.main(["--tokens", "300"])
    results = result(capsys)["results"]
    assert results["llama.cpp, float32"]["mean_kl"] < 1e-6
    assert 1e-4 < results["llama.cpp, q8_0"]["mean_kl"] < 0.02


def test_property_tests(capsys, tmp_path):
    pytest.importorskip("hypothesis_jsonschema")
    arguments = ["--generators", "hypothesis-jsonschema", "ppl", "--seeds", "2", "--executions", "30"]
    property_tests.main([*arguments, "--keep", str(tmp_path / "kept.jsonl")])
    generators = result(capsys)["generators"]
    assert all(entry["handlers"]["initials"]["found"] == 2 for entry in generators.values())
    assert all(entry["handlers"]["cents"]["median"] is None for entry in generators.values())
    property_tests.main([*arguments, "--keep", str(tmp_path / "kept.jsonl")])
    assert result(capsys)["generators"] == generators


@pytest.mark.parametrize(
    ("handler", "fails_on", "passes"),
    [
        ("cents", {"total": "$19.90"}, {"total": "$18.50"}),
        ("legal_form", {"customer": "Food Truck Supply Co."}, {"customer": "Broadcom Inc."}),
        ("thousands", {"total": "$1,250.00"}, {"total": "$1250.00"}),
        ("currency", {"total": "£5"}, {"total": "€5"}),
        ("next_month", {"due": "2024-01-31"}, {"due": "0000-01-31"}),
        ("weekend", {"due": "2024-08-31"}, {"due": "2024-08-24"}),
        ("unquoted", {"customer": "O'Brien"}, {"customer": "Lopez"}),
        ("initials", {"customer": "a  b"}, {"customer": "a b"}),
        ("latin", {"customer": "Łukasz"}, {"customer": "José"}),
    ],
)
def test_handlers_have_the_bug_that_they_say(handler, fails_on, passes):
    assert property_tests.fails(property_tests.HANDLERS[handler], fails_on)
    assert not property_tests.fails(property_tests.HANDLERS[handler], passes)


def test_report(capsys):
    pytest.importorskip("playwright")
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        pytest.skip("no Chromium")
    report.main(["--particles", "200", "--tokens", "20", "--steps", "5"])
    figures = result(capsys)
    assert figures["rows"] == 200
    assert 0 < figures["rows_with_content"] < 120


@pytest.mark.model
def test_throughput(capsys):
    throughput.main(["--programs", "3", "--particles", "2", "--tokens", "4"])
    (run,) = result(capsys)["runs"]
    assert run["alone"]["tokens"] > 0
    assert run["ratio"] > 0.0


@pytest.mark.model
def test_rejection(capsys):
    rejection.main(["--particles", "2", "--tokens", "3", "--rounds", "1"])
    (run,) = result(capsys)["runs"]
    assert run["seconds_per_token"]["rejection"] > 0.0


@pytest.mark.model
def test_json_schema(capsys, tmp_path, monkeypatch):
    schema = {
        "type": "object",
        "properties": {"a": {"enum": [1, 2]}},
        "required": ["a"],
        "additionalProperties": False,
    }
    cases = [
        {"id": "good", "schema": schema, "validator": "Draft7Validator"},
        {"id": "refused", "schema": {"type": "strng"}, "validator": "Draft7Validator"},
    ]
    (tmp_path / "json_schema").mkdir()
    (tmp_path / "json_schema" / "dev.jsonl").write_text("\n".join(map(json.dumps, cases)))
    monkeypatch.setenv("PPL_DATA", str(tmp_path))
    json_schema.main(["--particles", "2", "--max-tokens", "32", "--details"])
    figures = result(capsys)
    assert figures["cases"] == 2
    assert figures["compiled"] == 0.5
    assert figures["crashed"] == figures["hung"] == []
    assert figures["valid"] == 1.0
    assert figures["texts"] == figures["results"][0]["completed"] > 0


def _hangs(connection):
    connection.send("ready")
    connection.recv()
    time.sleep(60)


def _dies(connection):
    connection.send("ready")
    connection.recv()


@pytest.mark.parametrize(("target", "failure", "limit"), [(_hangs, "hung", 1.0), (_dies, "crashed", 60.0)])
def test_a_worker_that_hangs_or_dies_is_replaced(target, failure, limit, monkeypatch):
    monkeypatch.setattr(json_schema, "work", target)
    worker = json_schema.Worker(limit=limit)
    assert list(worker.run({})) == [failure]
    assert list(worker.run({})) == [failure]
    worker.close()


def test_json_validity_is_judged_by_the_validator():
    class Anything:
        def is_valid(self, value):
            return value != 3

    assert json_schema.is_valid("2", Anything())
    assert not json_schema.is_valid("3", Anything())
    assert not json_schema.is_valid("{", Anything())


def test_missing_data_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PPL_DATA", str(tmp_path))
    with pytest.raises(SystemExit, match="PPL_DATA"):
        data_rows("json_schema/dev.jsonl")


@pytest.mark.parametrize("command", [peers, awrs])
def test_a_missing_peer_is_said(command, capsys, tmp_path):
    command.main(["--peer-python", str(tmp_path / "python")])
    assert "does not exist" in result(capsys)["skipped"]


@pytest.mark.model
def test_peers_take_turns(capsys, tmp_path):
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\necho ready\nwhile read line; do echo \'{"tokens": 10, "seconds": 1e6}\'; done\n'
    )
    python.chmod(0o755)
    peers.main(["--peer-python", str(python), "--particles", "2", "--tokens", "4", "--rounds", "2"])
    figures = result(capsys)
    assert len(figures["rounds"]) == 2
    assert figures["reached"]
    assert Path(HERE / "genlm_control.py").exists()


@pytest.mark.model
def test_rejection_sampling_takes_turns_with_the_peers(capsys, tmp_path):
    python = tmp_path / "python"
    answer = '{"tokens": 10, "seconds": 1e6, "checks": 1e6, "log_evidence": -3.0}'
    python.write_text(f"#!/bin/sh\necho ready\nwhile read line; do echo '{answer}'; done\n")
    python.chmod(0o755)
    awrs.main(["--peer-python", str(python), "--particles", "3", "--seeds", "2", "--tasks", "lipogram"])
    (task,) = result(capsys)["tasks"]
    assert task["reached"]["time"]
    assert task["reached"]["checks"]
    assert task["genlm_control"]["checks_per_token"] == 1e5
    assert 0 < task["ppl"]["checks_per_token"] < 100
    assert (HERE / "genlm_awrs.py").exists()


def test_variances_are_of_the_evidence():
    runs = [
        {"seconds": 1.0, "tokens": 4, "checks": 8, "log_evidence": w} for w in (-1.0, -2.0, float("-inf"))
    ]
    figures = awrs.summary(runs)
    assert figures["runs_without_survivors"] == 1
    assert figures["log_evidence_variance"] == pytest.approx(0.5)
    assert figures["checks_per_token"] == 2.0


def test_the_interval_of_a_ratio_of_variances():
    few = [-1.0, -2.0, -3.0, -2.5, -1.5]
    ratio = awrs.variance_ratio([2 * x for x in few], few)
    assert ratio["ratio"] == pytest.approx(4.0)
    assert ratio["low"] < 4.0 < ratio["high"]
    assert awrs.variance_ratio([*few, float("-inf")], few)["ratio"] == pytest.approx(1.0)
    assert awrs.variance_ratio([-1.0, -1.0], [-3.0, -3.0])["ratio"] == pytest.approx(1.0)


@pytest.mark.model
def test_methods(tmp_path, capsys):
    try:
        data_rows("function_calling/dev.jsonl")
    except SystemExit as absent:
        pytest.skip(str(absent))
    out, figure = tmp_path / "methods.jsonl", tmp_path / "methods.png"
    arguments = ["--task", "function_calls", "--method", "smc", "beam", "--sizes", "2", "--cases", "1"]
    methods.main([*arguments, "--out", str(out)])
    assert len(out.read_text().splitlines()) == 2
    methods.main([*arguments, "--out", str(out)])
    assert len(out.read_text().splitlines()) == 2  # what is there is not run again
    methods_table.main([str(out)])
    assert "| beam | another law | 2 |" in capsys.readouterr().out
    methods_plot.main([str(out), str(figure)])
    assert figure.stat().st_size > 10_000


def test_adaptive_rejection(capsys):
    sizes = ["--samples", "3", "--attempts", "200", "--learn", "30", "--particles", "2", "--runs", "3"]
    adaptive_rejection.main(sizes)
    measured = result(capsys)
    for run in measured["runs"]:
        assert run["factor"]["predicted limit"] > 0.0
        assert run["samples"]["adaptive, batch=1"] == 3
    (twist,) = measured["twists"]
    assert twist["learning"] > 0
    assert twist["twisted"]["tokens"] > 0.0
