"""Packed linear layers give what plain ones give, in every architecture."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from inference import load
from inference.engines.llama_forward import LlamaForward
from inference.engines.packed import PackedLinear, PackedPart, can_pack, count_weights, pack
from inference.engines.transformers import TransformersEngine
from tests.engines.conftest import CONFIGS, tiny


class Doubled(nn.Linear):
    """A layer that computes something else than a linear layer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2.0 * super().forward(x)


def packed_layers(model: nn.Module) -> int:
    return sum(isinstance(module, PackedLinear) for module in model.modules())


@pytest.fixture(scope="module", autouse=True)
def packing_is_possible() -> None:
    if not can_pack():
        pytest.skip("this PyTorch has no oneDNN")


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_packed_weights_are_counted(kind: str) -> None:
    """Layers that were packed one by one, and those that were packed together, of which parts are left."""
    engine = tiny(kind)
    count = sum(parameter.numel() for parameter in engine.forward.model.parameters())
    assert engine.weights == count
    tied = engine.forward.config.tie_word_embeddings
    engine.pack()
    head = engine.forward.model.get_input_embeddings().weight.numel() if tied else 0
    assert count_weights(engine.forward.model) == count + head  # what is tied is kept twice then


@pytest.mark.parametrize("kind", sorted(CONFIGS))
def test_logits_are_those_of_the_stock_model(kind: str) -> None:
    stock, packed = tiny(kind), tiny(kind)
    plain = [m for m in packed.forward.model.modules() if type(m) is nn.Linear]
    assert pack(packed.forward.model) == len(plain) > 0
    assert packed_layers(packed.forward.model) == len(plain)
    prompts = [tuple(range(3, 20)), tuple(range(40, 45)), (7,)]
    with torch.inference_mode():
        difference = (stock.forward.evaluate(prompts) - packed.forward.evaluate(prompts)).abs().max()
    assert float(difference) < 1e-4


def test_number_of_rows_and_biases() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(24, 40), nn.Linear(40, 8, bias=False))
    rows = [torch.randn(*shape, 24) for shape in ((1,), (3,), (16,), (129,), (2, 5), (0,))]
    with torch.inference_mode():
        before = [model(x) for x in rows]
        assert pack(model) == 2
        for x, y in zip(rows, before, strict=True):
            torch.testing.assert_close(model(x), y, atol=1e-5, rtol=1e-5)
        strided = torch.randn(6, 48)[:, ::2]
        torch.testing.assert_close(model(strided), model(strided.contiguous()))


def test_other_layers_stay() -> None:
    model = nn.ModuleList([Doubled(4, 4), nn.Linear(4, 4).double(), nn.Linear(4, 4, device="meta")])
    assert pack(model) == 0
    assert isinstance(model[0], Doubled)


@pytest.mark.model
def test_a_loaded_model_is_packed() -> None:
    lm = load("smollm2")
    assert isinstance(lm, TransformersEngine)
    assert isinstance(lm.forward, LlamaForward)
    assert not any(type(m) is nn.Linear for m in lm.forward.model.modules())
    # Those with the same inputs are one: q, k and v, which leaves three and the output; gate and up.
    layers = lm.forward.model.config.num_hidden_layers
    assert packed_layers(lm.forward.model) == 2 * layers + 1
    assert sum(isinstance(m, PackedPart) for m in lm.forward.model.modules()) == 5 * layers
