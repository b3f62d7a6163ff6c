"""What a step costs in each engine: the next-token distributions of N contexts, one token after those of the last step.

    python -m benchmarks.engines

All engines evaluate the same: a prompt that N particles share, and after it other tokens in each of them. They take
turns, step by step, so that noise of the machine falls on all. `stock` is transformers with its own cache, with as many
copies of the prompt as particles; the others are sessions of ours. Engines that are not installed are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any, Protocol

import torch
from transformers import AutoModelForCausalLM, DynamicCache

from benchmarks.common import print_result
from inference import load
from inference.engines.base import Context, Engine
from inference.engines.embedded import directory
from inference.engines.progress_bars import without_progress_bars

MODEL = "smollm2"
WARM_UP = 2


class Steps(Protocol):
    """A population that takes steps."""

    def step(self, tokens: list[int]) -> None:
        """Evaluate one token more for each particle, logits included."""


class Stock:
    """The model of transformers with its own cache."""

    def __init__(self, model: Any, prompt: tuple[int, ...], particles: int) -> None:
        self._model, self._cache = model, DynamicCache(config=model.config)
        with torch.inference_mode():
            model(torch.tensor([prompt]), past_key_values=self._cache, logits_to_keep=1)
            self._cache.batch_repeat_interleave(particles)

    def step(self, tokens: list[int]) -> None:
        with torch.inference_mode():
            self._model(torch.tensor(tokens)[:, None], past_key_values=self._cache, logits_to_keep=1)


class Ours:
    """A session of one of our engines."""

    def __init__(self, engine: Engine, prompt: tuple[int, ...], particles: int) -> None:
        self._session = engine.session()
        self._contexts = [Context(prompt)] * particles
        self._session.next_tokens(self._contexts)

    def step(self, tokens: list[int]) -> None:
        self._contexts = [c.extend(v) for c, v in zip(self._contexts, tokens, strict=True)]
        self._session.next_tokens(self._contexts)


def engines() -> dict[str, Callable[[tuple[int, ...], int], Steps]]:
    """Return what makes a population of each engine that is installed."""
    with without_progress_bars():
        model = AutoModelForCausalLM.from_pretrained(directory(MODEL), dtype=torch.float32).eval()
    found: dict[str, Callable[[tuple[int, ...], int], Steps]] = {
        "stock": lambda prompt, particles: Stock(model, prompt, particles)
    }

    def add(name: str, **options: Any) -> None:
        engine = load(MODEL, **options)
        found[name] = lambda prompt, particles: Ours(engine, prompt, particles)

    add("transformers")
    if importlib.util.find_spec("llama_cpp"):
        add("llama.cpp, float32", engine="llama.cpp", dtype="float32")
        add("llama.cpp, q8_0", engine="llama.cpp", dtype="q8_0")
        add("llama.cpp, as in the file", engine="llama.cpp")
    return found


def measure(
    make: dict[str, Callable[[tuple[int, ...], int], Steps]], particles: int, context: int, steps: int
) -> dict[str, Any]:
    """Return the median milliseconds of a step of each engine, after a prompt of `context` tokens."""
    prompt = tuple(range(1000, 1000 + context))
    running = {name: population(prompt, particles) for name, population in make.items()}
    seconds: dict[str, list[float]] = {name: [] for name in make}
    for step in range(WARM_UP + steps):
        tokens = [2000 + particles * step + i for i in range(particles)]
        for name, population in running.items():
            start = time.perf_counter()
            population.step(tokens)
            seconds[name].append(time.perf_counter() - start)
    medians = {name: round(1e3 * statistics.median(times[WARM_UP:]), 1) for name, times in seconds.items()}
    return {"particles": particles, "context": context, "milliseconds": medians}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--particles", type=int, nargs="+", default=[1, 8, 32, 64])
    parser.add_argument("--contexts", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--steps", type=int, default=12)
    options = parser.parse_args(arguments)
    make = engines()
    runs = [measure(make, n, c, options.steps) for c in options.contexts for n in options.particles]
    print_result({"benchmark": "engines", "model": MODEL, "steps": options.steps, "runs": runs})


if __name__ == "__main__":
    main()
