"""The documentation runs: every Python block of the pages is executed, every internal link leads somewhere.

The blocks of a page are run in order in one namespace, as a reader would type them. In the Markdown:

- a ```text block after a ```python block is the exact output of that block;
- `<!-- model -->` on the line above a block says that it needs the embedded model. The test of the page leaves
  such blocks out; a second test, marked `model`, runs the page with them;
- what is not to be run is in a block of another language, or of none.
"""

import contextlib
import functools
import io
import re
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [path for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md") if path.exists()]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
LINKED = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "examples" / "README.md"]

MODEL = "<!-- model -->"
_FENCE = re.compile(r" {0,3}(?P<fence>`{3,}|~{3,})[ ]*(?P<language>[^\s`]*)[^`]*")
_LINK = re.compile(
    r"(?<!\\)\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?(?P<target>[^\s()<>]+)>?(?:\s+\"[^\"]*\")?\s*\)"
)


@dataclass(frozen=True)
class Block:
    """A Python block of a page, and the output that the page shows for it."""

    line: int
    """Line of the page, from 1, before the first line of the code."""
    code: str
    model: bool
    output: str | None = None
    output_line: int = 0


@functools.cache
def blocks(page: Path) -> tuple[Block, ...]:
    """Return the Python blocks of a page in order."""
    lines, found, at = page.read_text("utf-8").splitlines(), [], 0
    follows = False  # whether nothing but blank lines stands between here and the last Python block
    while at < len(lines):
        opened = _FENCE.fullmatch(lines[at])
        if opened is None:
            follows = follows and not lines[at].strip()
            at += 1
            continue
        start = at + 1
        closing = re.compile(rf" {{0,3}}{opened['fence'][0]}{{{len(opened['fence'])},}} *")
        end = next((i for i in range(start, len(lines)) if closing.fullmatch(lines[i])), None)
        assert end is not None, f"{page.name}:{start}: a block that is not closed"
        text = "\n".join(lines[start:end])
        if opened["language"] == "python":
            found.append(Block(start, text, at > 0 and lines[at - 1].strip() == MODEL))
        elif opened["language"] == "text" and follows:
            found[-1] = Block(found[-1].line, found[-1].code, found[-1].model, text, start)
        follows, at = opened["language"] == "python", end + 1
    return tuple(found)


def run(page: Path, *, model: bool) -> None:
    """Run the blocks of a page; those that need the model only if `model`."""
    name = page.name
    module = types.ModuleType(f"snippets_of_{page.stem}")
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(sys.modules, module.__name__, module)
        for block in blocks(page):
            if model or not block.model:
                printed = _execute(name, block, module)
                if block.output is not None and printed.rstrip() != block.output.rstrip():
                    raise AssertionError(
                        f"{name}:{block.output_line}: the page shows\n{block.output}\n"
                        f"the block at line {block.line} printed\n{printed}"
                    )


def _execute(name: str, block: Block, module: types.ModuleType) -> str:
    """Run one block; a failure names the page and the line."""
    printed = io.StringIO()
    try:
        code = compile(block.code, name, "exec")
        with contextlib.redirect_stdout(printed):
            exec(code, module.__dict__)
    except Exception as error:
        line = error.lineno or 1 if isinstance(error, SyntaxError) else _line_of(error, name)
        source = block.code.splitlines()[line - 1].strip()
        raise AssertionError(
            f"{name}:{block.line + line}: `{source}` raised {type(error).__name__}: {error}"
        ) from error
    return printed.getvalue()


def _line_of(error: BaseException, name: str) -> int:
    """Return the line in its block of the innermost frame that belongs to the page."""
    line, frame = 1, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == name:
            line = frame.tb_lineno
        frame = frame.tb_next
    return line


def _id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", [p for p in PAGES if not all(b.model for b in blocks(p))], ids=_id)
def test_page_runs(page):
    run(page, model=False)


