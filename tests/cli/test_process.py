"""The command as a process: its entry point, signals, pipes, and what it imports."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULE, NAME = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["ppl"].split(":")
# A shell has what it runs in the background ignore interrupts, and children inherit that: not these.
HEAR = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
PPL = [
    sys.executable,
    "-c",
    f"{HEAR}; import sys; from {MODULE} import {NAME}; sys.exit({NAME}(prog_name='ppl'))",
]
SLOW = ["regex", "[ab]*", "--prompt", "-", "--max-tokens", "4", "--model", "tests.cli.toys:slow"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def start(*arguments, **options):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen([*PPL, *map(str, arguments)], cwd=ROOT, env=ENVIRONMENT, text=True, **pipes)


def test_what_needs_no_model_imports_no_torch(tmp_path):
    (tmp_path / "s.json").write_text('{"type": "integer"}')
    for arguments in (["--help"], ["check", "json", "--schema", str(tmp_path / "s.json"), "12"]):
        code = (
            f"import sys; from {MODULE} import {NAME}\n"
            f"try: {NAME}({arguments!r})\n"
            "except SystemExit as end: assert not end.code, end.code\n"
            "heavy = {'torch', 'transformers', 'huggingface_hub', 'duckdb'} & set(sys.modules)\n"
            "assert not heavy, heavy\n"
        )
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=ENVIRONMENT, check=True, capture_output=True
        )


def test_the_names_of_inference_are_what_they_were():
    code = (
        "import inference.infer, inference, sys\n"
        "assert 'cli' not in vars(inference)\n"
        "from inference import infer, SMC\n"
        "from inference.infer import infer as same\n"
        "assert infer is same is inference.infer\n"
        "assert set(inference.__all__) <= set(dir(inference))\n"
        "assert not hasattr(inference, 'nothing')\n"
        "names = {}; exec('from inference import *', names); assert names['infer'] is infer\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=ENVIRONMENT, check=True)


def test_an_interruption_keeps_what_was_done(tmp_path):
    out = tmp_path / "out.jsonl"
    process = start(*SLOW, "--json", "--out", out)
    for prompt in ("one", "two", "three", "four"):
        process.stdin.write(f"{prompt}\n")
    process.stdin.flush()
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in said
    assert "--resume" in said
    assert "Traceback" not in said
    assert json.loads(first)["input"] == {"prompt": "one"}
    assert out.read_text() == first + rest
    again = start(*SLOW, "--json", "--out", out, "--resume")
    result, said = again.communicate("one\ntwo\nthree\n", timeout=120)
    assert again.returncode == 0
    assert [json.loads(line)["input"]["prompt"] for line in result.splitlines()] == ["one", "two", "three"]
    assert result.startswith(first)
    assert "there before" in said


def test_a_reader_that_goes_away(tmp_path):
    for form in (["--json"], []):
        process = start(*SLOW, *form)
        process.stdin.write("one\ntwo\n")
        process.stdin.flush()
        assert process.stdout.readline()
        process.stdout.close()
        process.stdin.write("three\nfour\nfive\n")
        process.stdin.close()
        process.stdin = None
        assert process.wait(timeout=60) == 141, form
        assert process.stderr.read() == ""
        process.stderr.close()


def test_results_come_as_they_are_known():
    process = start(*SLOW, "--json")
    began = time.monotonic()
    for prompt in ("one", "two"):  # the second is written only after the first is answered
        process.stdin.write(f"{prompt}\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["input"] == {"prompt": prompt}
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert time.monotonic() - began < 60
