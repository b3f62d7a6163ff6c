"""Streaming: an answer as server-sent events.

With several particles the text is known only when the last of them has ended: any of them may still die, and which is
chosen depends on the weights of all. Until then the stream has comments, which say how far the run is and keep the
connection open; then comes each choice as a whole. A single run that nothing constrains is streamed token by token,
since each of its tokens is final: all of a character's bytes at a time, without what may yet become a stop string.
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
    reply: Reply, result: asyncio.Future[Answer], listener: Listener, pieces: asyncio.Queue[bytes]
) -> AsyncIterator[str]:
    """Yield the events of a reply; the last ones come with the result, whose error is raised."""
    for chunk in reply.beginning():
        yield event(chunk)
    spelled = Spelled(reply.asked.text.stop)
    while True:
        piece = asyncio.ensure_future(pieces.get())
        either: set[asyncio.Future[Any]] = {piece, result}
        try:
            await asyncio.wait(either, timeout=_BEAT, return_when=asyncio.FIRST_COMPLETED)
        finally:
            piece.cancel()
        if piece.done() and not piece.cancelled():
            if text := spelled.add(piece.result()):
                yield event(reply.piece(text))
        elif result.done():
            break
        else:
            yield f": tick {listener.tick}, {listener.live} live, {listener.drawn} tokens drawn\n\n"
    for chunk in reply.end(result.result(), spelled.sent):
        yield event(chunk)
    yield "data: [DONE]\n\n"


def event(data: dict[str, Any]) -> str:
    """Return an event with JSON."""
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"
