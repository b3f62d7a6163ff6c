"""Nesting: inference inside a program.

`nested(model, method)` is a target with the measure γ of the model, unnormalised, as `sample(model)` is. The run that
reaches it has a particle approximation of γ made: values x_j and masses m_j with E[Σ_j m_j f(x_j)] = γ(f). One value is
drawn in proportion to the masses, and the run is multiplied by their sum, the estimate Ẑ of the model's evidence. So
E[Ẑ 1{x = v}] = γ(v): the site is properly weighted, whatever `method` is, if it is unbiased. The more particles it has,
the less Ẑ varies, and the more each run of the outer program has looked ahead. For `observe` the mass that is found at
the value is the weight, an unbiased estimate of γ(value).

`normalised(model, method)` is γ / Z. An estimate of Z does not help here, since E[1 / Ẑ] is not 1 / Z: a value drawn
from the particles by their weights follows the posterior only as they grow. It is exact where the method is, hence
for methods that enumerate, or that return independent draws from the posterior, and only these are accepted.

A run keeps the estimates that it was given, as it keeps the random weights of AWRS, so that Markov chains over runs are
pseudo-marginal chains.

References: Naesseth, Lindsten and Schön (2015), *Nested sequential Monte Carlo methods*; Andrieu and Roberts (2009),
*The pseudo-marginal approach for efficient Monte Carlo computations*; Rainforth (2018), *Nesting probabilistic
programs*, for what goes wrong with estimates of γ / Z.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from inference.errors import BudgetExceeded
from inference.methods.adaptive_rejection import AdaptiveRejection
from inference.methods.base import Method, Result
from inference.methods.enumerate import Enumerate
from inference.methods.importance import Importance
from inference.methods.rejection import Rejection
from inference.methods.resample_move import ResampleMoveSMC
from inference.methods.smc import SMC
from inference.methods.steering import SteeringSMC
from inference.methods.tempered import TemperedSMC
from inference.progress import Progress
from inference.runtime import Runtime
from inference.weights import log_sum_exp
from ppl.compiler.normal_form import FiniteForm
from ppl.errors import InvalidArgument
from ppl.nested import Nested
from ppl.program import Model
from ppl.rng import Rng
from ppl.targets import Target

T = TypeVar("T")

_UNBIASED = (SMC, Importance, Enumerate, Rejection, ResampleMoveSMC, SteeringSMC)
_EXACT = (Enumerate, Rejection, AdaptiveRejection)


def nested(model: Model[T], method: Method) -> Target[T]:
    """Return the measure of `model` as a target that each run of the program around it computes by `method`.

    `sample(nested(model, method))` means what `sample(model)` means; the value is not parsed again in replays, so it
    must not be mutated. `observe(nested(model, method), value)` multiplies by the model's unnormalised mass at the
    value.

    Parameters
    ----------
    model:
        A program, applied to its arguments; these are compared when runs are replayed.
    method:
        `SMC`, `Importance`, `SteeringSMC`, `ResampleMoveSMC`, `Rejection`, `Enumerate`, or `TemperedSMC` with fixed
        exponents: those whose weighted samples are unbiased.

    Raises
    ------
    InvalidArgument
        For another method. In a run: if the outer method follows all values (`Enumerate`, `BeamSearch`) or learns
        masses (`AdaptiveRejection`), and `method` is not `Enumerate`, whose masses are exact.
    """
    tempered = isinstance(method, TemperedSMC) and method.exponents is not None
    if not isinstance(method, _UNBIASED) and not tempered:
        raise InvalidArgument(
            f"nested(..., {method!r}): its weighted samples are no unbiased estimate of the program's measure",
            hint="for example SMC(8), SteeringSMC(8) or Enumerate()",
        )
    return _target(model, method, normalised=False)


def normalised(model: Model[T], method: Method | None = None) -> Target[T]:
    """Return the posterior of `model`, its measure divided by its evidence, as a target.

    Parameters
    ----------
    model:
        A program, applied to its arguments.
    method:
        `Enumerate()`, the default, or `Rejection` or `AdaptiveRejection`, whose samples are exact.

    Raises
    ------
    InvalidArgument
        For another method. In a run: if the evidence of `model` is 0, so that it has no posterior.
    BudgetExceeded
        In a run, if the method ends without the samples that it was to draw. To give the run the weight 0 would not be
        exact: it happens more often where the evidence is small.
    """
    method = Enumerate() if method is None else method
    if not isinstance(method, _EXACT):
        raise InvalidArgument(
            f"normalised(..., {method!r}): the draws of this method are not exactly from the posterior",
            hint="Enumerate(), Rejection or AdaptiveRejection; or nested(model, method), the unnormalised measure",
        )
    return _target(model, method, normalised=True)


def _target(model: Model[T], method: Method, *, normalised: bool) -> Nested[T]:
    if not isinstance(model, Model):
        raise InvalidArgument(f"nested got {model!r}, which is no model", hint="call the program: inner(...)")
    return Nested(model.program, model.args, tuple(model.kwargs.items()), Inner(method), normalised)


@dataclass(frozen=True)
class Inner:
    """A method, as the scheduler asks it of a nested program."""

    method: Method

    @property
    def exact(self) -> bool:
        """Whether the masses are known without error."""
        return isinstance(self.method, Enumerate)

    def form(self, target: Nested[Any], rng: Rng, runtime: Runtime) -> tuple[FiniteForm, int]:
        """Return values of a nested program with their masses, and the number of tokens that were drawn.

        Exact ones are computed once in a run of the outer program.
        """
        known = _known(target, runtime) if self.exact else None
        if known is not None:
            return known, 0
        with runtime.apart() as inner:
            inner.bridge = None
            result = self.method.run(target.model, rng, inner, Progress())
        form = self._form(target, result)
        if self.exact:
            with suppress(TypeError):  # arguments that have no hash are asked about again
                runtime.nested[target] = form
        return form, result.drawn

    def _form(self, target: Nested[Any], result: Result) -> FiniteForm:
        pairs = zip(result.particles, result.log_weights.tolist(), strict=True)
        found = [(particle.value, w) for particle, w in pairs if particle.finished and w > -math.inf]
        if target.normalised:
            self._require_posterior(target, result, len(found))
        shift = (0.0 if target.normalised else result.log_evidence) - log_sum_exp(result.log_weights)
        return FiniteForm(tuple(value for value, _ in found), tuple(w + shift for _, w in found))

    def _require_posterior(self, target: Nested[Any], result: Result, found: int) -> None:
        if self.exact and not found:
            raise InvalidArgument(
                f"{target} has no posterior: its evidence is 0. {result.last_death or ''}",
                hint="condition the outer program on what makes it possible, before this site",
            )
        wanted = self.method.samples if isinstance(self.method, AdaptiveRejection) else 1
        if not self.exact and found < wanted:
            raise BudgetExceeded(
                f"{target} has found {found} of {wanted} samples: a run without them has no exact weight",
                hint="more attempts, or Enumerate()",
            )

    def __repr__(self) -> str:
        return repr(self.method)


def _known(target: Nested[Any], runtime: Runtime) -> FiniteForm | None:
    try:
        return runtime.nested.get(target)
    except TypeError:  # arguments that have no hash
        return None
