"""What a request asks for: programs with a method, how many choices of each posterior, and what is told of them."""

from __future__ import annotations

from dataclasses import dataclass

from inference.cli.tasks import text as text_program
from inference.engines.base import Engine
from inference.methods import (
    SMC,
    AdaptiveConsistency,
    AdaptiveRejection,
    BeamSearch,
    BestOfN,
    Enumerate,
    FirstFinished,
    Importance,
    LocallyConstrained,
    Method,
    ParticleIndependentMH,
    Rejection,
    SteeringSMC,
    TemperedSMC,
)
from inference.server.tools import Tools
from ppl.program import Model
from ppl.targets import Target, Text


@dataclass(frozen=True)
class Limits:
    """What a request may ask for.

    Attributes
    ----------
    max_tokens:
        Of a text whose request does not say.
    max_moves:
        Runs of the method times `max_tokens`, over all prompts, at most.
    max_body:
        Bytes of a request, at most.
    """

    max_tokens: int = 256
    max_moves: int = 1 << 18
    max_body: int = 1 << 20


@dataclass(frozen=True)
class Prompt:
    """A prompt of a request, with what is written after it.

    Attributes
    ----------
    field:
        Its place in the request, such as "prompt[1]".
    text:
        The text under the model that is sampled from, which may be a warped one.
    target:
        The text under its constraint.
    seed:
        Of its posterior.
    """

    field: str
    text: Text
    target: Target[str]
    seed: int

    @property
    def model(self) -> Model[str]:
        """The program with its arguments."""
        return text_program(self.target)


@dataclass(frozen=True)
class Asked:
    """What is computed for a request, and in which form it is answered.

    Attributes
    ----------
    lm:
        The model as it is, whose log-probabilities are told.
    prompts:
        What is written, each by itself: of a chat one, of a completion one or several.
    cut:
        Whether a text that reaches `max_tokens` is over there; else it had to end of itself.
    method, seed:
        How the posteriors are computed. One prompt has this seed, several have seeds derived from it.
    n:
        The number of choices for each prompt.
    logprobs:
        How many alternatives are told for each token; None: no log-probabilities.
    tools:
        What the answer may call.
    chat:
        Whether this is a conversation.
    stream, include_usage:
        Whether the answer comes in events, and the usage with them.
    """

    lm: Engine
    prompts: tuple[Prompt, ...]
    cut: bool
    method: Method
    seed: int
    n: int
    logprobs: int | None
    tools: Tools | None
    chat: bool
    stream: bool
    include_usage: bool

    @property
    def token_by_token(self) -> bool:
        """Whether each token is final once it is drawn: a prompt has one run, and nothing that it may fail.

        Of several runs, or under a constraint, a run may have weight 0 in the end, or another may be chosen.
        """
        single = isinstance(self.method, SMC | Importance) and self.method.particles == 1
        return single and self.n == 1 and all(prompt.target is prompt.text for prompt in self.prompts)


def most_runs(method: Method) -> int | None:
    """Return how many runs of the program a method makes at most; None where nothing bounds that beforehand."""
    match method:
        case SMC() | SteeringSMC() | Importance() | LocallyConstrained() | BestOfN():
            return method.particles
        case FirstFinished() | AdaptiveConsistency():
            return method.particles
        case BeamSearch():
            return method.width
        case Enumerate():
            return method.max_paths
        case Rejection():
            return method.attempts
        case AdaptiveRejection():
            return method.max_attempts
        case ParticleIndependentMH():
            return method.particles * (1 + method.burn_in + method.sweeps)
        case TemperedSMC() if method.exponents is not None:
            return method.particles * (1 + method.moves * len(method.exponents))
        case _:
            return None
