"""Reading requests: from the JSON of the protocol to what is computed.

What each field means is in `docs/server.md`. Every field is either understood or refused by name.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from grammars import Constraint
from grammars.errors import PPLError
from inference.cli.methods import method_of
from inference.engines.base import Engine
from inference.engines.warped import WarpedLM
from inference.many import program_seed
from inference.methods import SMC, BeamSearch, Importance, Method, ParticleGibbs, SuffixMCMC
from inference.server.asked import Asked, Limits, Prompt, most_runs
from inference.server.errors import RequestError, request_error
from inference.server.fields import Fields
from inference.server.formats import grammar, response_format
from inference.server.messages import read_messages, with_instruction
from inference.server.tools import Tools, read_tools
from ppl.errors import PromptTooLong
from ppl.targets import Text

_PARTICLES = 16
_MOST_CHOICES, _MOST_STOPS, _MOST_ALTERNATIVES = 128, 16, 20
_SEEDS = 1 << 32


@dataclass(frozen=True)
class Reader:
    """The reader of the requests to one model, under the name by which clients know it."""

    lm: Engine
    name: str
    limits: Limits

    def chat(self, data: Any) -> Asked:
        """Return what a request for a chat completion asks for.

        Raises
        ------
        RequestError
            If a field is unknown, not supported, or has a wrong value.
        """
        fields = self._fields(data)
        conversation = read_messages(fields)
        tools = read_tools(fields)
        if tools is not None:
            conversation = with_instruction(conversation, tools.prompt())
        form = _one_form(response_format(fields), grammar(fields), fields)
        logprobs = _alternatives(fields)
        write = _Writer(lambda lm, **options: lm.chat(conversation, **options), "messages")
        return self._asked(fields, [write], form, tools, logprobs, "max_completion_tokens", chat=True)

    def completion(self, data: Any) -> Asked:
        """Return what a request for a completion asks for; raises as `chat` does."""
        fields = self._fields(data)
        writers = [_continuing(prompt, place) for place, prompt in _prompts(fields).items()]
        form = grammar(fields)
        logprobs = fields.integer("logprobs", 0, _MOST_ALTERNATIVES)
        fields.neutral(echo=False, best_of=1, suffix="")
        return self._asked(fields, writers, form, None, logprobs, chat=False)

    def _fields(self, data: Any) -> Fields:
        fields = Fields(data)
        model = fields.need("model", str)
        if model != self.name:
            raise unknown_model(model, self.name)
        return fields

    def _asked(
        self,
        fields: Fields,
        writers: Sequence[_Writer],
        form: Constraint | None,
        tools: Tools | None,
        logprobs: int | None,
        *lengths: str,
        chat: bool,
    ) -> Asked:
        """Read the fields that both endpoints have; `lengths` are the names of the length beside `max_tokens`."""
        n = fields.integer("n", 1, _MOST_CHOICES) or 1
        if n * len(writers) > _MOST_CHOICES:
            raise fields.error(
                "prompt",
                f"has {len(writers)} texts of n={n} choices",
                hint=f"up to {_MOST_CHOICES} choices in all",
            )
        max_tokens = self._max_tokens(fields, *lengths)
        cut = form is None and (tools is None or not tools.required)
        constraint = form if tools is None else tools.constraint(form)
        temperature = fields.number("temperature", 1.0, 0.0, 100.0)
        top_p = fields.number("top_p", 1.0, 0.0, 1.0)
        if top_p == 0.0:
            raise fields.error("top_p", "is 0", hint="above 0; temperature=0 is greedy search")
        method = _method(fields, n, temperature, free=constraint is None)
        if not method.recordable:
            raise fields.error(
                "method",
                f"{method!r} is not known token by token",
                hint="for example smc, importance, enumerate",
            )
        self._check_moves(fields, method, max_tokens, len(writers))
        try:
            lm = _warped(self.lm, temperature or 1.0, top_p, max_tokens if cut else None)
        except PPLError as error:  # of temperatures that are all but 0
            raise request_error(error, "temperature") from error
        stops = _stops(fields)
        texts = [write(lm, stop=stops, max_tokens=max_tokens) for write in writers]
        seed = fields.integer("seed", 0)
        stream = fields.get("stream", bool) or False
        include_usage = _stream_options(fields, stream)
        fields.neutral(frequency_penalty=0, presence_penalty=0, logit_bias={}, store=False)
        fields.done()
        seed = secrets.randbelow(_SEEDS) if seed is None else seed
        prompts = tuple(
            Prompt(
                write.field,
                text,
                text if constraint is None else text & constraint,
                seed if len(texts) == 1 else program_seed(seed, k),
            )
            for k, (write, text) in enumerate(zip(writers, texts, strict=True))
        )
        return Asked(self.lm, prompts, cut, method, seed, n, logprobs, tools, chat, stream, include_usage)

    def _max_tokens(self, fields: Fields, *others: str) -> int:
        """Return the length limit, under whichever of its names it was given."""
        given = [name for name in ("max_tokens", *others) if name in fields]
        if len(given) > 1:
            raise fields.error(given[0], f"and {given[1]} are both given", hint="leave one of them out")
        return (fields.integer(given[0], 1) if given else None) or self.limits.max_tokens

    def _check_moves(self, fields: Fields, method: Method, max_tokens: int, prompts: int) -> None:
        if isinstance(method, ParticleGibbs | SuffixMCMC):
            raise fields.error(
                "method",
                f"{method!r} is not served: its runs begin in the middle of others, and their tokens are not known",
                hint="particle-independent-mh is a chain of whole runs",
            )
        runs = most_runs(method)
        if runs is None:
            raise fields.error(
                "method",
                f"{method!r} is not bounded beforehand",
                hint="for tempered-smc give exponents=[...]",
            )
        if runs * max_tokens * prompts > self.limits.max_moves:
            each = f" for each of {prompts} prompts" if prompts > 1 else ""
            raise RequestError(
                f"{runs} runs of {max_tokens} tokens{each} are more than this server's {self.limits.max_moves}",
                hint="fewer prompts or particles, a lower max_tokens, a parameter of the method such as "
                "enumerate:max_paths=100, or ppl serve --max-moves",
                param="particles" if getattr(method, "particles", None) else "method",
                code="too_much",
            )


@dataclass(frozen=True)
class _Writer:
    """How a model writes an answer, and the field that it answers."""

    write: Callable[..., Text]
    field: str

    def __call__(self, lm: Engine, **options: Any) -> Text:
        try:
            return self.write(lm, **options)
        except PromptTooLong as error:
            raise RequestError(
                error.message, hint=error.hint, param=self.field, code="context_length_exceeded"
            ) from error
        except PPLError as error:
            raise request_error(error, self.field) from error


def _continuing(prompt: str, field: str) -> _Writer:
    return _Writer(lambda lm, **options: lm(prompt, **options), field)


def _prompts(fields: Fields) -> dict[str, str]:
    """Return the prompts of a completion, by their places in the request."""
    prompt: Any = fields.need("prompt", str, list)
    if isinstance(prompt, str):
        return {"prompt": prompt}
    for k, each in enumerate(prompt):
        if not isinstance(each, str):
            raise RequestError(
                f"prompt[{k}] is not a string; token ids are not supported",
                hint="a string, or a list of strings",
                param=f"prompt[{k}]",
                code="unsupported_value",
            )
    if not prompt:
        raise fields.error("prompt", "is an empty list", hint="a string, or a list of strings")
    return {f"prompt[{k}]": each for k, each in enumerate(prompt)}


def unknown_model(asked: str, known: str) -> RequestError:
    """Return the error about a model that is not served."""
    return RequestError(
        f"there is no model {asked!r}", hint=known, status=404, param="model", code="model_not_found"
    )


def _one_form(first: Constraint | None, second: Constraint | None, fields: Fields) -> Constraint | None:
    if first is not None and second is not None:
        raise fields.error("grammar", "and response_format are both given", hint="leave one of them out")
    return first if second is None else second


def _method(fields: Fields, n: int, temperature: float, *, free: bool) -> Method:
    """Return the method: the one that is named, or what the request is best served by.

    A text that is free needs no weights, so that each choice gets a run of its own.
    """
    spec = fields.get("method", str)
    particles = fields.integer("particles", 1)
    if temperature == 0.0:
        if spec is not None or particles is not None:
            raise fields.error(
                "temperature",
                "is 0, which is greedy search, a method of its own",
                hint="leave out method and particles, or raise the temperature",
            )
        return BeamSearch(1)
    if spec is None:
        if free and particles is None:
            return Importance(n)
        return SMC(particles or _PARTICLES)
    try:
        return method_of(spec, particles)
    except PPLError as error:
        raise request_error(error, "method") from error


def _warped(lm: Engine, temperature: float, top_p: float, length: int | None) -> Engine:
    if temperature == top_p == 1.0 and length is None:
        return lm
    return WarpedLM(lm, temperature=temperature, top_p=top_p, length=length)


def _stops(fields: Fields) -> list[str]:
    stop: str | list[Any] = fields.get("stop", str, list) or []
    stops = [stop] if isinstance(stop, str) else stop
    if len(stops) > _MOST_STOPS or not all(isinstance(s, str) and s for s in stops):
        raise fields.error("stop", "is not understood", hint=f"up to {_MOST_STOPS} strings, none empty")
    return stops


def _alternatives(fields: Fields) -> int | None:
    """Return how many alternatives a chat is to tell; None: no log-probabilities."""
    asked = fields.get("logprobs", bool)
    alternatives = fields.integer("top_logprobs", 0, _MOST_ALTERNATIVES)
    if alternatives is not None and not asked:
        raise fields.error("top_logprobs", "is given without logprobs", hint="logprobs: true")
    return (alternatives or 0) if asked else None


def _stream_options(fields: Fields, stream: bool) -> bool:
    """Return whether the usage is to be streamed."""
    given = fields.any("stream_options")
    if given is None:
        return False
    if not stream:
        raise fields.error("stream_options", "is given without stream", hint="stream: true")
    options = Fields(given, "stream_options")
    usage = options.get("include_usage", bool) or False
    options.done()
    return usage
