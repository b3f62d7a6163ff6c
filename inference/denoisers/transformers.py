"""Denoisers of Hugging Face transformers: masked language models such as BERT."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inference.denoisers.base import Denoiser
from inference.engines.base import check_numbers
from inference.engines.errors import PromptTooLong, UnsupportedModel
from inference.engines.packed import pack
from inference.engines.pretrained import pretrained
from inference.weights import log_masses

BATCH_TOKENS = 8192
"""Most tokens in one forward pass."""


class TransformersMDM(Denoiser):
    """A masked language model of transformers, used as a denoiser.

    Parameters
    ----------
    model:
        A model for masked language modelling, on its device.
    tokenizer:
        Its tokenizer, which has a mask token.
    name:
        Shown in messages.

    Notes
    -----
    The text of ids is what the tokenizer decodes them to. Special tokens and unused ids have no mass.
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str) -> None:
        if tokenizer.mask_token_id is None:
            raise UnsupportedModel(
                f"the tokenizer of {name!r} has no mask token", hint="a model such as BERT"
            )
        self.name = name
        self._model, self._tokenizer = model.eval().requires_grad_(False), tokenizer
        self.device = model.get_input_embeddings().weight.device
        self.size = int(model.config.vocab_size)
        self.mask = int(tokenizer.mask_token_id)
        self.longest = getattr(model.config, "max_position_embeddings", None)
        alone = tokenizer(tokenizer.mask_token)["input_ids"]
        at = alone.index(self.mask)
        self._begin, self._finish = tuple(alone[:at]), tuple(alone[at + 1 :])
        known = np.zeros(self.size, dtype=np.bool_)
        known[[i for i in tokenizer.get_vocab().values() if i < self.size]] = True
        known[[i for i in tokenizer.all_special_ids if i < self.size]] = False
        self.text_ids = known
        self._silent = torch.from_numpy(np.flatnonzero(~known)).to(self.device)

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the ids of a text without special tokens."""
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, without special tokens."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def frame(self, ids: Sequence[int]) -> tuple[tuple[int, ...], int]:
        """Return the ids between the special tokens that begin and end a sequence."""
        framed = (*self._begin, *ids, *self._finish)
        if self.longest is not None and len(framed) > self.longest:
            raise PromptTooLong(
                f"{len(framed)} tokens do not fit the context of {self.name!r}, {self.longest} tokens",
                hint="shorten the prompt or the length",
            )
        return framed, len(self._begin)

    @torch.inference_mode()
    def denoise(self, sequences: Sequence[tuple[int, ...]], positions: Sequence[int]) -> Tensor:
        """Return the (U, P, V) log-probabilities of `Denoiser.denoise`."""
        ids = torch.tensor(sequences, device=self.device)
        rows = max(BATCH_TOKENS // ids.shape[1], 1)
        answers = []
        for start in range(0, len(ids), rows):
            part = ids[start : start + rows]
            logits = self._model(input_ids=part, attention_mask=torch.ones_like(part)).logits
            logits = logits[:, list(positions), : self.size].float().index_fill(-1, self._silent, -torch.inf)
            answers.append(logits - log_masses(logits)[..., None].to(logits.dtype))
        logprobs = torch.cat(answers)
        check_numbers(logprobs, self.name)
        return logprobs


def load_mdm(
    name: str | os.PathLike[str], *, device: str | torch.device = "cpu", revision: str | None = None
) -> TransformersMDM:
    """Return a masked language model of transformers as a masked-diffusion model.

    Parameters
    ----------
    name:
        A local directory or a Hugging Face id. The code of a repository is never run.
    device:
        Where it runs.
    revision:
        Branch, tag or commit of a Hugging Face id.

    Raises
    ------
    ModelNotFound, ModelDamaged, UnsupportedModel
        If it cannot be loaded, or is no masked language model.
    """
    from transformers import AutoModelForMaskedLM

    model, tokenizer = pretrained(
        AutoModelForMaskedLM, name, revision, kind="masked language model", example="a model such as BERT"
    )
    mdm = TransformersMDM(model.to(device), tokenizer, name=os.fspath(name))
    pack(model)
    return mdm
