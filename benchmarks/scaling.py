"""How a step grows: with particles, context and vocabulary; and what the cache takes beyond what token paths need.

    python -m benchmarks.scaling

Each figure is the median of a few steps of N rows that share a prompt and part at their first token. The exponents are
slopes of least squares in log-log coordinates, over the last three sizes: what a doubling costs at the end. *Memory* is
the bytes of keys and values over those of the distinct token paths, after 100 tokens: of rows of which no two are
alike, and the largest on the way of rows that are resampled every tenth token, from equal weights, or of which one in
fifty ends with each token. The vocabulary is synthetic: the time of turning N rows of logits into log-probabilities,
masking, weighing and drawing.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.common import print_result
from grammars.vocabulary import Vocabulary
from inference import load
from inference.engines.base import Context, TextSoftmax
from inference.engines.transformers import TransformersEngine
from inference.weights import log_masses
from ppl.rng import Rng

PARTICLES = (1, 8, 32, 128, 512, 1024)
CONTEXTS = (64, 256, 1024, 4096)
VOCABULARIES = (49_152, 131_072, 262_144)


def seconds_of(action: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def steps(lm: TransformersEngine, particles: int, context: int, tokens: int) -> tuple[float, float]:
    """Return the seconds of a step, and the cache's bytes over those that the token paths need."""
    prompt = tuple(1000 + i % 40_000 for i in range(context))
    with lm.session() as session:
        root = Context(prompt)
        session.next_tokens([root])
        rows = [root.extend(2000 + i) for i in range(particles)]
        session.next_tokens(rows)
        times = []
        for t in range(tokens):
            rows = [row.extend(3000 + (7 * t + i) % 40_000) for i, row in enumerate(rows)]
            start = time.perf_counter()
            session.next_tokens(rows)
            times.append(time.perf_counter() - start)
        needed = bytes_of_a_token(lm) * (context + particles * (tokens + 1))
        return statistics.median(times), session.nbytes / needed


def bytes_of_a_token(lm: TransformersEngine) -> int:
    """Return what the keys and values of one take."""
    config = lm.forward.config
    width = config.hidden_size // config.num_attention_heads * config.num_key_value_heads
    return int(2 * config.num_hidden_layers * width * 4)


def memory(lm: TransformersEngine, particles: int, context: int, tokens: int, kind: str) -> float:
    """Return the most bytes of a cache over the most that distinct paths need; rows are "resampled", or "end"."""
    random = np.random.default_rng(0)
    root = Context(tuple(1000 + i % 40_000 for i in range(context)))
    used = needed = 0
    with lm.session() as session:
        session.next_tokens([root])
        rows = [root] * particles
        for t in range(tokens):
            if kind == "resampled" and t % 10 == 9:
                rows = [rows[a] for a in sorted(random.integers(len(rows), size=len(rows)))]
            if kind == "end":
                rows = [row for row in rows if random.random() >= 0.02] or rows[:1]
            rows = [row.extend(int(random.integers(1000, 40_000))) for row in rows]
            session.next_tokens(rows)
            paths = set[Context]()
            for row in rows:
                node: Context | None = row
                while node is not None and node not in paths:
                    paths.add(node)
                    node = node.parent
            used = max(used, session.nbytes)
            needed = max(needed, bytes_of_a_token(lm) * (context + len(paths) - 1))
    return used / needed


def kernels(size: int, rows: int) -> float:
    """Return the seconds of what a tick does with logits of a vocabulary."""
    vocabulary = Vocabulary(tokens=(*(b"x" for _ in range(size - 1)), None), eos=frozenset({size - 1}))
    softmax, logits = TextSoftmax(vocabulary, torch.device("cpu")), torch.randn(rows, size)
    allowed = torch.rand(rows, size) < 0.5
    rng = Rng(0)

    def tick() -> None:
        numerators = torch.where(allowed, softmax(logits), -torch.inf)
        log_masses(numerators)
        rng.categorical(numerators, np.arange(rows))

    return seconds_of(tick, 7)


def floor(model: Any, rows: int) -> dict[str, float]:
    """Return what a pass takes at least: the time of reading all weights, and that of the products of its rows."""
    embeddings = model.get_input_embeddings().weight.numel()
    size = 1 << 27
    memory, matrix = torch.ones(size), torch.ones(1536, 1536)
    reading = seconds_of(memory.sum, 5) / size
    product = seconds_of(lambda: matrix @ matrix, 9) / 1536**3
    config = model.config
    heads, width = config.num_attention_heads, config.hidden_size
    shared = width // heads * config.num_key_value_heads
    layer = 2 * width * width + 2 * width * shared + 3 * width * config.intermediate_size
    products = config.num_hidden_layers * layer + embeddings
    return {"reading": products * reading, "products": products * rows * product}


def slope(sizes: list[int], times: list[float]) -> float:
    """Return the exponent that fits the last three sizes."""
    return float(np.polyfit(np.log(sizes[-3:]), np.log(times[-3:]), 1)[0])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--particles", type=int, nargs="+", default=list(PARTICLES))
    parser.add_argument("--contexts", type=int, nargs="+", default=list(CONTEXTS))
    parser.add_argument("--tokens", type=int, default=8)
    options = parser.parse_args(arguments)
    lm = load(options.model)
    by_particles = [steps(lm, n, 64, options.tokens)[0] for n in options.particles]
    by_context = [steps(lm, 32, c, options.tokens)[0] for c in options.contexts]
    by_vocabulary = [kernels(v, 32) for v in VOCABULARIES]
    result: dict[str, Any] = {
        "particles": dict(zip(options.particles, by_particles, strict=True)),
        "seconds_per_particle": {n: t / n for n, t in zip(options.particles, by_particles, strict=True)},
        "contexts": dict(zip(options.contexts, by_context, strict=True)),
        "vocabularies": dict(zip(VOCABULARIES, by_vocabulary, strict=True)),
        "exponents": {
            "particles": slope(options.particles, by_particles),
            "contexts": slope(options.contexts, by_context),
            "vocabularies": slope(list(VOCABULARIES), by_vocabulary),
        },
        "memory": {
            "distinct": steps(lm, 32, 512, 100)[1],
            **{kind: memory(lm, 32, 512, 100, kind) for kind in ("resampled", "end")},
        },
        "floor": {rows: floor(lm.forward.model, rows) for rows in (1, 32)},
    }
    print_result({"benchmark": "scaling", "model": options.model, **result})


if __name__ == "__main__":
    main()
