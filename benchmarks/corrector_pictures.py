"""The pictures of docs/correctors.md: four targets on a toy, beside what samplers without weights draw.

    python -m benchmarks.corrector_pictures docs

Everything is computed: the model's own law and the target by enumeration, the law without weights from 20,000 draws.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
mpl.rcParams["svg.hashsalt"] = "correctors"  # the same figure is the same file

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

from inference import Enumerate, LocallyConstrained, TableLM, infer  # noqa: E402
from inference.methods import Method  # noqa: E402
from ppl import guide, potential, program, sample  # noqa: E402
from ppl.targets import Target  # noqa: E402

TOKENS = ["yes", "no", " please", " thanks", " sir"]
LM = TableLM(
    TOKENS,
    {  # probabilities of the tokens and the end, after a friendly and after a plain prompt
        ("friendly", ()): [0.55, 0.45, 0, 0, 0, 0],
        ("friendly", (0,)): [0, 0, 0.3, 0.25, 0.25, 0.2],
        ("friendly", (1,)): [0, 0, 0, 0.2, 0, 0.8],
        ("plain", ()): [0.6, 0.4, 0, 0, 0, 0],
        ("plain", (0,)): [0, 0, 0.05, 0.1, 0.05, 0.8],
        ("plain", (1,)): [0, 0, 0, 0.05, 0, 0.95],
        **{
            (prompt, (v, w)): [0, 0, 0, 0, 0, 1]
            for prompt in ("friendly", "plain")
            for v in (0, 1)
            for w in (2, 3, 4)
        },
    },
)
TEXTS = ["yes", "yes please", "yes thanks", "yes sir", "no", "no thanks"]


@program
def answer(target: Target[str]) -> str:
    return sample(target)


def polite(text: str) -> float:
    return 2.0 if text.endswith(("please", "thanks", "sir")) else 0.0


def law(target: Target[str], method: Method) -> list[float]:
    """Return the probability of each text."""
    posterior = infer(answer(target), method, seed=0)
    return [posterior.probability(lambda value, text=text: value == text) for text in TEXTS]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder
    p, q = LM("friendly", max_tokens=2), LM("plain", max_tokens=2)
    pictures = {
        "annealing": ("p ** 3", p**3),
        "product": ("p * q", p * q),
        "guidance": ("guide(p, q, 1)", guide(p, q, 1.0)),
        "reward": ("p * potential(polite)", p * potential(polite)),
    }
    for name, (title, target) in pictures.items():
        bars = {
            "p": (law(p, Enumerate()), "#999999"),
            "without weights": (law(target, LocallyConstrained(20_000)), "#e69f00"),
            title: (law(target, Enumerate()), "#009e73"),
        }
        figure, axes = plt.subplots(figsize=(6, 2.6), layout="constrained")
        at = np.arange(len(TEXTS))
        for k, (label, (heights, colour)) in enumerate(bars.items()):
            axes.bar(at + 0.27 * (k - 1), heights, width=0.25, label=label, color=colour)
        axes.set_xticks(at, TEXTS)
        axes.set(ylabel="probability", ylim=(0, 1))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    main()
