"""What a page consists of."""

from html.parser import HTMLParser

VOID = ("meta", "link", "br", "hr", "img", "input")
REFERENCES = ("src", "href", "xlink:href", "action", "data", "srcset", "poster")


class Page(HTMLParser):
    """The tags, IDs and references of a page, and the text of each ``pre`` as a browser shows it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tags: list[str] = []
        self.pres: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a tag."""
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "pre":
            self.pres.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag without contents."""
        self.tags.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.references += [value or "" for name, value in attrs if name in REFERENCES]

    def handle_endtag(self, tag: str) -> None:
        """Close the tag that is open."""
        assert self.open.pop() == tag, self.getpos()

    def handle_data(self, data: str) -> None:
        """Collect the text of a ``pre``."""
        if "pre" in self.open:
            self.pres[-1] += data
