"""The report as HTML and as Markdown: the context of the templates, and the escaping of text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any

from elman.config import Config
from elman.report.lexicon import Lexicon, classify_words
from elman.report.narrative import summary
from elman.report.narrative.formatting import SUPERSCRIPTS, nats, percent, pluralize, scientific
from elman.report.narrative.summary import discussion
from elman.report.plots import Drawing
from elman.report.results import Results
from elman.training.gradcheck import REPORTED

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_LOWERED = str.maketrans(SUPERSCRIPTS, "−0123456789")
# C0 and C1 controls but for tab and line feed, separators of lines and directions, lone surrogates.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def render_html(results: Results, lexicon: Lexicon, drawings: Sequence[Drawing]) -> str:
    """Return the report as one HTML page.

    Parameters
    ----------
    results : Results
    lexicon : Lexicon
        Words and names of the text, which are highlighted in the samples.
    drawings : sequence of Drawing
    """

    def chunks(text: str) -> Sequence[tuple[str, str]]:
        return classify_words(visible(text), lexicon)

    return _environment().get_template("report.html").render(_view(results), drawings=drawings, chunks=chunks)


def render_markdown(results: Results) -> str:
    """Return the report as Markdown, which refers to ``smooth_loss.png`` in the same directory."""
    return _environment().get_template("report.md").render(_view(results))


def _view(results: Results) -> dict[str, Any]:
    return {
        "results": results,
        "reported": REPORTED,
        "summary": summary.summary(results),
        "gradients": summary.gradients(results.checks),
        "smooth_loss": summary.smooth_loss(results),
        "during": summary.describe_samples(results),
        "after": summary.describe_final_sample(results),
        "discussion": discussion(results),
        "text_facts": summary.text_facts(results),
        "time_facts": summary.time_facts(results),
        "machine_facts": summary.machine_facts(results),
        "settings": settings(results.config),
    }


def settings(config: Config) -> list[tuple[str, str, str]]:
    """Return name, value and meaning of every setting."""
    return [(field.name, _value(getattr(config, field.name)), field.metadata["help"]) for field in fields(config)]


def _value(value: Any) -> str:
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def visible(text: str) -> str:
    """Return a text with a control picture or an escape in place of every control character.

    CR LF becomes LF.
    """
    return _CONTROLS.sub(lambda match: _picture(ord(match[0])), text.replace("\r\n", "\n"))


def _picture(code: int) -> str:
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"\\u{code:04x}"


def superscripts(text: str) -> Markup:
    """Return a text as HTML, its exponents as ``<sup>``: few fonts draw all Unicode's superscripts alike."""
    from markupsafe import Markup, escape

    def sup(match: re.Match[str]) -> str:
        return f"<sup>{match[0].translate(_LOWERED)}</sup>"

    return Markup(re.sub(f"[{SUPERSCRIPTS}]+", sup, escape(text)))


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
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "cell": cell,
        "code": code,
        "pluralize": pluralize,
        "fenced": fenced,
        "nats": nats,
        "percent": percent,
        "superscripts": superscripts,
        "scientific": scientific,
        "visible": visible,
        "thousands": lambda value: f"{value:,}",
    }
    return environment
