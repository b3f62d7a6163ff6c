"""What a tick of SMC costs over the forward pass that it cannot do without.

    python -m benchmarks.overhead

After every tick of an unconstrained SMC run with N particles, the bare model evaluates one token for N
sequences of the same length with the cache of transformers; the ratio of the two times is taken pairwise, so
that noise of the machine falls on both. Ticks in which contexts coincide, so that the run evaluates fewer than
N rows, are left out. The goal is a median ratio of at most 1.25 at N = 32.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache

from benchmarks.common import print_result
from inference import SMC, load
from inference.diagnostics import Step
from inference.engines.transformers import TransformersEngine
from inference.progress import Progress
from inference.runtime import Runtime
from inference.sessions import Sessions
from ppl import program, sample
from ppl.rng import Rng
from ppl.targets import Text

GOAL, GOAL_PARTICLES = 1.25, 32


class Bare:
    """The model of transformers with its own cache: one token for each of N sequences, again and again."""

    def __init__(self, lm: TransformersEngine, prompt: tuple[int, ...], particles: int) -> None:
        self._model = lm.forward.model
        self._cache = DynamicCache(config=self._model.config)
        self._next = torch.full((particles, 1), prompt[-1])
        with torch.inference_mode():
            self._model(torch.tensor([prompt]), past_key_values=self._cache, logits_to_keep=1)
            self._cache.batch_repeat_interleave(particles)

    def step(self) -> float:
        """Return the seconds of one forward pass of the population, logits included."""
        start = time.perf_counter()
        with torch.inference_mode():
            self._model(self._next, past_key_values=self._cache, logits_to_keep=1)
        return time.perf_counter() - start


@dataclass
class Paired(Progress):
    """Times the ticks of a run, each followed by one step of the bare model."""

    bare: Bare
    sessions: Sessions
    particles: int
    ticks: list[float] = field(default_factory=list)
    passes: list[float] = field(default_factory=list)
    evaluated: int = 0
    since: float = field(default_factory=time.perf_counter)

    def update(self, step: Step, drawn: int) -> None:
        seconds = time.perf_counter() - self.since
        evaluated, self.evaluated = self.evaluated, self.sessions.usage.tokens
        bare = self.bare.step()
        if step.live == self.particles and self.evaluated - evaluated == self.particles:
            self.ticks.append(seconds)
            self.passes.append(bare)
        self.since = time.perf_counter()


@program
def continuation(target: Text) -> str:
    return sample(target)


def measure(lm: TransformersEngine, particles: int, context: int, ticks: int) -> dict[str, Any]:
    """Return the times of a run whose prompt has `context` tokens."""
    prompt = tuple(range(1000, 1000 + context))  # words without sense: nobody ends, paths part at once
    target = Text(lm, prompt, "", (), max_tokens=ticks)
    with Runtime() as runtime:
        paired = Paired(Bare(lm, prompt, particles), runtime.sessions, particles)
        SMC(particles).run(continuation(target), Rng(0), runtime, paired)
    ratios = [tick / bare for tick, bare in zip(paired.ticks, paired.passes, strict=True)]
    return {
        "particles": particles,
        "context": context,
        "ticks": len(ratios),
        "tick_seconds": statistics.median(paired.ticks),
        "bare_seconds": statistics.median(paired.passes),
        "ratio": statistics.median(ratios),
        "ratio_quartiles": statistics.quantiles(ratios, n=4)[::2],
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--particles", type=int, nargs="+", default=[1, 8, 32, 64])
    parser.add_argument("--contexts", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--ticks", type=int, default=40)
    options = parser.parse_args(arguments)
    lm = load(options.model)
    runs = [measure(lm, n, c, options.ticks) for c in options.contexts for n in options.particles]
    reached = all(run["ratio"] <= GOAL for run in runs if run["particles"] == GOAL_PARTICLES)
    print_result(
        {"benchmark": "overhead", "model": options.model, "runs": runs, "goal": GOAL, "reached": reached}
    )


if __name__ == "__main__":
    main()
