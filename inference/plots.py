"""Plots of a run for papers: ESS, log-evidence, weights and genealogy, with matplotlib.

Each function draws into the axes that it is given, or into a new figure of its own, and returns the axes; so they
can be put together and styled as any other plot. They need nothing but what every posterior has.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import MissingDependency
from ppl.errors import InvalidArgument

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from inference.posterior import Posterior

_FAINT, _STRONG = "0.8", "0.15"


def overview(posterior: Posterior[Any]) -> Figure:
    """Return a figure of all four plots; where nothing was resampled, the genealogy is left out."""
    figure: Figure = _pyplot().figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots(2, 2).ravel()
    for draw, ax in zip((ess, evidence, weights), axes, strict=False):
        draw(posterior, ax)
    if any(step.resampled for step in posterior.steps):
        genealogy(posterior, axes[3])
    else:
        axes[3].set_axis_off()
    return figure


def ess(posterior: Posterior[Any], ax: Axes | None = None) -> Axes:
    """Plot the effective sample size before resampling over the ticks; triangles where it resampled."""
    ax = _axes(ax)
    values = np.array([step.ess for step in posterior.steps])
    ax.plot(np.arange(1, len(values) + 1), values)
    resampled = [k for k, step in enumerate(posterior.steps) if step.resampled]
    ax.plot([k + 1 for k in resampled], values[resampled], "v", color="C1", markersize=4, label="resampled")
    ax.set(xlabel="tick", ylabel="ESS", ylim=(0, None))
    if resampled:
        ax.legend(frameon=False)
    return ax


def evidence(posterior: Posterior[Any], ax: Axes | None = None) -> Axes:
    """Plot the log of the evidence estimate, in nats, over the ticks."""
    ax = _axes(ax)
    total = np.cumsum([step.log_increment for step in posterior.steps])
    ax.plot(np.arange(1, len(total) + 1), total)
    ax.set(xlabel="tick", ylabel="log evidence (nats)")
    return ax


def weights(posterior: Posterior[Any], ax: Axes | None = None) -> Axes:
    """Plot the normalised weights of the samples, the largest first; dashed: equal weights."""
    ax = _axes(ax)
    normalised = np.sort(posterior.weights)[::-1] if posterior.samples else np.zeros(0)
    ax.bar(np.arange(1, len(normalised) + 1), normalised, width=1.0)
    if len(normalised):
        ax.axhline(1 / len(normalised), color=_STRONG, linestyle="--", linewidth=0.8)
    ax.set(xlabel="sample", ylabel="weight")
    return ax


def genealogy(posterior: Posterior[Any], ax: Axes | None = None) -> Axes:
    """Plot who descends from whom: a line for each particle, dark for the ancestors of the last population.

    Raises
    ------
    InvalidArgument
        If the population was never resampled.
    """
    ancestors = [step.ancestors for step in posterior.steps]
    size = next((len(a) for a in ancestors if a is not None), 0)
    if not size:
        raise InvalidArgument(
            "the population of this posterior was never resampled, so it has no genealogy",
            hint="SMC(ess_threshold=1) resamples whenever weights differ",
        )
    parents = [np.arange(size) if a is None else np.array(a) for a in ancestors]
    kept = survivors(parents, size)
    ax = _axes(ax)
    for strong in (False, True):
        starts = [np.flatnonzero(kept[t + 1] == strong) for t in range(len(parents))]
        x = np.concatenate([np.tile([[t], [t + 1], [np.nan]], len(j)) for t, j in enumerate(starts)], axis=1)
        y = np.concatenate(
            [np.stack([parents[t][j], j, np.full(len(j), np.nan)]) for t, j in enumerate(starts)], axis=1
        )
        colour, width = (_STRONG, 1.0) if strong else (_FAINT, 0.6)
        ax.plot(x.T.ravel(), y.T.ravel(), color=colour, linewidth=width)
    ax.set(xlabel="tick", ylabel="particle", ylim=(size - 0.5, -0.5))
    ax.locator_params(axis="y", integer=True)
    return ax


def survivors(parents: list[NDArray[np.int64]], size: int) -> list[NDArray[np.bool_]]:
    """Return for each tick, from 0, which of the particles have a descendant in the last population."""
    kept = [np.ones(size, dtype=np.bool_)]
    for parent in reversed(parents):
        alive = np.zeros(size, dtype=np.bool_)
        alive[parent[kept[-1]]] = True
        kept.append(alive)
    return kept[::-1]


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    new: Axes = _pyplot().subplots(layout="constrained")[1]
    return new


def _pyplot() -> ModuleType:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise MissingDependency(
            f"plots need matplotlib: {error}", hint="install it: pip install 'ppl[plots]'"
        ) from error
    return plt
