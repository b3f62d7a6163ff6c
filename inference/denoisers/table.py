"""Tabular denoisers: toy masked-diffusion models that are exact in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from inference.denoisers.base import Denoiser
from ppl.errors import InvalidArgument

Visible = tuple[int | None, ...]
Conditionals = Callable[[Visible], ArrayLike]


class TableMDM(Denoiser):
    """A masked-diffusion model given by a function of the visible tokens.

    Parameters
    ----------
    tokens:
        K characters; id v stands for `tokens[v]`, id K for the mask.
    conditionals:
        Maps a sequence with None where it is masked to probabilities of shape (length, K); only the rows of masked
        positions are used.
    name:
        Shown in messages.

    Examples
    --------
    >>> fair = TableMDM("ab", lambda visible: [[0.5, 0.5]] * len(visible))
    >>> fair.denoise([(0, 2)], [1]).exp().tolist()
    [[[0.5, 0.5, 0.0]]]
    """

    def __init__(self, tokens: Sequence[str], conditionals: Conditionals, *, name: str = "table-mdm") -> None:
        if not tokens or any(len(token) != 1 for token in tokens):
            raise InvalidArgument(f"tokens={list(tokens)!r}", hint="single characters, at least one")
        self.name, self.tokens = name, tuple(tokens)
        self.size, self.mask = len(tokens) + 1, len(tokens)
        self.device = torch.device("cpu")
        self.text_ids = np.arange(self.size) != self.mask
        self._conditionals = conditionals

    @classmethod
    def of_joint(cls, tokens: Sequence[str], joint: Mapping[str, float], *, name: str = "joint") -> TableMDM:
        """Return the model whose conditionals are those of a joint distribution over texts of one length.

        A sequence whose visible tokens no text has gives uniform rows. Whatever the order, unmasking draws from the
        joint distribution.
        """
        texts = [tuple(map(list(tokens).index, text)) for text in joint]
        weights = np.array(list(joint.values()), dtype=np.float64)

        def conditionals(visible: Visible) -> ArrayLike:
            fits = [all(v is None or v == t for v, t in zip(visible, text, strict=True)) for text in texts]
            rows = np.zeros((len(visible), len(tokens)))
            for text, weight in zip(np.array(texts)[fits], weights[fits], strict=True):
                rows[np.arange(len(visible)), text] += weight
            total = rows.sum(axis=1, keepdims=True)
            return np.where(total > 0.0, rows / np.where(total > 0.0, total, 1.0), 1.0 / len(tokens))

        return cls(tokens, conditionals, name=name)

    @classmethod
    def random(cls, tokens: Sequence[str], seed: int, *, concentration: float = 1.0) -> TableMDM:
        """Return a model with random conditionals for each visible sequence, of no joint distribution."""

        def conditionals(visible: Visible) -> ArrayLike:
            key = [seed, *(len(tokens) if v is None else v for v in visible)]
            return np.random.default_rng(key).dirichlet([concentration] * len(tokens), size=len(visible))

        return cls(tokens, conditionals, name=f"random-mdm-{seed}")

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the ids of the characters of a text."""
        if not set(text) <= set(self.tokens):
            raise InvalidArgument(f"{text!r} has characters that are no tokens of {self.name!r}")
        return tuple(self.tokens.index(character) for character in text)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids; masked ones are left out."""
        return "".join(self.tokens[v] for v in ids if v != self.mask)

    def frame(self, ids: Sequence[int]) -> tuple[tuple[int, ...], int]:
        """Return the ids as they are."""
        return tuple(ids), 0

    def denoise(self, sequences: Sequence[tuple[int, ...]], positions: Sequence[int]) -> Tensor:
        """Return the (U, P, V) log-probabilities of `Denoiser.denoise`, in float64."""
        tables = []
        for sequence in sequences:
            visible = tuple(None if v == self.mask else v for v in sequence)
            rows = np.asarray(self._conditionals(visible), dtype=np.float64)[list(positions)]
            tables.append(np.concatenate([rows, np.zeros((len(positions), 1))], axis=1))
        return torch.from_numpy(np.stack(tables)).log()
