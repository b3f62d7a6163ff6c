"""SMC beside `generate` of transformers: tokens per second of N texts without any constraint.

    python -m benchmarks.generate

Both write N texts of one prompt with the same model, `generate(num_return_sequences=N, do_sample=True)` as transformers
loads it, and SMC with and without drafts; they take turns, and the median of the ratios over the rounds is reported. A
text counts its tokens up to its end. The goal is at least 1.0 times the tokens per second at N = 1, 8 and 32, with
drafts 1.5 times at 1 and 8.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from benchmarks.common import print_result
from inference import SMC, infer, load
from inference.engines.embedded import directory
from inference.engines.transformers import TransformersEngine
from ppl import program, sample
from ppl.targets import Text

PROMPT = "Once upon a time, in a small town by the sea, there lived"


@program
def story(text: Text) -> str:
    return sample(text)


def by_generate(lm: TransformersEngine, model: Any, prompt: tuple[int, ...], n: int, tokens: int) -> float:
    """Return the tokens per second of `generate`."""
    ends = sorted(lm.vocabulary.eos)
    start = time.perf_counter()
    with torch.inference_mode():
        written = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            do_sample=True,
            top_k=0,
            num_return_sequences=n,
            max_new_tokens=tokens,
            eos_token_id=ends,
            pad_token_id=ends[0],
        )[:, len(prompt) :]
    seconds = time.perf_counter() - start
    is_end = torch.isin(written, torch.tensor(ends)).long()
    ended_before = is_end.cumsum(dim=1) - is_end
    return int((ended_before == 0).sum()) / seconds


def measure(lm: TransformersEngine, model: Any, n: int, tokens: int, rounds: int) -> dict[str, Any]:
    text = lm(PROMPT, max_tokens=tokens)
    rates: dict[str, list[float]] = {"generate": [], "smc": [], "drafts": []}
    for seed in range(rounds):
        torch.manual_seed(seed)
        rates["generate"].append(by_generate(lm, model, text.prompt, n, tokens))
        for name in ("smc", "drafts"):
            cost = infer(story(text), SMC(n), seed=seed, drafts=name == "drafts", progress=False).cost
            rates[name].append(cost.tokens_per_second)
    ratios = {
        name: statistics.median(a / b for a, b in zip(rates[name], rates["generate"], strict=True))
        for name in ("smc", "drafts")
    }
    return {
        "particles": n,
        "tokens_per_second": {k: statistics.median(v) for k, v in rates.items()},
        **ratios,
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--particles", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    lm = load(options.model)
    model = AutoModelForCausalLM.from_pretrained(directory(options.model), dtype=torch.float32).eval()
    runs = [measure(lm, model, n, options.tokens, options.rounds) for n in options.particles]
    print_result({"benchmark": "generate", "model": options.model, "runs": runs})


if __name__ == "__main__":
    main()
