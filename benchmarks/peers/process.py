"""A peer's process: a script run by the Python of the peer's own environment, which answers line by line."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


class Peer:
    """Starts a script of this folder and waits until it is ready; each `run` is one line to it and one back."""

    def __init__(self, python: Path, script: str, *arguments: object) -> None:
        self._process = subprocess.Popen(
            [str(python), str(HERE / script), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._read(until="ready")

    def run(self, line: str = "") -> dict[str, Any]:
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._read(until="{"))
        return answer

    def close(self) -> None:
        self._process.communicate()

    def _read(self, until: str) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(until):
                return line
        sys.exit(f"the peer's process ended with exit status {self._process.wait()}; its message is above")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what every comparison needs: the model and the peer's Python."""
    parser.add_argument("--model", type=Path, help="a model directory; by default the embedded SmolLM2")
    default = os.environ.get("PPL_PEER_PYTHON") or HERE / ".venv" / "bin" / "python"
    parser.add_argument("--peer-python", type=Path, default=Path(default), help="or PPL_PEER_PYTHON")
