"""Models of transformers other than causal language models, loaded with their tokenizers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from inference.engines.errors import ModelDamaged, ModelNotFound, UnsupportedModel
from inference.engines.progress_bars import without_progress_bars


def pretrained(
    auto: Any, name: str | os.PathLike[str], revision: str | None, *, kind: str, example: str
) -> tuple[Any, Any]:
    """Return the model and the tokenizer of a local directory or a Hugging Face id.

    Parameters
    ----------
    auto:
        The class of transformers that loads models of this kind.
    name, revision:
        What to load; the code of a repository is never run.
    kind, example:
        What messages call it, and what would be one.

    Raises
    ------
    ModelNotFound, ModelDamaged, UnsupportedModel
        If it cannot be loaded, is of another kind, or lacks the head that this kind needs.
    """
    from transformers import AutoTokenizer

    path = Path(name).expanduser()
    local = path.is_dir()
    source = str(path) if local else os.fspath(name)
    options: dict[str, Any] = {"revision": revision, "trust_remote_code": False, "local_files_only": local}
    shown = os.fspath(name)
    try:
        with without_progress_bars():
            tokenizer = AutoTokenizer.from_pretrained(source, **options)
            model, info = auto.from_pretrained(source, output_loading_info=True, **options)
    except OSError as error:
        raise ModelNotFound(
            f"no {kind} {shown!r}: {str(error).splitlines()[0]}",
            hint="pass a directory that save_pretrained has written, or a Hugging Face id",
        ) from error
    except ValueError as error:
        raise UnsupportedModel(
            f"{shown!r} is no {kind}: {str(error).splitlines()[0]}", hint=f"load {example}"
        ) from error
    if missing := info["missing_keys"]:
        raise ModelDamaged(
            f"the files of {shown!r} lack {len(missing)} weights, {min(missing)} first",
            hint=f"it may have no head for this: load {example}",
        )
    return model, tokenizer
