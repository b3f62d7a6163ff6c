"""The Hugging Face hub: whether it has a model, asked quickly and told clearly."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from typing import Any

from inference.engines.embedded import EMBEDDED
from inference.engines.errors import ModelNotFound

REMEDY = 'load("smollm2") is embedded and needs no network; a local directory works too'
_TIMEOUT = 5.0
"""Seconds after which the hub counts as out of reach."""


def from_hub(name: str, revision: str | None, files: Callable[..., tuple[Any, Any, Any]]) -> Any:
    """Return what `files` reads from the Hugging Face cache, completed from the hub where need be."""
    if cached(name, revision):
        try:
            return files(local_files_only=True)
        except OSError:  # an interrupted download left the cache incomplete
            pass
    ask_hub(name, revision)
    return files(local_files_only=False)


def cached(name: str, revision: str | None) -> bool:
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


def ask_hub(name: str, revision: str | None) -> None:
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
    if "/" not in name and (near := difflib.get_close_matches(name.lower(), EMBEDDED, n=1)):
        raise ModelNotFound(tried, hint=f'did you mean load("{near[0]}")?')
    if os.path.isabs(name) or name.startswith((".", "~")):
        raise ModelNotFound(tried, hint=REMEDY)
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
        raise ModelNotFound(f"{tried}, not on the Hugging Face hub", hint=REMEDY) from error
    except OfflineModeIsEnabled as error:
        raise ModelNotFound(
            f"{tried}, not in the Hugging Face cache, and HF_HUB_OFFLINE forbids to ask the hub", hint=REMEDY
        ) from error
    except Exception as error:
        raise ModelNotFound(
            f"{tried}, not in the Hugging Face cache, and the hub is out of reach ({type(error).__name__})",
            hint=REMEDY,
        ) from error
