"""The report of a large run in a browser: its size, the time to open it, and how smoothly it scrolls.

    python -m benchmarks.report

A toy model writes `--tokens` tokens for each of `--particles` particles, and headless Chromium opens the page of the
run from disk. The list is then scrolled from end to end, a step in each frame. Figures: megabytes of the page; seconds
until it is drawn; rows, and those with content, which do not grow with the run; and the milliseconds between two
frames, their median and the longest. The browser is found as in the tests, or named in `PPL_CHROMIUM`; it needs the
package playwright.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import print_result
from inference import Importance, TableLM, infer
from ppl import program, sample

TOKENS = [" the", " cat", " sat", " on", " a", " mat", ".", "\n"]
SCROLL = """
async steps => {
    const list = document.getElementById("list"), times = [];
    const frame = () => new Promise(requestAnimationFrame);
    await frame();
    for (let k = 0; k <= steps; k++) {
        list.scrollTop = (list.scrollHeight - list.clientHeight) * k / steps;
        times.push(await frame());
    }
    return times.slice(1).map((time, k) => time - times[k]);
}
"""


def chromium() -> str:
    """Return where a Chromium is; exit with a message where there is none."""
    named = os.environ.get("PPL_CHROMIUM")
    found = named or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if found is None:
        sys.exit("no Chromium: install one, or name it in PPL_CHROMIUM")
    return found


def write_page(path: Path, particles: int, tokens: int) -> float:
    """Write the report of a run, and return its megabytes."""
    probabilities = np.array([*np.full(len(TOKENS), 1.0 / len(TOKENS)), 0.0])  # nobody ends before the limit
    lm = TableLM(TOKENS, lambda prompt, ids: probabilities)

    @program
    def text() -> str:
        return sample(lm("", max_tokens=tokens))

    infer(text(), Importance(particles), record=True).report(path)
    return path.stat().st_size / 1e6


def measure(path: Path, steps: int) -> dict[str, Any]:
    """Open a page, scroll its list, and return what that took."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_context(offline=True).new_page()
        begun = time.perf_counter()
        page.goto(path.as_uri())
        page.locator("#list .row .text").first.wait_for()
        opened = time.perf_counter() - begun
        frames = page.evaluate(SCROLL, steps)
        elements = page.evaluate("document.getElementsByTagName('*').length")
        rows = page.locator("#list .row").count()
        filled = page.locator("#list .text").count()
        browser.close()
    return {
        "seconds_to_open": opened,
        "rows": rows,
        "rows_with_content": filled,
        "elements": elements,
        "frame_milliseconds": {"median": statistics.median(frames), "longest": max(frames)},
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--particles", type=int, default=1000)
    parser.add_argument("--tokens", type=int, default=500)
    parser.add_argument("--steps", type=int, default=100, help="frames in which the list is scrolled")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.html"
        size = write_page(path, options.particles, options.tokens)
        result = measure(path, options.steps)
    print_result(
        {
            "benchmark": "report",
            "particles": options.particles,
            "tokens": options.tokens,
            "megabytes": size,
            **result,
        }
    )


if __name__ == "__main__":
    main()
