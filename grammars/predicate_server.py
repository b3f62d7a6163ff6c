"""What a worker process runs: it imports the functions, then answers one question after the other."""

from __future__ import annotations

import pickle
import signal
import traceback
from dataclasses import replace
from multiprocessing.connection import Connection
from time import perf_counter

from grammars.importable import Importable
from grammars.predicate_checks import Failure, Outcome, evaluate

_HINT = "bind values whose classes are defined at the top level of a module"


def serve(connection: Connection, payload: bytes) -> None:
    """Answer questions until the other end hangs up: what a worker process runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and ends this process
    try:
        functions = [part.load() if isinstance(part, Importable) else part for part in pickle.loads(payload)]
    except BaseException:
        connection.send(traceback.format_exc())
        return
    connection.send(None)
    while True:
        try:
            question = connection.recv_bytes()
        except EOFError:
            return
        begun = perf_counter()
        try:
            function, arguments, text = pickle.loads(question)
        except Exception as error:  # an argument whose class this process cannot import
            outcome: Outcome = Failure(f"got arguments that cannot be read: {error}", _HINT, error)
        else:
            outcome = evaluate(functions[function], arguments, text)
        connection.send((perf_counter() - begun, _portable(outcome)))


def _portable(outcome: Outcome) -> Outcome:
    """Return an outcome whose exception can be sent, with the traceback from here as a note."""
    if isinstance(outcome, bool) or outcome.cause is None:
        return outcome
    cause = outcome.cause
    cause.add_note("in a worker process:\n" + "".join(traceback.format_exception(cause)).rstrip())
    try:
        pickle.loads(pickle.dumps(cause))
    except Exception:
        notes, cause = cause.__notes__, RuntimeError(f"{type(cause).__name__}: {cause}")
        for note in notes:
            cause.add_note(note)
    return replace(outcome, cause=cause)
