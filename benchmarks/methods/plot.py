"""A plot of the methods: the score of the vote against the tokens drawn, one panel for each task.

python -m benchmarks.methods.plot methods.jsonl docs/images/methods.svg
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
mpl.rcParams["svg.hashsalt"] = "methods"  # the same figure is the same file

import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import LogLocator, NullLocator  # noqa: E402

from benchmarks.domains.table import bootstrap  # noqa: E402
from benchmarks.methods.__main__ import TASKS, read  # noqa: E402
from benchmarks.methods.methods import HEURISTIC, METHODS  # noqa: E402
from benchmarks.methods.table import curves  # noqa: E402

MARKERS = "os^vD*Pp<>Xhdv8"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("figure", type=Path, help="its suffix says the format, such as .svg or .png")
    options = parser.parse_args(arguments)
    rows = read(options.results)
    found = {task: c for task in TASKS if (c := curves(rows, task))}
    if not found:
        raise SystemExit("no results that can be compared")
    figure, panels = plt.subplots(
        1, len(found), figsize=(4.6 * len(found), 4.2), squeeze=False, layout="constrained"
    )
    colours = plt.get_cmap("tab20")
    for axes, (task, methods) in zip(panels[0], found.items(), strict=True):
        for k, name in enumerate(METHODS):
            if name not in methods:
                continue
            curve = methods[name]
            low, high = zip(*(bootstrap(votes.tolist()) for votes in curve.vote), strict=True)
            means = curve.vote.mean(axis=1)
            _, _, bars = axes.errorbar(
                curve.tokens,
                means,
                [means - low, high - means],
                marker=MARKERS[k % len(MARKERS)],
                color=colours(k % 20),
                linestyle=":" if METHODS[name].target == HEURISTIC else "-",
                linewidth=1,
                elinewidth=0.5,
                markersize=4,
                label=name,
            )
            for bar in bars:
                bar.set_alpha(0.3)
        cases = next(iter(methods.values())).vote.shape[1]
        axes.set(
            title=f"{task} ({cases} cases)",
            xscale="log",
            xlabel="tokens drawn per case",
            ylabel=f"{TASKS[task].score}, by vote",
            ylim=(-0.02, None),
        )
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False, fontsize="small")
    metadata = {"Date": None} if options.figure.suffix == ".svg" else None
    figure.savefig(options.figure, metadata=metadata, dpi=150)


if __name__ == "__main__":
    main()
