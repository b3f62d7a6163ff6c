"""Many requests: shared calls, a bounded queue, clients that leave, and the end."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import httpx2 as httpx
import openai
import pytest

from inference.batching import Batcher
from inference.cli.exit_codes import BAD_INPUT, FAILED
from inference.server.errors import RequestError
from inference.server.worker import Job, Worker
from tests.server.conftest import LM, SlowLM, serve

ROOT = Path(__file__).parents[2]
# A shell has what it runs in the background ignore interrupts, and children inherit that: not these.
HEAR = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
COMMAND = [sys.executable, "-c", f"{HEAR}; from inference.cli import app; app(prog_name='ppl')", "serve"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def told(reply):
    return reply.model_extra["ppl"]


def test_requests_that_run_together_share_calls_and_change_nothing():
    grammars = ["[ab]{12}", "a[ab]{11}", "[ab]{11}b"]
    with serve(lm := SlowLM(0.06, end=0.1), concurrency=4) as served:

        def ask(i):
            extra = {"grammar": {"regex": grammars[i % 3]}, "particles": 4}
            return served.complete(
                "x", seed=i, max_tokens=12, temperature=(1.0, 0.5)[i % 2], extra_body=extra
            )

        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(ask, range(4)))
        shared = served.metrics()["ppl_rounds_total"]
        calls = sum(told(reply)["cost"]["lm_calls"] for reply in together)
        alone = [ask(i) for i in range(4)]
    assert shared <= calls - 12 < calls  # two of them at least ran side by side
    assert [told(r)["log_evidence"] for r in together] == [told(r)["log_evidence"] for r in alone]
    assert [r.choices[0].text for r in together] == [r.choices[0].text for r in alone]
    assert lm.opened == lm.closed > 0


def test_a_full_queue_refuses_and_says_when_to_come_back():
    with serve(SlowLM(), concurrency=1, queue=1) as served, ThreadPoolExecutor(2) as pool:
        first = pool.submit(served.complete, "x", max_tokens=20)
        served.until(lambda m: m["ppl_requests_running"] == 1)
        second = pool.submit(served.complete, "x", max_tokens=2)
        served.until(lambda m: m["ppl_requests_waiting"] == 1)
        with pytest.raises(openai.RateLimitError) as caught:
            served.complete("x")
        assert 1 <= int(caught.value.response.headers["Retry-After"]) <= 60
        assert first.result()
        assert second.result()
        assert served.metrics()['ppl_requests_total{endpoint="/v1/completions",outcome="busy"}'] == 1
        assert served.complete("x", max_tokens=2)


def test_each_prompt_of_a_list_takes_a_place():
    with serve(SlowLM(), concurrency=1, queue=1) as served, ThreadPoolExecutor(1) as pool:
        assert len(served.complete(["x", "y"], max_tokens=2).choices) == 2
        with pytest.raises(openai.BadRequestError, match="3 prompts are more than the 2"):
            served.complete(["x", "y", "z"])
        first = pool.submit(served.complete, "x", max_tokens=20)
        served.until(lambda m: m["ppl_requests_running"] == 1)
        with pytest.raises(openai.RateLimitError):
            served.complete(["x", "y"], max_tokens=2)
        assert served.metrics()["ppl_requests_waiting"] == 0, "all or none"
        assert first.result()


@pytest.mark.parametrize("prompt", ["x", ["x", "y"]])
@pytest.mark.parametrize("stream", [False, True])
def test_a_run_ends_when_its_client_leaves(stream, prompt):
    body = {"model": "toy", "prompt": prompt, "max_tokens": 2000, "particles": 2, "stream": stream}
    left = 'ppl_requests_total{endpoint="/v1/completions",outcome="left"}'
    with serve(lm := SlowLM(), concurrency=1) as served:
        with socket.create_connection(("127.0.0.1", int(served.url.rsplit(":", 1)[1]))) as connection:
            data = json.dumps(body).encode()
            head = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
            connection.sendall(b"POST /v1/completions HTTP/1.1\r\n" + head.encode() + data)
            served.until(lambda m: m["ppl_requests_running"] == 1)
        served.until(lambda m: m["ppl_requests_running"] == 0 and m.get(left) == 1)
        assert lm.opened == lm.closed == 1
        assert served.complete("x", max_tokens=2)


def test_a_client_that_leaves_the_queue_is_not_served():
    with serve(SlowLM(), concurrency=1) as served, ThreadPoolExecutor(1) as pool:
        first = pool.submit(served.complete, "x", max_tokens=30)
        served.until(lambda m: m["ppl_requests_running"] == 1)
        with pytest.raises(openai.APITimeoutError):
            served.client.with_options(timeout=0.2).completions.create(model="toy", prompt="x")
        served.until(lambda m: m["ppl_requests_waiting"] == 0)
        assert first.result()
        assert served.metrics()["ppl_request_seconds_count"] == 1


def test_a_stream_tells_that_it_is_alive():
    with serve(SlowLM(0.3)) as served:
        body = {"model": "toy", "prompt": "x", "max_tokens": 6, "particles": 2, "stream": True}
        with httpx.stream("POST", f"{served.url}/v1/completions", json=body, timeout=30) as reply:
            lines = [line for line in reply.iter_lines() if line]
    assert any(line.startswith(": tick ") for line in lines)
    assert lines[-1] == "data: [DONE]"


def test_a_fault_of_the_worker_does_not_end_it():
    with serve(LM) as served:
        broken = patch.object(Batcher, "advance", side_effect=RuntimeError("a fault"))
        with broken, pytest.raises(openai.InternalServerError):
            served.complete("x")
        assert served.complete("x", max_tokens=2)


def test_a_worker_drops_everything_when_it_closes():
    worker, lm = Worker(1, 5), SlowLM()
    from inference.engines.base import Context
    from inference.tasks import TaskSessions

    ended = []

    def work(task):
        sessions, context = TaskSessions(task), Context((1,))
        try:
            while True:
                sessions.next_tokens({lm: [context]})
        finally:
            ended.append(task)

    worker.start()
    jobs = [Job(work) for _ in range(3)]
    for job in jobs:
        worker.submit(job)
    while not worker.running:
        time.sleep(0.01)
    worker.close()
    assert all(job.future.exception().status == 503 for job in jobs)
    assert len(ended) == 1
    assert not worker.alive
    with pytest.raises(RequestError, match="closing"):
        worker.submit(Job(work))
    assert lm.opened == lm.closed == 1


def serving(*arguments, **options):
    process = subprocess.Popen(
        [*COMMAND, "--model", "tests.cli.toys:slow", "--port", "0", *arguments],
        cwd=ROOT, env=ENVIRONMENT | options, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    line = process.stderr.readline()
    assert "http://" in line, line + process.stderr.read()
    return process, line.split(" at ")[1].strip()


@pytest.mark.parametrize(("grace", "interrupts"), [("1", 1), ("60", 2)])
def test_the_command_serves_and_ends_on_an_interrupt(grace, interrupts):
    process, url = serving("--name", "slow", "--grace", grace, PPL_API_KEY="k")
    client = openai.OpenAI(base_url=url, api_key="k", max_retries=0)
    assert client.completions.create(model="slow", prompt="x", max_tokens=2)
    failed = []

    def ask():
        try:
            client.completions.create(model="slow", prompt="x", max_tokens=2000, extra_body={"particles": 50})
        except openai.APIStatusError as error:
            failed.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    metrics, key = url.replace("/v1", "/metrics"), {"Authorization": "Bearer k"}
    while "ppl_requests_running 1" not in httpx.get(metrics, headers=key).text:
        time.sleep(0.05)
    start = time.monotonic()
    for _ in range(interrupts):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    said = process.stderr.read()
    assert process.wait(30) == 130
    assert "Traceback" not in said, said
    assert time.monotonic() - start < 30  # not the 60 of its grace
    thread.join()
    assert [error.status_code for error in failed] == [503]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--host", "0.0.0.0"], BAD_INPUT, "without a key"),
        (["--api-key", ""], BAD_INPUT, "empty"),
        (["--host", "256.1.1.1", "--api-key", "k"], FAILED, "cannot listen"),
    ],
)
def test_settings_that_are_refused(ppl, arguments, code, said):
    ran = ppl("serve", "--model", "tests.cli.toys:slow", *arguments)
    assert ran.code == code
    assert said in ran.err


def test_without_its_libraries_the_command_says_what_to_install(ppl):
    with patch.dict(sys.modules, {"uvicorn": None}):
        sys.modules.pop("inference.server.running")
        ran = ppl("serve", "--model", "tests.cli.toys:slow")
    assert ran.code == BAD_INPUT
    assert "ppl[server]" in ran.err
