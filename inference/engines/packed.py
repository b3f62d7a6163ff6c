"""Packed linear layers: weights laid out once as the CPU's matrix kernels read them, not at each call.

On a CPU nearly all of a forward pass over a few rows is the product of these rows with the weights of linear layers.
oneDNN has kernels for weights in blocks that fit its registers; PyTorch uses them in compiled graphs, and eager
modules lay the weights out anew each time. A `PackedLinear` keeps the blocks instead of the plain weights. It computes
the same sums in another order: results agree to float32 rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_ROWS = 16
"""The number of rows that the blocks are chosen for; on other numbers they are hardly slower."""


class PackedLinear(nn.Module):
    """A linear layer y = x Wᵀ + b on the CPU in float32, for inference only; W is kept in blocks alone."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.bias = linear.bias
        # No buffer: there is no way to save or to move a tensor in blocks.
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), _ROWS)

    @property
    def weight(self) -> Tensor:
        """A plain copy of W, (out_features, in_features)."""
        plain: Tensor = self._packed.to_dense()
        return plain

    def forward(self, x: Tensor) -> Tensor:
        """Return the (..., out_features) product for (..., in_features) rows."""
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, "none", [], "")
        return y


def can_pack() -> bool:
    """Return whether this build of PyTorch has oneDNN, and its operators for packed weights."""
    operators = ("_reorder_linear_weight", "_linear_pointwise")
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and all(hasattr(torch.ops.mkldnn, o) for o in operators)


def pack(model: nn.Module) -> int:
    """Replace the linear layers of `model` that lie on the CPU in float32; return how many there were.

    Subclasses of `nn.Linear` stay, since they may compute something else. Where a layer shares its weights with an
    embedding, the embedding keeps the plain ones.
    """
    if not can_pack():
        return 0
    count = 0
    with torch.inference_mode():
        for module in list(model.modules()):
            for name, child in list(module.named_children()):
                if type(child) is nn.Linear and _plain(child.weight):
                    setattr(module, name, PackedLinear(child))
                    count += 1
    return count


def _plain(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32
