"""Tabular LMs: toy language models whose next-token probabilities are given, in float64.

Small enough to enumerate and free of rounding, they are what inference is checked against exactly, and what
the documentation computes with. A `TableLM` is any function of (prompt, generated tokens) to a probability
vector; `TableLM.random` draws such a function, `TableLM.ngram` fits one to texts by counting.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from grammars.vocabulary import Vocabulary
from inference.engines.base import Engine
from inference.engines.errors import NotSpellable
from inference.engines.table_session import TableSession
from ppl.errors import InvalidArgument

Ids = tuple[int, ...]
Table = Mapping[Ids, ArrayLike] | Mapping[tuple[str, Ids], ArrayLike]
"""Probability vectors by generated ids, or by (prompt, generated ids)."""


class TableLM(Engine):
    """A language model given by its next-token probabilities.

    Id v < K stands for `tokens[v]`, id K for the end of the text, K = len(tokens), V = K + 1. A prompt may be
    any string: its characters have ids of their own, beyond V, so that it need not be spelled by the tokens.

    Parameters
    ----------
    tokens:
        Non-empty strings or bytes. Several may share a prefix, or be equal, so that one text has several
        tokenisations.
    probs:
        Either a function of (prompt text, generated ids), or a mapping whose keys are tuples of generated ids
        or pairs (prompt text, generated ids); the value is the probability vector, shape (V,), over the
        tokens in order and then the end.
    name:
        Shown in messages.
    context_length:
        Largest number of tokens, prompt included; None where unbounded.
    pass_cost, rough_cost:
        What a call, and a rough one, are taken to cost beyond their tokens, see `Session.pass_cost`: above 0, drafts
        are evaluated ahead.
    rough:
        A model with the same tokens that drafts are guessed with; None: with none.

    Raises
    ------
    InvalidArgument
        If a token is empty, or a key of a mapping is not one of these; if a vector is of another length,
        negative, or does not sum to 1 (a function's when it is asked); when asked, if a mapping lacks a key.

    Examples
    --------
    >>> from inference.engines.base import Context
    >>> lm = TableLM(["a", "b"], lambda prompt, generated: [0.5, 0.25, 0.25])
    >>> with lm.session() as session:
    ...     session.next_tokens([Context(lm.encode_prompt("any"))]).logprobs.exp().tolist()
    [[0.5, 0.25, 0.25]]
    """

    def __init__(
        self,
        tokens: Sequence[str | bytes],
        probs: Callable[[str, Ids], ArrayLike] | Table,
        *,
        name: str = "table",
        context_length: int | None = None,
        pass_cost: float = 0.0,
        rough_cost: float = 0.0,
        rough: TableLM | None = None,
    ) -> None:
        texts = tuple(t.encode() if isinstance(t, str) else t for t in tokens)
        if not all(texts):
            raise InvalidArgument("a token of a TableLM is empty", hint="every token must add text")
        self.name = name
        self.pass_cost, self.rough_cost, self.rough = pass_cost, rough_cost, rough
        self.vocabulary = Vocabulary(tokens=(*texts, None), eos=frozenset({len(texts)}))
        self.context_length = context_length
        self.device = torch.device("cpu")
        self._probs = probs if callable(probs) else self._lookup(probs)
        self._longest_first = sorted(range(len(texts)), key=lambda v: (-len(texts[v]), v))
        self.logprobs = lru_cache(maxsize=1 << 16)(self._logprobs)

    @classmethod
    def random(
        cls,
        tokens: Sequence[str | bytes],
        seed: int,
        *,
        concentration: float = 1.0,
        sparsity: float = 0.0,
        name: str | None = None,
    ) -> TableLM:
        """Return an LM whose every context, prompt included, has a vector of its own, fixed by `seed`.

        Each vector is Dirichlet(concentration, ..., concentration), drawn from a hash of the context, so that
        nothing is enumerated; each token, never the end, has probability 0 with probability `sparsity`.

        Examples
        --------
        >>> lm = TableLM.random(["a", "b"], seed=1)
        >>> lm.logprobs((), (0, 1)).shape, float(lm.logprobs((), ()).exp().sum().round(decimals=9))
        (torch.Size([3]), 1.0)
        """
        if not concentration > 0 or not 0 <= sparsity <= 1:
            raise InvalidArgument(
                f"a random LM with concentration={concentration}, sparsity={sparsity}",
                hint="pass concentration > 0 and 0 <= sparsity <= 1",
            )
        size = len(tokens) + 1

        def probs(prompt: str, generated: Ids) -> NDArray[np.float64]:
            digest = hashlib.blake2b(repr((seed, prompt, generated)).encode(), digest_size=16).digest()
            rng = np.random.default_rng(int.from_bytes(digest, "big"))
            weights = rng.gamma(concentration, size=size) + np.finfo(np.float64).tiny
            weights[:-1] *= rng.random(size - 1) >= sparsity
            vector: NDArray[np.float64] = weights / weights.sum()
            return vector

        return cls(tokens, probs, name=name or f"random-{seed}")

    @classmethod
    def ngram(
        cls,
        texts: Sequence[str],
        *,
        order: int = 2,
        alpha: float = 0.1,
        tokens: Sequence[str | bytes] | None = None,
        name: str | None = None,
    ) -> TableLM:
        """Return the n-gram LM of `texts`, n = `order`, with add-`alpha` smoothing.

        p(v | h) ∝ count(h v) + alpha, where h is the last n - 1 ids, padded with the beginning of the text.
        `tokens` are by default the characters of the texts. A prompt that the tokens spell is part of the
        history; any other prompt is ignored. With `alpha` = 0 a history never seen ends the text.

        Examples
        --------
        >>> lm = TableLM.ngram(["abba", "ab"], alpha=0)
        >>> lm.logprobs((), lm.encode("ab")).exp().tolist()  # after b: a, b or the end
        [0.3333333333333333, 0.3333333333333333, 0.3333333333333333]
        """
        if isinstance(texts, str) or order < 1 or alpha < 0 or not texts:
            raise InvalidArgument(
                f"an n-gram LM of {texts!r:.40} with order={order}, alpha={alpha}",
                hint="pass a list of at least one text, order >= 1 and alpha >= 0",
            )
        units = tokens if tokens is not None else sorted(set("".join(texts)))
        end = len(units)
        counts: defaultdict[Ids, Counter[int]] = defaultdict(Counter)

        def history(ids: Ids) -> Ids:
            return ((-1,) * (order - 1) + ids)[len(ids) :]

        def probs(prompt: str, generated: Ids) -> NDArray[np.float64]:
            try:
                before = lm.encode(prompt)
            except NotSpellable:
                before = ()
            seen = counts.get(history(before + generated), Counter())
            weights = np.array([seen[v] + alpha for v in range(end + 1)], dtype=np.float64)
            vector: NDArray[np.float64] = weights / weights.sum() if weights.any() else np.eye(end + 1)[end]
            return vector

        lm = cls(units, probs, name=name or f"{order}-gram")
        for text in texts:
            ids = (*lm.encode(text), end)
            for i, v in enumerate(ids):
                counts[history(ids[:i])][v] += 1
        return lm

    def encode(self, text: str) -> Ids:
        """Return the ids of `text`: at each point the longest token after which the rest can be spelled.

        Raises
        ------
        NotSpellable
            If no sequence of tokens is `text`.
        """
        data, tokens = text.encode(), self.vocabulary.tokens
        step: list[int | None] = [None] * len(data)  # the token to take there, if any leads to the end
        for at in reversed(range(len(data))):
            for v in self._longest_first:
                token = tokens[v] or b""
                to = at + len(token)
                if data.startswith(token, at) and (to == len(data) or step[to] is not None):
                    step[at] = v
                    break
        ids: list[int] = []
        at = 0
        while at < len(data):
            v_at = step[at]
            if v_at is None:
                raise NotSpellable(
                    f"the tokens of {self.name!r} do not spell {text!r}",
                    hint="give the TableLM tokens for all the bytes that its texts need",
                )
            ids.append(v_at)
            at += len(tokens[v_at] or b"")
        return tuple(ids)

    def encode_prompt(self, text: str) -> Ids:
        """Return one id beyond the vocabulary for each character of `text`."""
        return tuple(self.vocabulary.size + ord(c) for c in text)

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> Ids:
        """Return the prompt with a line "role: content" for each message, then "assistant: "."""
        lines = "".join(f"{m['role']}: {m['content']}\n" for m in messages)
        return self.encode_prompt(f"{lines}assistant: ")

    def session(self) -> TableSession:
        """Return a fresh session."""
        return TableSession(self)

    def _prompt_text(self, prompt: Ids) -> str:
        size, decode = self.vocabulary.size, self.vocabulary.decode
        return "".join(chr(v - size) if v >= size else decode([v]).decode(errors="replace") for v in prompt)

    def _logprobs(self, prompt: Ids, generated: Ids) -> Tensor:
        """Return the (V,) log-probabilities after `generated`, both in ids; do not write to it."""
        text = self._prompt_text(prompt)
        vector = self._distribution(self._probs(text, generated), f"after {text!r} and ids {generated}")
        with np.errstate(divide="ignore"):
            return torch.from_numpy(np.log(vector / vector.sum()))

    def _distribution(self, value: ArrayLike, where: str) -> NDArray[np.float64]:
        """Return a probability vector, refused with its place if it is none."""
        size = self.vocabulary.size
        try:
            vector = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            vector = np.array(np.nan)
        if vector.shape != (size,) or not (vector >= 0).all() or not abs(vector.sum() - 1) < 1e-9:
            raise InvalidArgument(
                f"{self.name!r} {where}: {value!r} is not a distribution over {size - 1} tokens and the end",
                hint=f"give {size} non-negative numbers that sum to 1, the end of the text last",
            )
        return vector

    def _lookup(self, table: Table) -> Callable[[str, Ids], ArrayLike]:
        """Return the function that a mapping stands for; a key with the prompt goes before one without."""
        vectors: dict[object, ArrayLike] = {}
        for key, value in table.items():
            ids = key[1] if isinstance(key, tuple) and len(key) == 2 and isinstance(key[0], str) else key
            known = range(self.vocabulary.size - 1)
            if not isinstance(ids, tuple) or not all(isinstance(v, int) and v in known for v in ids):
                raise InvalidArgument(
                    f"{self.name!r} has a key {key!r}",
                    hint=f"keys are tuples of ids below {len(known)}, or pairs (prompt, tuple of ids)",
                )
            vectors[key] = self._distribution(value, f"at key {key!r}")

        def probs(prompt: str, generated: Ids) -> ArrayLike:
            for key in ((prompt, generated), generated):
                if key in vectors:
                    return vectors[key]
            raise InvalidArgument(
                f"{self.name!r} has no probabilities for the context {generated} after prompt {prompt!r}",
                hint="add the key, or pass a function of (prompt, generated ids)",
            )

        return probs
