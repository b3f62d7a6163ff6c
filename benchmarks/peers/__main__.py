"""Tokens per second of SMC, side by side with genlm-control 0.4.1 on the same model directory.

    python -m venv benchmarks/peers/.venv
    benchmarks/peers/.venv/bin/pip install torch genlm-control==0.4.1
    python -m benchmarks.peers

Both run unconstrained SMC with N particles of at most 100 new tokens from one prompt, in float32, each in its
own process and environment, loaded beforehand. They take turns, so that noise of the machine falls on both.
The goal is a median ratio of at least 10 with 10 particles of 40 tokens, and of 20 with 32 of 100. Without the peer's
environment nothing is measured, and it says so.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

from benchmarks.common import print_result
from benchmarks.peers.process import Peer, add_options
from inference import SMC, infer, load
from inference.engines.embedded import directory
from ppl import LM, program, sample

PROMPT = "Once upon a time, in a small town by the sea, there lived"
GOAL_FEW, GOAL_MANY = 10.0, 20.0


@program
def story(lm: LM, tokens: int) -> str:
    return sample(lm(PROMPT, max_tokens=tokens))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--particles", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2)
    add_options(parser)
    options = parser.parse_args(arguments)
    if not options.peer_python.exists():
        print_result({"benchmark": "peers", "skipped": f"{options.peer_python} does not exist; see --help"})
        return
    lm = load(str(options.model) if options.model else "smollm2")
    folder = options.model or directory("smollm2")
    sizes = ["--prompt", PROMPT, "--particles", options.particles, "--tokens", options.tokens]
    peer = Peer(options.peer_python, "genlm_control.py", folder, *sizes)
    rounds: list[dict[str, Any]] = []
    for seed in range(options.rounds):
        ours = infer(story(lm, options.tokens), SMC(options.particles), seed=seed, progress=False).cost
        theirs = peer.run()
        rate = theirs["tokens"] / theirs["seconds"]
        rounds.append(
            {
                "ppl": {
                    "tokens": ours.tokens,
                    "seconds": ours.seconds,
                    "tokens_per_second": ours.tokens_per_second,
                },
                "genlm_control": {**theirs, "tokens_per_second": rate},
                "ratio": ours.tokens_per_second / rate,
            }
        )
    peer.close()
    goal = GOAL_MANY if options.particles >= 32 else GOAL_FEW
    ratio = statistics.median(r["ratio"] for r in rounds)
    print_result(
        {
            "benchmark": "peers",
            "particles": options.particles,
            "max_tokens": options.tokens,
            "rounds": rounds,
            "ratio": ratio,
            "goal": goal,
            "reached": ratio >= goal,
        }
    )


if __name__ == "__main__":
    main()
