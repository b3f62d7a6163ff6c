"""LM: what a program needs to know of a language model, and how a text is asked of one.

A language model p assigns a probability to every sequence of token ids. Calling it makes a *target*, the
distribution over texts that continue a prompt. How next-token probabilities are computed is the business of
`inference.engines`; here a model is a vocabulary, a tokenizer and a name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Never, TypeGuard

from grammars.vocabulary import Vocabulary
from ppl.errors import InvalidArgument, PromptTooLong
from ppl.misplaced import refuse

if TYPE_CHECKING:
    from ppl.compiler.plan import TextPlan
    from ppl.rng import Rng
    from ppl.targets import Text

Messages = str | Sequence[Mapping[str, str]]
"""A conversation: a list of {"role": ..., "content": ...}, or a string for a single user message."""


class LM(ABC):
    """A language model: a probability distribution over texts that continue a prompt.

    Subclasses (the engines) compare and hash by identity: two loads of one model are two experts.
    """

    name: str
    vocabulary: Vocabulary
    context_length: int | None
    """Largest number of tokens, prompt included, that the model can condition on; None where unbounded."""

    @abstractmethod
    def encode(self, text: str) -> tuple[int, ...]:
        """Return the canonical token ids of `text` as a continuation (nothing is added to it)."""

    @abstractmethod
    def encode_prompt(self, text: str) -> tuple[int, ...]:
        """Return the token ids of a prompt, begun as the model expects it (beginning-of-sequence id)."""

    @abstractmethod
    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        """Return the token ids of a conversation up to where the assistant's answer begins.

        Raises
        ------
        PPLError
            If the model has no chat template.
        """

    @abstractmethod
    def example(self, plan: TextPlan, rng: Rng) -> str:
        """Return one text in the support of a plan, drawn by its kernel with the weights left out.

        For walking through a program (`Model.explain`); not a draw from the target.

        Raises
        ------
        PPLError
            If the draw ran into a dead end.
        """

    def check_fits(self, prompt: Sequence[int], max_tokens: int = 0) -> None:
        """Raise `PromptTooLong` unless `max_tokens` tokens can follow `prompt` within the model's context."""
        if self.context_length is not None and len(prompt) + max_tokens > self.context_length:
            raise PromptTooLong(
                f"a prompt of {len(prompt)} tokens and {max_tokens} more do not fit the context of "
                f"{self.name!r}, {self.context_length} tokens",
                hint="shorten the prompt, lower max_tokens, or load a model with a longer context",
            )

    def __call__(
        self, prompt: str, *, stop: str | Iterable[str] = (), max_tokens: int = 256, **misplaced: Never
    ) -> Text:
        """Return the distribution of the texts with which the model continues `prompt`.

        A draw is a sequence of tokens ended by an end-of-sequence id or by the first occurrence of a `stop`
        string, which is not part of the text. At most `max_tokens` tokens precede the one that ends it: after
        so many the end is forced and its true probability paid, so the support is the texts of at most that
        length, and the mass of longer ones is missing from the evidence.

        Parameters
        ----------
        prompt:
            The text to continue, special tokens in it included as the tokenizer reads them.
        stop:
            One or several strings that end the text.
        max_tokens:
            At least 1.
        **misplaced:
            Refused: a temperature, say, makes another model, `WarpedLM`.

        Raises
        ------
        PromptTooLong
            If the prompt and `max_tokens` more tokens do not fit the model's context.
        InvalidArgument
            If an argument is outside its domain or misplaced.
        """
        if misplaced:
            refuse("lm(prompt)", misplaced, "the prompt, stop= and max_tokens=")
        if not is_text(prompt):
            raise InvalidArgument(
                f"the prompt is {prompt!r}, not a text",
                hint="pass a str without lone surrogates; for a list of messages use lm.chat(messages)",
            )
        return self._text(self.encode_prompt(prompt), prompt, stop, max_tokens)

    def chat(
        self, messages: Messages, *, stop: str | Iterable[str] = (), max_tokens: int = 256, **misplaced: Never
    ) -> Text:
        """Return the distribution of the assistant's answer to `messages`; see `__call__` for the rest."""
        if misplaced:
            refuse("lm.chat(messages)", misplaced, "the messages, stop= and max_tokens=")
        if is_text(messages):
            chat, shown = [{"role": "user", "content": messages}], messages
        else:
            chat = _conversation(messages)
            shown = "\n".join(f"{m['role']}: {m['content']}" for m in chat)
        return self._text(self.encode_chat(chat), shown, stop, max_tokens)

    def _text(self, ids: tuple[int, ...], shown: str, stop: str | Iterable[str], max_tokens: int) -> Text:
        from ppl.targets import Text

        stops = tuple(stop) if isinstance(stop, Iterable) and not isinstance(stop, str) else (stop,)
        if not all(is_text(s) and s for s in stops):
            raise InvalidArgument(
                f"stop={stop!r}",
                hint="a str or several, none empty; leave it out to end at end-of-sequence only",
            )
        if not isinstance(max_tokens, int) or isinstance(max_tokens, bool) or max_tokens < 1:
            raise InvalidArgument(
                f"max_tokens={max_tokens!r}: a text site needs at least one token",
                hint="pass an int, max_tokens >= 1; to weigh the empty text use observe(target, '')",
            )
        self.check_fits(ids, max_tokens)
        return Text(self, ids, shown, stops, max_tokens)


def is_text(value: object) -> TypeGuard[str]:
    """Return whether a value is a str that has bytes in UTF-8 (no lone surrogates)."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def _conversation(messages: Messages) -> list[dict[str, str]]:
    chat = [dict(m) if isinstance(m, Mapping) else {} for m in messages]
    if not chat or not all(is_text(m.get("role")) and is_text(m.get("content")) for m in chat):
        raise InvalidArgument(
            f"not a conversation: {messages!r}",
            hint='pass a str, or a list of {"role": "system" | "user" | "assistant", "content": "..."}',
        )
    return chat
