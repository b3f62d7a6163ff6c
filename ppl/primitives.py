"""The primitives: `sample`, `observe`, `condition`, `factor`, `memo`.

Each is one call in an ordinary Python function decorated with `@program`, and multiplies the run's measure:

=====================  ==========================================================
`sample(target)`       draws x; the target's mass counts in the evidence
`sample(target, T)`    `sample(target & constraint_of(T))`, parsed into a T
`observe(target, t)`   multiplies by the target's density at text t
`condition(b)`         multiplies by 1[b]
`factor(w)`            multiplies by exp(w)
=====================  ==========================================================
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Never, TypeVar, overload

from grammars.types import constraint_of
from ppl.compiler.normal_form import InfillForm, TextForm, normal_form
from ppl.errors import InvalidArgument
from ppl.fiber import Draw, Observe, Weigh, current_fiber
from ppl.lm import is_text
from ppl.misplaced import refuse
from ppl.program import Model
from ppl.targets import Target
from ppl.trace import Address

T = TypeVar("T")


@overload
def sample(target: Model[T], *, name: str | None = None) -> T: ...
@overload
def sample(target: Target[T], *, name: str | None = None) -> T: ...
@overload
def sample(target: Target[Any], type_: type[T], *, name: str | None = None) -> T: ...
@overload
def sample(target: Target[Any], type_: Any, *, name: str | None = None) -> Any: ...
def sample(target: Any, type_: Any = None, *, name: str | None = None, **misplaced: Never) -> Any:
    """Draw a value from `target`.

    Parameters
    ----------
    target:
        A text (`lm(...)`, `lm.chat(...)`, with `& constraint` or not), a `Categorical`, or another program's
        model, which is run in place.
    type_:
        A Python type (int, Literal, Enum, dataclass, pydantic model, ...) or a constraint: constrains the text
        to it and returns the parsed value.
    name:
        A name for the site, shown in traces and messages.
    **misplaced:
        Refused: settings of the text, of the model or of the run, which are not the draw's.

    Returns
    -------
    The text as a str (bytes that are not UTF-8 become U+FFFD), the parsed value, or the finite value.

    Raises
    ------
    InvalidArgument
        If `target` is none or has no meaning, or an argument is misplaced; it leaves `infer` as a `ProgramError`.
    """
    fiber = current_fiber("sample")
    if misplaced:
        refuse("sample", misplaced, "a target, a type and name=")
    if isinstance(target, Model):
        if type_ is not None:
            raise InvalidArgument("sample(model, T): a program's value has its own type", hint="leave T out")
        if name is not None:
            raise InvalidArgument(
                f"sample(model, name={name!r}): a program is no site", hint="name the sites inside of it"
            )
        return target.run()
    if not isinstance(target, Target):
        raise InvalidArgument(
            f"sample got {target!r}, which is not a target",
            hint="pass lm(prompt), lm.chat(messages), Categorical(values) or another program's model",
        )
    parse = None
    if type_ is not None:
        constraint = constraint_of(type_)
        target, parse = target & constraint, constraint.parse
    normal_form(target)  # so that a target without meaning is refused here, in the program
    return fiber.request(Draw(_address(sys._getframe(1), name), target, parse))


def observe(target: Target[T], value: T, *, name: str | None = None, **misplaced: Never) -> None:
    """Multiply the weight by the density of `target` at `value`.

    For a language model this is the probability of the canonical tokenization of the text, its end included
    (end-of-sequence or a stop string); 0 if that is longer than `max_tokens` or violates the constraint.
    For a `Categorical`, the probability of the value.
    """
    fiber = current_fiber("observe")
    if misplaced:
        refuse("observe", misplaced, "a target, a value and name=")
    form = normal_form(target)
    if isinstance(form, InfillForm):
        raise InvalidArgument(
            f"observe got {target}: the density of a text is a sum over all orders of unmasking",
            hint="observe a language model that writes from left to right",
        )
    if isinstance(form, TextForm) and not is_text(value):
        raise InvalidArgument(
            f"observe got {value!r} as a text of {target}",
            hint="pass a str: for JSON the text itself, as json.dumps(value) or model.model_dump_json() give it",
        )
    fiber.request(Observe(_address(sys._getframe(1), name), target, value))


def condition(holds: Any, *, name: str | None = None) -> None:
    """Multiply the weight by 1 if `holds` is true, by 0 otherwise (the run then stops here)."""
    fiber = current_fiber("condition")
    fiber.request(Weigh(_address(sys._getframe(1), name), 0.0 if holds else -math.inf, "condition"))


def factor(log_weight: float, *, name: str | None = None) -> None:
    """Multiply the weight by exp(`log_weight`); nats, -inf allowed, nan and +inf refused."""
    fiber = current_fiber("factor")
    w = float(log_weight)
    if math.isnan(w) or w == math.inf:
        raise InvalidArgument(
            f"factor({w})", hint="a log-weight is a number below +inf; -inf rules the run out"
        )
    fiber.request(Weigh(_address(sys._getframe(1), name), w, "factor"))


def memo(call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Return `call(*args, **kwargs)`, computed once per run and recorded.

    A run that was duplicated by resampling is replayed up to where it was; `memo` keeps the replay from
    repeating what is slow (a query, a request) or must not change (a clock). An exception is recorded, too, and
    raised again in the replay. The result is shared between the copies: do not mutate it.
    """
    fiber = current_fiber("memo")
    result: T = fiber.memo(_address(sys._getframe(1), None), lambda: call(*args, **kwargs))
    return result


def _address(frame: FrameType, name: str | None) -> Address:
    code = frame.f_code
    return Address(code.co_filename, frame.f_lineno, code.co_qualname, name)
