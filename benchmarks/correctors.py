"""Powers, guidance and products: what the corrector's weights are worth, and what they cost.

    python -m benchmarks.correctors

1. **Law.** Texts whose support can be enumerated: the numbers from 0 to 199, as SmolLM2 continues a prompt. Its
   next-token probabilities along all of them are recorded once; then many independent runs with N particles are made
   on the record. Reported is the total variation distance between the exact target and the law of a draw from the
   posterior of N particles, the mean over the runs. With N = 1 a weight means nothing: that is the uncorrected sampler,
   of which one run with all the particles is made. The distance falls as 1/N, down to what so many particles can
   resolve, which is reported as `resolution`: the distance that as many exact draws would have.
2. **Longer texts.** The mean log-mass that the target gives to the samples' tokens, per text, corrected and not.
3. **Cost.** Seconds per token of the target relative to one expert by itself, with as many particles; for products
   also relative to the time of the experts' forward passes.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.common import print_result
from benchmarks.rejection import Timed
from grammars import Choice
from inference import SMC, Enumerate, LocallyConstrained, Posterior, TableLM, infer, load
from inference.engines.base import Context
from inference.engines.transformers import TransformersEngine
from inference.methods import Method
from ppl import guide, program, sample
from ppl.targets import Target

NUMBERS = [str(i) for i in range(200)]
PROMPTS = ("A number between 0 and 199, picked at random: ", "The most popular number of all is ")
STORIES = (
    "Once upon a time, in a small town by the sea, there lived",
    "Dear customer, we are writing to you about",
)
Make = Callable[[Target[str], Target[str]], Target[str]]
TARGETS: dict[str, Make] = {
    "annealing, p ** 2": lambda p, q: p**2,
    "guidance, guide(p, q, 1)": lambda p, q: guide(p, q, 1.0),
    "product, p * q": lambda p, q: p * q,
}
COST_GOAL = 1.15


@program
def text(target: Target[str]) -> str:
    return sample(target)


def recorded(lm: TransformersEngine) -> TableLM:
    """Return the next-token probabilities of a model along the numbers: digits, a full stop as end, the rest."""
    digits = [lm.encode(str(d))[0] for d in range(10)]
    stop = lm.encode(".")[0]
    prefixes = ["", *sorted({n[:k] for n in NUMBERS for k in range(1, 4)}, key=len)]
    table: dict[tuple[str, tuple[int, ...]], Any] = {}
    with lm.session() as session:
        for prompt in PROMPTS:
            contexts = []
            for prefix in prefixes:
                context = Context(lm.encode_prompt(prompt))
                for digit in prefix:
                    context = context.extend(digits[int(digit)])
                contexts.append(context)
            following = session.next_tokens(contexts)
            for prefix, row in zip(prefixes, following.rows, strict=True):
                masses = following.logprobs[int(row)].double().exp()
                kept = [*masses[digits].tolist(), masses[stop].item()]
                vector = [*kept[:-1], 1.0 - math.fsum(kept), kept[-1]]
                table[prompt, tuple(map(int, prefix))] = vector
    return TableLM([*map(str, range(10)), "~"], table, name="recorded")


def distance(exact: dict[str, float], target: Target[str], particles: int, draws: int) -> float:
    """Return the total variation distance between a law and the mean posterior of runs with N particles."""
    law = dict.fromkeys(NUMBERS, 0.0)
    method: Method = LocallyConstrained(draws) if particles == 1 else SMC(particles)
    runs = 0
    for seed in range(1 if particles == 1 else draws // particles):
        posterior = infer(text(target), method, seed=seed, progress=False)
        runs += bool(len(posterior))
        for value, weight in posterior.top(len(NUMBERS)) if len(posterior) else ():
            law[value] += weight
    return 0.5 * sum(abs(law[n] / runs - exact.get(n, 0.0)) for n in NUMBERS)


def resolution(exact: dict[str, float], draws: int) -> float:
    """Return the distance that the frequencies of so many exact draws have, on average."""
    p = np.array([exact.get(n, 0.0) for n in NUMBERS])
    counts = np.random.default_rng(0).multinomial(draws, p / p.sum(), size=200) / draws
    return float(0.5 * np.abs(counts - p).sum(axis=1).mean())


def law(lm: TransformersEngine, sizes: list[int], draws: int) -> dict[str, Any]:
    """Return the distances for each target and number of particles."""
    toy = recorded(lm)
    p, q = (toy(prompt, max_tokens=4) for prompt in PROMPTS)
    results = {}
    for name, make in TARGETS.items():
        target = make(p, q) & Choice(NUMBERS)
        exact = dict(infer(text(target), Enumerate(), progress=False).top(len(NUMBERS)))
        distances = {n: distance(exact, target, n, draws) for n in sizes}
        results[name] = {"total_variation": distances, "resolution": resolution(exact, draws)}
    return results


def longer(lm: TransformersEngine, particles: int, tokens: int, seeds: int) -> dict[str, Any]:
    """Return the mean log-mass of samples under each target, corrected and uncorrected."""
    p, q = (lm(prompt, stop=".", max_tokens=tokens) for prompt in STORIES)
    results = {}
    for name, make in TARGETS.items():
        target = make(p, q)
        methods: dict[str, Method] = {
            "uncorrected": LocallyConstrained(particles),
            "corrected": SMC(particles),
        }
        results[name] = {
            key: statistics.mean(_mean_mass(lm, target, method, seed) for seed in range(seeds))
            for key, method in methods.items()
        }
    return results


def _mean_mass(lm: TransformersEngine, target: Target[str], method: Method, seed: int) -> float:
    """Return the posterior mean of the log-mass that the target gives to a text."""
    from inference.runtime import Runtime
    from inference.scoring import log_densities

    posterior: Posterior[str] = infer(text(target), method, seed=seed, progress=False)
    if not len(posterior):
        return math.nan
    values = posterior.top(len(posterior))
    with Runtime() as runtime:
        logs = log_densities([(target, value) for value, _ in values], runtime.sessions, runtime.twists)
    finite = [(w, log) for (_, w), log in zip(values, logs, strict=True) if math.isfinite(log)]
    return sum(w * log for w, log in finite) / sum(w for w, _ in finite)


def cost(lm: TransformersEngine, particles: int, tokens: int, rounds: int) -> dict[str, Any]:
    """Return the seconds per token of each target, relative to one expert, and to the forward passes."""
    p, q = (lm(prompt, max_tokens=tokens) for prompt in STORIES)
    targets = {"plain, p": p, **{name: make(p, q) for name, make in TARGETS.items()}}
    seconds: dict[str, list[float]] = {name: [] for name in targets}
    passes: dict[str, list[float]] = {name: [] for name in targets}
    for target in targets.values():
        infer(text(target), SMC(particles), seed=0, progress=False)  # load what is loaded lazily
    for seed in range(rounds):
        for name, target in targets.items():
            with Timed() as timed:
                start = time.perf_counter()
                posterior = infer(text(target), SMC(particles), seed=seed, progress=False)
                elapsed = time.perf_counter() - start
            seconds[name].append(elapsed / posterior.cost.tokens)
            passes[name].append(elapsed / timed.seconds)
    plain = statistics.median(seconds["plain, p"])
    return {
        name: {
            "seconds_per_token": statistics.median(values),
            "relative_to_plain": statistics.median(values) / plain,
            "relative_to_forward_passes": statistics.median(passes[name]),
        }
        for name, values in seconds.items()
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--draws", type=int, default=8192, help="particles of all runs together, for the law")
    parser.add_argument("--particles", type=int, default=32, help="for longer texts and cost")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args(arguments)
    lm = load(options.model)
    costs = cost(lm, options.particles, options.tokens, options.seeds)
    print_result(
        {
            "benchmark": "correctors",
            "model": options.model,
            "particles": options.particles,
            "tokens": options.tokens,
            "law": law(lm, options.sizes, options.draws),
            "mean_log_mass": longer(lm, options.particles, options.tokens, options.seeds),
            "cost": costs,
            "reached": {
                "annealing": costs["annealing, p ** 2"]["relative_to_plain"] <= COST_GOAL,
                "products": costs["product, p * q"]["relative_to_forward_passes"] <= COST_GOAL,
            },
        }
    )


if __name__ == "__main__":
    main()
