"""Linear layers in four bits: a rough copy of a model that reads an eighth of its weights.

Each group of 32 weights of an output is rounded to 16 levels between its least and its greatest; the products are made
in bfloat16. For one row at a time that is several times as fast as float32, because the time goes into reading weights.
It is far too rough to take probabilities from, unless the weights lay on such levels before, but good enough to guess
with (`inference.foresight`), which changes no law.

PyTorch's kernel for it is what its own quantisation library calls on a CPU. Where it is missing, or a layer's sizes do
not suit it, nothing is guessed.
"""

from __future__ import annotations

import torch
from torch import Tensor

_GROUP = 32
_OUTPUTS = 64
"""The kernel works on so many outputs at a time."""


class Int4Linear:
    """A rough copy of a linear layer on the CPU: (..., in_features) float32 rows to (..., out_features) ones."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        levels, scales = _rounded(weight)
        self._levels = torch.ops.aten._convert_weight_to_int4pack_for_cpu(levels, 1)
        self._scales = scales.bfloat16()
        self._bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        """Return the product."""
        y = self._product(x).float()
        return y if self._bias is None else y + self._bias

    def added(self, x: Tensor, to: Tensor) -> Tensor:
        """Return the sum of the product and `to`."""
        y = self._product(x) + to
        return y if self._bias is None else y + self._bias

    def _product(self, x: Tensor) -> Tensor:
        y: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(
            x.bfloat16(), self._levels, _GROUP, self._scales
        )
        return y


def can_round(weight: Tensor) -> bool:
    """Return whether there is a kernel for a rough copy of a layer with these weights."""
    outputs, inputs = weight.shape
    operators = ("_convert_weight_to_int4pack_for_cpu", "_weight_int4pack_mm_for_cpu")
    suits = inputs % _GROUP == 0 and outputs % _OUTPUTS == 0 and weight.device.type == "cpu"
    return suits and all(hasattr(torch.ops.aten, o) for o in operators) and can_halve()


def can_halve() -> bool:
    """Return whether oneDNN multiplies in bfloat16 on this CPU."""
    check = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return check is not None and bool(check())


def _rounded(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the (out, in) levels 0 to 15, and (groups, out, 2): the distance of levels, and the value of level 8."""
    outputs, inputs = weight.shape
    groups = weight.float().view(outputs, inputs // _GROUP, _GROUP)
    low, high = groups.amin(dim=-1, keepdim=True), groups.amax(dim=-1, keepdim=True)
    step = (high - low) / 15
    step = torch.where(step == 0.0, 1.0, step)
    levels = ((groups - low) / step).round_().to(torch.int32).view(outputs, inputs)
    scales = torch.cat([step, low + 8 * step], dim=-1)
    return levels, scales.transpose(0, 1).contiguous()
