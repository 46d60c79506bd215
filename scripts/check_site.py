"""Check a built documentation site: every internal link has a target, and no page loads files from another server."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "object": "data",
    "link": "href",
}
"""Elements whose address a browser loads without a click. `link` also names addresses that it does not load."""
NOT_LOADED = {"canonical", "alternate", "author", "next", "prev", "search", "index", "license", "help"}
CSS_ADDRESS = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""")


@dataclass
class Page(HTMLParser):
    """Addresses in a page: linked addresses, loaded addresses, and the page's anchors."""

    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the addresses of an element."""
        values = {name: value for name, value in attrs if value is not None}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        self.loaded += CSS_ADDRESS.findall(values.get("style", ""))
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag in LOADED and LOADED[tag] in values and not NOT_LOADED & set(values.get("rel", "").split()):
            self.loaded.append(values[LOADED[tag]])


@cache
def parse(path: Path) -> Page:
    """Return the addresses of a page."""
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def findings(path: Path) -> Iterator[str]:
    """Yield the findings about a page."""
    page = parse(path)
    yield from (f"loads {address}" for address in page.loaded if is_external(address))
    for address in page.links + page.loaded:
        if is_external(address) or address.startswith(("data:", "mailto:")):
            continue
        parts = urlsplit(address)
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if target.is_dir():
            target /= "index.html"
        if not target.is_file():
            yield f"links to {address}, which does not exist"
        elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in parse(target).anchors:
            yield f"links to {address}, a page without that anchor"


def is_external(address: str) -> bool:
    """Return whether an address is on another server."""
    return address.startswith("//") or urlsplit(address).scheme in ("http", "https", "ws", "wss")


def check(site: Path) -> list[str]:
    """Return the findings about a site, one line each."""
    pages = {page: page.relative_to(site) for page in sorted(site.rglob("*.html")) if "_static" not in page.parts}
    lines = [f"{name}: {finding}" for page, name in pages.items() for finding in findings(page)]
    styles = [(sheet, CSS_ADDRESS.findall(sheet.read_text(encoding="utf-8"))) for sheet in site.rglob("*.css")]
    lines += [f"{sheet.relative_to(site)}: loads {address}" for sheet, found in styles for address in found]
    return lines if pages else [f"{site} has no pages"]


if __name__ == "__main__":
    if problems := check(Path(sys.argv[1]).resolve()):
        sys.exit("\n".join(problems))
