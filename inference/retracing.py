"""Retracing: runs that change one site of a given run and keep the later draws where they can.

From a run y and one of its sites k, the run before k is repeated, k is drawn anew, and the program goes on. Where it
asks for a site that y had visited after k, the draw of y is *kept* if

- the target is the same, with the weight that the draw came with; or
- the target is another one, and w and q of the draw are known under both (`inference.visits`): it is weighed anew.

Everything else is drawn afresh. The rule is symmetric in the two runs but for one case: a draw of y that the new
target cannot draw, replaced by one that the old target could have drawn. Going back, that one would be kept; so there
is no way back (`reversible`).

References: Wingate, Stuhlmüller and Goodman (2011), *Lightweight implementations of probabilistic programming languages
via transformational compilation*; Cusumano-Towner, Saad, Lew and Mansinghka (2019), *Gen: a general-purpose
probabilistic programming system with programmable inference*, for the update of a trace.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from inference.path_storage import Run
from inference.population import Todo
from inference.runtime import Runtime
from inference.text import TextState
from inference.twists import State
from inference.visit_storage import Opened, VisitStorage
from inference.visits import Given, Ids, Key, Score, Visit, score_texts, score_value, written
from ppl.compiler.normal_form import FiniteForm, TextForm, normal_form
from ppl.errors import InvalidArgument
from ppl.fiber import Draw, Request
from ppl.program import Model
from ppl.rng import Rng
from ppl.targets import Target
from ppl.trace import Address


@dataclass(frozen=True, eq=False)
class Change:
    """What is to be changed of a run: one site, drawn from `proposal` (None: from its own target)."""

    run: Run
    visit: Visit
    proposal: Target[Any] | None = None


@dataclass
class _Retrace:
    """How one run goes on from a change.

    Attributes
    ----------
    later:
        The visits after the changed one, by key.
    change:
        What is to be changed, until it has been drawn.
    offered:
        A text that was drawn from another target than the site's, and log q of it there.
    kept:
        Pairs of visits, in the old run and in the new one, with one draw.
    log_correction:
        log of q under the site's own target over q under that which drew the changed draw, in nats.
    """

    later: dict[Key, Visit] = field(default_factory=dict)
    change: Change | None = None
    offered: tuple[TextState, float] | None = None
    kept: list[tuple[Visit, Visit]] = field(default_factory=list)
    log_correction: float = 0.0


class Retracing(VisitStorage):
    """A population whose runs remember their sites, and may begin from a change of a given run."""

    def __init__(self, model: Model[Any], size: int, rng: Rng, runtime: Runtime) -> None:
        super().__init__(model, size, rng, runtime)
        self._retraces = [_Retrace() for _ in range(size)]

    def change(self, changes: Sequence[Change]) -> None:
        """Begin from a change for each particle, instead of the program's start."""
        todo: Todo = []
        for i, change in enumerate(changes):
            visit, visits = change.visit, change.run.visits
            later = {v.key: v for v in visits[visits.index(visit) + 1 :]}
            self._retraces[i] = _Retrace(later, change)
            self.particles[i], self.visits[i] = visit.before.fork(), visit.parent
            self.log_weights[i] = visit.earned
            pending = self.particles[i].fiber.pending
            assert pending is not None
            todo.append((i, pending))
        self._settle(todo)

    def log_correction(self, i: int) -> float:
        """Return the log of what the density of run i is worth beyond its weight, relative to the old run's, in nats.

        Draws that were kept were not proposed: q of them is part of the ratio. A site that was drawn from another
        target than its own was proposed with another q.
        """
        trace = self._retraces[i]
        moved = sum(
            new.log_proposal - old.log_proposal
            for old, new in trace.kept
            if new.log_proposal is not None and old.log_proposal is not None
        )
        return trace.log_correction + moved

    def reversible(self, members: Sequence[int]) -> list[bool]:
        """Return whether the way back exists: whether all draws of the new runs that are not kept would not be."""
        pairs: list[tuple[int, Visit, Visit]] = []
        for i in members:
            trace, kept = self._retraces[i], {id(new) for _, new in self._retraces[i].kept}
            others = [v for v in self.run(i).visits if v.key in trace.later and id(v) not in kept]
            pairs += [(i, trace.later[v.key], v) for v in others]
        back = self.scores([(old.key, old.target, new) for _, old, new in pairs])
        lost = {
            i
            for (i, _, new), score in zip(pairs, back, strict=True)
            if score is not None and score.supported and new.log_proposal is not None
        }
        return [i not in lost for i in members]

    def scores(self, asked: Sequence[tuple[Key, Target[Any], Visit]]) -> list[Score | None]:
        """Return the scores of the draws of visits at a site under given targets; None where q is not known."""
        results: list[Score | None] = [None] * len(asked)
        texts: dict[int, Given] = {}
        for k, (key, target, visit) in enumerate(asked):
            form, drawn = normal_form(target), normal_form(visit.target)
            if isinstance(form, FiniteForm) and isinstance(drawn, FiniteForm):
                results[k] = score_value(form, visit.value)
            elif isinstance(form, TextForm) and isinstance(drawn, TextForm):
                texts[k] = Given(key[0], target, drawn.text.lm, visit.path)
        for k, score in zip(texts, score_texts(list(texts.values()), self.runtime), strict=True):
            results[k] = score
        return results

    # Moves: as those of the scheduler, with draws that are kept or offered.

    @override
    def _is_scored(self, i: int, request: Request) -> bool:
        if super()._is_scored(i, request):
            return True
        if not isinstance(request, Draw):
            return False
        return self._retraces[i].offered is not None or self._reweighed(i, request) is not None

    @override
    def _score(self, waiting: Todo) -> Todo:
        todo = super()._score(waiting)
        draws = [(i, request) for i, request in waiting if isinstance(request, Draw)]
        given = [self._given(i, request) for i, request in draws]
        for (i, request), score in zip(draws, score_texts(given, self.runtime), strict=True):
            offered = self._retraces[i].offered
            if offered is not None:
                todo += self._accept_offer(i, request, score)
            elif score is not None and score.supported:
                old = self._later(i, request)
                assert old is not None
                todo += self._keep(i, request, old, score)
            else:
                todo += self._open(i, request)
        return todo

    @override
    def _handle(self, i: int, request: Request) -> Todo:
        if not isinstance(request, Draw):
            return super()._handle(i, request)
        change, old = self._retraces[i].change, self._later(i, request)
        self._retraces[i].change = None
        if change is not None and change.proposal is not None:
            return self._propose_change(i, request, change.proposal)
        if old is not None:
            form = normal_form(request.target)
            if isinstance(form, FiniteForm) and isinstance(normal_form(old.target), FiniteForm):
                score = score_value(form, old.value)
                if score.supported:
                    return self._keep(i, request, old, score)
            elif not isinstance(form, FiniteForm) and old.target == request.target:
                return self._keep(i, request, old, None)
        return self._open(i, request)

    @override
    def _end_text(self, i: int, state: State) -> Request:
        if self._retraces[i].offered is None:
            return super()._end_text(i, state)
        opened, request = self._opened[i], self.particles[i].fiber.pending
        assert isinstance(state, TextState)
        assert opened is not None
        assert request is not None
        self._retraces[i].offered = state, float(self._log_proposals[i])
        self.log_weights[i] -= self.earned(i) - opened.earned
        self.particles[i].text = None
        return request

    # Sites of the old run.

    def _later(self, i: int, request: Draw) -> Visit | None:
        """Return what the old run drew at this site, if it was there after the change."""
        later = self._retraces[i].later
        return later.get(self._key(i, request)) if later else None

    def _reweighed(self, i: int, request: Draw) -> Visit | None:
        """Return the visit whose text is to be weighed under another target, if there is one."""
        old = self._later(i, request)
        if self._retraces[i].change is not None or old is None or old.log_proposal is None or not old.path:
            return None
        moved = isinstance(normal_form(request.target), TextForm) and old.target != request.target
        return old if moved else None

    def _given(self, i: int, request: Draw) -> Given:
        offered = self._retraces[i].offered
        if offered is not None:
            state, _ = offered
            return Given(request.address, request.target, state.plan.text.lm, written(state))
        old = self._later(i, request)
        assert old is not None
        form = normal_form(old.target)
        assert isinstance(form, TextForm)
        return Given(request.address, request.target, form.text.lm, old.path)

    def _keep(self, i: int, request: Draw, old: Visit, score: Score | None) -> Todo:
        """Answer with the old run's draw, with its new score or, without one, as it was."""
        opened = Opened(self._key(i, request), self.particles[i].fork(), self.earned(i))
        if score is None:
            score = Score(old.value, old.log_weight, math.nan)
            log_q = old.log_proposal
        else:
            log_q = score.log_proposal
        return self._answer(i, opened, score, old.path, log_q, old)

    def _answer(
        self, i: int, opened: Opened, score: Score, path: Ids, log_q: float | None, old: Visit | None
    ) -> Todo:
        """Answer with a draw that is known, and add its weight."""
        if not self._add_weight(i, score.log_weight, f"{score.value!r} has no weight here"):
            return []
        visit = self._visited(i, opened, score.value, path, score.log_weight, log_q)
        if old is not None:
            self._retraces[i].kept.append((old, visit))
        return [(i, self._guard(i, lambda: self.particles[i].fiber.answer(score.value)))]

    # Proposals of the user's.

    def _propose_change(self, i: int, request: Draw, target: Target[Any]) -> Todo:
        """Draw the changed site from a target that is not its own."""
        own, other = normal_form(request.target), normal_form(target)
        opened = Opened(self._key(i, request), self.particles[i].fork(), self.earned(i))
        if isinstance(own, FiniteForm) and isinstance(other, FiniteForm):
            logits = torch.tensor([other.log_masses], dtype=torch.float64)
            index = int(self.rng.categorical(logits, np.zeros(1, dtype=np.int64))[0])
            drawn, score = score_value(other, other.values[index]), score_value(own, other.values[index])
            if not score.supported:
                self._kill(i, f"{drawn.value!r} was proposed, which the target cannot draw")
                return []
            self._retraces[i].log_correction = score.log_proposal - drawn.log_proposal
            return self._answer(i, opened, score, (), score.log_proposal, None)
        if not (isinstance(own, TextForm) and isinstance(other, TextForm)):
            raise InvalidArgument(
                f"{target} proposes for a draw from {request.target}",
                hint="propose a text for a text, and a finite value for a finite one",
            )
        todo = self._open(i, replace(request, target=target))
        state = self.particles[i].text
        assert isinstance(state, TextState)
        self._opened[i], self._retraces[i].offered = opened, (state, math.nan)
        return todo

    def _accept_offer(self, i: int, request: Draw, score: Score | None) -> Todo:
        """Answer with a text that was drawn from another target than the site's."""
        (state, log_q), opened = self._retraces[i].offered or (None, 0.0), self._opened[i]
        assert state is not None
        assert opened is not None
        self._retraces[i].offered = None
        if score is None or math.isnan(log_q):
            raise not_known(request.address, own=score is None)
        if not score.supported:
            self._kill(i, f"{state.shown!r} was proposed, which the target cannot draw")
            return []
        self._retraces[i].log_correction = score.log_proposal - log_q
        return self._answer(i, opened, score, written(state), score.log_proposal, None)


def not_known(address: Address, *, own: bool) -> InvalidArgument:
    """Return the error for a proposal, or a target, in which checks reject tokens."""
    where = "its target" if own else "the proposal"
    return InvalidArgument(
        f"a proposal for {address}: {where} leaves tokens to checks, so that densities are not known",
        hint="a constraint that masks (Regex, JsonSchema, c.by_mask()), or no entry in proposals for this site",
    )
