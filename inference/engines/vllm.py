"""Engine `vllm`: causal language models that vLLM runs, with its paged key-value cache and continuous batching."""

from __future__ import annotations

import weakref
from itertools import count
from types import SimpleNamespace
from typing import Any, Self

from inference.engines.progress_bars import without_progress_bars
from inference.engines.tokenized import TokenizedEngine, ids_of
from inference.engines.vllm_batch import Batch
from inference.engines.vllm_core import start
from inference.engines.vllm_session import VLLMSession


class VLLMEngine(TokenizedEngine):
    """A causal language model that vLLM runs in this process, on the device that vLLM was built for.

    Parameters
    ----------
    core, runner:
        A core of vLLM and its model runner (`inference.engines.vllm_core.start`).
    tokenizer:
        Its tokenizer: byte-level BPE or SentencePiece with byte fallback.
    name:
        Shown in messages.

    Raises
    ------
    UnsupportedModel
        If the tokens have no bytes of their own, or no id ends a text.

    Notes
    -----
    The context is one token shorter than vLLM's `max_model_len`, in which a sampled token must find room.
    """

    def __init__(self, core: Any, runner: Any, tokenizer: Any, *, name: str) -> None:
        model = core.vllm_config.model_config
        generation = SimpleNamespace(**model.try_get_generation_config())
        super().__init__(
            tokenizer,
            size=model.get_vocab_size(),
            ends=ids_of(generation, model.hf_config, model.hf_text_config),
            device=runner.device,
            name=name,
        )
        self.context_length = model.max_model_len - 1
        self.batch = Batch(core, runner)
        self._salts = count()
        # vLLM keeps references to itself: without this the weights would stay when the engine has gone
        weakref.finalize(self, core.model_executor.shutdown).atexit = False

    @classmethod
    def open(cls, source: str, *, name: str | None = None, **settings: Any) -> Self:
        """Return the model of a local directory or a Hugging Face id.

        Parameters
        ----------
        source:
            The directory or the id.
        name:
            Shown in messages; by default `source`.
        **settings:
            Arguments of `vllm.EngineArgs`, such as `dtype`, `max_model_len` or `gpu_memory_utilization`.

        Raises
        ------
        UnsupportedVersion
            If vLLM is missing or of another version.
        UnsupportedModel
            See the class.
        """
        from transformers import AutoTokenizer

        core, runner = start({"model": source, **settings})
        with without_progress_bars():
            tokenizer = AutoTokenizer.from_pretrained(
                source, revision=settings.get("revision"), trust_remote_code=False
            )
        return cls(core, runner, tokenizer, name=source if name is None else name)

    def session(self) -> VLLMSession:
        """Return a fresh session."""
        return VLLMSession(self, salt=str(next(self._salts)))
