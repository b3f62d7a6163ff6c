"""Adaptive weighted rejection sampling: draw from what the masks leave, check, and estimate the allowed mass.

target(x) = p(x) 1[x in M] 1[x in A], where the masks hold M and A is what passes the checks. Tokens are drawn without
replacement from p on M, with mass Z_M, until one passes: q(x) = target(x) / Z with Z = Σ target. Z is not known, since
most tokens are never checked; the weight is Z_M · Ẑ with an estimate Ẑ from the draws and verdicts that satisfies
E[Z_M Ẑ | x] = Z for each x (`inference.estimators`). The factor Z_M is known before the draw.

All particles draw together, from rows on the language model's device; a verdict is asked once for all particles that
have written the same text.

Reference: Lipkin et al. (2025), *Fast controlled generation from language models with adaptive weighted rejection
sampling*, COLM.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inference.engines.base import NextTokens
from inference.estimators import Estimator
from inference.kernels.base import Proposal, Tokens
from inference.kernels.masked import masked
from inference.site import Site
from inference.text import TextState
from inference.weights import Floats
from ppl.rng import Rng
from ppl.successive import Draw


@dataclass(frozen=True)
class _RejectionProposal(Proposal):
    """Numerators before the checks; `draw` makes them."""

    def draw(self, rng: Rng, states: Sequence[TextState]) -> tuple[Tokens, Floats]:
        tops = (self.numerators.amax(dim=-1).cpu().numpy()[self.rows] - self.log_weights).tolist()
        runs = [state.site.awrs.begin(top) for state, top in zip(states, tops, strict=True)]
        draws = rng.without_replacement(self.numerators, self.rows)
        going = list(range(len(states)))
        while going:
            made = draws.next(going)
            verdicts = _verdicts([(states[i], draw) for i, draw in zip(going, made, strict=True)])
            for i, draw, verdict in zip(going, made, verdicts, strict=True):
                runs[i].see(draw, verdict, rng)
            going = [i for i in going if not runs[i].done]
        tokens = [_token(run, state) for run, state in zip(runs, states, strict=True)]
        return np.array(tokens, dtype=np.int64), np.array([run.log_weight for run in runs])


def awrs(following: NextTokens, states: Sequence[TextState]) -> Proposal:
    """Propose from the masked part of the constraint and leave the rest to rejection sampling."""
    if all(state.unmasked for state in states):  # no mask to apply, and no mass to sum: it is 1
        return _RejectionProposal(following.logprobs, following.rows, np.zeros(len(states)))
    proposal = masked(following, states)
    return _RejectionProposal(
        proposal.numerators, proposal.rows, proposal.log_weights, choices=proposal.choices
    )


def _verdicts(moves: Sequence[tuple[TextState, Draw]]) -> list[bool]:
    """Return the verdict on each drawn token, asked of each site together."""
    by_site: defaultdict[Site, list[int]] = defaultdict(list)
    for k, (state, _) in enumerate(moves):
        by_site[state.site].append(k)
    verdicts = [False] * len(moves)
    for site, members in by_site.items():
        asked = site.verdicts([(moves[k][0], moves[k][1].token) for k in members])
        for k, verdict in zip(members, asked, strict=True):
            verdicts[k] = verdict
    return verdicts


def _token(run: Estimator, state: TextState) -> int:
    """Return the token of a run; any, where the run has weight 0."""
    return state.vocabulary.end if run.token is None or run.log_weight == -math.inf else run.token
