"""Example: one text in the support of a plan, for walking through a program."""

from __future__ import annotations

from typing import Any

from inference.engines.base import Usage
from inference.estimators import AWRS
from inference.experts import next_laws
from inference.infilling import InfillState, infill_laws
from inference.kernels import KERNELS
from inference.sessions import Sessions
from inference.site import Site
from inference.text import TextState, decode_text
from ppl.compiler.plan import InfillPlan, TextPlan
from ppl.errors import DeadEnd
from ppl.rng import Rng


def example(plan: TextPlan, rng: Rng) -> str:
    """Draw one text by the plan's kernel with the weights left out; raise `DeadEnd` at a dead end."""
    state = TextState.begin(plan)
    with Sessions() as sessions:
        while not state.finished:
            (laws,) = next_laws([state], sessions)
            proposal = KERNELS[state.kernel](laws.following, [state])
            log_weight = proposal.log_weights[0]
            if log_weight > -float("inf"):
                tokens, after = proposal.draw(rng, [state])
                log_weight += after[0]
            if log_weight == -float("inf"):
                raise DeadEnd(
                    f"the example text ran into a dead end after {decode_text(state.content)!r}",
                    hint="explain with another seed, or raise max_tokens",
                )
            state.advance(int(tokens[0]))
    return decode_text(state.content)


def infill_example(plan: InfillPlan, rng: Rng) -> str:
    """Draw one text of a masked-diffusion site, with the weights left out."""
    state: Any = InfillState.begin(plan, Site(plan, AWRS()))
    while not state.finished:
        (laws,) = infill_laws([state], rng, Usage())
        tokens, _ = KERNELS[state.kernel](laws.following, [state]).draw(rng, [state])
        state.advance(int(tokens[0]))
    return str(state.shown)
