"""The site builds strictly, needs no network, and has every public name in its reference."""

import importlib
import logging
import re
import shutil
from pathlib import Path

import pytest

pytest.importorskip("material", reason="the site needs the extra docs")
ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "mkdocs.yml"
if not CONFIG.exists():
    pytest.skip("no mkdocs.yml beside the tests", allow_module_level=True)

REFERENCE = sorted((ROOT / "docs" / "reference").glob("*.md"))
PACKAGES = ["ppl", "grammars", "inference", "inference.testing", "inference.strategies"]


def build(config_file: Path, site: Path) -> list[str]:
    """Build a site and return the complaints, which a strict build refuses."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    complaints: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: complaints.append(record.getMessage())
    logger = logging.getLogger("mkdocs")
    logger.addHandler(handler)
    try:
        config = load_config(str(config_file), site_dir=str(site))
        config.plugins.on_startup(command="build", dirty=False)
        build(config)
    finally:
        logger.removeHandler(handler)
    return complaints


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    built = tmp_path_factory.mktemp("site")
    assert build(CONFIG, built) == []
    return built


def test_every_page_of_docs_is_built(site):
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert {path for path in pages if not (site / path).exists()} == set()
    assert (site / "repository" / "examples" / "triage.html").exists()


def test_bars_in_tables_are_shown_as_they_are(site):
    assert "<code>a | b</code>" in (site / "constraints.html").read_text("utf-8")


def test_nothing_is_fetched(site):
    """No page, style or script loads anything but a file of the site."""
    loads = re.compile(r"""<(?:script|img|link|iframe)\b[^>]*?\b(?:src|href)=["']?((?:https?:)?//[^"' >]+)""")
    for page in site.rglob("*.html"):
        assert loads.findall(page.read_text("utf-8")) == [], page
    for style in site.rglob("*.css"):
        assert "url(http" not in style.read_text("utf-8"), style


def test_the_site_works_from_disk(site, browser):
    """A search from disk, without a network, finds a page and leads to it."""
    complaints = []
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: request.url.startswith("file:") or complaints.append(request.url))
    page.goto((site / "index.html").as_uri())
    page.locator("input.md-search__input").click()
    page.locator("input.md-search__input").press_sequentially("palindrome")
    page.locator(".md-search-result__link").first.click()
    page.wait_for_url("**/*.html*h=*")
    assert "palindrome" in page.locator("article").inner_text().lower()
    context.close()
    assert complaints == []


def referenced() -> dict[str, object]:
    """Return the names of the reference and what they name. A function that shares its name with a file is
    listed by its file, `inference.infer.infer`, which is not how a reader imports it."""
    names = re.findall(r"(?m)^::: (\S+)$", "\n".join(path.read_text("utf-8") for path in REFERENCE))
    assert len(names) == len(set(names))
    parts = [name.rpartition(".") for name in names]
    return {f"{module}.{name}": getattr(importlib.import_module(module), name) for module, _, name in parts}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_in_the_reference(package):
    module = importlib.import_module(package)
    listed = {(name.rpartition(".")[2], id(value)) for name, value in referenced().items()}
    assert [name for name in module.__all__ if (name, id(getattr(module, name))) not in listed] == []


def test_every_name_of_the_reference_is_documented(site):
    assert [name for name, value in referenced().items() if not value.__doc__] == []
    for page in REFERENCE:  # a file is shown where a function that shares its name was meant
        assert "doc-symbol-module" not in (site / "reference" / f"{page.stem}.html").read_text("utf-8"), page


def test_names_that_share_a_description_are_shown_each_by_itself(site):
    page = (site / "reference" / "inference.html").read_text("utf-8")
    rows = re.findall(r"<code>awrs</code>.*?</tr>", page, re.DOTALL)
    assert len(rows) >= 2
    assert all("AWRS" in row and "Method" not in row for row in rows)


# The build can fail.


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("# A\n\n[b](gone.md)", "gone.md"),
        ("# A\n\n[b](../gone.py)", "gone.py"),
        ("# A\n\n[b](index.md#gone)", "no such anchor"),
        ("# A\n\n[b](../CONTRIBUTING.md#style)", None),
    ],
)
def test_what_leads_nowhere_is_refused(tmp_path, text, complaint):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(text, "utf-8")
    complaints = _small_site(tmp_path, "[index.md, ../CONTRIBUTING.md]")
    assert len(complaints) == (complaint is not None)
    assert all(complaint in found for found in complaints)


def test_a_page_outside_of_the_navigation_is_refused(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# A", "utf-8")
    (tmp_path / "docs" / "forgotten.md").write_text("# B", "utf-8")
    assert "docs/forgotten.md" in "\n".join(_small_site(tmp_path, "[index.md, ../CONTRIBUTING.md]"))


def _small_site(tmp_path: Path, nav: str) -> list[str]:
    """Build a site of a few pages with the hooks and the strictness of the real one; return the complaints."""
    (tmp_path / "CONTRIBUTING.md").write_text("# Contributing\n\n## Style\n", "utf-8")
    (tmp_path / "website").mkdir()
    shutil.copy(ROOT / "website" / "hooks.py", tmp_path / "website")
    validation = re.search(r"(?ms)^validation:\n.*?\n\n", CONFIG.read_text("utf-8"))[0]
    config = tmp_path / "mkdocs.yml"
    config.write_text(f"site_name: small\nhooks: [website/hooks.py]\nnav: {nav}\n{validation}", "utf-8")
    return build(config, tmp_path / "site")
