"""Run by the Python of genlm-control's own environment: AWRS-SMC on one task, one JSON line per run."""

import argparse
import asyncio
import codecs
import json
import sys
import time

import numpy as np
import torch
from genlm.control import AWRS, Potential, PromptedLLM
from tasks import TASKS, Counted


class Predicate(Potential):
    """A predicate of texts as a Boolean potential over bytes; incomplete characters at the end are left out."""

    def __init__(self, task):
        super().__init__(list(range(256)))
        self.counted = Counted(task)

    async def prefix(self, context):
        try:
            text = codecs.getincrementaldecoder("utf-8")().decode(bytes(context))
        except UnicodeDecodeError:
            return float("-inf")
        return 0.0 if self.counted.prefix(text) else float("-inf")

    async def complete(self, context):
        try:
            text = bytes(context).decode("utf-8")
        except UnicodeDecodeError:
            return float("-inf")
        return 0.0 if self.counted.complete(text) else float("-inf")


async def run(lm, task, particles, seed):
    """Return the figures of one run; the memory of earlier runs is given back first."""
    lm.model.clear_cache()
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the peer resamples with it
    predicate = Predicate(task)
    sampler = AWRS(lm, predicate.coerce(lm, f=b"".join), seed=seed)
    predicate.counted.checks = 0
    start = time.perf_counter()
    sequences = await sampler.smc(n_particles=particles, ess_threshold=0.5, max_tokens=task.max_tokens + 1)
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "tokens": sum(map(len, sequences.contexts)),
        "checks": predicate.counted.checks,
        "log_evidence": float(sequences.log_ml),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--ends", type=int, nargs="+", required=True, help="the ids that end a text")
    parser.add_argument("--particles", type=int, required=True)
    options = parser.parse_args()
    task = TASKS[options.task]
    lm = PromptedLLM.from_name(options.directory, backend="hf")
    lm = lm.spawn_new_eos([lm.model.byte_vocab[end].byte_string for end in options.ends])
    lm.set_prompt_from_str(task.prompt)
    asyncio.run(run(lm, task, 2, 0))  # load what is loaded lazily
    print("ready", flush=True)
    for line in sys.stdin:  # one run for each line, its seed, so that both libraries take turns
        print(json.dumps(asyncio.run(run(lm, task, options.particles, int(line)))), flush=True)


if __name__ == "__main__":
    main()
