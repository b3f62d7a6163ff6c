"""What adaptive weighted rejection sampling costs beyond the language model and the checks themselves.

    python -m benchmarks.rejection

Runs SMC under a predicate that takes no time to speak of (no "e" in the text), and takes the time spent outside
the language model and outside the predicate, for each token that a particle draws. The same run without the
predicate shows what SMC costs by itself. The goal is at most 0.3 ms of rejection sampling per particle and token.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from benchmarks.common import print_result
from grammars import prefix_predicate
from inference import SMC, infer, load
from inference.engines.base import NextTokens
from inference.engines.transformers import TransformersEngine
from inference.engines.transformers_session import TransformersSession
from ppl import program, sample
from ppl.targets import Target

GOAL = 0.3e-3
PROMPT = "Once upon a time, in a small town by the sea, there lived"


@program
def text(target: Target) -> str:
    return sample(target)


class Timed:
    """Takes the time of the language model's calls while it is entered."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> Timed:
        self._original = original = TransformersSession.next_tokens

        def next_tokens(session: TransformersSession, *asked: Any) -> NextTokens:
            start = time.perf_counter()
            try:
                return original(session, *asked)
            finally:
                self.seconds += time.perf_counter() - start

        TransformersSession.next_tokens = next_tokens  # type: ignore[method-assign]
        return self

    def __exit__(self, *error: object) -> None:
        TransformersSession.next_tokens = self._original  # type: ignore[method-assign]


def measure(lm: TransformersEngine, particles: int, tokens: int, seed: int) -> dict[str, float]:
    """Return the seconds per drawn token beyond the model and the checks, with and without rejection sampling."""
    plain = lm(PROMPT, max_tokens=tokens)
    costs = {}
    for name in ("plain", "rejection"):
        predicate = prefix_predicate(lambda text: "e" not in text)
        target = plain & predicate if name == "rejection" else plain
        with Timed() as timed:
            posterior = infer(text(target), SMC(particles), seed=seed, progress=False)
        checks = sum(part.check_seconds for site in posterior.sites for part in site.parts)
        costs[name] = (posterior.cost.seconds - timed.seconds - checks) / posterior.cost.tokens
    return {**costs, "difference": costs["rejection"] - costs["plain"]}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--particles", type=int, nargs="+", default=[8, 32, 128])
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    lm = load(options.model)
    runs: list[dict[str, Any]] = []
    for particles in options.particles:
        measure(lm, particles, 4, 0)  # load what is loaded lazily
        rounds = [measure(lm, particles, options.tokens, seed) for seed in range(options.rounds)]
        medians = {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
        runs.append({"particles": particles, "seconds_per_token": medians})
    print_result(
        {
            "benchmark": "rejection",
            "model": options.model,
            "vocabulary": lm.vocabulary.size,
            "runs": runs,
            "goal": GOAL,
            "reached": all(run["seconds_per_token"]["difference"] <= GOAL for run in runs),
        }
    )


if __name__ == "__main__":
    main()
