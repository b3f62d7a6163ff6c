"""Where the evaluation data lies; tests that read it are skipped where it is absent."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DATA = Path(os.environ.get("PPL_DATA") or Path(__file__).parents[2].parent / "shared" / "data")


@pytest.fixture(scope="session")
def rows() -> Callable[[str], list[dict[str, Any]]]:
    """Read a JSON Lines file of the evaluation data."""

    def read(name: str) -> list[dict[str, Any]]:
        path = DATA / name
        if not path.exists():
            pytest.skip(f"no evaluation data at {path}: set PPL_DATA")
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]

    return read
