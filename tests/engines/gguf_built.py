"""Small GGUF files with the weights of models of transformers, so that two programs compute the same numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import torch

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED = 1, 2, 3, 4, 5  # types of tokens

_OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_GEMMA = {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}


def write(file: Path, model: Any, tokenizer: Any, *, bos: bool = False, **more: int) -> Path:
    """Write a Llama or Gemma 3 model in float32; `more` is metadata of the architecture."""
    config = model.config
    gemma = config.model_type == "gemma3_text"
    writer = gguf.GGUFWriter(file, "gemma3" if gemma else "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    if gemma:
        writer.add_sliding_window(config.sliding_window)
        writer.add_rope_freq_base(config.rope_parameters["full_attention"]["rope_theta"])
    else:
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        writer.add_rope_dimension_count(config.head_dim)
    for key, value in more.items():
        writer.add_uint32(f"{writer.arch}.{key.replace('__', '.')}", value)
    _add_tokenizer(writer, tokenizer, config.vocab_size)
    writer.add_add_bos_token(bos)
    for name, weight in model.state_dict().items():
        if not (name == "lm_head.weight" and config.tie_word_embeddings):
            writer.add_tensor(*_tensor(name.removesuffix(".weight"), weight.float(), config, gemma))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _tensor(name: str, weight: torch.Tensor, config: Any, gemma: bool) -> tuple[str, Any]:
    """Return a weight under the name and in the form that llama.cpp gives it."""
    if gemma and name.endswith("norm"):
        weight = weight + 1  # transformers adds 1 when it uses it
    if not gemma and name.endswith(("q_proj", "k_proj")):  # pairs of rotary dimensions stand side by side
        heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
        weight = weight.reshape(heads, 2, config.head_dim // 2, -1).transpose(1, 2).reshape(weight.shape)
    if name in _OUTER:
        return f"{_OUTER[name]}.weight", weight.contiguous().numpy()
    _, _, layer, inner = name.split(".", 3)
    names = _LAYER | _GEMMA if gemma else _LAYER
    return f"blk.{layer}.{names[inner]}.weight", weight.contiguous().numpy()


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Any, size: int) -> None:
    """Add a byte-level BPE tokenizer, filled up to `size` with ids that nobody uses."""
    spec = json.loads(tokenizer.backend_tokenizer.to_str())
    tokens = {v: (token, NORMAL) for token, v in spec["model"]["vocab"].items()}
    for added in spec["added_tokens"]:
        tokens[added["id"]] = (added["content"], CONTROL if added["special"] else USER_DEFINED)
    listed = [tokens.get(v, (f"[unused{v}]", UNUSED)) for v in range(size)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([token for token, _ in listed])
    writer.add_token_types([kind for _, kind in listed])
    writer.add_token_merges([" ".join(pair) for pair in spec["model"]["merges"]])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_bos_token_id(tokenizer.bos_token_id)
