"""How far the distributions of other engines and types of weights are from those in float32.

    python -m benchmarks.weights

The texts are the pages of our documentation, cut into pieces; after each token of a piece but the first ones, the
divergence KL(p ‖ q) in nats of the next-token distribution q from that of engine transformers in float32, p.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch

from benchmarks.common import ROOT, print_result
from inference import load
from inference.engines.base import Engine

MODEL = "smollm2"
ENGINES: dict[str, dict[str, Any]] = {
    "llama.cpp, float32": {"engine": "llama.cpp", "dtype": "float32"},
    "llama.cpp, q8_0": {"engine": "llama.cpp", "dtype": "q8_0"},
    "llama.cpp, as in the file": {"engine": "llama.cpp"},
}
PIECE, BEGINNING = 128, 8


def pieces(lm: Engine, tokens: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return pieces of the documentation as (prompt, continuation), about so many tokens in all."""
    found = []
    for page in sorted((ROOT / "docs").glob("*.md")):
        ids = lm.encode(page.read_text(encoding="utf-8"))[:1024]
        found += [ids[i : i + PIECE] for i in range(0, len(ids) - PIECE + 1, PIECE)]
    stride = max(1, len(found) * PIECE // tokens)
    return [(ids[:BEGINNING], ids[BEGINNING:]) for ids in found[::stride]]


def compare(p: torch.Tensor, q: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return for each row KL(p ‖ q) in nats, and whether both have the same mode."""
    p, q = p.double(), q.double()
    terms = torch.where(p.isneginf(), 0.0, p.exp() * (p - q))
    return terms.sum(-1), p.argmax(-1) == q.argmax(-1)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=4000)
    options = parser.parse_args(arguments)
    stock = load(MODEL)
    texts = pieces(stock, options.tokens)
    sessions = {name: load(MODEL, **how).session() for name, how in ENGINES.items()}
    found: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {name: [] for name in ENGINES}
    with stock.session() as reference:
        for text in texts:
            (p,) = reference.along([text])
            for name, session in sessions.items():
                found[name].append(compare(p, session.along([text])[0]))
    results = {}
    for name, parts in found.items():
        divergence, same = (torch.cat(column) for column in zip(*parts, strict=True))
        results[name] = {
            "mean_kl": float(divergence.mean()),
            "kl_quantile_99": float(divergence.quantile(0.99)),
            "same_mode": float(same.double().mean()),
        }
    n = sum(len(continuation) + 1 for _, continuation in texts)
    print_result({"benchmark": "weights", "model": MODEL, "distributions": n, "results": results})


if __name__ == "__main__":
    main()
