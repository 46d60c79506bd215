"""The report as Markdown, from a template and the results; and as an HTML page, from that Markdown."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import escape

from elman.apps.course.faults import read_solution
from elman.apps.report.lexicon import Lexicon, classify_words
from elman.apps.report.results import NOVEL
from elman.config import Config, help_of
from elman.errors import FLAGS
from elman.formats.web import pluralize
from elman.runs import format_setting
from elman.text import visible

if TYPE_CHECKING:
    from markdown_it.token import Token

SUPERSCRIPTS = "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"  # of -0123456789

_RAISED, _LOWERED = str.maketrans("-0123456789", SUPERSCRIPTS), str.maketrans(SUPERSCRIPTS, "−0123456789")

METHOD = ("step", "forward", "backward", "adagrad")
"""The functions of the course's solution that the report prints: an update of the vanilla RNN calls them."""
NOT_OF_THE_EXPERIMENT = frozenset(
    {"epochs", "seed", "engine", "device", "metrics_every", "encoding", "field", "keep_crlf", "min_count"}
)
"""Settings that may differ from the course report's without changing the experiment, apart from its text."""


def render_markdown(results: Mapping[str, Any], *, comparison: bool = True) -> str:
    """Return the report as Markdown, which refers to ``smooth_loss.png``, from the content of ``results.json``."""
    config, corpus, names = results["config"], results["corpus"], [each.name for each in fields(Config)]
    return _render(
        "report.md",
        **results,
        settings=[(name, format_setting(config[name]), help_of(name).format_map(FLAGS)) for name in names],
        experiment_rows=list_main_settings(results),
        comparison=comparison,
        method="\n\n".join(read_solution()[name] for name in METHOD),
        changed=describe_changed(config),
        is_its_text=(corpus["chars"], corpus["alphabet_size"]) == NOVEL,
        windows_of_report=count_windows_of_report(results),
    )


def count_windows_of_report(results: Mapping[str, Any]) -> int:
    """Return the windows per epoch of the course report's program; 0 if they are the same, or cannot be compared."""
    config, T = results["config"], results["config"]["seq_length"]
    count = round((results["corpus"]["chars"] - T) / T)
    is_same = count == results["statistics"]["per_epoch"] or config["batch_size"] != 1 or config["validation"]
    return 0 if is_same else count


def list_main_settings(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the settings that define the experiment, for the table at the head of the page."""
    config, epochs, long = results["config"], results["short"]["requested_epochs"], results["long"]
    by = {"value": "every component to ±{:g}", "norm": "the norm of all to {:g}"}[config["grad_clip_mode"]]
    return [
        ("cell, layers, hidden units m", f"{config['cell']}, {config['layers']}, {config['hidden_size']}"),
        ("window T, batch size", f"{config['seq_length']}, {config['batch_size']}"),
        ("optimizer, learning rate η", f"{config['optimizer']}, {config['learning_rate']:g}"),
        ("gradient clipping", by.format(config["grad_clip"]) if config["grad_clip"] else "none"),
        ("initial weights", f"{config['init']}, standard deviation {config['init_std']:g}"),
        ("epochs", f"{epochs}" + (f", then {long['requested_epochs']} in total" if long else "")),
        ("precision, engine", f"{config['dtype']}, {config['engine']}"),
        ("seed", ", ".join(str(each["seed"]) for each in results["seeds"])),
    ]


def describe_changed(config: Mapping[str, Any]) -> str:
    """Return the settings of the experiment that differ from the course report's; empty if none differ."""
    defaults = asdict(Config())
    names = [name for name in defaults if name not in NOT_OF_THE_EXPERIMENT and config[name] != defaults[name]]
    values = ((name, *map(format_setting, (config[name], defaults[name]))) for name in names)
    return ", ".join(f"`{name}` ({value}, there {default})" for name, value, default in values)


def render_html(markdown: str, lexicon: Lexicon, figures: Sequence[str]) -> str:
    """Return the report as one HTML page."""
    # Words and names of the text are highlighted in the samples. `figures` are ``<svg>`` elements, for the images.
    from markdown_it import MarkdownIt

    remaining = iter(figures)

    def render_sample(self: object, tokens: Sequence[Token], index: int, *_: object) -> str:
        """Return a sample as an element in which names, and words that are not in the text, are marked."""
        if tokens[index].info != "text":
            return f'<pre class="code" translate="no" tabindex="0">{escape(tokens[index].content)}</pre>\n'
        text = tokens[index].content.removesuffix("\n")
        pieces = [
            str(escape(chunk)) if kind in ("between", "word") else f'<span class="{kind}">{escape(chunk)}</span>'
            for kind, chunk in classify_words(text, lexicon)
        ]
        return f'<pre lang="" dir="auto" translate="no" tabindex="0">\n{"".join(pieces)}</pre>\n'

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("table_open", lambda *_: '<div class="wide"><table>\n')  # the table scrolls
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    parser.add_render_rule("text", lambda self, tokens, index, *_: raise_exponents(tokens[index].content))
    parser.add_render_rule("fence", render_sample)
    parser.add_render_rule("code_block", render_sample)
    parser.add_render_rule("image", lambda *_: next(remaining))
    # What follows a heading of level 4, up to the end of the page, is folded.
    fold = r"<details><summary>\1</summary>\2</details>\n"
    body = re.sub("<h4>(.*?)</h4>(.*)", fold, parser.render(markdown), flags=re.DOTALL)
    return _render("page.html", body=body)


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


def character(text: str) -> str:
    """Return a character as a Markdown code span, or the name of one that is not visible."""
    return {"\n": "line feed", " ": "space", "\t": "tab", "\r": "carriage return"}.get(text) or code(text)


def cell(text: str) -> str:
    """Escape Markdown for a table cell."""
    return text.replace("|", "\\|")


# --- Numbers as text; a no-break space keeps a number and its unit on one line ---


def nats(value: float | None) -> str:
    """Return a loss with two digits; a dash if there is none."""
    return "–" if value is None else f"{value:.2f}"


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
        return f"{seconds:.{0 if seconds >= 9.95 else 1}f}\u00a0s"
    unit, larger, smaller = (1, "min", "s") if seconds < 3599.5 else (60, "h", "min")
    whole, rest = divmod(round(seconds / unit), 60)
    return f"{whole}\u00a0{larger}" + (f" {rest}\u00a0{smaller}" if rest else "")


def _render(template: str, **names: Any) -> str:
    environment = Environment(
        loader=PackageLoader("elman.apps.report"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,  # the templates are Markdown, whose filters quote every text
    )  # fmt: skip
    filters = (cell, character, code, duration, fenced, nats, percent, pluralize, scientific)
    environment.filters |= {each.__name__: each for each in filters} | {"thousands": "{:,}".format}
    return environment.get_template(template).render(**names)
