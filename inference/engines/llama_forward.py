"""Forward passes of Llama models on a CPU, with few operations, and rough ones to guess with.

The code of transformers serves every architecture; in a pass over one token it takes a good part of the time around the
matrix products. Many models are Llama in architecture. For those this is the same computation with the layers that
have the same inputs packed together, one rotation for queries and keys, and sums with the residual stream inside the
products. Logits agree to float32 rounding.

The same pass with rough weights (`inference.engines.int4`) takes a third of the time for one row. It reads and writes
the same keys and values; what it has written is overwritten by the pass that evaluates the guessed tokens.

References: Touvron et al. (2023), *LLaMA: open and efficient foundation language models*; Zhang et al. (2024), *Draft &
verify*, for a model that drafts for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inference.engines.forward import Forward
from inference.engines.int4 import Int4Linear, can_round
from inference.engines.kv_cache import Pass
from inference.engines.packed import PackedLinear, PackedPart, can_pack, pack, pack_together
from inference.engines.split_attention import attend

_QKV, _GATE_UP = ("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj")
Attention = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""Layer, and its (M, H, width) queries, (M, K, width) keys and values; returns (M, H, width)."""


class Linear(Protocol):
    """A linear layer, exact or rough."""

    def __call__(self, x: Tensor, /) -> Tensor:
        """Return the product."""
        ...

    def added(self, x: Tensor, to: Tensor) -> Tensor:
        """Return the sum of the product and `to`."""
        ...


class Block(NamedTuple):
    """One layer of the model: its norms' weights, and what its linear layers are packed to."""

    before: Tensor
    qkv: Linear
    out: Linear
    between: Tensor
    gate_up: Linear
    down: Linear


class Weights(NamedTuple):
    """The linear layers of a model: the blocks, and the head."""

    blocks: list[Block]
    head: Callable[[Tensor], Tensor]


