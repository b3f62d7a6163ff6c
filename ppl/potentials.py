"""Potentials: functions that say how good a text is, in nats, and where that may be asked early.

A potential f turns a target p into p(x) · exp f(x). Only its value at the complete text counts. Asked earlier, at the
boundaries that `at` names, it steers: the weights follow f of the text so far, and resampling keeps the particles that
do well. What was multiplied in at one boundary is divided out at the next, so that f of the complete text remains.

Of a potential of each step nothing is divided out. With the boundaries b_1 < ... < b_n of the complete text, its end
included, the target is p(x) · exp Σ_k f(x[:b_k]): each step multiplies in its reward, as process reward models have it.

Reference: Del Moral (2004), *Feynman-Kac formulae*; in language models, Lew et al. (2023), *Sequential Monte Carlo
steering of large language models using probabilistic programs*; for rewards of steps, Puri et al. (2025), *A
probabilistic inference approach to inference-time scaling of LLMs using particle-based Monte Carlo methods*.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from ppl.errors import InvalidArgument, PotentialError

if TYPE_CHECKING:
    from ppl.targets import Target

_BOUNDARIES = {
    "word": r"\S(?=\s)",
    "line": r"\n",
    "sentence": r"""[.!?…。！？]["'”’)\]]*(?=\s)|[。！？]""",
}


@dataclass(frozen=True, eq=False)
class Function:
    """A function that compares by what it does: the same code with equal defaults and equal captured values.

    A program may then make a potential of a lambda: when the run is replayed, it makes an equal one.
    """

    call: Callable[..., Any]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Function) and _parts(self.call) == _parts(other.call)

    def __hash__(self) -> int:
        return hash(getattr(self.call, "__code__", None))


@dataclass(frozen=True)
class Potential:
    """A function f of texts, in nats, and the boundaries at which it is asked; see `potential` and `score`.

    Attributes
    ----------
    at:
        "end", "token", "word", "line", "sentence", or a regular expression.
    name:
        Shown in messages.
    scale:
        What f is multiplied by.
    """

    at: str
    name: str
    scale: float = field(default=1.0, kw_only=True)

    def __str__(self) -> str:
        scaled = "" if self.scale == 1.0 else f"{self.scale:g}·"
        return f"exp({scaled}{self.name}{'' if self.at == 'end' else f', at={self.at!r}'})"

    def __rmul__(self, other: Any) -> NoReturn:
        """Refuse what is no target: a target multiplies from its own side."""
        raise InvalidArgument(
            f"{other!r} * {self}: only targets have potentials",
            hint="`*` binds before `&`: write p * potential(f) & c",
        )

    def scaled(self, by: float) -> Self:
        """Return the potential `by` · f."""
        return replace(self, scale=self.scale * by)

    def boundary(self, text: str, after: int) -> int | None:
        """Return where the last boundary beyond `after` characters is, None if there is none.

        f is asked of the text up to it. The end of a complete text is a boundary always, and not looked for here.
        """
        if self.at == "end":
            return None
        if self.at == "token":
            return len(text)
        ends = [match.end() for match in _pattern(self.at).finditer(text, after) if match.end() > after]
        return ends[-1] if ends else None

    def weighed(self, texts: Sequence[str], values: Sequence[float]) -> list[float]:
        """Return the scaled values of f at texts.

        Raises
        ------
        PotentialError
            If one is no number below +inf.
        """
        for text, value in zip(texts, values, strict=True):
            if math.isnan(value) or self.scale * value == math.inf:
                raise PotentialError(
                    f"the potential {self} has the value {value} at {text!r}",
                    hint="a log-weight is a number below +inf; -inf rules the text out",
                )
        return [self.scale * value for value in values]


@dataclass(frozen=True)
class FunctionPotential(Potential):
    """The potential of a Python function.

    Attributes
    ----------
    batched:
        Whether it takes a list of texts.
    lookahead, rollouts:
        Where `lookahead` is not 0, at a boundary the function is asked of `rollouts` continuations by so many tokens.
    each:
        Whether the rewards of all steps count, and not the last alone.
    """

    function: Function
    batched: bool = False
    lookahead: int = 0
    rollouts: int = 1
    each: bool = False

    def __str__(self) -> str:
        return super().__str__().replace("exp(", "exp(Σ ", 1) if self.each else super().__str__()

    def steps(self, text: str) -> list[str]:
        """Return the texts whose values add up to that of `text`: up to each boundary and the end, or itself."""
        if not self.each:
            return [text]
        ends = {match.end() for match in _pattern(self.at).finditer(text)}
        return [text[:end] for end in sorted({*ends, len(text)} - {0}) or [0]]

    def ask(self, texts: Sequence[str]) -> list[float]:
        """Return the scaled values of the potential at distinct texts: of f, or sums of f over the steps."""
        steps = [self.steps(text) for text in texts]
        distinct = list(dict.fromkeys(step for text in steps for step in text))
        known = dict(zip(distinct, self.judge(distinct), strict=True))
        return [math.fsum(known[step] for step in text) for text in steps]

    def judge(self, texts: Sequence[str]) -> list[float]:
        """Return the scaled values of f at distinct texts.

        Raises
        ------
        PotentialError
            If the function raises, or returns anything but numbers below +inf, one for each text.
        """
        function = self.function.call
        try:
            found = list(function(list(texts))) if self.batched else [function(text) for text in texts]
            values = [float(value) for value in found]
        except Exception as error:
            raise PotentialError(
                f"the potential {self.name} raised {type(error).__name__}: {error}, asked of {_few(texts)}",
                hint="it must return a number of nats for every text, also for the beginning of one",
            ) from error
        if len(values) != len(texts):
            raise PotentialError(
                f"the potential {self.name} returned {len(values)} values for {len(texts)} texts",
                hint="with batched=True it gets a list of texts and returns as many numbers",
            )
        return self.weighed(texts, values)


