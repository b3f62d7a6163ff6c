"""Plan: which kernel draws a text site's tokens, and why.

=======  =====================================================  =====================================
kernel   when                                                   incremental weight
=======  =====================================================  =====================================
direct   one expert, nothing else                               1
masked   every constraint offers an exact mask                  Z = allowed mass of the next token
checked  some constraint offers only a check (or an inexact     Z · 1[the drawn token passes the check]
         mask)
=======  =====================================================  =====================================

Whatever the kernel, at the length limit only the end is allowed and its probability is the weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grammars.algebra import check_satisfiable
from grammars.cache import per_vocabulary
from grammars.constraint import Constraint
from grammars.vocabulary import Vocabulary
from ppl.compiler.normal_form import TextForm
from ppl.targets import Text

KernelName = Literal["direct", "masked", "checked"]


@dataclass(frozen=True)
class TextPlan:
    """How a text site is computed. The same measure as its form, whatever the kernel."""

    text: Text
    constraint: Constraint | None
    kernel: KernelName
    reason: str


def plan_text(form: TextForm) -> TextPlan:
    """Return the plan of a text site; no language model is called.

    Raises
    ------
    ContradictionError
        If no text satisfies the constraint, as far as a bounded search shows (see `check_satisfiable`).
    """
    if form.constraint is None:
        return TextPlan(
            form.text, None, "direct", "one expert without constraints: its own draw has weight 1"
        )
    kernel, reason = _kernel_for(form.text.lm.vocabulary, form.constraint)
    return TextPlan(form.text, form.constraint, kernel, reason)


@per_vocabulary(limit=256)
def _kernel_for(vocabulary: Vocabulary, constraint: Constraint) -> tuple[KernelName, str]:
    """Return the kernel for a constraint over a vocabulary, and the reason."""
    check_satisfiable(constraint)
    matcher, late = constraint.matcher(vocabulary), constraint.final_checks
    at_end = f"; only complete texts show {', '.join(late)}" if late else ""
    if matcher.mask() is not None and matcher.mask_is_exact:
        return "masked", f"every constraint offers an exact mask{at_end}"
    return "checked", f"part of the constraint offers only a check of single tokens{at_end}"
