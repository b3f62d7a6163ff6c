"""Real servers of toy models on free ports, and the official client."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager

import httpx2 as httpx
import openai
import pytest

from inference import TableLM
from inference.server import running
from inference.server.app import application
from tests.cli.conftest import ppl  # noqa: F401 - a fixture

TOKENS = [*'{}[]": ,abcn0123', "name", "arguments", "true", "é", b"\xc3", b"\xa9", "\n"]
LM = TableLM.random(TOKENS, seed=7, concentration=3.0, name="toy")


class Served:
    """A server that runs, and clients for it."""

    def __init__(self, url):
        self.url = url
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=30)

    def chat(self, content="hi", **options):
        return self.client.chat.completions.create(
            model="toy", messages=[{"role": "user", "content": content}], **options
        )

    def complete(self, prompt="x", **options):
        return self.client.completions.create(model="toy", prompt=prompt, **options)

    def post(self, path, **options):
        return httpx.post(f"{self.url}{path}", timeout=30, **options)

    def metrics(self):
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        return {
            line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
            for line in lines
            if not line.startswith("#")
        }

    def until(self, condition, seconds=10):
        """Wait until the metrics satisfy a condition."""
        end = time.monotonic() + seconds
        while not condition(metrics := self.metrics()):
            assert time.monotonic() < end, metrics
            time.sleep(0.02)


@contextmanager
def serve(lm, name="toy", **options):
    """Serve a model in a thread."""
    listening = socket.create_server(("127.0.0.1", 0))
    app = application(lm, name, **options)
    server = running.server(app, grace=1, log_level="error")
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield Served(f"http://127.0.0.1:{listening.getsockname()[1]}")
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@pytest.fixture(scope="session")
def toy():
    with serve(LM) as served:
        yield served


class SlowLM(TableLM):
    """A model that takes a while, and tells which sessions are open and what they have evaluated."""

    def __init__(self, seconds=0.03, end=0.0):
        letter = (1.0 - end) / 2.0
        super().__init__(["a", "b"], lambda prompt, generated: [letter, letter, end], name="slow")
        self.seconds = seconds
        self.opened = self.closed = 0

    def session(self):
        inner = super().session()
        self.opened += 1
        ask, close = inner.next_tokens, inner.close

        def next_tokens(contexts, drafts=()):
            time.sleep(self.seconds)
            return ask(contexts, drafts)

        def closing():
            self.closed += 1
            close()

        inner.next_tokens, inner.close = next_tokens, closing
        return inner
