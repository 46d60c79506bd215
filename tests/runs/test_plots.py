"""The plot of the losses, which a training writes at its end; and what happens without Matplotlib."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import elman
from elman.config import Config
from elman.errors import ElmanError
from elman.runs.directory import RunDirectory
from elman.runs.history import Metrics
from elman.runs.plots import LossCurve, plot_losses, save_figure
from elman.text import Corpus
from support.cli import Command, assert_refused
from support.state import TEXT, T
from support.training import Listens, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # half a second, in every process that collects the tests

ROWS = [Metrics(7, 0, 1 / 3, 2e-17, None, 0.1, 12.5), Metrics(14, 1, 0.1, 3.0, 2.75, 1e300, 0.0)]
SHORT: dict[str, Any] = {"hidden_size": 3, "seq_length": 5, "engine": "numpy", "max_updates": 4}
PLOT = "smooth_loss.png"
CONFIG = Config(seq_length=T)  # whose rows are on so few characters that the train loss is the smooth loss


def curve(label: str) -> LossCurve:
    return LossCurve(label, ROWS, CONFIG)


def legend(figure: Figure) -> list[str]:
    (shown,) = [*figure.legends, *filter(None, (axes.get_legend() for axes in figure.axes))]
    return [text.get_text() for text in shown.get_texts()]


def test_a_run_has_both_losses_in_one_plot() -> None:
    figure = plot_losses([curve("one")])
    (axes,) = figure.axes
    trained, validated = axes.lines
    assert np.asarray(trained.get_xdata()).tolist() == [row.update for row in ROWS]
    assert np.asarray(trained.get_ydata()).tolist() == [row.smooth_loss / T for row in ROWS]
    assert np.asarray(validated.get_xydata()).tolist() == [[14, 2.75]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("update", "loss, nats per character")
    assert legend(figure) == ["train", "validation"]
    (axes,) = plot_losses([LossCurve("one", ROWS[:1], CONFIG)]).axes  # without validation
    assert (len(axes.lines), axes.get_legend()) == (1, None)


def test_twenty_runs_are_told_apart() -> None:
    from matplotlib.colors import to_hex

    names = [str(n) for n in range(20)]
    figure = plot_losses([curve(name) for name in names])
    assert [axes.get_ylabel().split()[0] for axes in figure.axes] == ["train", "validation"]
    assert legend(figure) == names
    for axes in figure.axes:
        assert len({(to_hex(line.get_color()), line.get_linestyle()) for line in axes.lines}) == 20
    (axes,) = plot_losses([LossCurve(name, ROWS[:1], CONFIG) for name in "ab"]).axes  # without validation
    assert len(axes.lines) == 2


def test_single_points_have_markers() -> None:
    (axes,) = plot_losses([curve("one")]).axes
    assert [line.get_marker() for line in axes.lines] == ["", "o"]  # two rows, of which one has a validation
    first = LossCurve("first", ROWS[:1], CONFIG)
    for figure in (plot_losses([first]), plot_losses([first, first])):
        assert {line.get_marker() for axes in figure.axes for line in axes.lines} == {"o"}
    figure = plot_losses([curve("one"), curve("two")])
    assert [line.get_marker() for line in figure.axes[1].lines] == ["o", "o"]


@pytest.mark.parametrize(("updates", "scale"), [(139, "linear"), (140, "log")])
def test_runs_of_very_different_lengths_have_a_logarithmic_axis(updates: int, scale: str) -> None:
    longer = LossCurve("longer", [*ROWS, replace(ROWS[-1], update=updates)], CONFIG)
    figure = plot_losses([curve("one"), longer])
    assert [axes.get_xscale() for axes in figure.axes] == [scale, scale]


@pytest.mark.parametrize(("runs", "name"), [(2, "a"), (100, "a"), (2, "long name" * 30)], ids=["2", "100", "long"])
def test_every_run_is_visible_in_the_legend(runs: int, name: str) -> None:
    figure = plot_losses([curve(f"{name} {n}") for n in range(runs)])
    figure.draw_without_rendering()
    (shown,) = figure.legends
    assert figure.bbox.containsx(shown.get_window_extent().x1 - 1)
    for text in shown.get_texts():
        box = text.get_window_extent()
        assert figure.bbox.containsy(box.y0)
        assert figure.bbox.containsx(box.x1 - 1)
    assert all(axes.get_window_extent().width > 300 for axes in figure.axes)


@pytest.mark.parametrize("label", ["$x$", r"$\x$", "_run", "小说", "🐈"])
def test_a_plot_is_written_and_names_runs_as_they_are_called(tmp_path: Path, label: str) -> None:
    figure = plot_losses([curve(label), curve("other")])
    for suffix, beginning in ((".png", b"\x89PNG\r\n"), (".svg", b"<?xml")):
        save_figure(figure, tmp_path / f"figure{suffix}")
        assert (tmp_path / f"figure{suffix}").read_bytes().startswith(beginning)
    assert [text.replace(r"\$", "$") for text in legend(figure)] == [label, "other"]
    with pytest.raises(ElmanError, match=r"^cannot write '.*none/figure\.png' \(No such file or directory\)"):
        save_figure(figure, tmp_path / "none" / "figure.png")


@pytest.mark.usefixtures("drawn_plots")
def test_runs_with_other_sequence_lengths_are_comparable(corpus: Corpus, tmp_path: Path) -> None:
    """The smooth losses, sums over a sequence, differ by its length; the curves do not."""
    for length in (5, 15):
        out, listens = tmp_path / str(length), Listens()
        options: dict[str, Any] = {"seq_length": length, "metrics_every": 7, "max_updates": 20}
        train(corpus, **SHORT | options, out=out, callback=listens)
        assert (out / PLOT).read_bytes().startswith(b"\x89PNG\r\n")
        assert not any("curve" in notice for notice in listens.notices)
    curves = [LossCurve.of_directory(RunDirectory(tmp_path / name)) for name in ("5", "15")]
    assert [each.label for each in curves] == ["5", "15"]
    first, second = (each.train_losses()[1][-1] for each in curves)
    assert first == pytest.approx(second, rel=0.1)


MISSING = "this requires matplotlib, which is not installed: pip install 'elman[plot]'"


@pytest.fixture
def _no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every import of Matplotlib fail, as where it is not installed."""
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)


@pytest.mark.usefixtures("_no_matplotlib", "drawn_plots")
def test_without_matplotlib(corpus: Corpus, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    listens = Listens()
    run = train(corpus, **SHORT, out=tmp_path / "a run", callback=listens)
    assert run.stopped == "max_updates"
    assert listens.notices[-1].endswith(f"pip install 'elman[plot]', then elman plot '{tmp_path / 'a run'}'")
    assert not (tmp_path / "a run" / PLOT).exists()
    in_memory = Listens()
    run = train(corpus, **SHORT, callback=in_memory)
    assert not any("curve" in notice for notice in in_memory.notices)  # a run without a directory has no plot
    for plotted in (run, elman.open_run(tmp_path / "a run")):
        with pytest.raises(ElmanError) as error:
            plotted.plot()
        assert str(error.value) == MISSING
    assert_refused(command("plot", "a run"), MISSING)
    (tmp_path / "novel.txt").write_text(TEXT * 5, encoding="utf-8")
    assert_refused(command("report", "novel.txt", "-o", "report"), MISSING)
    assert not (tmp_path / "report").exists()