@dataclass(frozen=True)
class ScorePotential(Potential):
    """The log-density of a text under a target, as `observe` has it; inference computes it."""

    target: Target[Any]


def potential(
    f: Callable[..., Any],
    at: str = "end",
    *,
    batched: bool = False,
    lookahead: int = 0,
    rollouts: int = 1,
    each: bool = False,
    name: str | None = None,
) -> FunctionPotential:
    """Return the factor exp f(x), by which targets are multiplied with `*`.

    Parameters
    ----------
    f:
        Maps a text to a number of nats below +inf. -inf rules the text out, at a boundary with all that begin
        with it. It is asked once for each text in a run and must not depend on anything else.
    at:
        Where f may be asked of the text so far: "end" (of complete texts only), "token" (after every token),
        "word", "line", "sentence", or a regular expression, after each of whose matches f is asked of the text up
        to there. The target is the same for all of these.
    batched:
        Whether f takes a list of texts, all that are to be asked at once, and returns a list of numbers.
    lookahead, rollouts:
        With a lookahead of k tokens, at a boundary f is asked of `rollouts` drawn continuations of the text so far by
        at most k tokens of the (first) language model, and the mean of exp f is the twist there, at least exp(-10). It
        is drawn, noted, and divided out, so that the target is the same.
    each:
        Whether f is the reward of a step, which ends at a boundary: the target is p(x) · exp Σ f, the sum over the text
        up to each boundary and the whole text, once each. By default the last value counts alone. Here the boundaries
        are part of the target; "end" and "token" make none.
    name:
        Shown in messages.

    Examples
    --------
    >>> shorter = potential(lambda text: -0.1 * len(text), at="word")
    """
    if not callable(f):
        raise InvalidArgument(f"potential got {f!r}", hint="a function of a text that returns a number")
    _require_boundary(at)
    for given, least in ((lookahead, 0), (rollouts, 1)):
        if not isinstance(given, int) or isinstance(given, bool) or given < least:
            raise InvalidArgument(
                f"potential got lookahead={lookahead!r}, rollouts={rollouts!r}",
                hint="lookahead is an integer of at least 0, rollouts one of at least 1",
            )
    if not isinstance(each, bool) or (each and (lookahead or at in ("end", "token"))):
        raise InvalidArgument(
            f"potential got each={each!r}, at={at!r}, lookahead={lookahead!r}",
            hint='the rewards of steps add up at boundaries that the text shows, such as at="line"; no lookahead',
        )
    if lookahead and at == "end":
        raise InvalidArgument("a lookahead at the end", hint='at="word" or another boundary before the end')
    named = name or getattr(f, "__qualname__", None) or str(f)
    return FunctionPotential(at, named, Function(f), batched, lookahead, rollouts, each)


def score(target: Target[Any], at: str = "end") -> ScorePotential:
    """Return the log-density under another target, as a potential by which targets are multiplied.

    It is that of the canonical tokenization with its end, as for `observe`. So a language model with other tokens than
    p can judge what p writes. At earlier boundaries it is the log-probability of the text so far, without an end.

    Parameters
    ----------
    target:
        A text, such as `lm("An advertisement: ")`, or a product or power of texts.
    at:
        As of `potential`. Each question evaluates the whole text so far.
    """
    _require_boundary(at)
    if not hasattr(target, "__and__") or callable(target):
        raise InvalidArgument(f"score got {target!r}", hint="a target, such as lm(prompt)")
    return ScorePotential(at, f"log {target}", target)


def _require_boundary(at: object) -> None:
    hint = '"end", "token", "word", "line", "sentence" or a regular expression'
    if not isinstance(at, str) or not at:
        raise InvalidArgument(f"at={at!r}", hint=hint)
    if at not in ("end", "token"):
        try:
            _pattern(at)
        except re.error as error:
            raise InvalidArgument(f"at={at!r} is no regular expression: {error}", hint=hint) from error


@lru_cache(maxsize=64)
def _pattern(at: str) -> re.Pattern[str]:
    return re.compile(_BOUNDARIES.get(at, at))


def _parts(function: Callable[..., Any]) -> tuple[Any, ...]:
    """Return what tells a function from others."""
    if isinstance(function, partial):
        return _parts(function.func), function.args, tuple(sorted(function.keywords.items()))
    if isinstance(function, FunctionType):
        captured = tuple(_content(cell) for cell in function.__closure__ or ())
        return function.__code__, function.__defaults__, function.__kwdefaults__, captured
    return (function,)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet set
        return None


def _few(texts: Sequence[str]) -> str:
    return ", ".join(map(repr, texts[:3])) + (", ..." if len(texts) > 3 else "")
