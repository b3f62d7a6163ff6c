"""Engine `transformers`: causal language models of Hugging Face transformers, in PyTorch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from inference.engines.forward import Forward
from inference.engines.kv_cache import attention_windows
from inference.engines.llama_forward import LlamaForward, covers
from inference.engines.lora import with_adapter
from inference.engines.packed import count_weights, pack
from inference.engines.prompt_cache import PromptCache
from inference.engines.tokenized import TokenizedEngine, ids_of
from inference.engines.transformers_session import TransformersSession


class TransformersEngine(TokenizedEngine):
    """A causal language model of transformers with its tokenizer.

    Parameters
    ----------
    model:
        A model with a language-modelling head, on the device and in the precision it is to run in.
    tokenizer:
        Its tokenizer: byte-level BPE or SentencePiece with byte fallback.
    name:
        Shown in messages.

    Raises
    ------
    UnsupportedModel
        If the tokens have no bytes of their own, no id ends a text, or the model keeps another memory than
        the keys and values of each token.
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str) -> None:
        config = model.config.get_text_config(decoder=True)
        self.windows = attention_windows(config, name)
        self.context_length = getattr(config, "max_position_embeddings", None)
        if getattr(config, "attn_logit_softcapping", None):
            model.set_attn_implementation("eager")  # the fused kernels have no soft cap
        self.forward: Forward = Forward(model.eval().requires_grad_(False))
        self.prompts = PromptCache()
        self.weights = count_weights(model)
        super().__init__(
            tokenizer,
            size=int(model.get_output_embeddings().weight.shape[0]),
            ends=ids_of(model.generation_config, model.config, model.config.get_text_config()),
            device=self.forward.device,
            name=name,
        )

    def pack(self) -> None:
        """Lay out the weights as the kernels of a CPU read them, in place; logits agree to float32 rounding."""
        model = self.forward.model
        if covers(model):
            self.forward = LlamaForward(model)
        else:
            pack(model)

    def adapter(self, path: str | os.PathLike[str]) -> TransformersEngine:
        """Return this model with a LoRA adapter: another expert, which shares the weights that the adapter leaves.

        Parameters
        ----------
        path:
            A directory that `save_pretrained` of the package `peft` has written.

        Raises
        ------
        ModelNotFound, ModelDamaged, UnsupportedModel
            If it cannot be read, does not fit this model, or is another kind of adapter.
        """
        model = with_adapter(self.forward.model, path)
        adapted = TransformersEngine(model, self._tokenizer, name=f"{self.name}+{Path(path).name}")
        if isinstance(self.forward, LlamaForward):
            adapted.pack()
        return adapted

    def session(self) -> TransformersSession:
        """Return a fresh session."""
        return TransformersSession(self)
