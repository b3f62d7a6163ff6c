"""MDM: masked-diffusion language models, and the texts that they fill in.

A masked-diffusion language model (MDM) gives, for a sequence in which some positions are masked, a distribution for
each masked position: a denoiser. A text is drawn by unmasking: a rule that looks at the visible tokens chooses the next
position i, and its token v is drawn from μ_i(v | visible). So the law of a *path*, of positions and tokens, is

    Π_k r(i_k | visible) μ_{i_k}(v_k | visible),

and the law of a text is the sum over the paths that lead to it. Targets are measures over paths: in `p ** b` each
μ is raised to b, in `p * q` they are multiplied, and the rule r stays as it is. Where the rule leaves no choice, each
text has one path.

With `per_step` > 1 several positions are chosen at once and drawn independently, from what the denoiser said before
any of them was visible: fewer passes, and another law (the factorised path measure).

References: Sahoo et al. (2024), *Simple and effective masked diffusion language models*; Nie et al. (2025), *Large
language diffusion models*.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from ppl.errors import InvalidArgument
from ppl.lm import is_text
from ppl.targets import Target

if TYPE_CHECKING:
    from ppl.compiler.plan import InfillPlan
    from ppl.rng import Rng

Order: TypeAlias = Literal["random", "left_to_right", "confident"]


class MDM(ABC):
    """A masked-diffusion language model; subclasses compare by identity."""

    name: str
    size: int
    """Number of token ids, V."""
    mask: int
    """The id that stands for a masked position."""

    @abstractmethod
    def encode(self, text: str) -> tuple[int, ...]:
        """Return the ids of a text, without any at its ends that stand for no text."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids; it ends before the first id that ends a text, if the model has one."""

    @abstractmethod
    def frame(self, ids: Sequence[int]) -> tuple[tuple[int, ...], int]:
        """Return a sequence as the model expects it, with ids that begin and end it, and how many begin it."""

    @abstractmethod
    def example(self, plan: InfillPlan, rng: Rng) -> str:
        """Return one text as a plan draws it, with the weights and the constraint left out."""

    def __call__(
        self, prompt: str = "", *, length: int, order: Order = "random", per_step: int = 1
    ) -> Infill:
        """Return the distribution of the texts of `length` tokens that continue a prompt.

        Parameters
        ----------
        prompt:
            Visible from the start; it is not part of the text.
        length:
            Number of masked positions, at least 1.
        order:
            The rule for the next position, from the visible tokens only: "random" (any masked one, each as likely),
            "left_to_right", or "confident" (the one whose most probable token is most probable, the first of equals).
        per_step:
            Positions chosen at once, at least 1.
        """
        if not is_text(prompt):
            raise InvalidArgument(f"the prompt is {prompt!r}, not a text", hint="pass a str")
        if not isinstance(length, int) or isinstance(length, bool) or length < 1:
            raise InvalidArgument(f"length={length!r}", hint="a number of tokens of at least 1")
        ids = self.encode(prompt)
        return self._infill((*ids, *[self.mask] * length), len(ids), prompt, order, per_step)

    def infill(
        self, template: str, *, blank: str = "___", order: Order = "random", per_step: int = 1
    ) -> Infill:
        """Return the distribution of the texts that fill the blanks of a template, a token for each.

        Parameters
        ----------
        template:
            The text, in which each `blank` stands for one token; write several for several tokens.
        blank:
            What stands for a masked token.
        order, per_step:
            As of `__call__`.
        """
        if not is_text(template) or not blank or blank not in template:
            raise InvalidArgument(
                f"the template {template!r} has no blank {blank!r}", hint='such as "The ___ sat on the mat."'
            )
        first, *rest = template.split(blank)
        ids = [*self.encode(first)]
        for piece in rest:
            ids += [self.mask, *self.encode(piece)]
        return self._infill(tuple(ids), 0, template, order, per_step)

    def _infill(self, ids: tuple[int, ...], start: int, shown: str, order: Order, per_step: int) -> Infill:
        if order not in get_args(Order):
            raise InvalidArgument(f"order={order!r}", hint=f"one of {', '.join(get_args(Order))}")
        if not isinstance(per_step, int) or isinstance(per_step, bool) or per_step < 1:
            raise InvalidArgument(f"per_step={per_step!r}", hint="a number of positions of at least 1")
        template, begun = self.frame(ids)
        return Infill(self, template, start + begun, len(ids) + begun, shown, order, per_step)


@dataclass(frozen=True)
class Infill(Target[str]):
    """The distribution of the texts with which a masked-diffusion model fills masked positions."""

    mdm: MDM
    template: tuple[int, ...]
    start: int
    stop: int
    """The text is what positions [start, stop) spell."""
    shown: str
    order: Order
    per_step: int

    @property
    def masked(self) -> tuple[int, ...]:
        """The positions that are masked at first."""
        return tuple(i for i, token in enumerate(self.template) if token == self.mdm.mask)

    def __str__(self) -> str:
        step = f", per_step={self.per_step}" if self.per_step > 1 else ""
        return f"{self.mdm.name}({self.shown!r}, {len(self.masked)} masked, order={self.order!r}{step})"
