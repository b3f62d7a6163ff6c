"""Errors of engines: a model that cannot be found, or cannot do what is asked of it, each with a remedy."""

from __future__ import annotations

from grammars.errors import PPLError
from ppl.errors import PromptTooLong as PromptTooLong  # raised here and where targets are made


class ModelNotFound(PPLError, LookupError):
    """No model of that name, here or on the Hugging Face hub as far as it could be reached."""


class ModelDamaged(PPLError, RuntimeError):
    """The files of a model are there but cannot be read as one."""


class CacheNotWritable(PPLError, OSError):
    """The directory where converted models are kept cannot be written to."""


class UnsupportedModel(PPLError, RuntimeError):
    """A model, tokenizer or device whose results could not be guaranteed."""


class NoChatTemplate(PPLError, RuntimeError):
    """A conversation was asked of a model that defines no chat format."""


class NotSpellable(PPLError, ValueError):
    """A text that no sequence of the vocabulary's tokens spells."""


class SessionClosed(PPLError, RuntimeError):
    """A session was asked after it had been closed."""


class SessionFull(PPLError, MemoryError):
    """A session has no memory for the contexts that it was asked for."""


class UnsupportedVersion(PPLError, ImportError):
    """The package behind an engine is not installed, or of a version that the engine was not written for."""
