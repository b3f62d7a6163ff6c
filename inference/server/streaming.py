"""Streaming: an answer as server-sent events.

With several particles the text is known only when the last of them has ended: any of them may still die, and which is
chosen depends on the weights of all. Until then the stream has comments, which say how far the run is and keep the
connection open; then comes each choice as a whole. Of several prompts those come first whose runs have ended first. A
single run that nothing constrains is streamed token by token, since each of its tokens is final: all of a character's
bytes at a time, without what may yet become a stop string.
"""

from __future__ import annotations

import asyncio
import codecs
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from inference.server.answering import Answer, Listener
from inference.server.replies import Reply

_BEAT = 1.0
"""Seconds between comments."""


class Spelled:
    """The text that tokens spell, as far as it is certain.

    Parameters
    ----------
    stops:
        The strings that end the text and are not part of it.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self.sent = ""
        self._stops = stops
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""

    def add(self, data: bytes) -> str:
        """Return what has become certain with the bytes of another token."""
        self._text += self._decoder.decode(data)
        certain = self._certain()
        piece, self.sent = certain[len(self.sent) :], certain
        return piece

    def _certain(self) -> str:
        """Return the text up to where a stop string begins, or may begin."""
        for at in range(len(self.sent), len(self._text)):
            rest = self._text[at:]
            if any(rest.startswith(stop) or stop.startswith(rest) for stop in self._stops):
                return self._text[:at]
        return self._text


async def events(
    reply: Reply,
    results: Sequence[asyncio.Future[Answer]],
    listeners: Sequence[Listener],
    pieces: asyncio.Queue[tuple[int, bytes]],
) -> AsyncIterator[str]:
    """Yield the events of a reply.

    Parameters
    ----------
    reply:
        What the events are made with.
    results, listeners:
        For each prompt its answer, with which its last events come and whose error is raised, and who follows the run.
    pieces:
        The prompts' numbers with the bytes of their tokens.
    """
    for chunk in reply.beginning():
        yield event(chunk)
    spelled = [Spelled(prompt.text.stop) for prompt in reply.asked.prompts]
    left = dict(enumerate(results))
    while left:
        piece = asyncio.ensure_future(pieces.get())
        either: set[asyncio.Future[Any]] = {piece, *left.values()}
        try:
            await asyncio.wait(either, timeout=_BEAT, return_when=asyncio.FIRST_COMPLETED)
        finally:
            piece.cancel()
        done = [k for k, result in left.items() if result.done()]
        if piece.done() and not piece.cancelled():
            k, data = piece.result()
            if text := spelled[k].add(data):
                yield event(reply.piece(k, text))
        elif done:
            for k in done:
                for chunk in reply.end(k, left.pop(k).result(), spelled[k].sent):
                    yield event(chunk)
        else:
            yield _comment(listeners)
    for chunk in reply.usage([result.result() for result in results]):
        yield event(chunk)
    yield "data: [DONE]\n\n"


def _comment(listeners: Sequence[Listener]) -> str:
    """Return a comment that says how far the runs are."""
    tick, live = max(each.tick for each in listeners), sum(each.live for each in listeners)
    return f": tick {tick}, {live} live, {sum(each.drawn for each in listeners)} tokens drawn\n\n"


def event(data: dict[str, Any]) -> str:
    """Return an event with JSON."""
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"
