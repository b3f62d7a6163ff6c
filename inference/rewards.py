"""Rewards: Hugging Face sequence classifiers and reward models as functions for `ppl.potential`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from inference.engines.pretrained import pretrained
from ppl.errors import InvalidArgument

BATCH = 64
"""Most texts in one forward pass."""


@dataclass(frozen=True)
class Classifier:
    """A sequence classifier as a function of texts; see `classifier`."""

    name: str
    label: str | None
    _model: Any = field(compare=False, repr=False)
    _tokenizer: Any = field(compare=False, repr=False)
    _index: int = field(compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.name}[{self.label}]" if self.label is not None else self.name

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> list[float]:
        """Return the log-probability of the label for each text, or the score of a model with one output."""
        values: list[float] = []
        for start in range(0, len(texts), BATCH):
            encoded = self._encode(list(texts[start : start + BATCH])).to(self._model.device)
            logits = self._model(**encoded).logits.double()
            scores = logits if self.label is None else torch.log_softmax(logits, dim=-1)
            values += scores[:, self._index].tolist()
        return values

    def _encode(self, texts: list[str]) -> Any:
        """Return a padded batch; a text without tokens is the padding token alone, since models need one."""
        ids = self._tokenizer(texts, truncation=True)["input_ids"]
        ids = [row or [self._tokenizer.pad_token_id] for row in ids]
        ones = [[1] * len(row) for row in ids]
        return self._tokenizer.pad({"input_ids": ids, "attention_mask": ones}, return_tensors="pt")


def classifier(
    name: str | os.PathLike[str],
    label: str | None = None,
    *,
    device: str | torch.device = "cpu",
    revision: str | None = None,
) -> Classifier:
    """Return a sequence classifier of transformers as a function of texts, batched.

    Parameters
    ----------
    name:
        A local directory or a Hugging Face id. The code of a repository is never run.
    label:
        The class whose log-probability is wanted, as in the model's `id2label`; None for a model with one output, such
        as a reward model, whose score is taken as it is.
    device:
        Where it runs.
    revision:
        Branch, tag or commit of a Hugging Face id.

    Raises
    ------
    ModelNotFound, ModelDamaged, UnsupportedModel
        If it cannot be loaded, or is no sequence classifier.
    InvalidArgument
        If the model has no such label.

    Notes
    -----
    Texts longer than the model takes are cut at their end.

    Examples
    --------
    >>> friendly = potential(classifier("./sentiment", "POSITIVE"), at="sentence", batched=True)  # doctest: +SKIP
    """
    from transformers import AutoModelForSequenceClassification

    model, tokenizer = pretrained(
        AutoModelForSequenceClassification,
        name,
        revision,
        kind="sequence classifier",
        example="a model that was trained for sequence classification",
    )
    if tokenizer.pad_token is None:  # reward models made of decoders are told by it where a text ends
        tokenizer.pad_token = tokenizer.eos_token
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    shown = os.fspath(name)
    return Classifier(shown, label, model.eval().to(device), tokenizer, _index(shown, label, model.config))


def _index(name: str, label: str | None, config: Any) -> int:
    labels = {str(shown): int(index) for index, shown in config.id2label.items()}
    if label is None and len(labels) > 1:
        raise InvalidArgument(
            f"{name!r} has {len(labels)} classes", hint=f"pass one as label: {', '.join(labels)}"
        )
    if label is not None and label not in labels:
        raise InvalidArgument(f"{name!r} has no label {label!r}", hint=f"one of {', '.join(labels)}")
    return 0 if label is None else labels[label]
