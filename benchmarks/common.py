"""What the benchmarks share: where the data is, and how a result is printed."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch
import transformers

ROOT = Path(__file__).resolve().parent.parent


def data_path(name: str) -> Path:
    """Return the path of a file of the evaluation data; exit with a message where it is absent."""
    folder = Path(os.environ.get("PPL_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / name).exists():
        sys.exit(f"no evaluation data: {name} is not in {folder}; set PPL_DATA to the folder that holds it")
    return folder / name


def data_rows(name: str) -> list[dict[str, Any]]:
    """Return the rows of a JSON Lines file of the evaluation data; exit with a message where it is absent."""
    return [json.loads(line) for line in data_path(name).read_text(encoding="utf-8").split("\n") if line]


def print_result(result: dict[str, Any]) -> None:
    """Print a result as JSON, with what it was measured on."""
    machine = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "threads": torch.get_num_threads(),
        "processor": platform.machine(),
    }
    print(json.dumps({**result, "machine": machine}, indent=2))
