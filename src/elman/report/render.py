"""The report as Markdown, from a template and the results; and as an HTML page, from that Markdown."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import escape

from elman.config import Config
from elman.errors import FLAGS
from elman.report.lexicon import Lexicon, classify_words
from elman.text.alphabet import visible
from elman.web import pluralize

if TYPE_CHECKING:
    from markdown_it.token import Token

SUPERSCRIPTS = "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"
"""Of -0123456789."""

_RAISED, _LOWERED = str.maketrans("-0123456789", SUPERSCRIPTS), str.maketrans(SUPERSCRIPTS, "−0123456789")


def render_markdown(results: Mapping[str, Any], *, comparison: bool = True) -> str:
    """Return the report as Markdown, which refers to ``smooth_loss.png``, from the content of ``results.json``."""
    config = results["config"]
    settings = [
        (each.name, _format(config[each.name]), each.metadata["help"].format_map(FLAGS)) for each in fields(Config)
    ]
    return _environment().get_template("report.md").render(**results, settings=settings, comparison=comparison)


def _format(value: Any) -> str:
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def render_html(markdown: str, lexicon: Lexicon, figures: Sequence[str]) -> str:
    """Return the report as one HTML page.

    Words and names of the text are highlighted in the samples; `figures` are ``<svg>`` elements in place of the images.
    """
    from markdown_it import MarkdownIt

    remaining = iter(figures)

    def render_sample(self: object, tokens: Sequence[Token], index: int, *_: object) -> str:
        """Return a sample as an element in which names, and words that are not in the text, are marked."""
        pieces = [
            str(escape(chunk)) if kind in ("between", "word") else f'<span class="{kind}">{escape(chunk)}</span>'
            for kind, chunk in classify_words(tokens[index].content.removesuffix("\n"), lexicon)
        ]
        return f'<pre lang="" dir="auto" translate="no" tabindex="0">\n{"".join(pieces)}</pre>\n'

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("table_open", lambda *_: '<div class="wide"><table>\n')  # which scrolls
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    parser.add_render_rule("text", lambda self, tokens, index, *_: raise_exponents(tokens[index].content))
    parser.add_render_rule("fence", render_sample)
    parser.add_render_rule("image", lambda *_: next(remaining))
    return _environment().get_template("page.html").render(body=parser.render(markdown))


def raise_exponents(text: str) -> str:
    """Return a text as HTML, its exponents as ``<sup>``: few fonts draw all Unicode's superscripts alike."""
    html = str(escape(text))
    return re.sub(f"[{SUPERSCRIPTS}]+", lambda match: f"<sup>{match[0].translate(_LOWERED)}</sup>", html)


def fenced(text: str) -> str:
    """Return a text as a fenced Markdown block whose fence is longer than any run of backticks in it."""
    text = visible(text.replace("\r\n", "\n"))
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


# --- Numbers as text; a no-break space keeps a number and its unit on one line ---


def percent(fraction: float) -> str:
    """Return a fraction as an integer percentage; values between 0 and 1 are not rounded to 0 % or 100 %."""
    if 0 < fraction < 0.01:
        return "less than 1\u00a0%"
    if 0.99 < fraction < 1:
        return "more than 99\u00a0%"
    return f"{100 * fraction:.0f}\u00a0%"


def scientific(value: float | None) -> str:
    """Return ``1.69×10⁻⁹``; a number that JSON cannot represent is None."""
    if value is None or not math.isfinite(value):
        return "not a number"
    if value == 0:
        return "0"
    digits, _, exponent = f"{value:.2e}".partition("e")
    return f"{digits}×10{str(int(exponent)).translate(_RAISED)}"


def duration(seconds: float) -> str:
    """Return ``3.2 s``, ``4 min 10 s`` or ``1 h 12 min``."""
    if seconds < 59.5:
        return f"{seconds:.0f}\u00a0s" if seconds >= 9.95 else f"{seconds:.1f}\u00a0s"
    if seconds < 3599.5:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes}\u00a0min" + (f" {rest}\u00a0s" if rest else "")
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours}\u00a0h" + (f" {minutes}\u00a0min" if minutes else "")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("elman.report"),
        autoescape=False,  # the template is Markdown, whose filters quote every text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = (cell, code, duration, fenced, percent, pluralize, scientific)
    environment.filters |= {each.__name__: each for each in filters}
    environment.filters |= {"nats": "{:.2f}".format, "thousands": "{:,}".format}
    return environment
