"""Our populations on vLLM beside vLLM's own sampling.

    python -m benchmarks.engines_vllm

Ways to draw N continuations of one prompt from the same weights, by turns: SMC with N particles, whose kernels see all
next-token distributions, on vLLM (`load(..., engine="vllm")`) and on the default engine; `LLM.generate` with n = N,
where vLLM samples by itself; and requests of one token each, for all N sequences again and again, which is what vLLM
offers to those who choose tokens themselves, here without the log-probabilities. Tokens drawn per second, the median
over the rounds, and the ratios to `LLM.generate` taken within each round. The goal is that neither engine is slower
than `LLM.generate` by more than 1.1 times.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.common import print_result
from inference import SMC, infer, load
from inference.engines.base import Engine
from inference.engines.embedded import EMBEDDED, directory
from inference.engines.vllm import VLLMEngine
from inference.engines.vllm_core import VERSION, settings
from ppl import program, sample
from ppl.targets import Text

WAYS = ("smc", "transformers", "generate", "one_token_requests")
GOAL = 1 / 1.1
"""Least ratio of our populations to `LLM.generate`."""


@program
def continuation(target: Text) -> str:
    return sample(target)


class Ways:
    """The ways to draw texts of at most `tokens` tokens after a prompt of `context` tokens."""

    def __init__(self, source: str, context: int, tokens: int) -> None:
        from vllm import LLM

        given = {"model": source, "dtype": "float32", "max_model_len": 2 * (context + tokens)}
        self._lm = VLLMEngine.open(source, **{k: v for k, v in given.items() if k != "model"})
        self._vllm = LLM(**settings(given))
        self._default = load(source)
        self._prompt = tuple(range(1000, 1000 + context))  # words without sense: nobody ends, paths part
        self._tokens = tokens

    def smc(self, n: int, seed: int) -> int:
        return self._drawn(self._lm, n, seed)

    def transformers(self, n: int, seed: int) -> int:
        return self._drawn(self._default, n, seed)

    def _drawn(self, lm: Engine, n: int, seed: int) -> int:
        target = Text(lm, self._prompt, "", (), max_tokens=self._tokens)
        return infer(continuation(target), SMC(n), seed=seed, progress=False).cost.tokens - n  # without ends

    def generate(self, n: int, seed: int) -> int:  # a seed of its own would have each row sampled alone
        (output,) = self._requests([self._prompt], n=n, max_tokens=self._tokens)
        return sum(len(text.token_ids) for text in output.outputs)

    def one_token_requests(self, n: int, seed: int) -> int:
        sequences = [self._prompt] * n
        for _ in range(self._tokens):
            outputs = self._requests(sequences, max_tokens=1)
            sequences = [
                ids + tuple(output.outputs[0].token_ids)
                for ids, output in zip(sequences, outputs, strict=True)
            ]
        return n * self._tokens

    def _requests(self, sequences: list[tuple[int, ...]], **options: Any) -> list[Any]:
        from vllm import SamplingParams

        prompts = [{"prompt_token_ids": list(ids)} for ids in sequences]
        parameters = SamplingParams(detokenize=False, **options)
        return self._vllm.generate(prompts, parameters, use_tqdm=False)


def measure(ways: Ways, names: list[str], particles: int, rounds: int) -> dict[str, Any]:
    """Return the speeds of some ways for one population."""
    speeds: dict[str, list[float]] = {way: [] for way in names}
    for seed in range(rounds + 1):
        for way in names:
            start = time.perf_counter()
            drawn = getattr(ways, way)(particles, seed)
            if seed:  # the first round warms up
                speeds[way].append(drawn / (time.perf_counter() - start))
    ratios = {
        f"{way} / generate": statistics.median(
            a / b for a, b in zip(speeds[way], speeds["generate"], strict=True)
        )
        for way in names
        if way != "generate"
    }
    return {
        "particles": particles,
        "tokens_per_second": {way: statistics.median(s) for way, s in speeds.items()},
        "ratios": ratios,
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--particles", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    source = directory(options.model) if options.model in EMBEDDED else Path(options.model)
    ways = Ways(str(source), options.context, options.tokens)
    names = list(dict.fromkeys([*options.ways, "generate"]))
    runs = [measure(ways, names, n, options.rounds) for n in options.particles]
    ours = {f"{way} / generate" for way in ("smc", "transformers") if way in names}
    reached = all(run["ratios"][way] >= GOAL for run in runs for way in ours)
    result = {"benchmark": "engines_vllm", "model": options.model, "vllm": VERSION, "runs": runs}
    print_result(result | {"reached": reached})


if __name__ == "__main__":
    main()
