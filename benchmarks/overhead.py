"""What a tick of SMC costs over the forward pass that it cannot do without.

    python -m benchmarks.overhead

After every tick of an SMC run with N particles, the bare model evaluates one token for N sequences of the same length
with the cache of transformers, once with the packed layers of this library and once as transformers loads it; the
ratios of the times are taken pairwise, so that noise of the machine falls on all. Ticks in which contexts coincide, so
that the run evaluates fewer than N rows, are left out, and drafts are off. Three runs: free text; a JSON mask; and free
text that is resampled in every third tick, from equal weights. What resampling costs is the time of such a tick and of
the next one, in which rows are copied, beyond two of the third kind, in ticks of that kind. The goals are at N = 32:
free at most 1.10 of the pass with packed layers, JSON at most 1.15; at most 0.75 of the stock pass at context 64 and
0.5 at 512; resampling at most 0.05. At N = 1 it is at most 0.5 of the stock pass with the fastest engine (`--engine
llama.cpp`), and at N = 1 and 32 at most twice the floor, which is measured with it.
"""

from __future__ import annotations

import argparse
import copy
import math
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, DynamicCache

from benchmarks.common import print_result
from benchmarks.scaling import floor
from grammars import JsonSchema
from inference import SMC, load
from inference.diagnostics import Step
from inference.engines.embedded import directory
from inference.engines.packed import pack
from inference.engines.tokenized import TokenizedEngine
from inference.engines.transformers import TransformersEngine
from inference.progress import Progress
from inference.runtime import Runtime
from inference.scheduler import Scheduler
from inference.sessions import Sessions
from ppl import program, sample
from ppl.rng import Rng
from ppl.targets import Target, Text

KINDS = ("free", "json", "resampled")
PARTICLES = 32
SCHEMA = JsonSchema({"type": "array", "items": {"type": "string", "minLength": 400}, "minItems": 9})


class Bare:
    """The model of transformers with its own cache: one token for each of N sequences, again and again."""

    def __init__(self, model: Any, prompt: tuple[int, ...], particles: int) -> None:
        self._model = model
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

    bare: Bare | None
    stock: Bare
    sessions: Sessions
    particles: int
    ticks: list[float] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    passes: list[float] = field(default_factory=list)
    stocks: list[float] = field(default_factory=list)
    evaluated: int = 0
    since: float = field(default_factory=time.perf_counter)

    def update(self, step: Step, drawn: int) -> None:
        seconds = time.perf_counter() - self.since
        evaluated, self.evaluated = self.evaluated, self.sessions.usage.tokens
        bare = math.nan if self.bare is None else self.bare.step()
        stock = self.stock.step()
        if step.live == self.particles and self.evaluated - evaluated == self.particles:
            self.ticks.append(seconds)
            self.numbers.append(step.tick)
            self.passes.append(bare)
            self.stocks.append(stock)
        self.since = time.perf_counter()


@program
def continuation(target: Target[str]) -> str:
    return sample(target)


class Resampled(SMC):
    """SMC whose particles are resampled in every third tick, from equal weights."""

    def _tick(self, scheduler: Scheduler, resampler: Any, tick: int, live: int, before: float) -> Step:
        scheduler.propose()
        if tick % 3 == 0:
            equal = np.full(self.particles, 1.0 / self.particles)
            scheduler.select(resampler("multinomial", equal, scheduler.rng))
        scheduler.draw()
        return Step(tick, live, float(live), 0.0)


def resampling(paired: Paired) -> float:
    """Return what it costs, in ticks without it: the median over all three ticks in a row."""
    seconds = dict(zip(paired.numbers, paired.ticks, strict=True))
    triples = [[seconds.get(tick + k, math.nan) for k in range(3)] for tick in seconds if tick % 3 == 0]
    return float(np.nanmedian([(chosen + after) / neither - 2.0 for chosen, after, neither in triples]))


def measure(
    lm: TokenizedEngine, stock: Any, bare: Any, kind: str, particles: int, context: int, ticks: int
) -> dict[str, Any]:
    """Return the times of a run whose prompt has `context` tokens."""
    prompt = tuple(range(1000, 1000 + context))  # words without sense: nobody ends, paths part at once
    target = Text(lm, prompt, "", (), max_tokens=ticks)
    model = continuation(target & SCHEMA if kind == "json" else target)
    method = Resampled(particles) if kind == "resampled" else SMC(particles)
    with Runtime(drafts=False) as runtime:
        packed = None if bare is None else Bare(bare, prompt, particles)
        paired = Paired(packed, Bare(stock, prompt, particles), runtime.sessions, particles)
        method.run(model, Rng(0), runtime, paired)
    ratios = [tick / bare for tick, bare in zip(paired.ticks, paired.passes, strict=True)]
    stocks = [tick / stock for tick, stock in zip(paired.ticks, paired.stocks, strict=True)]
    least = max(floor(stock, particles).values())
    return {
        "kind": kind,
        "particles": particles,
        "context": context,
        "ticks": len(ratios),
        "tick_seconds": statistics.median(paired.ticks),
        "bare_seconds": None if packed is None else statistics.median(paired.passes),
        "stock_seconds": statistics.median(paired.stocks),
        "ratio": None if packed is None else statistics.median(ratios),
        "ratio_quartiles": None if packed is None else statistics.quantiles(ratios, n=4)[::2],
        "ratio_to_stock": statistics.median(stocks),
        "floor_seconds": least,
        "ratio_to_floor": statistics.median(paired.ticks) / least,
        "resampling": resampling(paired) if kind == "resampled" else None,
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--engine", help="of the run; by default that of transformers")
    parser.add_argument("--dtype", help="of the engine's weights, such as float32 for llama.cpp")
    parser.add_argument("--particles", type=int, nargs="+", default=[1, 8, 32, 64])
    parser.add_argument("--contexts", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--ticks", type=int, default=40)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    options = parser.parse_args(arguments)
    lm = load(options.model, engine=options.engine, dtype=options.dtype)
    stock = AutoModelForCausalLM.from_pretrained(directory(options.model), dtype=torch.float32).eval()
    bare = copy.deepcopy(stock) if isinstance(lm, TransformersEngine) else None
    if bare is not None:
        pack(bare)  # the code of transformers, with the same kernels for its matrix products as the engine
    runs = [
        measure(lm, stock, bare, kind, n, context, options.ticks)
        for context in options.contexts
        for n in options.particles
        for kind in options.kinds
        if kind == "free" or n == PARTICLES
    ]
    engine = options.engine or "transformers"
    print_result({"benchmark": "overhead", "model": options.model, "engine": engine, "runs": runs})


if __name__ == "__main__":
    main()
