"""Models of llama.cpp: a GGUF file opened through the low-level interface of llama-cpp-python, or retyped.

Only this module and `llama_cpp_cells` call llama.cpp.
"""

from __future__ import annotations

import ctypes
import logging
import weakref
from collections import deque
from pathlib import Path

import llama_cpp as c
import torch

from inference.engines.errors import ModelDamaged, UnsupportedModel

_FILE_TYPES = {"float32": c.LLAMA_FTYPE_ALL_F32, "q8_0": c.LLAMA_FTYPE_MOSTLY_Q8_0}
RETYPED = tuple(_FILE_TYPES)
"""The types that `retype` gives to weights."""

_logger = logging.getLogger(__name__)
_said: deque[str] = deque(maxlen=8)
_ERROR = 4  # GGML_LOG_LEVEL_ERROR of ggml.h


@c.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, _: object) -> None:
    """Give what llama.cpp prints to Python's logging instead, and remember its complaints."""
    line = text.decode(errors="replace").strip()
    if level == _ERROR:
        _said.append(line)
    if line:
        _logger.debug(line)


def complaint() -> str:
    """Return what llama.cpp said last about what went wrong."""
    return _said[0] if _said else "llama.cpp does not say why"


class LlamaModel:
    """The weights and the vocabulary of a GGUF file, in memory as long as this object lives.

    Parameters
    ----------
    file:
        A GGUF file of a causal language model.
    name:
        Shown in messages.

    Raises
    ------
    ModelDamaged
        If llama.cpp cannot read it.
    UnsupportedModel
        If it keeps another memory than keys and values of each token, or what it computes depends on how much of it
        is reserved.
    """

    def __init__(self, file: Path, name: str) -> None:
        start()
        options = c.llama_model_default_params()
        options.n_gpu_layers = 0
        self.name = name
        self.pointer = c.llama_model_load_from_file(bytes(file), options)
        if not self.pointer:
            raise ModelDamaged(
                f"llama.cpp cannot read {name!r}: {complaint()}",
                hint="download the file again; a newer llama-cpp-python knows more architectures",
            )
        weakref.finalize(self, c.llama_model_free, self.pointer)
        self._vocabulary = c.llama_model_get_vocab(self.pointer)
        self.size: int = c.llama_vocab_n_tokens(self._vocabulary)
        """Number of ids."""
        self.context_length: int = c.llama_model_n_ctx_train(self.pointer)
        self.dtype = (
            torch.float32 if c.llama_model_ftype(self.pointer) == c.LLAMA_FTYPE_ALL_F32 else torch.float16
        )
        """The precision in which keys and values are kept: float32 for a model in float32, else float16."""
        self._buffer = ctypes.create_string_buffer(1 << 8)
        self._check()

    def _check(self) -> None:
        memory = {
            "an encoder": c.llama_model_has_encoder,
            "a recurrent state": c.llama_model_is_recurrent,
            "a recurrent state beside attention": c.llama_model_is_hybrid,
            "masked diffusion": c.llama_model_is_diffusion,
        }
        if odd := [kind for kind, has in memory.items() if has(self.pointer)]:
            raise UnsupportedModel(
                f"{self.name!r} has {odd[0]}, a memory that particles cannot share",
                hint="use a causal language model with full or sliding-window attention in all layers",
            )
        prefix = f"{self.meta('general.architecture')}.rope.scaling."
        original, kind = self.meta(f"{prefix}original_context_length"), self.meta(f"{prefix}type")
        if original and int(original) < self.context_length and kind not in ("linear", "yarn"):
            raise UnsupportedModel(
                f"{self.name!r} has other positions for long contexts, and llama.cpp chooses between them by the "
                "memory that is reserved, not by the length of a text",
                hint="load a model of transformers, from a directory or by its Hugging Face id",
            )

    def meta(self, key: str) -> str | None:
        """Return a scalar of the file's metadata as a string, None if it is not there."""
        buffer = ctypes.create_string_buffer(1 << 10)
        length = c.llama_model_meta_val_str(self.pointer, key.encode(), buffer, len(buffer))
        return None if length < 0 else buffer.value.decode(errors="replace")

    def ends(self) -> set[int]:
        """Return the ids that the file says end a text or a turn."""
        keys = ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id")
        return {int(value) for key in keys if (value := self.meta(key)) is not None}

    def piece(self, token: int) -> bytes:
        """Return the bytes of an id according to llama.cpp; none for ids that stand for no text."""
        buffer = self._buffer
        length = c.llama_token_to_piece(self._vocabulary, token, buffer, len(buffer), 0, False)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = c.llama_token_to_piece(self._vocabulary, token, buffer, len(buffer), 0, False)
        return buffer.raw[:length]

    def tokenize(self, text: str, *, special: bool) -> tuple[int, ...]:
        """Return the ids of a text in which special tokens count as such, with those that begin or end any prompt."""
        data = text.encode()
        ids = (c.llama_token * (len(data) + 8))()
        n = c.llama_tokenize(self._vocabulary, data, len(data), ids, len(ids), special, True)
        return tuple(ids[:n])


def retype(source: Path, target: Path, dtype: str) -> None:
    """Write the model of a GGUF file with weights of one of the types `RETYPED`.

    Raises
    ------
    ModelDamaged
        If llama.cpp cannot do it.
    """
    start()
    options = c.llama_model_quantize_default_params()
    options.ftype = _FILE_TYPES[dtype]
    options.allow_requantize = True
    options.nthread = torch.get_num_threads()
    if c.llama_model_quantize(bytes(source), bytes(target), ctypes.byref(options)) != 0:
        raise ModelDamaged(
            f"llama.cpp cannot convert {source.name} to {dtype}: {complaint()}",
            hint="leave dtype out to use the file as it is, or download it again",
        )


def start() -> None:
    """Make llama.cpp ready, and quiet, for the next call; forget its complaints."""
    c.llama_log_set(_log, None)
    c.llama_backend_init()
    _said.clear()
