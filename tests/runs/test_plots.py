"""The plot of the smooth loss."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from elman.errors import ElmanError
from elman.runs.directory import RunDirectory
from elman.runs.plots import LossCurve, plot_smooth_loss, save_figure
from elman.runs.records import Metrics
from elman.text import Corpus
from support.state import T
from support.training import train

ROWS = [Metrics(7, 0, 1 / 3, 2e-17, None, 0.1, 12.5), Metrics(14, 1, 0.1, 3.0, 2.75, 1e300, 0.0)]


def test_a_plot_shows_the_smooth_loss_over_the_updates() -> None:
    (axes,) = plot_smooth_loss([LossCurve("one", ROWS, T)]).axes
    (curve,) = axes.lines
    assert np.asarray(curve.get_xdata()).tolist() == [row.update for row in ROWS]
    assert np.asarray(curve.get_ydata()).tolist() == [row.smooth_loss / T for row in ROWS]
    assert axes.get_xlabel() == "update"
    assert axes.get_ylabel() == "smooth loss, nats per character"
    assert axes.get_legend() is None


def test_several_curves_have_a_legend_and_a_colour_each() -> None:
    figure = plot_smooth_loss([LossCurve(str(n), ROWS, T) for n in range(3)])
    assert legend(figure) == ["0", "1", "2"]
    assert len({curve.get_color() for curve in figure.axes[0].lines}) == 3


@pytest.mark.parametrize(("suffix", "beginning"), [(".png", b"\x89PNG\r\n"), (".svg", b"<?xml")])
def test_the_format_of_a_plot_is_its_suffix(tmp_path: Path, suffix: str, beginning: bytes) -> None:
    path = tmp_path / f"figure{suffix}"
    save_figure(plot_smooth_loss([LossCurve("one", ROWS, T)]), path)
    assert path.read_bytes().startswith(beginning)


@pytest.mark.parametrize("label", ["$x$", r"$\x$", "_run", "小说", "🐈"])
def test_a_legend_names_runs_as_they_are_called(tmp_path: Path, label: str) -> None:
    figure = plot_smooth_loss([LossCurve(label, ROWS, T), LossCurve("other", ROWS, T)])
    save_figure(figure, tmp_path / "figure.png")
    assert [text.replace(r"\$", "$") for text in legend(figure)] == [label, "other"]


def legend(figure: Figure) -> list[str]:
    """Return the names that a figure's legend shows."""
    shown = figure.axes[0].get_legend()
    assert shown is not None
    return [text.get_text() for text in shown.get_texts()]


def test_a_plot_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ElmanError, match=r"^cannot write '.*none/figure\.png' \(No such file or directory\)"):
        save_figure(plot_smooth_loss([LossCurve("one", ROWS, T)]), tmp_path / "none" / "figure.png")
    assert list(tmp_path.iterdir()) == []


def test_the_plot_of_a_run_is_an_image(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, hidden_size=3, seq_length=T, engine="numpy", max_updates=5, out=tmp_path)
    assert (tmp_path / "smooth_loss.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_a_directory_is_plotted_per_character_under_its_name(corpus: Corpus, tmp_path: Path) -> None:
    out = tmp_path / "a"
    run = train(corpus, hidden_size=3, seq_length=T, engine="numpy", metrics_every=7, max_updates=20, out=out)
    (curve,) = plot_smooth_loss([LossCurve.of_directory(RunDirectory(out))]).axes[0].lines
    assert np.asarray(curve.get_ydata()).tolist() == [row.smooth_loss / T for row in run.metrics]
    assert LossCurve.of_directory(RunDirectory(out)).label == "a"


def test_a_loss_can_be_plotted_per_window() -> None:
    (axes,) = plot_smooth_loss([LossCurve("one", ROWS, T)], per_window=True).axes
    assert np.asarray(axes.lines[0].get_ydata()).tolist() == [row.smooth_loss for row in ROWS]
    assert axes.get_ylabel() == "smooth loss, nats per window"
