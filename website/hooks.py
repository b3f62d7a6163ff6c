"""The pages of the site: those of docs/, and what they link to elsewhere in the repository.

The Markdown is read on the site and on the host of the repository, so its links are paths in the repository. Here
every file therefore goes by its path in the repository, `docs/tutorial.md` or `CONTRIBUTING.md`. MkDocs resolves the
links, and a strict build fails on one that leads nowhere. A Python file that is shown becomes a page of its own.
"""

import ast
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
NAMED = ["CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md", "examples/README.md"]
BESIDE_DOCS = [path for path in NAMED if (ROOT / path).exists()]
EXAMPLES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "examples").glob("[!_]*.py"))


class SourcePage(File):
    """A page that shows a Python file: its docstring as the text, its code as a block."""

    def is_documentation_page(self) -> bool:
        """Return True, though the name does not end in .md."""
        return True

    @property
    def content_string(self) -> str:
        """The Markdown of the page."""
        return markdown_of(ROOT / self.src_uri)


def markdown_of(path: Path) -> str:
    """Return a page about a Python file: its docstring, whose indented parts are blocks, and its code."""
    source = path.read_text("utf-8")
    module = ast.parse(source)
    title, _, text = (ast.get_docstring(module) or path.stem).partition("\n")
    code = source.splitlines()[module.body[0].end_lineno :]
    text = re.sub(r"(?m)(^    .*\n?)+", lambda block: f"```text\n{dedent(block[0]).strip()}\n```\n", text)
    return f"# {path.stem}\n\n{title}\n{text}\n\n```python\n" + "\n".join(code).strip() + "\n```\n"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Name the entries of the navigation by their paths in the repository, and list the examples."""
    config.nav = _in_repository(config.nav)
    return config


def _in_repository(entry: Any) -> Any:
    """Return an entry of the navigation with paths in the repository."""
    if isinstance(entry, list):
        return [_in_repository(part) for part in entry]
    if isinstance(entry, dict):
        return {title: _in_repository(part) for title, part in entry.items()}
    if entry == "../examples/":
        overview = [path for path in BESIDE_DOCS if path.startswith("examples/")]
        return [*overview, *({Path(example).stem: example} for example in EXAMPLES)]
    return entry.removeprefix("../") if entry.startswith("../") else f"docs/{entry}"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Return the files under their paths in the repository, with those that lie beside docs/."""
    found = [
        File(f"docs/{file.src_uri}", str(ROOT), file.dest_dir, False, dest_uri=file.dest_uri)
        if file.src_dir == config.docs_dir
        else file
        for file in files
    ]
    found += [File(path, str(ROOT), config.site_dir, False, dest_uri=_address(path)) for path in BESIDE_DOCS]
    found += [SourcePage(path, None, config.site_dir, False, dest_uri=_address(path)) for path in EXAMPLES]
    return Files(found)


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """Write a bar within code in a table as itself: hosts of repositories want it escaped, Python-Markdown does not."""
    lines, fenced = [], False
    for line in markdown.splitlines():
        fenced ^= line.lstrip().startswith("```")
        in_table = line.startswith("|") and not fenced
        lines.append(re.sub(r"`[^`]*`", lambda code: code[0].replace(r"\|", "|"), line) if in_table else line)
    return "\n".join(lines) + "\n"


def _address(path: str) -> str:
    """Return where on the site a file beside docs/ is shown."""
    return Path("repository", path).with_suffix(".html").as_posix()
