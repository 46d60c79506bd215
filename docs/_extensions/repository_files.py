"""Files of the repository outside docs/: notebooks, changelog and contributing guide become pages; links to files.

In the sources, links are those of the repository, so that they work where it is read without the site.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.typing import ExtensionMetadata

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
PAGES = {"CHANGELOG": "changelog", "CONTRIBUTING": "contributing"}
"""Markdown files of the repository, and the pages of the site that have their contents."""


def copy_notebooks(app: Sphinx, config: Config) -> None:
    """Copy the notebooks to where Sphinx reads pages, those that have changed."""
    for notebook in sorted((ROOT / "examples").glob("*.ipynb")):
        copy = DOCS / "examples" / notebook.name
        if not copy.exists() or copy.read_bytes() != notebook.read_bytes():
            copy.write_bytes(notebook.read_bytes())


def include_files(app: Sphinx, page: str, content: list[str]) -> None:
    """Replace the pages that refer to a file of the repository by its contents."""
    for path, site_page in PAGES.items():
        if page == site_page:
            content[0] = f"```{{include}} ../{path}.md\n:relative-docs: docs/\n```\n"


def rewrite_links(app: Sphinx, page: str, content: list[str]) -> None:
    """Replace links of the repository by those of the site."""
    text = re.sub(r"\]\((?:\.\./)+examples/(\w+\.ipynb)\)", r"](/examples/\1)", content[0])
    if page.startswith("examples/"):
        text = re.sub(r"\]\((\w+\.py)\)", r"](../../examples/\1)", text)
    text = re.sub(r"\]\((?:\.\./)+docs/([^)]+)\)", r"](/\1)", text)
    for path, site_page in PAGES.items():
        text = re.sub(rf"\]\((?:\.\./)+{path}\.md(#[^)]*)?\)", rf"](/{site_page}.md\1)", text)
    content[0] = text


def setup(app: Sphinx) -> ExtensionMetadata:
    """Connect the steps."""
    app.connect("config-inited", copy_notebooks)
    app.connect("source-read", include_files)
    app.connect("source-read", rewrite_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
