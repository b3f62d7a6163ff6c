"""Warped language models: next-token distributions of another model, at a temperature, cut to a nucleus, or ended.

What samplers call temperature and top-p chooses each token by its own score. As a statement about texts it is another
language model than p, one whose next-token probabilities are

    q(v | x) ∝ p(v | x)^(1/T) 1[v in N(x)],

with N(x) the nucleus: the fewest, most probable tokens whose masses p(v | x)^(1/T), normalised, add up to `top_p`. It
is not p ** (1/T), which anneals whole texts. With `length` the text is over after so many tokens: q is the law of the
first `length` tokens of a text, and no mass is lost to longer ones. As a language model of its own a warped model may
stand wherever a model may: under constraints, in products, under every method.

Reference: Holtzman et al. (2020), *The curious case of neural text degeneration*, for the nucleus.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from inference.engines.base import Context, Engine, Guess, NextTokens, Session
from inference.engines.wrapping import WrappingEngine
from inference.weights import log_masses
from ppl.errors import InvalidArgument
from ppl.lm import LM

Ids = tuple[int, ...]

_COLDEST = 1e-6


class WarpedLM(WrappingEngine):
    """The language model whose next-token distributions are those of another one, warped.

    Two that warp one model alike are equal. Where several runs are batched, all that warp one model share its calls.

    Parameters
    ----------
    base:
        The other model.
    temperature:
        T, at least 1e-6. Below 1 probable tokens become more so.
    top_p:
        The share of the mass, above 0 and at most 1, that the nucleus holds at least; 1 keeps all tokens. Of equally
        probable tokens those of lower ids come first.
    length:
        After so many tokens the text ends, with probability 1; None: where the model ends it. A text under it needs no
        `max_tokens` beyond that.

    Raises
    ------
    InvalidArgument
        If a setting is outside its range, or `base` is itself warped.

    Examples
    --------
    >>> cold = WarpedLM(load("smollm2"), temperature=0.5)
    >>> infer(program(cold.chat("Name a colour.") & Regex("[a-z]+")))  # doctest: +SKIP
    """

    def __init__(
        self, base: Engine, *, temperature: float = 1.0, top_p: float = 1.0, length: int | None = None
    ) -> None:
        if not isinstance(base, Engine) or isinstance(base, WarpedLM):
            raise InvalidArgument(
                f"WarpedLM of {base!r}", hint="warp a model that is not warped, with all settings at once"
            )
        if not isinstance(temperature, int | float) or not _COLDEST <= temperature < math.inf:
            raise InvalidArgument(
                f"temperature={temperature!r}",
                hint="a number from 1e-6 on; towards 0 lies greedy search: BeamSearch(width=1)",
            )
        if not isinstance(top_p, int | float) or not 0.0 < top_p <= 1.0:
            raise InvalidArgument(f"top_p={top_p!r}", hint="a share above 0 and at most 1")
        if length is not None and (not isinstance(length, int) or isinstance(length, bool) or length < 1):
            raise InvalidArgument(f"length={length!r}", hint="length is an integer of at least 1, or None")
        self.temperature, self.top_p, self.length = float(temperature), float(top_p), length
        super().__init__(base, f"{base.name} ({self._settings()})")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WarpedLM) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @override
    def session(self) -> Session:
        return _WarpedSession(self, self.base.session())

    def warp(self, following: NextTokens, contexts: Sequence[Context]) -> NextTokens:
        """Return what follows `contexts`, given what follows them in the base model."""
        return self.warp_after(following, [context.length for context in contexts])

    def warp_after(self, following: NextTokens, lengths: Sequence[int]) -> NextTokens:
        """Return what follows texts of so many tokens, given what follows them in the base model."""
        logprobs, rows = self._warped(following.logprobs), following.rows
        over = np.array([self.length is not None and n >= self.length for n in lengths], dtype=np.bool_)
        if not over.any():
            return NextTokens(logprobs, rows)
        return NextTokens(torch.cat([logprobs, self._end(logprobs)]), np.where(over, len(logprobs), rows))

    def warp_along(self, table: Tensor) -> Tensor:
        """Return the (n, V) distributions along a text, given those of the base model."""
        table = self._warped(table)
        if self.length is None or len(table) <= self.length:
            return table
        ends = self._end(table).expand(len(table) - self.length, -1)
        return torch.cat([table[: self.length], ends])

    def _warped(self, logprobs: Tensor) -> Tensor:
        if self.temperature != 1.0:
            top = logprobs.amax(dim=-1, keepdim=True)  # so that small temperatures do not overflow
            logprobs = _normalised((logprobs - top) / self.temperature)
        return logprobs if self.top_p == 1.0 else _normalised(_nucleus(logprobs, self.top_p))

    def _end(self, like: Tensor) -> Tensor:
        """Return the (1, V) distribution that ends the text."""
        end = torch.full((1, like.shape[-1]), -torch.inf, dtype=like.dtype, device=like.device)
        end[0, self.vocabulary.end] = 0.0
        return end

    @property
    def _key(self) -> tuple[LM, float, float, int | None]:
        return self.base, self.temperature, self.top_p, self.length

    def _settings(self) -> str:
        shown = {"temperature": self.temperature, "top_p": self.top_p, "length": self.length}
        neutral = {"temperature": 1.0, "top_p": 1.0, "length": None}
        return (
            ", ".join(f"{k}={v:g}" for k, v in shown.items() if v is not None and v != neutral[k])
            or "as it is"
        )


def unwarped(lm: LM) -> LM:
    """Return the model that is to be asked for a model: the base of a warped one."""
    return lm.base if isinstance(lm, WarpedLM) else lm


class _WarpedSession(Session):
    """A session of the base model, whose answers are warped."""

    def __init__(self, lm: WarpedLM, base: Session) -> None:
        super().__init__(base.usage)
        self.pass_cost = base.pass_cost
        self.rough_cost, self.rough_share = base.rough_cost, base.rough_share
        self._lm = lm
        self._base = base

    @override
    def next_tokens(
        self,
        contexts: Sequence[Context],
        drafts: Sequence[Sequence[int]] = (),
        guess: Guess | None = None,
    ) -> NextTokens:
        warped = None if guess is None else _WarpedGuess(self._lm, guess, contexts)
        return self._lm.warp(self._base.next_tokens(contexts, drafts, warped), contexts)

    @override
    def knows(self, context: Context) -> bool:
        return self._base.knows(context)

    @override
    def recall(self, contexts: Sequence[Context]) -> NextTokens:
        return self._lm.warp(self._base.recall(contexts), contexts)

    @override
    def along(self, requests: Sequence[tuple[Ids, Ids]]) -> list[Tensor]:
        return [self._lm.warp_along(table) for table in self._base.along(requests)]

    @override
    def close(self) -> None:
        self._base.close()


class _WarpedGuess:
    """Guesses from the warped ones of rough distributions."""

    def __init__(self, lm: WarpedLM, guess: Guess, contexts: Sequence[Context]) -> None:
        self.lengths = guess.lengths
        self._lm = lm
        self._guess = guess
        self._written = [context.length for context in contexts]

    def __call__(self, following: NextTokens, members: Sequence[int]) -> list[int]:
        warped = self._lm.warp_after(following, [self._written[i] for i in members])
        for i in members:
            self._written[i] += 1
        return self._guess(warped, members)


def _normalised(logprobs: Tensor) -> Tensor:
    return logprobs - log_masses(logprobs)[..., None].to(logprobs.dtype)


def _nucleus(logprobs: Tensor, top_p: float) -> Tensor:
    """Return the log-probabilities of the fewest tokens with a mass of `top_p`, -inf for the others."""
    ranked, order = logprobs.sort(dim=-1, descending=True, stable=True)
    masses = ranked.double().exp()
    before = masses.cumsum(dim=-1) - masses
    kept = torch.where(before < top_p, ranked, -torch.inf)
    return torch.empty_like(logprobs).scatter_(-1, order, kept)
