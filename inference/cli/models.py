"""`ppl models`: what is cached on this machine, and fetching, converting and removing it.

Two caches hold models: that of ppl, with embedded models converted from their packages, and that of Hugging Face.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from inference.cli.display import output
from inference.cli.exit_codes import BadInput, say
from inference.cli.groups import command
from inference.cli.options import AsJson
from inference.engines.embedded import EMBEDDED, cache_directory, directory, find
from inference.engines.errors import ModelNotFound

models = typer.Typer(no_args_is_help=True)

_BESIDE = (
    "*config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "*.jinja",
)
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
_OLD_WEIGHTS = ("pytorch_model*.bin", "pytorch_model.bin.index.json")


@dataclass(frozen=True)
class Cached:
    """A model on this machine.

    Attributes
    ----------
    name:
        What `--model` takes.
    cache:
        "ppl" or "huggingface".
    size:
        In bytes.
    path:
        Where it is.
    """

    name: str
    cache: str
    size: int
    path: str
    remove: Callable[[], Any] = field(compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return what is known of it as JSON."""
        return {"name": self.name, "cache": self.cache, "size": self.size, "path": self.path}


def cached() -> list[Cached]:
    """Return the models of both caches, by name."""
    return sorted([*_converted(), *_downloaded()], key=lambda model: (model.name, model.path))


def _converted() -> list[Cached]:
    """Return the embedded models that are converted, those of older versions included."""
    found = []
    for name in EMBEDDED:
        for path in cache_directory().glob(f"{name}-*"):
            if path.is_dir() and re.fullmatch(rf"{re.escape(name)}-[\d.]+-\d+", path.name):
                size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
                found.append(Cached(name, "ppl", size, str(path), partial(shutil.rmtree, path)))
    return found


def _downloaded() -> list[Cached]:
    """Return the models of the Hugging Face cache."""
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        info = scan_cache_dir(constants.HF_HUB_CACHE)
    except CacheNotFound:
        return []
    found = []
    for repo in info.repos:
        if repo.repo_type == "model":
            remove = info.delete_revisions(*(revision.commit_hash for revision in repo.revisions)).execute
            found.append(Cached(repo.repo_id, "huggingface", repo.size_on_disk, str(repo.repo_path), remove))
    return found


@dataclass(frozen=True, kw_only=True)
class Listing:
    """How a list is shown."""

    as_json: AsJson = False


@models.command("list")
@command
def list_models(listing: Listing) -> None:
    """List the models on this machine, with their sizes."""
    found = cached()
    if listing.as_json:
        for model in found:
            print(json.dumps(model.to_dict()))
        return
    table = Table("name", "size", "cache", "path", box=None, padding=(0, 2, 0, 0))
    table.columns[1].justify = "right"
    for model in found:
        table.add_row(Text(model.name), megabytes(model.size), model.cache, Text(model.path, overflow="fold"))
    output().print(table if found else "no models are cached")


def megabytes(size: int) -> str:
    """Return a size in bytes for people."""
    return f"{size / 1e6:,.1f} MB"


@dataclass(frozen=True, kw_only=True)
class Named:
    """A model by name."""

    name: Annotated[str, typer.Argument(help="The name of an embedded model, or a Hugging Face id.")]


@dataclass(frozen=True, kw_only=True)
class Revision:
    """A revision of a repository."""

    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit.")] = None


@models.command("fetch")
@command
def fetch_model(named: Named, at: Revision) -> None:
    """Download a model from the Hugging Face hub, so that later runs need no network."""
    if named.name in EMBEDDED:
        raise BadInput(
            f"{named.name} is embedded: it comes with the package {EMBEDDED[named.name].distribution}",
            hint=f"ppl models convert {named.name}",
        )
    from huggingface_hub import snapshot_download

    def fetch(patterns: tuple[str, ...]) -> Path:
        return Path(snapshot_download(named.name, revision=at.revision, allow_patterns=list(patterns)))

    try:
        path = fetch((*_BESIDE, *_WEIGHTS))
        if not list(path.glob("*.safetensors")):
            path = fetch((*_BESIDE, *_OLD_WEIGHTS))
    except Exception as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelNotFound(
            f"cannot fetch {named.name!r}: {said}",
            hint="see its name on https://huggingface.co, and whether the network and HF_TOKEN allow it",
        ) from error
    if not list(path.glob("*.safetensors")) and not list(path.glob("*.bin")):
        raise ModelNotFound(f"{named.name!r} has no weights that can be used", hint="safetensors are needed")
    say(f"{named.name} is in {path}")


@models.command("convert")
@command
def convert_model(named: Named) -> None:
    """Convert an embedded model from its package now, rather than on first use."""
    if named.name not in EMBEDDED:
        raise BadInput(
            f"{named.name!r} is not embedded",
            hint=f"{', '.join(EMBEDDED)}; fetch others with ppl models fetch",
        )
    find(named.name)
    say(f"{named.name} is in {directory(named.name)}")


@dataclass(frozen=True, kw_only=True)
class Removal:
    """Whether to ask."""

    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False


@models.command("remove")
@command
def remove_model(named: Named, removal: Removal) -> None:
    """Remove a model from the caches."""
    found = [model for model in cached() if model.name == named.name]
    if not found:
        known = ", ".join(dict.fromkeys(model.name for model in cached())) or "nothing"
        raise BadInput(f"no model {named.name!r} is cached", hint=f"there is {known}")
    size = megabytes(sum(model.size for model in found))
    if not removal.yes:
        if not sys.stdin.isatty():
            raise BadInput(f"removing {named.name} ({size}) needs a yes", hint="--yes")
        typer.confirm(f"Remove {named.name} ({size})?", abort=True, err=True)
    for model in found:
        model.remove()
        say(f"removed {model.path}, {megabytes(model.size)}")
