"""Plan: which kernel draws a text site's tokens, and why.

=========  ===================================================  =========================================
kernel     when                                                 incremental weight
=========  ===================================================  =========================================
direct     one expert, nothing else                             1
corrector  powers, products, guidance, ensembles                Z = Σ_v m(v), m the mass that the experts
                                                                together give the next token
masked     every part of the constraint offers an exact mask    Z = Σ m(v) over the allowed tokens
awrs       some part offers only a check (or an inexact mask)   Z · Ĉ, Z the mass that the masks leave and
                                                                Ĉ an unbiased estimate of its share that
                                                                passes the checks
=========  ===================================================  =========================================

Whatever the kernel, at the length limit only the end is allowed and its mass is the weight. A part that offers both
a mask and a check starts with the mask; a run may change that, see `inference.site`. Potentials multiply the weight by
exp f(x) at the end, and in between by what f of the text so far has changed.

What becomes of a constraint depends on the vocabulary, not on the prompt: it is found once for each pair of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from grammars.algebra import And
from grammars.cache import per_vocabulary
from grammars.constraint import Constraint
from grammars.pinned import Pinned
from grammars.satisfiability import check_satisfiable
from grammars.vocabulary import Vocabulary
from ppl.compiler.normal_form import InfillForm, TextForm
from ppl.compiler.pool import PLAIN, Pool, show_form
from ppl.compiler.rules import rewrite
from ppl.mdm import Infill
from ppl.potentials import Potential
from ppl.targets import Constrained, Target, Text

KernelName = Literal["direct", "corrector", "masked", "awrs"]


@dataclass(frozen=True)
class TextPlan:
    """How a text site is computed. The same measure as its form, whatever the kernel."""

    text: Text
    """The first expert, with the length limit of all."""
    constraint: Constraint | None
    """The constraint as rewritten: a conjunction of parts, or one."""
    kernel: KernelName
    reason: str
    pool: Pool = PLAIN
    texts: tuple[Text, ...] = ()
    """The experts of the pool, if it is more than one expert by itself."""
    potentials: tuple[Potential, ...] = ()
    rules: tuple[str, ...] = field(default=(), compare=False)
    """Names of the rewrite rules that were applied."""

    def __str__(self) -> str:
        return show_form(self.pool, self.texts or (self.text,), self.constraint, self.potentials)


@dataclass(frozen=True)
class InfillPlan:
    """How positions of a masked-diffusion model are unmasked."""

    infill: Infill
    """The first expert, whose visible tokens decide on the order."""
    infills: tuple[Infill, ...]
    pool: Pool
    constraint: Constraint | None
    potentials: tuple[Potential, ...]
    rules: tuple[str, ...] = field(default=(), compare=False)

    @property
    def kernel(self) -> KernelName:
        """The kernel of every move."""
        return "direct" if self.pool.plain else "corrector"

    @property
    def reason(self) -> str:
        """Why, in words."""
        drawn = (
            "each token from the denoiser's own distribution, with weight 1"
            if self.pool.plain
            else "each token in proportion to the mass that the experts give, whose sum is the weight"
        )
        checked = "" if self.constraint is None else "; the constraint is checked on the complete text"
        return f"positions {self.infill.order}, {drawn}{checked}"

    def __str__(self) -> str:
        return show_form(self.pool, self.infills, self.constraint, self.potentials)


def plan_infill(form: InfillForm) -> InfillPlan:
    """Return the plan of a masked-diffusion site."""
    return InfillPlan(form.infills[0], form.infills, form.pool, form.constraint, form.potentials, form.rules)


@dataclass(frozen=True)
class _Lowered:
    """What a constraint becomes over a vocabulary."""

    constraint: Constraint
    kernel: KernelName
    reason: str
    rules: tuple[str, ...]


class _AnyTarget(Target[Any]):
    """Stands for whatever is constrained: the rules do not look at it."""


def plan_text(form: TextForm) -> TextPlan:
    """Return the plan of a text site; no language model is called.

    Raises
    ------
    ContradictionError
        If no text satisfies the constraint, as far as a bounded search shows (see `check_satisfiable`).
    """
    kernel: KernelName
    constraint, rules = form.constraint, form.rules
    if constraint is None:
        kernel, reason = "direct", "one expert without constraints: its own draw has weight 1"
        if not form.pool.plain:
            kernel = "corrector"
            reason = "drawn in proportion to the mass that the experts give, whose sum is the weight"
    else:
        lowered = _lower(form.text.lm.vocabulary, constraint)
        kernel, constraint, rules = lowered.kernel, lowered.constraint, rules + lowered.rules
        reason = lowered.reason + ("" if form.pool.plain else "; on the mass that the experts give")
    asked = sorted({p.at for p in form.potentials}, key=lambda at: at == "end")
    if asked:
        reason += f"; potentials asked at {', '.join(asked)}"
    texts = () if form.pool.plain else form.texts
    return TextPlan(form.text, constraint, kernel, reason, form.pool, texts, form.potentials, rules)


@per_vocabulary(limit=256)
def _lower(vocabulary: Vocabulary, constraint: Constraint) -> _Lowered:
    """Return the constraint as rewritten, the kernel for it, the reason, and the rules."""
    check_satisfiable(constraint)
    rewritten, rules = rewrite(Constrained(_AnyTarget(), constraint))
    assert isinstance(rewritten, Constrained)
    constraint = rewritten.constraint
    parts = constraint.parts if isinstance(constraint, And) else (constraint,)
    checked = [part for part in parts if not _masks_exactly(vocabulary, part)]
    late = constraint.final_checks
    at_end = f"; only complete texts show {', '.join(late)}" if late else ""
    if not checked:
        return _Lowered(constraint, "masked", f"every part offers an exact mask{at_end}", rules)
    names = ", ".join(_short(part) for part in checked)
    why = "pinned to checks" if all(isinstance(part, Pinned) for part in checked) else "no exact mask"
    rest = "; masks for the rest" if len(checked) < len(parts) else ""
    return _Lowered(constraint, "awrs", f"{why} for {names}{rest}{at_end}", rules)


def _masks_exactly(vocabulary: Vocabulary, part: Constraint) -> bool:
    matcher = part.matcher(vocabulary)
    return matcher.mask() is not None and matcher.mask_is_exact


def _short(part: Constraint) -> str:
    text = str(part)
    return text if len(text) <= 60 else f"{text[:57]}..."
