"""What a page consists of."""

from html.parser import HTMLParser

VOID = ("meta", "link", "br", "hr", "img", "input", "wbr")
REFERENCES = ("src", "href", "xlink:href", "action", "data", "srcset", "poster")


class Page(HTMLParser):
    """The tags, IDs, references and texts of a page.

    Of each ``pre`` the text is as a browser shows it; of all other elements it is by ``#ID``, or else by tag.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tags: list[str] = []
        self.pres: list[str] = []
        self.contents: dict[str, str] = {}
        self._inside: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)
            name = dict(attrs).get("id")
            self._inside.append(f"#{name}" if name else tag)
        if tag == "pre":
            self.pres.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.references += [value or "" for name, value in attrs if name in REFERENCES]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, self.getpos()
        self._inside.pop()

    def handle_data(self, data: str) -> None:
        for name in set(self._inside):
            self.contents[name] = self.contents.get(name, "") + data
        if "pre" in self.open:
            self.pres[-1] += data
