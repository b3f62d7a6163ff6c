"""A plot of results: accuracy against time, one panel for each task.

python -m benchmarks.domains.plot results.jsonl docs/domains.svg
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
mpl.rcParams["svg.hashsalt"] = "domains"  # the same figure is the same file

import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

from benchmarks.domains.methods import METHODS  # noqa: E402
from benchmarks.domains.run import TASKS, read  # noqa: E402
from benchmarks.domains.table import Summary, summaries  # noqa: E402

MARKERS = dict(zip(METHODS, "ovs^DdP", strict=True))
COLOURS = dict(
    zip(METHODS, ("#777777", "#e69f00", "#d55e00", "#56b4e9", "#0072b2", "#cc79a7", "#009e73"), strict=True)
)


def draw(axes: Axes, task: str, methods: dict[str, Summary]) -> None:
    """Draw the panel of a task: the mean score with its interval over the seconds for a case."""
    for name, s in methods.items():
        errors = [[max(s.accuracy - s.low, 0.0)], [max(s.high - s.accuracy, 0.0)]]
        axes.errorbar(
            s.seconds, s.accuracy, errors, fmt=MARKERS[name], color=COLOURS[name], label=name, capsize=2
        )
    axes.set(
        title=f"{task} ({next(iter(methods.values())).cases} cases)",
        xscale="log",
        xlabel="seconds per case",
        ylabel=TASKS[task].score,
        ylim=(-0.05, 1.05),
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("figure", type=Path, help="its suffix says the format, such as .svg or .png")
    options = parser.parse_args(arguments)
    found = summaries(read(options.results))
    if not found:
        raise SystemExit("no case was run under all methods of its task")
    figure, panels = plt.subplots(
        1, len(found), figsize=(3.2 * len(found), 3.4), squeeze=False, layout="constrained"
    )
    for axes, (task, methods) in zip(panels[0], found.items(), strict=True):
        draw(axes, task, methods)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    metadata = {"Date": None} if options.figure.suffix == ".svg" else None
    figure.savefig(options.figure, metadata=metadata, dpi=150)


if __name__ == "__main__":
    main()