@pytest.mark.model
@pytest.mark.parametrize("page", [p for p in PAGES if any(b.model for b in blocks(p))], ids=_id)
def test_page_runs_with_the_model(page):
    run(page, model=True)


def prose(page: Path) -> list[tuple[int, str]]:
    """Return the numbered lines of a page outside of code blocks, without inline code."""
    lines, fence = [], ""
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        opened = _FENCE.fullmatch(line)
        if fence:
            if opened and opened["fence"].startswith(fence):
                fence = ""
        elif opened:
            fence = opened["fence"]
        else:
            lines.append((number, line))
    return lines


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub makes them."""
    found: set[str] = set()
    for _, line in prose(page):
        heading = re.fullmatch(r"#{1,6}\s+(.*?)\s*#*", line)
        if heading:
            slug = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower())
            slug = slug.replace(" ", "-")
            copies = [slug, *(f"{slug}-{i}" for i in range(1, 100))]
            found.add(next(copy for copy in copies if copy not in found))
    return found


def broken_links(page: Path) -> list[str]:
    """Return the internal links of a page that lead nowhere, each with its line."""
    broken = []
    for number, line in prose(page):
        for link in _LINK.finditer(re.sub(r"`[^`]*`", "code", line)):
            target, _, anchor = link["target"].partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            path = (page.parent / target).resolve() if target else page
            if not path.exists():
                broken.append(f"{page.name}:{number}: no file {target}")
            elif anchor and (path.suffix != ".md" or anchor not in anchors(path)):
                broken.append(f"{page.name}:{number}: no heading #{anchor} in {path.name}")
    return broken


@pytest.mark.parametrize("page", LINKED, ids=_id)
def test_links_lead_somewhere(page):
    assert broken_links(page) == []


# The tests above can fail.


def _page(tmp_path: Path, text: str) -> Path:
    page = tmp_path / "page.md"
    page.write_text(text, "utf-8")
    return page


def test_blocks_share_a_namespace_and_outputs_are_compared(tmp_path):
    page = _page(tmp_path, "```python\nx = 2\n```\n\n```python\nprint(x)\n```\n\n```text\n2\n```\n")
    run(page, model=False)
    assert [block.output for block in blocks(page)] == [None, "2"]


def test_another_output_is_an_error(tmp_path):
    page = _page(tmp_path, "# A\n\n```python\nprint(1)\n```\n\n```text\n2\n```\n")
    with pytest.raises(
        AssertionError, match=r"page\.md:7: the page shows\n2\nthe block at line 3 printed\n1"
    ):
        run(page, model=False)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\nassert x == 2", r"page\.md:4: `assert x == 2` raised AssertionError"),
        ("def f():\n    1 / 0\n\nf()", r"page\.md:4: `1 / 0` raised ZeroDivisionError"),
        ("x = 1\nx =", r"page\.md:4: `x =` raised SyntaxError"),
    ],
)
def test_a_failure_names_page_and_line(tmp_path, code, message):
    with pytest.raises(AssertionError, match=message):
        run(_page(tmp_path, f"# A\n```python\n{code}\n```\n"), model=False)


def test_model_blocks_are_left_out_without_the_model(tmp_path):
    page = _page(tmp_path, f"{MODEL}\n```python\n1 / 0\n```\n")
    run(page, model=False)
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        run(page, model=True)


def test_a_text_after_prose_is_no_output(tmp_path):
    page = _page(tmp_path, "```python\nprint(1)\n```\n\nand\n\n```text\n2\n```\n")
    run(page, model=False)


def test_broken_links_are_found(tmp_path):
    page = _page(
        tmp_path,
        "# A title: `x`\n[a](#a-title-x) [b](#b) [c](gone.md) [d](https://x.org/y) `[e](f.md)`\n```\n[g](h)\n```\n",
    )
    assert broken_links(page) == ["page.md:2: no heading #b in page.md", "page.md:2: no file gone.md"]
