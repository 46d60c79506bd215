"""The report as Markdown, from a template and the results; and as an HTML page, from that Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any

from elman.config import Config
from elman.report.formatting import SUPERSCRIPTS, duration, percent, pluralize, scientific
from elman.report.lexicon import Lexicon, classify_words

if TYPE_CHECKING:
    from jinja2 import Environment
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_LOWERED = str.maketrans(SUPERSCRIPTS, "−0123456789")
# C0 and C1 controls but for tab and line feed, separators of lines and directions, lone surrogates.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def render_markdown(results: Mapping[str, Any]) -> str:
    """Return the report as Markdown, which refers to ``smooth_loss.png`` in the same directory.

    Parameters
    ----------
    results : mapping
        The content of ``results.json``.
    """
    return _environment().get_template("report.md").render(**results, settings=list_settings(results["config"]))


def list_settings(config: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return name, value and meaning of every setting."""
    return [(field.name, _format(config[field.name]), field.metadata["help"]) for field in fields(Config)]


def _format(value: Any) -> str:
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def render_html(markdown: str, lexicon: Lexicon, figures: Sequence[str]) -> str:
    """Return the report as one HTML page.

    Parameters
    ----------
    markdown : str
        The report from `render_markdown`.
    lexicon : Lexicon
        Words and names of the text, which are highlighted in the samples.
    figures : sequence of str
        An ``<svg>`` element in place of each image.
    """
    parser, remaining = _parser(), iter(figures)

    def render_sample(self: object, tokens: Sequence[Token], index: int, *_: object) -> str:
        return _highlight(tokens[index].content, lexicon)

    parser.add_render_rule("fence", render_sample)
    parser.add_render_rule("image", lambda *_: next(remaining))
    return _environment().get_template("page.html").render(body=parser.render(markdown))


def _parser() -> MarkdownIt:
    """Return a parser that escapes HTML, lets wide tables scroll, and raises exponents."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("table_open", lambda *_: '<div class="wide"><table>\n')
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    parser.add_render_rule("text", lambda self, tokens, index, *_: raise_exponents(tokens[index].content))
    return parser


def _highlight(text: str, lexicon: Lexicon) -> str:
    """Return a sample as an element in which names, and words that are not in the text, are marked."""
    from markupsafe import escape

    pieces = [
        str(escape(chunk)) if kind in ("between", "word") else f'<span class="{kind}">{escape(chunk)}</span>'
        for kind, chunk in classify_words(text.removesuffix("\n"), lexicon)
    ]
    return f'<pre lang="" dir="auto" translate="no" tabindex="0">\n{"".join(pieces)}</pre>\n'


def raise_exponents(text: str) -> str:
    """Return a text as HTML, its exponents as ``<sup>``: few fonts draw all Unicode's superscripts alike."""
    from markupsafe import escape

    def sup(match: re.Match[str]) -> str:
        return f"<sup>{match[0].translate(_LOWERED)}</sup>"

    return re.sub(f"[{SUPERSCRIPTS}]+", sup, str(escape(text)))


def visible(text: str) -> str:
    """Return a text with a control picture or an escape in place of every control character.

    CR LF becomes LF.
    """
    return _CONTROLS.sub(lambda match: _picture(ord(match[0])), text.replace("\r\n", "\n"))


def _picture(code: int) -> str:
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"\\u{code:04x}"


def fenced(text: str) -> str:
    """Return a text as a fenced Markdown block whose fence is longer than any run of backticks in it."""
    text = visible(text)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def code(text: str) -> str:
    """Return a text as a Markdown code span in one line."""
    text = " ".join(visible(text).split())
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{pad}{text}{pad}{ticks}" if text else ""


def cell(text: str) -> str:
    """Escape Markdown for a table cell."""
    return text.replace("|", "\\|")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("elman.report"),
        autoescape=False,  # the template is Markdown, whose filters quote every text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "cell": cell,
        "code": code,
        "duration": duration,
        "fenced": fenced,
        "nats": "{:.2f}".format,
        "percent": percent,
        "pluralize": pluralize,
        "scientific": scientific,
        "thousands": "{:,}".format,
    }
    return environment
