"""Packed linear layers: weights laid out once as the CPU's matrix kernels read them, not at each call.

On a CPU nearly all of a forward pass over a few rows is the product of these rows with the weights of linear layers.
oneDNN has kernels for weights in blocks that fit its registers; PyTorch uses them in compiled graphs, and eager
modules lay the weights out anew each time. A `PackedLinear` keeps the blocks instead of the plain weights. It computes
the same sums in another order: results agree to float32 rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_ROWS = 16
"""The number of rows that the blocks are chosen for; on other numbers they are hardly slower."""


class PackedLinear(nn.Module):
    """A linear layer y = x Wᵀ + b on the CPU, for inference only; W is kept in blocks alone."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.bias = bias
        # No buffer: there is no way to save or to move a tensor in blocks.
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _ROWS)

    @property
    def size(self) -> int:
        """Number of weights."""
        return int(self._packed.numel())

    @property
    def weight(self) -> Tensor:
        """A plain copy of W, (out_features, in_features)."""
        plain: Tensor = self._packed.to_dense()
        return plain

    def forward(self, x: Tensor) -> Tensor:
        """Return the (..., out_features) product for (..., in_features) rows."""
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, "none", [], "")
        return y

    def added(self, x: Tensor, to: Tensor) -> Tensor:
        """Return the sum of the product and the (..., out_features) of `to`."""
        y: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, to, self._packed, self.bias, "add")
        return y


class PackedPart(nn.Module):
    """Some of the outputs of a packed layer: one of several layers with the same inputs that were packed together.

    Whoever knows of the whole computes it at once. This is what is left in the place of each layer; it computes the
    whole, too, and gives its part.
    """

    def __init__(self, whole: PackedLinear, first: int, size: int) -> None:
        super().__init__()
        self._whole = [whole]  # in a list, since it is no submodule of each of its parts
        self._outputs = slice(first, first + size)

    @property
    def bias(self) -> Tensor | None:
        """The bias of this part."""
        bias = self._whole[0].bias
        return None if bias is None else bias[self._outputs]

    @property
    def weight(self) -> Tensor:
        """A plain copy of its weights, (out_features, in_features)."""
        return self._whole[0].weight[self._outputs].contiguous()

    def forward(self, x: Tensor) -> Tensor:
        """Return the (..., out_features) product for (..., in_features) rows."""
        y: Tensor = self._whole[0](x)[..., self._outputs]
        return y


def count_weights(model: nn.Module) -> int:
    """Return the number of weights of a model, packed ones included."""
    packed = {id(whole): whole.size for module in model.modules() for whole in _wholes(module)}
    return sum(parameter.numel() for parameter in model.parameters()) + sum(packed.values())


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
                    setattr(module, name, PackedLinear(child.weight, child.bias))
                    count += 1
    return count


def pack_together(module: nn.Module, names: Sequence[str]) -> PackedLinear:
    """Replace packed layers of a module that have the same inputs by parts of one; return the whole.

    Layers that were packed together before, and still are all of that whole, stay so.
    """
    layers = [getattr(module, name) for name in names]
    wholes = {id(layer._whole[0]): layer._whole[0] for layer in layers if isinstance(layer, PackedPart)}
    if len(wholes) == 1 and all(isinstance(layer, PackedPart) for layer in layers):
        return next(iter(wholes.values()))
    with torch.inference_mode():
        weights = [layer.weight for layer in layers]
        biases = [
            weight.new_zeros(len(weight)) if layer.bias is None else layer.bias
            for layer, weight in zip(layers, weights, strict=True)
        ]
        none = all(layer.bias is None for layer in layers)
        whole = PackedLinear(torch.cat(weights), None if none else torch.cat(biases))
        first = 0
        for name, weight in zip(names, weights, strict=True):
            setattr(module, name, PackedPart(whole, first, len(weight)))
            first += len(weight)
    return whole


def _wholes(module: nn.Module) -> list[PackedLinear]:
    if isinstance(module, PackedLinear):
        return [module]
    return module._whole if isinstance(module, PackedPart) else []


def _plain(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32
