"""Metrics: what the server has done, in the text format of Prometheus (version 0.0.4)."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping

from inference.diagnostics import Cost

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_FAMILIES = (
    ("ppl_requests_total", "counter", "Requests by endpoint and outcome."),
    ("ppl_request_seconds", "summary", "Seconds of requests that were answered, waiting included."),
    ("ppl_run_seconds_total", "counter", "Seconds of runs: their own, and their part of shared calls."),
    ("ppl_tokens_drawn_total", "counter", "Tokens drawn by all particles of the runs that were answered."),
    ("ppl_lm_tokens_total", "counter", "Tokens that models evaluated for these runs, each taken alone."),
    ("ppl_lm_calls_total", "counter", "Calls of models that these runs took part in."),
    ("ppl_checks_total", "counter", "Checks of single tokens by rejection sampling in these runs."),
    ("ppl_rounds_total", "counter", "Calls of models that the runs in flight shared."),
    ("ppl_requests_running", "gauge", "Requests that run."),
    ("ppl_requests_waiting", "gauge", "Requests in the queue."),
)


class Metrics:
    """Counters that several threads may raise."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._sums = dict.fromkeys(("ppl_request_seconds_sum", "ppl_request_seconds_count"), 0.0)
        self._sums |= {
            f"ppl_{name}_total": 0.0
            for name in ("run_seconds", "tokens_drawn", "lm_tokens", "lm_calls", "checks")
        }

    def request(self, endpoint: str, outcome: str) -> None:
        """Count a request that is over."""
        with self._lock:
            self._requests[endpoint, outcome] += 1

    def answered(self, seconds: float, cost: Cost) -> None:
        """Count a request that was answered, and what its run has spent."""
        spent = {
            "ppl_request_seconds_sum": seconds,
            "ppl_request_seconds_count": 1.0,
            "ppl_run_seconds_total": cost.seconds,
            "ppl_tokens_drawn_total": cost.tokens,
            "ppl_lm_tokens_total": cost.lm_tokens,
            "ppl_lm_calls_total": cost.lm_calls,
            "ppl_checks_total": cost.checks,
        }
        with self._lock:
            for name, value in spent.items():
                self._sums[name] += value

    def text(self, now: Mapping[str, float]) -> str:
        """Return all counters, and the values of `now`."""
        with self._lock:
            samples: dict[str, float] = {**self._sums, **now}
            for (endpoint, outcome), count in sorted(self._requests.items()):
                samples[f'ppl_requests_total{{endpoint="{endpoint}",outcome="{outcome}"}}'] = count
        lines = []
        for family, kind, about in _FAMILIES:
            lines += [f"# HELP {family} {about}", f"# TYPE {family} {kind}"]
            lines += [f"{name} {value:.15g}" for name, value in samples.items() if name.startswith(family)]
        return "\n".join(lines) + "\n"
