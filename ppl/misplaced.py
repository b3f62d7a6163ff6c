"""Misplaced settings: what users of other libraries pass along with a draw, and where it goes here."""

from __future__ import annotations

from collections.abc import Mapping

from ppl.errors import InvalidArgument

_OF_THE_TEXT = "it belongs to the text: lm(prompt, {})"
_OF_THE_MODEL = "it makes another language model: WarpedLM(lm, {}), or p ** b, the power of a whole text"
_OF_THE_METHOD = "how many runs there are is the method's: infer(model, SMC(particles=...))"
_HINTS = {
    **dict.fromkeys(("max_tokens", "stop"), _OF_THE_TEXT),
    **dict.fromkeys(("max_new_tokens", "max_length", "max_completion_tokens"), _OF_THE_TEXT),
    **dict.fromkeys(("stop_strings", "stop_sequences"), _OF_THE_TEXT),
    **dict.fromkeys(("temperature", "top_p"), _OF_THE_MODEL),
    **dict.fromkeys(("n", "num_return_sequences", "num_samples", "particles"), _OF_THE_METHOD),
    "seed": "randomness is the run's: infer(model, seed={value})",
}
_NAMES = {
    **dict.fromkeys(("max_new_tokens", "max_length", "max_completion_tokens"), "max_tokens"),
    **dict.fromkeys(("stop_strings", "stop_sequences"), "stop"),
}


def refuse(call: str, misplaced: Mapping[str, object], takes: str) -> None:
    """Raise `InvalidArgument` for the first argument that a call does not take.

    Parameters
    ----------
    call:
        What was called, as the user writes it.
    misplaced:
        Its arguments beyond those that it takes.
    takes:
        Those that it takes, for the hint on a name that is not known.
    """
    for name, value in misplaced.items():
        setting = f"{_NAMES.get(name, name)}={value!r}"
        hint = _HINTS.get(name, f"it takes {takes}").format(setting, value=repr(value))
        raise InvalidArgument(f"{call} got {name}={value!r}, which is not an argument of it", hint=hint)