class LlamaForward(Forward):
    """A Llama model of transformers as a function of ids, padding and cache.

    Parameters
    ----------
    model:
        A model that `covers` holds of. Its linear layers are packed in place, and it stays what it was.
    """

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        pack(model)
        self._width = int(getattr(self.config, "head_dim", None) or _head_width(self.config))
        self._heads = int(self.config.num_attention_heads)
        self._shared = int(self.config.num_key_value_heads)
        self._scale = self._width**-0.5
        self._epsilon = torch.tensor(self.config.rms_norm_eps)
        self._exact = Weights([_block(layer) for layer in model.model.layers], model.lm_head)
        self._rough: Weights | None = None
        first = self._exact.blocks[0]
        self.guesses = all(can_round(part.weight) for part in first if isinstance(part, PackedLinear))

    def extend(self, going: Pass, cache: Any, keep: Tensor) -> Tensor:
        """Return the (K, V') logits after the tokens `keep` (K,) of the M of a pass; `cache` takes up all."""
        return self._extend(self._exact, going, cache, keep)

    def guess(self, going: Pass, cache: Any, keep: Tensor) -> Tensor:
        """Return what `extend` does, roughly, in a fraction of the time."""
        if self._rough is None:
            self._rough = _rough(self._exact, self.model.lm_head)
        return self._extend(self._rough, going, cache, keep)

    def _extend(self, weights: Weights, going: Pass, cache: Any, keep: Tensor) -> Tensor:
        def attention(i: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            layer = cache.layers[i]
            layer.write(keys, values, going.layout)
            return attend(queries * self._scale, layer, going.layout)

        x = self._hidden(weights, going.ids, going.positions, attention)
        return weights.head(self._normed(x[keep], self.model.model.norm.weight))

    def _call(self, ids: Tensor, positions: Tensor, mask: Tensor | None, cache: Any, keep: int) -> Tensor:
        rows, new = ids.shape

        def attention(i: int, *parts: Tensor) -> Tensor:
            q, k, v = (part.view(rows, new, -1, self._width).transpose(1, 2) for part in parts)
            if cache is not None:
                k, v = cache.update(k, v, i)
            seen, causal = _seen(mask, new, k.shape[2])
            out = F.scaled_dot_product_attention(
                q, k, v, attn_mask=seen, is_causal=causal, scale=self._scale, enable_gqa=True
            )
            return out.transpose(1, 2).reshape(rows * new, -1, self._width)

        x = self._hidden(self._exact, ids.reshape(-1), positions.reshape(-1), attention)
        x = x.view(rows, new, -1)[:, -keep:]
        return self._exact.head(self._normed(x, self.model.model.norm.weight))

    def _hidden(self, weights: Weights, ids: Tensor, positions: Tensor, attention: Attention) -> Tensor:
        """Return the (M, hidden) states after the last layer, before the last norm."""
        x: Tensor = self.model.model.embed_tokens(ids)
        cos, sin = (part[0, :, None] for part in self.model.model.rotary_emb(x[None], positions[None]))
        half = self._width // 2
        sin = torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)
        turned = self._heads + self._shared
        for i, block in enumerate(weights.blocks):
            parts = block.qkv(self._normed(x, block.before)).view(len(x), -1, self._width)
            both = parts[:, :turned]
            both = torch.addcmul(both * cos, torch.roll(both, half, dims=-1), sin)
            mixed = attention(i, both[:, : self._heads], both[:, self._heads :], parts[:, turned:])
            x = block.out.added(mixed.reshape(len(x), -1), x)
            gate, up = block.gate_up(self._normed(x, block.between)).chunk(2, dim=-1)
            x = block.down.added(F.silu(gate) * up, x)
        return x

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return the rows divided by the root of their mean square; `F.rms_norm` takes more operations on a CPU."""
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return x * torch.addcmul(self._epsilon, norm, norm, value=1 / x.shape[-1]).rsqrt_() * weight


def covers(model: Any) -> bool:
    """Return whether `LlamaForward` computes what a model does: Llama in float32 on a CPU, and nothing unusual."""
    from transformers import LlamaForCausalLM

    if type(model) is not LlamaForCausalLM or not can_pack():
        return False
    usual = model.config.hidden_act == "silu" and model.config.pretraining_tp == 1
    packed_together = [getattr(m, a) for m, a in _parents(model)]
    return usual and all(_is_plain(layer) for layer in [*packed_together, model.lm_head])


def _parents(model: Any) -> list[tuple[Any, str]]:
    """Return where the linear layers of the blocks are."""
    return [
        (part, name)
        for layer in model.model.layers
        for part, names in ((layer.self_attn, (*_QKV, "o_proj")), (layer.mlp, (*_GATE_UP, "down_proj")))
        for name in names
    ]


def _is_plain(layer: Any) -> bool:
    """Return whether a layer is an ordinary linear one, packed or to be packed, with a bias or without."""
    if isinstance(layer, PackedLinear | PackedPart):
        return True
    return (
        type(layer) is nn.Linear and layer.weight.device.type == "cpu" and layer.weight.dtype == torch.float32
    )


def _head_width(config: Any) -> int:
    return int(config.hidden_size // config.num_attention_heads)


def _block(layer: Any) -> Block:
    return Block(
        layer.input_layernorm.weight,
        pack_together(layer.self_attn, _QKV),
        layer.self_attn.o_proj,
        layer.post_attention_layernorm.weight,
        pack_together(layer.mlp, _GATE_UP),
        layer.mlp.down_proj,
    )


def _rough(exact: Weights, head: PackedLinear) -> Weights:
    """Return rough copies of all layers; of the head, which decides between tokens, one in bfloat16."""
    with torch.inference_mode():
        blocks = [
            Block(*(Int4Linear(p.weight, p.bias) if isinstance(p, PackedLinear) else p for p in block))  # type: ignore[arg-type]
            for block in exact.blocks
        ]
        halved = PackedLinear(head.weight.bfloat16())
        return Weights(blocks, lambda x: halved(x.bfloat16()).float())


def _seen(mask: Tensor | None, new: int, columns: int) -> tuple[Tensor | None, bool]:
    """Return what the new tokens see of the columns, and whether that is just what comes before, from the first on."""
    if mask is None and (new == 1 or new == columns):
        return None, new > 1
    before = torch.ones(new, columns, dtype=torch.bool).tril_(columns - new)
    if mask is None:
        return before, False
    itself = torch.eye(columns, dtype=torch.bool)[
        columns - new :
    ]  # what is padded must see something, to be finite
    return (before & mask[:, None] | itself)[:, None], False
