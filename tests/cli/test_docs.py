"""The page of the command line says what the commands take, and which codes they end with."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from inference.cli import app, exit_codes
from inference.cli.methods import method_names

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")
TRANSCRIPTS = "\n".join(re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)).replace("\\\n", " ")
COMMANDS = [line.split("ppl ", 1)[1] for line in re.findall(r"^\$ .*", TRANSCRIPTS, re.MULTILINE)]


def parse(arguments):
    """Parse the arguments of a command line as the application would, without running it."""
    command = get_command(app)
    while hasattr(command, "commands"):
        command, arguments = command.commands[arguments[0]], arguments[1:]
    return command.make_context("ppl", arguments)


@pytest.mark.parametrize("line", COMMANDS)
def test_documented_commands_are_understood(line):
    parse(shlex.split(line))


def test_every_command_is_documented():
    assert {line.split()[0] for line in COMMANDS} == set(get_command(app).commands)


def test_the_parser_of_this_test_refuses_what_is_unknown():
    with pytest.raises(Exception, match="--nothing"):
        parse(["regex", "a", "--nothing"])


def test_exit_codes_and_methods_are_documented():
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    constants = {v for k, v in vars(exit_codes).items() if k.isupper() and isinstance(v, int)}
    assert documented == constants | {0}
    assert all(f"`{name}`" in PAGE for name in method_names())
