"""Loading a language model by name: embedded, a local directory, or from the Hugging Face hub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import torch

from inference.engines.embedded import EMBEDDED, directory
from inference.engines.errors import ModelDamaged, ModelNotFound, UnsupportedModel
from inference.engines.progress_bars import without_progress_bars
from ppl.errors import InvalidArgument

if TYPE_CHECKING:
    from inference.engines.transformers import TransformersEngine

_REMEDY = 'load("smollm2") is embedded and needs no network; a local directory works too'
_TIMEOUT = 5.0
"""Seconds after which the hub counts as out of reach."""

_Key = tuple[str, str | None, torch.device, torch.dtype, int]
_loaded: WeakValueDictionary[_Key, TransformersEngine] = WeakValueDictionary()


def load(
    name: str = "smollm2",
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    revision: str | None = None,
) -> TransformersEngine:
    """Return the language model `name`.

    While an engine is in use, loading it again with equal arguments returns the same one. The code of a model
    repository is never run; a model in the Hugging Face cache is used without asking the hub.

    Parameters
    ----------
    name:
        An embedded model ("smollm2": SmolLM2-135M-Instruct), a local directory in the format of transformers,
        or a Hugging Face id.
    device:
        Where it runs, by default the CPU.
    dtype:
        Precision of the weights, by default float32 on a CPU and bfloat16 elsewhere.
    revision:
        Branch, tag or commit of a Hugging Face id.

    Raises
    ------
    ModelNotFound
        If there is no such model, or none within reach.
    ModelDamaged
        If its files cannot be read.
    UnsupportedModel
        If it is not a causal language model whose tokens are byte strings.
    InvalidArgument
        If the device or the precision does not exist.
    """
    where = _device(device)
    precision = _dtype(dtype, where)
    path = directory(name) if name in EMBEDDED else Path(name).expanduser()
    local = path.is_dir()
    source = str(path.resolve()) if local else name
    stamp = max((file.stat().st_mtime_ns for file in path.iterdir()), default=0) if local else 0
    key = (source, revision, where, precision, stamp)
    engine = _loaded.get(key)
    if engine is None:
        engine = _read(name, source, local=local, device=where, dtype=precision, revision=revision)
        _loaded[key] = engine
    return engine


def _device(device: str | torch.device | None) -> torch.device:
    try:
        where = torch.device("cpu" if device is None else device)
    except RuntimeError as error:
        raise InvalidArgument(f"device={device!r}: {error}", hint='pass "cpu", "cuda" or "cuda:0"') from error
    if where.type == "cuda" and (where.index or 0) >= torch.cuda.device_count():
        raise InvalidArgument(
            f"device={device!r}, but PyTorch sees {torch.cuda.device_count()} CUDA devices",
            hint="leave `device` out to run on the CPU, or install a PyTorch built for CUDA",
        )
    return where


def _dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    if dtype is None or dtype == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    precision = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(precision, torch.dtype) or not precision.is_floating_point:
        raise InvalidArgument(f"dtype={dtype!r}", hint='pass "float32", "bfloat16", "float16" or "auto"')
    return precision


def _read(
    name: str, source: str, *, local: bool, device: torch.device, dtype: torch.dtype, revision: str | None
) -> TransformersEngine:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from inference.engines.transformers import TransformersEngine

    if local and not Path(source, "config.json").is_file():
        raise ModelNotFound(
            f"the directory {name!r} holds no model: it has no config.json",
            hint="pass a directory that save_pretrained has written",
        )
    options: dict[str, Any] = {"revision": revision, "trust_remote_code": False, "local_files_only": True}
    if not local and not _cached(source, revision):
        _ask_hub(name, revision)
        options["local_files_only"] = False
    with without_progress_bars():
        try:
            tokenizer = AutoTokenizer.from_pretrained(source, **options)
            model, info = AutoModelForCausalLM.from_pretrained(
                source, dtype=dtype, output_loading_info=True, **options
            )
        except Exception as error:
            raise _unreadable(name, error) from error
    if missing := info["missing_keys"]:
        raise ModelDamaged(
            f"the files of {name!r} lack {len(missing)} weights, {min(missing)} first",
            hint="download or save the model again; an encoder has no weights for language modelling",
        )
    return TransformersEngine(model.to(device), tokenizer, name=name)


def _cached(name: str, revision: str | None) -> bool:
    """Return whether the Hugging Face cache has the configuration and the weights of a model."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    def has(file: str) -> bool:
        return isinstance(try_to_load_from_cache(name, file, revision=revision), str)

    try:
        weights = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
        return has("config.json") and any(has(file) for file in weights)
    except HFValidationError:
        return False


def _ask_hub(name: str, revision: str | None) -> None:
    """Raise `ModelNotFound` unless the hub answers, soon, that it has the model."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    tried = f"no model {name!r}: not embedded ({', '.join(EMBEDDED)}), no local directory"
    if os.path.isabs(name) or name.startswith((".", "~")):
        raise ModelNotFound(tried, hint=_REMEDY)
    try:
        HfApi().model_info(name, revision=revision, timeout=_TIMEOUT)
    except GatedRepoError as error:
        raise ModelNotFound(
            f"{tried}, and the Hugging Face hub gives it only to those who accepted its terms",
            hint=f"accept them at https://huggingface.co/{name} and log in with `hf auth login`",
        ) from error
    except RevisionNotFoundError as error:
        raise ModelNotFound(
            f"{name!r} has no revision {revision!r}", hint="pass a branch, tag or commit of the repository"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ModelNotFound(f"{tried}, not on the Hugging Face hub", hint=_REMEDY) from error
    except OfflineModeIsEnabled as error:
        raise ModelNotFound(
            f"{tried}, not in the Hugging Face cache, and HF_HUB_OFFLINE forbids to ask the hub", hint=_REMEDY
        ) from error
    except Exception as error:
        raise ModelNotFound(
            f"{tried}, not in the Hugging Face cache, and the hub is out of reach ({type(error).__name__})",
            hint=_REMEDY,
        ) from error


def _unreadable(name: str, error: Exception) -> ModelDamaged | UnsupportedModel:
    text = str(error).strip()
    said = text.splitlines()[0] if text else type(error).__name__
    if "trust_remote_code" in text:
        return UnsupportedModel(
            f"{name!r} runs code of its own, which is not allowed", hint="use a model that transformers knows"
        )
    if "Unrecognized" in text or "does not recognize this architecture" in text:
        return UnsupportedModel(
            f"{name!r}: {said}", hint="use a causal language model that transformers knows"
        )
    return ModelDamaged(
        f"the files of {name!r} cannot be read: {said}", hint="download or save the model again"
    )
