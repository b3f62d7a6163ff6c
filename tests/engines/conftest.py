from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import transformers as hf

from inference.engines.transformers import TransformersEngine
from tests.engines.tokenizers_built import byte_level

VOCABULARY = 300
COMMON = {"vocab_size": VOCABULARY, "eos_token_id": 0, "bos_token_id": 1, "pad_token_id": 0}
SMALL = COMMON | {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
}

CONFIGS = {
    "llama": lambda: hf.LlamaConfig(**SMALL),
    "gpt2": lambda: hf.GPT2Config(n_embd=32, n_layer=3, n_head=4, n_positions=128, **COMMON),
    "gemma3": lambda: hf.Gemma3TextConfig(
        **SMALL,
        sliding_window=6,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        query_pre_attn_scalar=8,
    ),
    "gemma2": lambda: hf.Gemma2Config(**SMALL, sliding_window=5, attn_logit_softcapping=2.0),
    "qwen3": lambda: hf.Qwen3Config(**SMALL),
    "mistral": lambda: hf.MistralConfig(**SMALL, sliding_window=7),
    "neox": lambda: hf.GPTNeoXConfig(**{k: v for k, v in SMALL.items() if k != "num_key_value_heads"}),
    "phi": lambda: hf.PhiConfig(**SMALL),
    "bloom": lambda: hf.BloomConfig(n_layer=2, n_head=4, hidden_size=32, **COMMON),
    "opt": lambda: hf.OPTConfig(
        **COMMON,
        hidden_size=32,
        ffn_dim=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        word_embed_proj_dim=32,
    ),
}


def tiny(kind: str, seed: int = 0) -> TransformersEngine:
    """A model of an architecture with random weights."""
    return random_weights(CONFIGS[kind](), f"tiny-{kind}", seed)


def random_weights(config: hf.PreTrainedConfig, name: str, seed: int = 0) -> TransformersEngine:
    """A model with random weights, large enough that its distributions are not flat."""
    torch.manual_seed(seed)
    model = hf.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn_like(parameter) * 0.2)
    return TransformersEngine(model, byte_level(), name=name)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors gain nothing from threads, and lose much where the cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def packed_llama(**changes: object) -> TransformersEngine:
    """A Llama model of sizes that have rough passes, with the forward passes of its own."""
    sizes = {"hidden_size": 64, "intermediate_size": 96, "head_dim": 16}
    engine = random_weights(hf.LlamaConfig(**(SMALL | sizes | changes)), "packed-llama")
    engine.pack()
    return engine


@pytest.fixture(scope="session", params=[*sorted(CONFIGS), "packed llama"])
def engine(request: pytest.FixtureRequest) -> TransformersEngine:
    return packed_llama() if request.param == "packed llama" else tiny(request.param)


@pytest.fixture(scope="session")
def llama() -> TransformersEngine:
    return tiny("llama")
