"""Files of the repository outside docs/: notebooks, changelog and contributing guide become pages of the site.

In the sources, links refer to files of the repository, so they also work in the repository itself.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.typing import ExtensionMetadata

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
PAGES = {"CHANGELOG": "changelog", "CONTRIBUTING": "contributing"}
"""Markdown files of the repository, and the pages of the site with their contents."""


def copy_notebooks(app: Sphinx, config: Config) -> None:
    """Copy the notebooks that have changed to the folder in which Sphinx reads pages."""
    for notebook in sorted((ROOT / "examples").glob("*.ipynb")):
        copy = DOCS / "examples" / notebook.name
        if not copy.exists() or copy.read_bytes() != notebook.read_bytes():
            copy.write_bytes(notebook.read_bytes())


def include_files(app: Sphinx, page: str, content: list[str]) -> None:
    """Replace each page that refers to a file of the repository by the contents of the file."""
    for path, site_page in PAGES.items():
        if page == site_page:
            content[0] = f"```{{include}} ../{path}.md\n:relative-docs: docs/\n```\n"


def rewrite_links(app: Sphinx, page: str, content: list[str]) -> None:
    """Replace links to files of the repository by links to pages of the site."""
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
