"""ppl: a probabilistic programming language for controlled generation from language models.

Write a function, decorate it with `@program`, and it means a posterior over its return values:

    from ppl import program, sample, condition, factor

`grammars` holds the constraints, `inference` the language models and the methods.
"""

from grammars.errors import PPLError
from ppl.errors import (
    InvalidArgument,
    OutsideInference,
    PotentialError,
    ProgramError,
    ReplayDivergence,
    UnboundedTarget,
)
from ppl.lm import LM
from ppl.potentials import Potential, potential, score
from ppl.primitives import condition, factor, memo, observe, sample
from ppl.program import Model, Program, program
from ppl.targets import Categorical, Target, guide, power_mean
from ppl.trace import Choice, Trace

__all__ = [
    "LM",
    "Categorical",
    "Choice",
    "InvalidArgument",
    "Model",
    "OutsideInference",
    "PPLError",
    "Potential",
    "PotentialError",
    "Program",
    "ProgramError",
    "ReplayDivergence",
    "Target",
    "Trace",
    "UnboundedTarget",
    "condition",
    "factor",
    "guide",
    "memo",
    "observe",
    "potential",
    "power_mean",
    "program",
    "sample",
    "score",
]
