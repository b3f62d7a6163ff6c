"""LoRA adapters: a model with low-rank changes to some linear layers, which shares all other weights.

An adapted layer computes (W + s B A) x with s = alpha / r. The sum is formed once, so that an adapter costs nothing in
a forward pass; the memory is that of the layers that it changes.

Reference: Hu et al. (2022), *LoRA: low-rank adaptation of large language models*; the files are those of the package
`peft`.
"""

from __future__ import annotations

import copy
import json
import math
import os
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from inference.engines.errors import ModelDamaged, ModelNotFound, UnsupportedModel
from inference.engines.packed import PackedLinear, PackedPart

_KEY = re.compile(r"base_model\.model\.(?P<layer>.+)\.lora_(?P<factor>[AB])(?:\.\w+)?\.weight")
_REFUSED = ("use_dora", "modules_to_save", "fan_in_fan_out", "trainable_token_indices", "target_parameters")


def with_adapter(model: Any, path: str | os.PathLike[str]) -> Any:
    """Return a model in which the layers that a LoRA adapter changes are new, and all others those of `model`.

    Parameters
    ----------
    model:
        A model of transformers, packed or not.
    path:
        The directory of an adapter, with `adapter_config.json` and `adapter_model.safetensors`.

    Raises
    ------
    ModelNotFound
        If there is no adapter.
    ModelDamaged
        If it does not fit the model.
    UnsupportedModel
        If it is another kind of adapter.
    """
    config, tensors = _read(Path(path).expanduser())
    factors: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise UnsupportedModel(
                f"the adapter {path} has the weight {key}", hint="only LoRA of linear layers is read"
            )
        factors.setdefault(match["layer"], {})[match["factor"]] = tensor
    adapted = _shared(model)
    with torch.inference_mode():
        for layer, pair in factors.items():
            _adapt(adapted, layer, pair, _scale(config, layer, pair), path)
    return adapted


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "adapter_model.safetensors")
    except FileNotFoundError as error:
        raise ModelNotFound(
            f"no adapter in {folder}: {Path(str(error.filename)).name} is missing",
            hint="pass a directory that peft's save_pretrained has written",
        ) from error
    except Exception as error:
        raise ModelDamaged(
            f"the adapter in {folder} cannot be read: {error}", hint="save it again"
        ) from error
    odd = [key for key in _REFUSED if config.get(key)]
    if config.get("peft_type") != "LORA" or config.get("bias", "none") != "none" or odd:
        what = ", ".join(odd) or f"peft_type={config.get('peft_type')}, bias={config.get('bias')}"
        raise UnsupportedModel(
            f"the adapter in {folder} is more than LoRA of linear layers: {what}",
            hint="merge it into the model with peft, and load the result",
        )
    return config, tensors


def _scale(config: dict[str, Any], layer: str, pair: dict[str, Tensor]) -> float:
    """Return alpha / r, or alpha / √r for rank-stabilised LoRA."""
    alpha = float(config["lora_alpha"])
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", layer):
            alpha = float(value)
    rank = pair["A"].shape[0] if "A" in pair else int(config["r"])
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _shared(module: nn.Module) -> nn.Module:
    """Return a copy of a tree of modules that shares all weights; changing the copy's tree leaves the original."""
    twin = copy.copy(module)
    twin._modules = {
        name: None if child is None else _shared(child) for name, child in module._modules.items()
    }
    return twin


def _adapt(model: nn.Module, layer: str, pair: dict[str, Tensor], scale: float, path: object) -> None:
    parent, _, name = layer.rpartition(".")
    try:
        holder = model.get_submodule(parent)
        old = holder.get_submodule(name)
    except AttributeError as error:
        raise ModelDamaged(
            f"the adapter {path} changes {layer}, which the model does not have",
            hint="load it onto its own base model",
        ) from error
    if type(old) not in (nn.Linear, PackedLinear, PackedPart) or set(pair) != {"A", "B"}:
        raise UnsupportedModel(
            f"the adapter {path} changes {layer}, a {type(old).__name__}", hint="linear layers only"
        )
    weight: Any = old.weight
    change = pair["B"].double() @ pair["A"].double()
    if change.shape != weight.shape:
        raise ModelDamaged(
            f"the adapter {path} changes {layer} by {tuple(change.shape)}, but it is {tuple(weight.shape)}",
            hint="load it onto its own base model",
        )
    changed = (weight.double().cpu() + scale * change).to(weight)
    bias: Any = old.bias
    if isinstance(old, PackedLinear | PackedPart):
        setattr(holder, name, PackedLinear(changed, bias))
        return
    new = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    new.weight = nn.Parameter(changed, requires_grad=False)
    new.bias = bias
    setattr(holder, name, new)
