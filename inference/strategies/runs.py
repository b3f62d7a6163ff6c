"""Runs: strategies whose examples are the values of single runs of programs.

A run advances as in importance sampling with one particle: its tokens come from the site's kernel, inside all masks
and checks. Its weight is not used, only whether it is 0: then Hypothesis is told to reject the example, so a program
whose conditions seldom hold makes Hypothesis complain of too much filtering, with good reason.

The choice between masks and checks, which elsewhere follows measured times, stays as the run began: a run must be a
function of its choices. Drafts (`inference.drafts`) are guessed from this run alone, and save half of the passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from hypothesis import reject
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from typing_extensions import override

from grammars.constraint import Constraint
from grammars.json_schema import JsonSchema
from inference.runtime import Runtime
from inference.scheduler import Scheduler
from inference.strategies.bytewise import BytewiseTexts
from inference.strategies.choices import ChoiceRng
from ppl.errors import InvalidArgument
from ppl.lm import LM
from ppl.primitives import sample
from ppl.program import Model, Program, program
from ppl.targets import Target

R = TypeVar("R")


def from_program(model: Model[R] | Program[..., R], *args: Any, **kwargs: Any) -> SearchStrategy[R]:
    r"""Return a strategy for the values of a program.

    Parameters
    ----------
    model:
        A program, or a model: a program with its arguments.
    args, kwargs:
        Of a program; strategies among them are drawn from first, other values are passed as they are.

    Raises
    ------
    InvalidArgument
        If it is neither, or a model with further arguments.

    Examples
    --------
    >>> @program
    ... def greeting(name: str) -> str:
    ...     return sample(lm(f"A greeting for {name}:", stop="\n"))
    >>> greetings = from_program(greeting, st.sampled_from(["Ann", "Cy"]))
    """
    if isinstance(model, Program):
        fixed = st.tuples(*map(_strategy, args))
        named = st.fixed_dictionaries({name: _strategy(value) for name, value in kwargs.items()})
        return _program_values(model, fixed, named)
    if not isinstance(model, Model):
        raise InvalidArgument(
            f"from_program got {model!r}, which is no program", hint="decorate a function with @program"
        )
    if args or kwargs:
        raise InvalidArgument(
            f"{model!r} has its arguments already", hint="pass the program itself, and then its arguments"
        )
    return _model_values(model)


def from_target(target: Target[R], type_: Any = None) -> SearchStrategy[R]:
    """Return a strategy for the values of `sample(target)`, or of `sample(target, type_)` if a type is given.

    Raises
    ------
    InvalidArgument
        If it is no target.
    """
    if not isinstance(target, Target):
        raise InvalidArgument(
            f"from_target got {target!r}, which is no target", hint='for example lm("A name:")'
        )

    @program
    def value() -> Any:
        return sample(target) if type_ is None else sample(target, type_)

    return _model_values(value())


def from_constraint(
    constraint: Constraint, lm: LM | Target[str] | None = None, *, max_length: int = 256
) -> SearchStrategy[str]:
    """Return a strategy for texts of a constraint; `constraint.matches(text)` holds for every one.

    Parameters
    ----------
    constraint:
        Of the texts.
    lm:
        What writes them: a target such as `lm("A street:", max_tokens=30)`, or a language model, which is given no
        prompt. None: the fixed prior of `inference.strategies.bytewise`, which is fast and knows no words.
    max_length:
        Without a language model: the number of bytes after which a text is completed on a short way.

    Raises
    ------
    InvalidArgument
        If an argument is none of these.
    ContradictionError
        If no text matches, as far as that shows at once.
    """
    if not isinstance(constraint, Constraint):
        raise InvalidArgument(
            f"from_constraint got {constraint!r}, which is no constraint",
            hint="for example Regex(r'\\d+'); for schemas and types there is from_schema",
        )
    if not isinstance(max_length, int) or isinstance(max_length, bool) or max_length < 1:
        raise InvalidArgument(f"max_length={max_length!r}", hint="a number of bytes, at least 1")
    if lm is None:
        return _texts(BytewiseTexts(constraint, max_length))
    return from_target(_text(lm) & constraint)


def from_schema(
    schema: Any, lm: LM | Target[str] | None = None, *, max_length: int = 256
) -> SearchStrategy[Any]:
    """Return a strategy for the values of a JSON Schema, or for instances of a Python type that pydantic knows.

    Every value has been parsed from a text of `JsonSchema(schema)`; `from_constraint(JsonSchema(schema))` gives the
    texts. Without a language model they have no white space between their parts, and objects that admit members of any
    name are slow: say `"additionalProperties": False`.

    Parameters
    ----------
    schema:
        As of `JsonSchema`.
    lm, max_length:
        As of `from_constraint`.
    """
    constraint = JsonSchema(schema, whitespace="compact" if lm is None else "bounded")
    return from_constraint(constraint, lm, max_length=max_length).map(constraint.parse)


def _text(lm: LM | Target[str]) -> Target[str]:
    if isinstance(lm, LM):
        return lm("")
    if isinstance(lm, Target):
        return lm
    raise InvalidArgument(f"lm={lm!r}", hint='a language model, or a target such as lm("A street:")')


def _strategy(value: Any) -> SearchStrategy[Any]:
    return value if isinstance(value, SearchStrategy) else st.just(value)


@st.composite
def _texts(draw: DrawFn, texts: BytewiseTexts) -> str:
    return texts.draw(draw)


@st.composite
def _program_values(
    draw: DrawFn,
    called: Program[..., Any],
    args: SearchStrategy[Sequence[Any]],
    kwargs: SearchStrategy[Mapping[str, Any]],
) -> Any:
    return _value(draw, called(*draw(args), **draw(kwargs)))


@st.composite
def _model_values(draw: DrawFn, model: Model[Any]) -> Any:
    return _value(draw, model)


def _value(draw: DrawFn, model: Model[R]) -> R:
    """Return the value of one run; reject the example if its weight is 0."""
    with _FixedRuntime() as runtime:
        scheduler = _TellingScheduler(model, 1, ChoiceRng(draw), runtime)
        try:
            scheduler.start()
            (particle,) = scheduler.particles
            while particle.live:
                scheduler.propose()
                scheduler.draw()
        finally:
            scheduler.close()
    value: R = particle.value if particle.finished else reject()
    return value


class _TellingScheduler(Scheduler):
    """A scheduler of one particle that tells its generator which text a token is drawn for."""

    @override
    def _draw(self) -> None:
        (particle,) = self.particles
        if particle.text is not None:
            assert isinstance(self.rng, ChoiceRng)
            self.rng.expect(particle.text)
        super()._draw()


class _FixedRuntime(Runtime):
    """A runtime whose sites do not adapt to measured times."""

    @override
    def adapt(self) -> None:
        return
