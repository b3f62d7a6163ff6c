"""Tokens per second of SMC, side by side with genlm-control 0.4.1 on the same model directory.

    python -m venv benchmarks/peers/.venv
    benchmarks/peers/.venv/bin/pip install torch genlm-control==0.4.1
    python -m benchmarks.peers

Both run unconstrained SMC with N particles of at most 100 new tokens from one prompt, in float32, each in its
own process and environment, loaded beforehand. They take turns, so that noise of the machine falls on both.
The goal is a median ratio of at least 5. Without the peer's environment nothing is measured, and it says so.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.common import print_result
from inference import SMC, infer, load
from inference.engines.embedded import directory
from ppl import LM, program, sample

HERE = Path(__file__).resolve().parent
PROMPT = "Once upon a time, in a small town by the sea, there lived"
GOAL = 5.0


@program
def story(lm: LM, tokens: int) -> str:
    return sample(lm(PROMPT, max_tokens=tokens))


class Peer:
    """The peer's process; each `run` is one line to it and one line back."""

    def __init__(self, python: Path, model: Path, particles: int, tokens: int) -> None:
        script = [str(python), str(HERE / "genlm_control.py"), str(model), "--prompt", PROMPT]
        sizes = ["--particles", str(particles), "--tokens", str(tokens)]
        self._process = subprocess.Popen(
            script + sizes, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._read(until="ready")

    def run(self) -> dict[str, float]:
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        answer: dict[str, float] = json.loads(self._read(until="{"))
        return answer

    def close(self) -> None:
        self._process.communicate()

    def _read(self, until: str) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(until):
                return line
        sys.exit(f"the peer's process ended with exit status {self._process.wait()}; its message is above")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--particles", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--model", type=Path, help="a model directory; by default the embedded SmolLM2")
    default = os.environ.get("PPL_PEER_PYTHON") or HERE / ".venv" / "bin" / "python"
    parser.add_argument("--peer-python", type=Path, default=Path(default), help="or PPL_PEER_PYTHON")
    options = parser.parse_args(arguments)
    if not options.peer_python.exists():
        print_result({"benchmark": "peers", "skipped": f"{options.peer_python} does not exist; see --help"})
        return
    lm = load(str(options.model) if options.model else "smollm2")
    peer = Peer(options.peer_python, options.model or directory("smollm2"), options.particles, options.tokens)
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
    ratio = statistics.median(r["ratio"] for r in rounds)
    print_result(
        {
            "benchmark": "peers",
            "particles": options.particles,
            "max_tokens": options.tokens,
            "rounds": rounds,
            "ratio": ratio,
            "goal": GOAL,
            "reached": ratio >= GOAL,
        }
    )


if __name__ == "__main__":
    main()
