"""What is gained by running many programs together.

    python -m benchmarks.throughput

K programs, each with a prompt of its own, are run one after the other by `infer` and all together by `infer_many`, with
the same seeds. A program writes a few words under a constraint, ends where it likes, and has N particles. The two take
turns on each K, so that noise of the machine falls on both; the ratio is that of their wall times. Processor times are
given as well: they depend less on what else the machine does.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from benchmarks.common import print_result
from grammars import Regex
from inference import SMC, Method, Posterior, infer, infer_many, load, program_seed
from inference.engines.transformers import TransformersEngine
from ppl import Model, program, sample

THINGS = ("printer", "router", "laptop", "phone", "kettle", "bicycle", "garden", "violin")
WISHES = (
    "An advertisement for a used {thing}, in one sentence:",
    "A complaint about a {thing} that broke on the first day. Write what the customer says:",
    "The first line of a poem about a {thing}:",
    "Explain in a few words how a {thing} works:",
    "A short question that somebody who wants to buy a {thing} may ask:",
    "Give one reason why nobody needs a {thing}:",
    "The title of a newspaper article about a {thing} that was stolen from the town hall:",
    "A {thing} speaks. It says:",
)


@program
def words(lm: TransformersEngine, wish: str, tokens: int) -> str:
    return sample(lm(wish, max_tokens=tokens, stop="\n") & Regex("[^\n]{8,}"))


def models(lm: TransformersEngine, count: int, tokens: int) -> list[Model[str]]:
    """Return programs with prompts of about 6 to 20 tokens, all different up to 64 of them."""
    wishes = [wish.format(thing=thing) for thing in THINGS for wish in WISHES]
    return [words(lm, wishes[i % len(wishes)], tokens) for i in range(count)]


class Clock:
    """Wall and processor seconds, and tokens drawn, of one way to run the programs."""

    def __init__(self) -> None:
        self.seconds = self.processor_seconds = 0.0
        self.tokens = 0

    def time(self, run: Callable[[], list[Posterior[str]]]) -> None:
        wall, processor = time.perf_counter(), time.process_time()
        posteriors = run()
        self.seconds += time.perf_counter() - wall
        self.processor_seconds += time.process_time() - processor
        self.tokens += sum(posterior.cost.tokens for posterior in posteriors)


def measure(programs: list[Model[str]], method: Method, rounds: int) -> dict[str, Any]:
    """Return what both ways took, summed over the rounds."""
    alone, together = Clock(), Clock()
    for seed in range(rounds):
        alone.time(lambda s=seed: [infer(p, method, seed=program_seed(s, i)) for i, p in enumerate(programs)])
        together.time(lambda s=seed: list(infer_many(programs, method, seed=s, concurrency=len(programs))))
    return {
        "programs": len(programs),
        "alone": vars(alone),
        "together": vars(together),
        "ratio": alone.seconds / together.seconds,
        "processor_ratio": alone.processor_seconds / together.processor_seconds,
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--programs", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--particles", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args(arguments)
    lm, method = load(options.model), SMC(options.particles)
    infer(words(lm, "Warm up:", 4), method)
    runs = [measure(models(lm, count, options.tokens), method, options.rounds) for count in options.programs]
    print_result(
        {"benchmark": "throughput", "model": options.model, "particles": options.particles, "runs": runs}
    )


if __name__ == "__main__":
    main()
