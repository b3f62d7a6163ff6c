"""Engine `llama.cpp`: causal language models in GGUF files, their weights quantised or not, on the CPU.

Prompts are read by llama.cpp's own tokenizer, which knows whether a beginning-of-sequence id or a space belongs in
front. Texts are spelled, and chat templates filled in, by the tokenizer that transformers makes of the file. The bytes
of each id must be the same for both, else the file is refused; ids to which llama.cpp gives no bytes stand for no text.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from inference.engines.embedded import CONVERTER, EMBEDDED, cache_directory, find, prepared
from inference.engines.errors import ModelDamaged, ModelNotFound, UnsupportedModel
from inference.engines.progress_bars import without_progress_bars
from inference.engines.tokenized import TokenizedEngine
from ppl.errors import InvalidArgument

if TYPE_CHECKING:
    from inference.engines.llama_cpp_model import LlamaModel
    from inference.engines.llama_cpp_session import LlamaCppSession


class LlamaCppEngine(TokenizedEngine):
    """A causal language model of llama.cpp with its tokenizer.

    Parameters
    ----------
    model:
        What a GGUF file holds.
    tokenizer:
        Its tokenizer: byte-level BPE or SentencePiece with byte fallback.
    name:
        Shown in messages.

    Raises
    ------
    UnsupportedModel
        If the tokens have no bytes of their own, no id ends a text, or llama.cpp gives an id other bytes.
    """

    def __init__(self, model: LlamaModel, tokenizer: Any, *, name: str) -> None:
        self.model = model
        self.context_length = model.context_length
        pieces = [model.piece(v) for v in range(model.size)]
        super().__init__(
            tokenizer,
            size=model.size,
            ends=model.ends(),
            silent={v for v, piece in enumerate(pieces) if not piece},
            device=torch.device("cpu"),
            name=name,
        )
        for v, (data, piece) in enumerate(zip(self.vocabulary.tokens, pieces, strict=True)):
            if data is not None and data != piece:
                raise UnsupportedModel(
                    f"token {v} of {name!r} is {data!r} for transformers, {piece!r} for llama.cpp",
                    hint="convert the model again with current versions of llama.cpp and transformers",
                )

    def _read(self, text: str, *, special: bool) -> tuple[int, ...]:
        return self.model.tokenize(text, special=special)

    def session(self) -> LlamaCppSession:
        """Return a fresh session."""
        from inference.engines.llama_cpp_session import LlamaCppSession

        return LlamaCppSession(self)


def gguf_file(name: str) -> Path:
    """Return the GGUF file of an embedded model, or of a path.

    Raises
    ------
    ModelNotFound
        If there is none.
    """
    file = find(name) if name in EMBEDDED else Path(name).expanduser()
    if not file.is_file():
        raise ModelNotFound(
            f"no GGUF file {name!r} for engine llama.cpp",
            hint=f"pass the path of a GGUF file, or an embedded model ({', '.join(EMBEDDED)})",
        )
    return file.resolve()


def read_gguf(name: str, file: Path, dtype: str | None) -> LlamaCppEngine:
    """Return the language model of a GGUF file.

    Parameters
    ----------
    name:
        Shown in messages.
    file:
        Where it is.
    dtype:
        "float32" or "q8_0" to convert the weights first, which is done once and kept in the user's cache; None for
        the types that they have in the file.
    """
    missing = [package for package in ("llama_cpp", "gguf") if importlib.util.find_spec(package) is None]
    if missing:
        raise UnsupportedModel(
            f"running {name!r} with llama.cpp needs the Python package {' and '.join(missing)}",
            hint="pip install 'ppl[llama-cpp]'   (it compiles llama.cpp, which takes minutes)",
        )
    from inference.engines.llama_cpp_model import RETYPED, LlamaModel, retype

    if dtype is not None and dtype not in RETYPED:
        raise InvalidArgument(
            f"dtype={dtype!r} is no type of weights for engine llama.cpp",
            hint=f"pass one of {', '.join(RETYPED)}, or leave it out for the types of the file",
        )
    weights = file
    if dtype is not None:
        stamp = f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}"
        place = f"{file.stem}-{hashlib.sha256(stamp.encode()).hexdigest()[:12]}-{dtype}-{CONVERTER}"
        folder = prepared(cache_directory() / place, lambda path: retype(file, path / "model.gguf", dtype))
        weights = folder / "model.gguf"
    model = LlamaModel(weights, name)
    return LlamaCppEngine(model, _tokenizer(name, file), name=name)


def _tokenizer(name: str, file: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        with without_progress_bars():
            return AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
    except Exception as error:
        raise ModelDamaged(
            f"transformers cannot read the tokenizer of {name!r}: {error}",
            hint="convert the model again with a current llama.cpp, or use another model",
        ) from error
