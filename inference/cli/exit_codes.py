"""Exit codes, and how an error leaves a command: as a message and a hint, without a traceback.

=====  ==========================================================================================
0      done
1      a run without survivors; `check`: the text does not match
2      bad usage or bad input: an option, a schema, a pattern, a row, a prompt that is too long
3      the model cannot be found, read or used
4      a run failed: a program raised, a budget or the memory was exceeded, a file could not be written
70     a fault of ppl itself, with its traceback (EX_SOFTWARE of sysexits.h)
130    interrupted by Ctrl-C (128 + SIGINT)
141    the reader of standard output went away (128 + SIGPIPE)
=====  ==========================================================================================
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.text import Text

from grammars.errors import PPLError
from inference.engines.errors import (
    CacheNotWritable,
    ModelDamaged,
    ModelNotFound,
    NoChatTemplate,
    UnsupportedModel,
)
from ppl.errors import InvalidArgument

NO = 1
BAD_INPUT = 2
MODEL = 3
FAILED = 4
FAULT = 70
INTERRUPTED = 130
BROKEN_PIPE = 141

_ABOUT_MODELS = (CacheNotWritable, ModelDamaged, ModelNotFound, NoChatTemplate, UnsupportedModel)


class BadInput(InvalidArgument):
    """An option or an input of the command line that means nothing."""


def exit_code(error: Exception) -> int:
    """Return the exit code that an error stands for."""
    if isinstance(error, _ABOUT_MODELS):
        return MODEL
    if isinstance(error, RuntimeError | OSError):
        return FAILED
    return BAD_INPUT


@contextmanager
def errors_as_exits(*, debug: bool) -> Iterator[None]:
    """Turn what a command raises into a message on standard error and an exit code.

    Parameters
    ----------
    debug:
        Show tracebacks of errors that have a message of their own, too.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        raise typer.Exit(BROKEN_PIPE) from None
    except KeyboardInterrupt as interrupt:
        say(Text("\n".join(["interrupted", *getattr(interrupt, "__notes__", ())])))
        raise typer.Exit(INTERRUPTED) from None
    except (PPLError, OSError) as error:
        if debug:
            traceback.print_exc()
        say(_message(error))
        raise typer.Exit(exit_code(error)) from None
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except Exception as error:
        if (
            isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
        ):  # the latter is torch's
            said = (str(error) or type(error).__name__).splitlines()[0]
            say(_message(PPLError(said, hint="fewer --particles, a shorter text, or a smaller model")))
            raise typer.Exit(FAILED) from None
        traceback.print_exc()
        say(Text("this is a fault of ppl: please report it with the lines above"))
        raise typer.Exit(FAULT) from None


def say(text: Text | str) -> None:
    """Print lines on standard error."""
    Console(stderr=True, highlight=False).print(text, soft_wrap=True, markup=False)


def _message(error: PPLError | OSError) -> Text:
    text = Text("error: ", style="bold red")
    text.append(error.message if isinstance(error, PPLError) else str(error), style="default not bold")
    for note in getattr(error, "__notes__", ()):
        text.append(f"\n  {note}", style="default not bold")
    if isinstance(error, PPLError) and error.hint is not None:
        text.append(f"\n  hint: {error.hint}", style="default not bold")
    return text


def _drop_output() -> None:
    """Send what is still buffered nowhere, or the interpreter would complain when it flushes at its end."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # standard output is no file
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process
