"""A small denoiser of our own: a bidirectional transformer over the tokens of a set of texts, trained in minutes.

The texts are cut into tokens by a regular expression and filled up with end tokens to one length. Training minimises
the bound of masked diffusion: a share t, uniform on (0, 1], of the positions is masked, and the cross-entropy of the
masked ones is weighted by 1/t.

Reference: Sahoo et al. (2024), *Simple and effective masked diffusion language models*.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from inference.denoisers.base import Denoiser
from inference.engines.errors import ModelNotFound
from ppl.errors import InvalidArgument

SMILES_TOKENS = r"\[[^\]]+\]|Br|Cl|%\d\d|."
"""Atoms, bonds and ring closures of SMILES."""


class Network(nn.Module):
    """Bidirectional transformer: (B, L) ids to (B, L, V) logits."""

    def __init__(self, size: int, length: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(size, width)
        self.place = nn.Parameter(torch.randn(length, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.body = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, size)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits of every position."""
        logits: Tensor = self.head(self.body(self.embed(ids) + self.place[: ids.shape[1]]))
        return logits


class TrainedMDM(Denoiser):
    """A denoiser over sequences of `length` tokens; made by `train` or `load`.

    Ids are those of `tokens`, then the end, then the mask. A text ends before its first end.
    """

    def __init__(
        self, network: Network, tokens: Sequence[str], length: int, pattern: str, shape: dict[str, int]
    ) -> None:
        self.name = "trained-mdm"
        self.network, self.tokens, self.length = network.eval(), tuple(tokens), length
        self.end, self.mask, self.size = len(tokens), len(tokens) + 1, len(tokens) + 2
        self.device = network.place.device
        self.text_ids = np.arange(self.size) != self.mask
        self._pattern, self._shape = pattern, shape
        self._ids = {token: i for i, token in enumerate(tokens)}

    @classmethod
    def train(
        cls,
        texts: Sequence[str],
        *,
        pattern: str = ".",
        steps: int = 2000,
        width: int = 128,
        layers: int = 5,
        heads: int = 4,
        batch: int = 64,
        rate: float = 2e-3,
        seed: int = 0,
        report: Callable[[int, float], None] | None = None,
    ) -> TrainedMDM:
        """Return a denoiser trained on texts, about 12 · layers · width² parameters.

        Parameters
        ----------
        texts:
            What to learn. The longest one, in tokens, says how long sequences are.
        pattern:
            A regular expression whose matches, one after the other, are the tokens of a text.
        steps, batch, rate:
            Number of updates, texts in each, and the learning rate after a warm-up, which decays to 0.
        width, layers, heads:
            Size of the network.
        seed:
            Of the weights and of what is masked.
        report:
            Called with the number of the step and its loss, in nats per text.

        Raises
        ------
        InvalidArgument
            If a text is not cut by the pattern without rest.
        """
        cut = [_cut(text, pattern) for text in texts]
        tokens = sorted({token for pieces in cut for token in pieces})
        length = max(map(len, cut), default=0) + 1
        if length == 1:
            raise InvalidArgument("no text to train on", hint="pass a list of texts")
        shape = {"width": width, "layers": layers, "heads": heads}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = Network(len(tokens) + 2, length, **shape)
            mdm = cls(network, tokens, length, pattern, shape)
            rows = [[mdm._ids[t] for t in pieces] + [mdm.end] * (length - len(pieces)) for pieces in cut]
            mdm._fit(torch.tensor(rows), steps, batch, rate, report)
        return mdm

    def _fit(
        self,
        data: Tensor,
        steps: int,
        batch: int,
        rate: float,
        report: Callable[[int, float], None] | None,
    ) -> None:
        network = self.network.train()
        optimiser = torch.optim.AdamW(network.parameters(), rate, betas=(0.9, 0.98), weight_decay=0.01)
        warm = max(min(100, steps // 10), 1)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda n: min((n + 1) / warm, 1.0) * 0.5 * (1.0 + np.cos(np.pi * min(n / steps, 1.0)))
        )
        for step in range(steps):
            clean = data[torch.randint(len(data), (batch,))]
            share = (torch.arange(batch) + torch.rand(1)) / batch  # low variance: one in each stratum
            share = share.clamp(min=1.0 / self.length)
            hidden = torch.rand(clean.shape) < share[:, None]
            logits = network(torch.where(hidden, self.mask, clean))
            logits = logits.index_fill(-1, torch.tensor([self.mask]), -torch.inf)
            losses = nn.functional.cross_entropy(logits.transpose(1, 2), clean, reduction="none")
            loss = (losses * hidden / share[:, None]).sum(dim=1).mean()
            optimiser.zero_grad()
            (loss / self.length).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            if report is not None:
                report(step, float(loss.detach()))
        network.eval()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the denoiser into a directory, which is made if it is not there."""
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        described = {"tokens": self.tokens, "length": self.length, "pattern": self._pattern, **self._shape}
        (folder / "denoiser.json").write_text(json.dumps(described), encoding="utf-8")
        save_file(
            {k: v.contiguous() for k, v in self.network.state_dict().items()}, folder / "denoiser.safetensors"
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TrainedMDM:
        """Return the denoiser that `save` has written.

        Raises
        ------
        ModelNotFound
            If there is none.
        """
        folder = Path(path)
        try:
            described: dict[str, Any] = json.loads((folder / "denoiser.json").read_text(encoding="utf-8"))
            weights = load_file(folder / "denoiser.safetensors")
        except FileNotFoundError as error:
            raise ModelNotFound(f"no denoiser in {folder}", hint="train one, and save it there") from error
        shape = {key: described[key] for key in ("width", "layers", "heads")}
        network = Network(len(described["tokens"]) + 2, described["length"], **shape)
        network.load_state_dict(weights)
        return cls(network, described["tokens"], described["length"], described["pattern"], shape)

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the ids of a text.

        Raises
        ------
        InvalidArgument
            If it has tokens that the denoiser does not know.
        """
        pieces = _cut(text, self._pattern)
        unknown = [piece for piece in pieces if piece not in self._ids]
        if unknown:
            raise InvalidArgument(
                f"{text!r} has the unknown token {unknown[0]!r}", hint="use tokens of the training texts"
            )
        return tuple(self._ids[piece] for piece in pieces)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids before the first end; masked ones are left out."""
        kept = list(ids)
        kept = kept[: kept.index(self.end)] if self.end in kept else kept
        return "".join(self.tokens[i] for i in kept if i != self.mask)

    def frame(self, ids: Sequence[int]) -> tuple[tuple[int, ...], int]:
        """Return the ids, filled up with ends to the length that the denoiser knows.

        Raises
        ------
        InvalidArgument
            If there are more.
        """
        if len(ids) > self.length:
            raise InvalidArgument(
                f"{len(ids)} tokens, and {self.name!r} knows sequences of {self.length}",
                hint="shorten the text",
            )
        return (*ids, *[self.end] * (self.length - len(ids))), 0

    @torch.inference_mode()
    def denoise(self, sequences: Sequence[tuple[int, ...]], positions: Sequence[int]) -> Tensor:
        """Return the (U, P, V) log-probabilities of `Denoiser.denoise`, in float64."""
        logits = self.network(torch.tensor(sequences, device=self.device))[:, list(positions)].double()
        logits[..., self.mask] = -torch.inf
        return torch.log_softmax(logits, dim=-1)


def _cut(text: str, pattern: str) -> list[str]:
    pieces = re.findall(pattern, text, re.DOTALL)
    if "".join(pieces) != text:
        raise InvalidArgument(
            f"the pattern {pattern!r} does not cut all of {text!r}",
            hint='pattern="." makes tokens of characters',
        )
    return pieces
