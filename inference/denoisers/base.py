"""Denoiser: a masked-diffusion language model that can compute, for batches of sequences."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ppl.compiler.plan import InfillPlan
from ppl.mdm import MDM
from ppl.rng import Rng


class Denoiser(MDM):
    """A masked-diffusion language model whose distributions can be asked for.

    Attributes
    ----------
    device:
        Where its tensors are.
    text_ids:
        (V,) which ids stand for text.
    """

    device: torch.device
    text_ids: NDArray[np.bool_]

    @abstractmethod
    def denoise(self, sequences: Sequence[tuple[int, ...]], positions: Sequence[int]) -> Tensor:
        """Return the distributions of the tokens at some positions of each sequence.

        Parameters
        ----------
        sequences:
            U sequences of one length, with `mask` where a position is masked.
        positions:
            P positions; at those that are visible in a sequence the answer does not matter.

        Returns
        -------
        (U, P, V) log-probabilities, float32 or float64; ids that stand for no text, and the mask, have -inf.
        """

    def example(self, plan: InfillPlan, rng: Rng) -> str:
        """Return one text as a plan draws it; see `MDM.example`."""
        from inference.example import infill_example  # kernels are built on denoisers

        return infill_example(plan, rng)
