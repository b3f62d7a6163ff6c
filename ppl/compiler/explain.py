"""Explain: a program's sites, their normal forms, kernels and reasons, from one walk through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from grammars.errors import GrammarError
from ppl.compiler.normal_form import FiniteForm, InfillForm, normal_form
from ppl.compiler.plan import InfillPlan, TextPlan, plan_infill, plan_text
from ppl.errors import DeadEnd, ProgramError
from ppl.fiber import Draw, Fiber, Finished, Observe, Request
from ppl.nested import Nested
from ppl.program import Model
from ppl.rng import Rng


@dataclass(frozen=True)
class SiteExplanation:
    """One site of the walk."""

    address: str
    form: str
    kernel: str
    reason: str
    example: str
    rules: tuple[str, ...] = ()
    measured: Sequence[str] = ()


@dataclass
class Explanation:
    """The sites of one walk through a program; `str()` is the table."""

    program: str
    sites: list[SiteExplanation] = field(default_factory=list)
    ended: str = ""

    def __str__(self) -> str:
        lines = [f"{self.program}"]
        for i, site in enumerate(self.sites, 1):
            lines += [
                f"  {i}. {site.address}",
                f"       target   {site.form}",
                *([f"       rules    {', '.join(dict.fromkeys(site.rules))}"] if site.rules else []),
                f"       kernel   {site.kernel}: {site.reason}",
            ]
            if site.example:
                lines.append(f"       example  {site.example}")
            for k, line in enumerate(site.measured):
                lines.append(f"       {'measured' if k == 0 else '        '} {line}")
        return "\n".join([*lines, f"  {self.ended}"])


def explain(model: Model[Any], seed: int) -> Explanation:
    """Walk `model` once and explain each site it reaches; see `Model.explain`."""
    explanation, rng, fiber = Explanation(repr(model)), Rng(seed), model.fiber()
    try:
        request = fiber.start()
        while not isinstance(request, Finished):
            request = _visit(request, fiber, explanation, rng, model.measured)
        explanation.ended = f"returned {request.value!r}"
    except ProgramError as error:
        explanation.ended = f"stopped there: with these examples the program raised {error.__cause__!r}"
    except (DeadEnd, GrammarError) as error:
        explanation.ended = f"stopped there: {error.message}"
    finally:
        fiber.close()
    return explanation


def _visit(
    request: Request,
    fiber: Fiber,
    explanation: Explanation,
    rng: Rng,
    measured: Mapping[str, Sequence[str]],
) -> Request:
    if isinstance(request, Draw):
        return fiber.answer(_draw(request, explanation, rng, measured.get(str(request.address), ())))
    if isinstance(request, Observe):
        form = normal_form(request.target)
        finite = isinstance(form, FiniteForm | Nested)
        density = "its mass" if finite else "density of the canonical tokenization, one forward pass"
        reason = f"weight = {density}"
        site = SiteExplanation(
            f"observe at {request.address}", str(form), "score", reason, repr(request.value)
        )
        explanation.sites.append(site)
    elif not isinstance(request, Finished):
        reason = "multiplies the weight; no token is drawn"
        explanation.sites.append(
            SiteExplanation(
                f"{request.primitive} at {request.address}",
                "1[b]·p" if request.primitive == "condition" else "exp(w)·p",
                "weight",
                reason,
                "",
            )
        )
    return fiber.answer()


def _draw(request: Draw, explanation: Explanation, rng: Rng, measured: Sequence[str]) -> Any:
    """List the site, whatever becomes of its example; return the example."""
    form, address = normal_form(request.target), f"sample at {request.address}"
    if isinstance(form, FiniteForm):
        logits = torch.tensor([form.log_masses], dtype=torch.float64)
        if not bool(torch.isfinite(logits).any()):
            raise DeadEnd(f"{address}: no value left of {form}")
        outcome: Any = form.values[int(rng.categorical(logits, np.zeros(1, np.int64))[0])]
        reason = "drawn in proportion to its masses"
        explanation.sites.append(SiteExplanation(address, str(form), "exact", reason, repr(outcome)))
        return outcome
    if isinstance(form, Nested):
        reason = "each run of this program computes it by the method; as an example, one run of it in place"
        explanation.sites.append(SiteExplanation(address, str(form), "nested", reason, ""))
        return _inside(form, explanation, rng)
    plan = plan_infill(form) if isinstance(form, InfillForm) else plan_text(form)
    explanation.sites.append(
        SiteExplanation(address, str(form), plan.kernel, plan.reason, "", plan.rules, measured)
    )
    outcome = _example(plan, rng)
    explanation.sites[-1] = replace(explanation.sites[-1], example=repr(outcome))
    return outcome


def _inside(form: Nested[Any], explanation: Explanation, rng: Rng) -> Any:
    """Walk a nested program; return its value."""
    fiber = form.model.fiber()
    try:
        request = fiber.start()
        while not isinstance(request, Finished):
            request = _visit(request, fiber, explanation, rng, {})
        return request.value
    finally:
        fiber.close()


def _example(plan: TextPlan | InfillPlan, rng: Rng) -> str:
    if isinstance(plan, InfillPlan):
        return plan.infill.mdm.example(plan, rng)
    return plan.text.lm.example(plan, rng)
