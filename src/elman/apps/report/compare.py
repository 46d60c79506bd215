"""Two reports on one page: what differs between their settings, and what follows from it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from elman.apps.report.plots import inline_svg, show_legend
from elman.apps.report.render import render_comparison, render_html
from elman.apps.report.results import RESULTS
from elman.errors import ElmanError, option, quote, require_extra
from elman.runs import COLOURS, create_figure, format_setting, save_figure
from elman.storage import exists, parse_strict_json, read_regular_file, replace_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IGNORED = frozenset({"metrics_every", "device", "encoding", "field"})  # settings that are not worth a line


def compare_reports(
    first: str | os.PathLike[str], second: str | os.PathLike[str], *, out: str | os.PathLike[str]
) -> Path:
    """Write a page that compares two finished reports into a directory; return the path of the page.

    The directory then contains ``comparison.html`` (one file), ``comparison.md`` and ``comparison.png``.

    Raises
    ------
    ElmanError
        If one of the directories has no finished report.
    """
    with require_extra("plot"):
        import matplotlib as matplotlib
    reports = [_load(Path(path)) for path in (first, second)]
    names = [Path(path).resolve().name for path in (first, second)]
    names = names if names[0] != names[1] else [str(first), str(second)]
    target = Path(out)
    if any(exists(target / name) for name in (RESULTS, "run")):
        raise ElmanError(f"{quote(out)} already contains a report: choose another {option.out}")
    try:
        figure = _draw(reports, names)
        markdown = render_comparison(reports, names, _list_differences(reports))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, TemplateError) as error:
        both = f"{quote(first)} and {quote(second)}"
        raise ElmanError(f"cannot compare {both}: a {RESULTS} is not of this version ({error!r})") from error
    target.mkdir(parents=True, exist_ok=True)
    save_figure(figure, target / "comparison.png")
    replace_file(target / "comparison.md", markdown.encode())
    page = render_html(markdown, None, [inline_svg(figure, "comparison")])
    replace_file(target / "comparison.html", page.encode())
    return target / "comparison.html"


def _load(path: Path) -> dict[str, Any]:
    try:
        results: dict[str, Any] = parse_strict_json(read_regular_file(path / RESULTS).decode("utf-8"))
        if results["finished"]:
            return results
        reason = f"it is not finished: continue it with {option.resume:True}"
    except FileNotFoundError:
        reason = f"there is no {RESULTS}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{RESULTS} cannot be read ({error})"
    raise ElmanError(f"cannot compare {quote(path)}: {reason}")


def _list_differences(reports: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return the text and the settings that differ, with both values."""
    rows = [("text", [f"{each['corpus']['name']}, {each['corpus']['chars']:,} characters" for each in reports])]
    rows += [(name, [format_setting(each["config"].get(name)) for each in reports]) for name in reports[0]["config"]]
    return [(name, values) for name, values in rows if values[0] != values[1] and name not in IGNORED]


def _draw(reports: list[dict[str, Any]], names: list[str]) -> Figure:
    """Plot both curves in nats per character over the characters read: windows may differ."""
    figure, (axes,) = create_figure("smooth loss, nats per character")
    axes.set_xlabel("characters read")
    for each, name, colour in zip(reports, names, COLOURS, strict=False):
        T, per_update = each["config"]["seq_length"], each["config"]["seq_length"] * each["config"]["batch_size"]
        update, S = each["curve"].values()
        axes.plot([n * per_update for n in update], [loss / T for loss in S], color=colour, linewidth=1.3, label=name)
    show_legend(axes)
    # The first updates are far above the rest, and both begin at ln K.
    later = [loss / each["config"]["seq_length"] for each in reports for loss in each["curve"]["smooth_loss"][2:]]
    axes.set_ylim(top=max(later) if later else None)
    return figure
