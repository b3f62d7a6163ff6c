"""The pytest plugin: a toy language model, the embedded one, and a marker for tests that need it.

`toy_lm` is a `TableLM` for tests that have to be fast. `smollm2` is the embedded model, loaded once in a session; where
it cannot be loaded, tests that ask for it are skipped with the reason. Such tests are marked `model`, so that
`pytest -m "not model"` leaves them out.

pytest imports this file wherever the distribution is installed, so it imports torch only when a fixture is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from grammars.errors import PPLError

if TYPE_CHECKING:
    from inference.engines.base import Engine
    from inference.engines.table import TableLM


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "model: needs the embedded SmolLM2 model")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test that asks for `smollm2`."""
    if "smollm2" in getattr(item, "fixturenames", ()):
        item.add_marker("model")


@pytest.fixture
def toy_lm() -> TableLM:
    """Return a language model over the characters a and b whose every context has its own probabilities."""
    from inference.engines.table import TableLM

    return TableLM.random(["a", "b"], seed=0)


@pytest.fixture(scope="session")
def smollm2() -> Engine:
    """Return the embedded model, SmolLM2-135M-Instruct; skip the test if it cannot be loaded."""
    from inference.engines.load import load

    try:
        return load("smollm2")
    except PPLError as error:
        pytest.skip(f"smollm2 cannot be loaded: {error}")
