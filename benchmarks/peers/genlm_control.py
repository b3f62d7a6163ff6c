"""Run by the Python of genlm-control's own environment: unconstrained SMC, one JSON line per run."""

import argparse
import asyncio
import json
import sys
import time

from genlm.control import PromptedLLM, direct_token_sampler


async def run(lm: PromptedLLM, particles: int, tokens: int) -> dict[str, float]:
    """Return the tokens drawn and the seconds of one run; the memory of earlier runs is given back first."""
    lm.model.clear_cache()
    sampler = direct_token_sampler(lm)
    start = time.perf_counter()
    sequences = await sampler.smc(n_particles=particles, ess_threshold=0.5, max_tokens=tokens)
    return {"tokens": sum(map(len, sequences.contexts)), "seconds": time.perf_counter() - start}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--particles", type=int, required=True)
    parser.add_argument("--tokens", type=int, required=True)
    options = parser.parse_args()
    lm = PromptedLLM.from_name(options.directory, backend="hf")
    lm.set_prompt_from_str(options.prompt)
    asyncio.run(run(lm, 2, 2))  # load what is loaded lazily
    print("ready", flush=True)
    for _ in sys.stdin:  # one run for each line, so that both libraries take turns
        print(json.dumps(asyncio.run(run(lm, options.particles, options.tokens))), flush=True)


if __name__ == "__main__":
    main()
