"""HTML representations of values in notebooks, without scripts; every text is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from elman.errors import format_value

MAX_CHARS = 1000  # maximum characters of a text that are shown


def render_table(title: str, rows: Mapping[str, object]) -> str:
    """Return a table of names and values; rows whose value is None are left out.

    Examples
    --------
    >>> render_table("Run", {"text": "a<b", "updates": 1000, "loss": None})
    '<table><caption>Run</caption><tr><th>text</th><td>a&lt;b</td></tr><tr><th>updates</th><td>1,000</td></tr></table>'
    """
    cells = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(format_value(value))}</td></tr>"
        for name, value in rows.items()
        if value is not None
    )
    return f"<table><caption>{escape(title)}</caption>{cells}</table>"


def render_text(title: str, text: str) -> str:
    """Return a text under a title; a long text is cut after its beginning."""
    return render_figure(title, escape(text[:MAX_CHARS]), is_cut=len(text) > MAX_CHARS)


def render_figure(title: str, html: str, *, is_cut: bool) -> str:
    """Return HTML of a text under a title."""
    body = f'<pre style="white-space: pre-wrap">{html}{"…" if is_cut else ""}</pre>'
    return f"<figure><figcaption>{escape(title)}</figcaption>{body}</figure>"
