"""Engine and session: one language-model runtime, and its memory during one run.

A `Context` is a prompt and the tokens generated after it, as an immutable linked node: a fork of a particle
is a second reference to the same node. A `Session` answers one question, *what may come next after each of
these contexts?*, and finds out for itself which of them extend which rows of its key-value cache: reordering
after resampling, leaving the batch, and sharing of equal contexts all follow from the contexts that are asked
for. A context may be asked for in any order and at any time; asking for one-token extensions of the contexts of
the last call is what is fast.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grammars.vocabulary import Vocabulary, unpack
from inference.engines.errors import UnsupportedModel
from inference.weights import log_masses
from ppl.compiler.plan import TextPlan
from ppl.lm import LM
from ppl.rng import Rng


class Context:
    """A prompt and the tokens after it: immutable, compared by identity, extended in O(1)."""

    __slots__ = ("length", "parent", "prompt", "token")

    def __init__(self, prompt: tuple[int, ...]) -> None:
        self.prompt = prompt
        self.parent: Context | None = None
        self.token = -1
        self.length = 0
        """Number of tokens after the prompt."""

    def extend(self, token: int) -> Context:
        """Return this context followed by `token`."""
        child = Context.__new__(Context)
        child.prompt, child.parent, child.token, child.length = self.prompt, self, token, self.length + 1
        return child

    def generated(self) -> tuple[int, ...]:
        """Return the tokens after the prompt."""
        out: list[int] = []
        node = self
        while node.parent is not None:
            out.append(node.token)
            node = node.parent
        return tuple(reversed(out))


class NextTokens(NamedTuple):
    """Next-token distributions of n contexts; contexts that the session sees to be equal share a row."""

    logprobs: Tensor
    """(U, V) log-probabilities in nats on the engine's device, float32 or float64. Each row sums to 1; ids
    without text have -inf, and the whole end-of-sequence mass stands at `vocabulary.end`."""
    rows: NDArray[np.int64]
    """(n,) the row of each context."""


@dataclass
class Usage:
    """What a session has spent."""

    calls: int = 0
    """Forward passes."""
    prompt_tokens: int = 0
    """Prompt tokens evaluated (a prompt that is shared, or remembered, is evaluated once)."""
    tokens: int = 0
    """Tokens evaluated after prompts (equal contexts counted once), those of drafts included."""
    drafted: int = 0
    """Tokens of drafts among them."""
    rough: int = 0
    """Rough passes, which guess drafts."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


class Guess(Protocol):
    """Who guesses the tokens of drafts from rough distributions, see `Session.next_tokens`.

    Attributes
    ----------
    lengths:
        (n,) how many tokens to guess at most after each of the n contexts.
    """

    @property
    def lengths(self) -> Sequence[int]:
        """As above."""
        ...

    def __call__(self, following: NextTokens, members: Sequence[int]) -> list[int]:
        """Return a token for each of `members`, indices of contexts, that follows the last one guessed; -1: no more.

        `following` has the rough distributions after these contexts and the tokens guessed so far.
        """
        ...


@dataclass(eq=False)
class Session(ABC):
    """The memory of one engine during one run; a context manager that gives the memory back."""

    usage: Usage = field(default_factory=Usage)

    pass_cost: float = 0.0
    """What a forward pass costs beyond its tokens, in tokens of it. 0: drafts are not evaluated ahead."""
    rough_cost: float = 0.0
    """What a rough pass costs beyond its tokens, likewise. 0: there are none."""
    rough_share: float = 1.0
    """What a token of a rough pass costs, likewise."""

    @abstractmethod
    def next_tokens(
        self,
        contexts: Sequence[Context],
        drafts: Sequence[Sequence[int]] = (),
        guess: Guess | None = None,
    ) -> NextTokens:
        """Return the distributions of the token that follows each of `contexts` (at least one).

        A session with a `pass_cost` may evaluate the `drafts`, tokens that probably follow each of them, in the same
        pass; it then `knows` the contexts that these lead to until the next call. One with a `rough_cost` makes rough
        passes first for the contexts that have no draft, and asks `guess` what their drafts are.
        """

    def knows(self, context: Context) -> bool:
        """Return whether the answer for a context is there, because a draft came true."""
        return False

    def recall(self, contexts: Sequence[Context]) -> NextTokens:
        """Return the distributions after contexts that are known, evaluating nothing and forgetting nothing."""
        raise NotImplementedError(f"{type(self).__name__} knows no context ahead")

    @abstractmethod
    def along(self, requests: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[Tensor]:
        """Return the next-token distributions along given continuations.

        Each request is (prompt, continuation) in token ids; its answer has shape (len(continuation) + 1, V),
        row i the log-probabilities (as in `NextTokens.logprobs`) after the first i continuation tokens.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back the memory; the session must not be asked again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Engine(LM):
    """A language model that can compute: an `LM` whose sessions answer for batches of contexts."""

    device: torch.device
    weights: int | None = None
    """Number of weights of the model; None where it is not known."""

    @abstractmethod
    def session(self) -> Session:
        """Return a fresh session."""

    def example(self, plan: TextPlan, rng: Rng) -> str:
        """Return one text in the support of `plan`; see `LM.example`."""
        from inference.example import example  # kernels are built on engines

        return example(plan, rng)


def check_numbers(logprobs: Tensor, name: str) -> None:
    """Raise `UnsupportedModel` if log-probabilities are NaN, as they are where a small precision overflows."""
    if bool(logprobs.isnan().any()):
        raise UnsupportedModel(
            f"{name!r} gives probabilities that are not numbers",
            hint="load it with dtype='float32' or 'bfloat16': float16 overflows in some models",
        )


class TextSoftmax:
    """Logits to log-probabilities over texts: log-softmax over text and end ids, the end ids merged.

    The distribution of a text excludes ids that stand for no text (control tokens, padding rows), so those
    get -inf *before* normalisation; every end-of-sequence id means the same end, so their mass is summed into
    `vocabulary.end`.
    """

    def __init__(self, vocabulary: Vocabulary, device: torch.device) -> None:
        keep = unpack(vocabulary.text_mask, vocabulary.size)
        keep[list(vocabulary.eos)] = True
        self._silent = torch.from_numpy(np.flatnonzero(~keep)).to(device)
        self._eos = torch.tensor(sorted(vocabulary.eos), device=device)
        self._end = vocabulary.end
        self._size = vocabulary.size

    def __call__(self, logits: Tensor) -> Tensor:
        """Return (..., V) log-probabilities of (..., V') logits, V' >= V; float64 stays, else float32.

        What `logits` gives to ids without text is overwritten, which saves a copy. Logits that are not numbers give
        log-probabilities that are not; `check_numbers` refuses them.
        """
        logits = logits[..., : self._size]
        if logits.dtype != torch.float64:
            logits = logits.float()
        if len(self._silent):
            logits.index_fill_(-1, self._silent, -torch.inf)
        logprobs = logits - log_masses(logits)[..., None].to(logits.dtype)
        if len(self._eos) > 1:
            end = torch.logsumexp(logprobs[..., self._eos], dim=-1)
            logprobs.index_fill_(-1, self._eos, -torch.inf)
            logprobs[..., self._end] = end
        return logprobs
