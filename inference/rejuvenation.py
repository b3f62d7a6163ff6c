"""Rejuvenation: runs that are still being written are moved, each by itself, without leaving the law that they have.

After t ticks a live run y is a sequence of draws, values of finite sites and t tokens, with the random weights that
come with them. It has been drawn with probability q_t(y) by the program's kernels and has earned w_t(y), the weight of
its next token that is known before the draw included. A cut c is drawn from κ(c | y), uniform on the last L of the T_y
draws of y (on all, where there are fewer), the draws before it are kept, and the program is run on from there *to the
same tick*, not to its end: y'. It takes the place of y, if it is live, with probability

    min(1, w_t(y') κ(c | y') / (w_t(y) κ(c | y))),        κ(c | y) = 1[T_y - L <= c < T_y] / min(L, T_y),

since what q gives to the two endings cancels against q in the target γ_t(y) = q_t(y) w_t(y) 1[y is live], which this
leaves as it is. T_y differs between the runs of one tick, for finite values are drawn between tokens.

**When.** Because γ_t K = γ_t, (1/N) Σ w_i f(y'_i) is as unbiased as (1/N) Σ w_i f(y_i). It is not if runs are moved
*because of what the population is like*: the populations that are resampled, say, do not have the law γ_t, and K takes
them elsewhere. So runs are moved in ticks that are fixed beforehand, whether or not they were resampled. How many ticks
there are depends on the population as well, which ends when all have finished; therefore K neither moves a run that has
finished nor lets a live one become such a run.

A run that has moved brings the proposal of its next token along.

References: Gilks and Berzuini (2001), *Following a moving target: Monte Carlo inference for dynamic Bayesian models*;
Chopin (2002), *A sequential particle filter method for static models*. There moves follow a resampling that the weights
call for, which is consistent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
from typing_extensions import override

from inference.methods.chain import accepted
from inference.path_storage import Moment, PathStorage
from inference.runtime import Runtime
from ppl.program import Model
from ppl.rng import Rng


class Rejuvenated(PathStorage):
    """A population whose live runs are moved in fixed ticks, after the resampling if there is one.

    Parameters
    ----------
    every:
        They are moved in every `every`-th tick.
    moves:
        How often each is moved then.
    lag:
        L, the number of draws that a cut may be among; None: all.

    Attributes
    ----------
    shares:
        For the ticks that moved runs, from 0, the share of the proposals that were accepted.
    """

    def __init__(
        self,
        model: Model[Any],
        size: int,
        rng: Rng,
        runtime: Runtime,
        *,
        every: int = 1,
        moves: int = 1,
        lag: int | None = None,
    ) -> None:
        super().__init__(model, size, rng, runtime)
        self.shares: dict[int, float] = {}
        self._model, self._every, self._moves, self._lag = model, every, moves, lag
        self._tick = 0  # tokens that live runs have drawn
        self._open = ExitStack()
        self._elsewhere = self._open.enter_context(runtime.apart())

    @override
    def draw(self) -> None:
        if (live := len(self.live)) and (self._tick + 1) % self._every == 0:
            moved = sum(self.move() for _ in range(self._moves))
            self.shares[self._tick] = moved / (self._moves * live)
        super().draw()
        self._tick += 1

    @override
    def close(self) -> None:
        super().close()
        self._open.close()

    def move(self) -> int:
        """Propose another ending of what it has written to each live run; return how many took it."""
        paths = {i: path for i in self.live if (path := path_to(self.moments[i]))}
        cuts = {i: self._cut(len(path)) for i, path in paths.items()}
        lefts = [self._tick - _ticks(path[: cuts[i]]) for i, path in paths.items()]
        moments = [path[cuts[i]] for i, path in paths.items()]
        endings = Endings(self._model, self.rng, self._elsewhere, moments, lefts)
        moved: dict[int, int] = {}
        try:
            endings.write()
            for k, (i, path) in enumerate(paths.items()):
                if accepted(self._log_ratio(i, path, cuts[i], endings, k), self.rng):
                    self._take_over(i, endings, k)
                    moved[k] = i
        finally:
            endings.close()
        self._take_proposals(endings, moved)
        self.drawn += endings.drawn
        return len(moved)

    def _log_ratio(self, i: int, path: Sequence[Moment], cut: int, endings: Endings, k: int) -> float:
        """Return the log of the ratio of target over proposal, forward and backward cuts included."""
        if not endings.particles[k].live:
            return -math.inf
        backward = self._log_cut(cut, len(path_to(endings.moments[k])))
        return endings.earned(k) - self.earned(i) + backward - self._log_cut(cut, len(path))

    def _cut(self, draws: int) -> int:
        """Draw a cut of a path of so many draws."""
        choices = draws if self._lag is None else min(self._lag, draws)
        return draws - choices + int(choices * self.rng.uniform(np.arange(1, choices) / choices))

    def _log_cut(self, cut: int, draws: int) -> float:
        """Return log κ of a cut of a path of so many draws."""
        choices = draws if self._lag is None else min(self._lag, draws)
        return -math.log(choices) if draws - choices <= cut < draws else -math.inf

    def _take_over(self, i: int, endings: Endings, k: int) -> None:
        """Put the k-th new run in the place of run i, whose weight in the population stays."""
        self.particles[i], endings.particles[k] = endings.particles[k], self.particles[i]
        self.moments[i] = endings.moments[k]
        self._offsets[i] = endings.earned(k) - self.log_weights[i]

    def _take_proposals(self, endings: Endings, moved: dict[int, int]) -> None:
        """Replace the proposals of runs that have moved by those of what they have become."""
        for group in self._groups:
            kept = np.flatnonzero(~np.isin(group.particles, list(moved.values())))
            group.particles, group.proposal = group.particles[kept], group.proposal.take(kept)
        for group in endings._groups:
            taken = np.flatnonzero(np.isin(group.particles, list(moved)))
            particles = np.array([moved[k] for k in group.particles[taken].tolist()], dtype=np.int64)
            self._groups.append(replace(group, particles=particles, proposal=group.proposal.take(taken)))


class Endings(PathStorage):
    """Runs that go on from moments of others for given numbers of ticks, and wait before the next token."""

    def __init__(
        self, model: Model[Any], rng: Rng, runtime: Runtime, moments: Sequence[Moment], ticks: Sequence[int]
    ) -> None:
        super().__init__(model, len(moments), rng, runtime)
        self._begins, self._left = moments, list(ticks)

    def write(self) -> None:
        """Write the endings, and propose what comes next."""
        self.resume(self._begins)
        while any(self._left[i] > 0 for i in self.live):
            moving = self.live
            self.propose()
            self.draw()
            for i in moving:
                self._left[i] -= 1
        self.propose()

    @property
    @override
    def live(self) -> list[int]:
        """Those that are furthest behind: the others wait for them, so that all arrive in one batch."""
        live = super().live
        most = max((self._left[i] for i in live), default=0)
        return [i for i in live if self._left[i] == most]


def path_to(moment: Moment | None) -> list[Moment]:
    """Return the moments before `moment`, in order: one for each draw that the run has made by then."""
    path = list[Moment]()
    while moment is not None:
        moment = moment.parent
        if moment is not None:
            path.append(moment)
    return path[::-1]


def _ticks(path: Sequence[Moment]) -> int:
    """Return how many ticks the draws of a path took: a tick for each token, none for a finite value."""
    return sum(moment.particle.live for moment in path)
