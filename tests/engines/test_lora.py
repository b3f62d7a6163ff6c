"""LoRA adapters: the logits are those of a model with the changes merged, and the base stays as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from inference import SMC, infer
from inference.engines.errors import ModelDamaged, ModelNotFound, UnsupportedModel
from inference.engines.packed import pack
from ppl import guide, program, sample
from tests.engines.conftest import tiny

LAYERS = ("model.layers.0.self_attn.q_proj", "model.layers.2.mlp.down_proj")
PROMPTS = [(3, 4, 5, 6), (9,)]


def saved(
    folder: Path, model: torch.nn.Module, changes: dict[str, Any] | None = None
) -> dict[str, torch.Tensor]:
    """Save a random adapter of rank 2; return the change of each layer."""
    torch.manual_seed(1)
    tensors, deltas = {}, {}
    for layer in LAYERS:
        out, into = model.get_submodule(layer).weight.shape
        a, b = torch.randn(2, into), torch.randn(out, 2)
        (
            tensors[f"base_model.model.{layer}.lora_A.weight"],
            tensors[f"base_model.model.{layer}.lora_B.weight"],
        ) = a, b
        deltas[layer] = (b @ a) * 0.1 * 4 / 2
    tensors = {k: v if "lora_A" in k else v * 0.1 for k, v in tensors.items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "bias": "none", **(changes or {})}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return deltas


@pytest.mark.parametrize("packed", [None, "each layer", "together"])
def test_logits_are_those_of_the_merged_model(tmp_path: Path, packed: str | None) -> None:
    merged, lm = tiny("llama"), tiny("llama")
    for layer, delta in saved(tmp_path / "formal", lm.forward.model).items():
        merged.forward.model.get_submodule(layer).weight.data += delta
    if packed == "each layer":
        pack(lm.forward.model)
    if packed == "together":
        lm.pack()
    with torch.inference_mode():
        before = lm.forward.evaluate(PROMPTS)
        adapted = lm.adapter(tmp_path / "formal")
        difference = adapted.forward.evaluate(PROMPTS) - merged.forward.evaluate(PROMPTS)
        assert float(difference.abs().max()) < 1e-4
        assert torch.equal(lm.forward.evaluate(PROMPTS), before)
        assert float((adapted.forward.evaluate(PROMPTS) - before).abs().max()) > 0.1
    embedding = adapted.forward.model.get_input_embeddings().weight
    assert embedding is lm.forward.model.get_input_embeddings().weight
    assert adapted.name == "tiny-llama+formal"


def test_an_adapter_is_an_expert(tmp_path: Path) -> None:
    lm = tiny("llama")
    saved(tmp_path / "formal", lm.forward.model)
    adapted = lm.adapter(tmp_path / "formal")

    @program
    def guided() -> str:
        return sample(guide(adapted("ab", max_tokens=4), lm("ab", max_tokens=4), 0.5))

    posterior = infer(guided(), SMC(8), seed=0)
    assert posterior.cost.lm_calls > 5


def test_alpha_of_one_layer_and_rank_stabilised(tmp_path: Path) -> None:
    lm = tiny("llama")
    plain = saved(tmp_path / "plain", lm.forward.model)
    saved(tmp_path / "other", lm.forward.model, {"use_rslora": True, "alpha_pattern": {"q_proj": 8}})
    for layer, factor in zip(LAYERS, (2 * 2**0.5, 2**0.5), strict=True):
        base, changed = lm.forward.model, lm.adapter(tmp_path / "other").forward.model
        change = changed.get_submodule(layer).weight - base.get_submodule(layer).weight
        torch.testing.assert_close(change, plain[layer] * factor, atol=1e-5, rtol=1e-5)


def test_what_is_no_such_adapter(tmp_path: Path) -> None:
    lm = tiny("llama")
    with pytest.raises(ModelNotFound, match="adapter_config"):
        lm.adapter(tmp_path)
    for changes, message in [
        ({"peft_type": "IA3"}, "IA3"),
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias=all"),
    ]:
        saved(tmp_path / "odd", lm.forward.model, changes)
        with pytest.raises(UnsupportedModel, match=message):
            lm.adapter(tmp_path / "odd")
    saved(tmp_path / "odd", lm.forward.model)
    with pytest.raises(ModelDamaged, match="does not have"):
        tiny("gpt2").adapter(tmp_path / "odd")
    save_file(
        {"base_model.model.lm_head.lora_embedding_A": torch.zeros(1)},
        tmp_path / "odd/adapter_model.safetensors",
    )
    with pytest.raises(UnsupportedModel, match="lora_embedding_A"):
        lm.adapter(tmp_path / "odd")
