"""The plot of the losses, which a training writes at its end; and what happens without Matplotlib."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import elman
from elman.config import Config, make_config
from elman.errors import ElmanError
from elman.runs.directory import RunDirectory
from elman.runs.history import Metrics
from elman.runs.plots import LABEL_WIDTH, LossCurve, describe_setting, plot_losses, save_figure
from elman.text import Corpus
from support.cli import Command, assert_refused
from support.state import TEXT, T
from support.training import Listens, train

if TYPE_CHECKING:
    from matplotlib.axes._secondary_axes import SecondaryAxis
    from matplotlib.figure import Figure  # half a second, in every process that collects the tests

ROWS = [Metrics(7, 0, 1 / 3, 2e-17, 0.5, None, 0.1, 12.5, 0.1), Metrics(14, 1, 0.1, 3.0, 0.25, 2.75, 1e300, 0.0, 0.1)]
SHORT: dict[str, Any] = {"hidden_size": 3, "seq_length": 5, "engine": "numpy", "max_updates": 4}
PLOT = "smooth_loss.png"
CONFIG = Config(seq_length=T, batch_size=2)


def curve(name: str, **settings: Any) -> LossCurve:
    return LossCurve(name, ROWS, replace(CONFIG, **settings))


def drawn(figure: Figure) -> dict[str, list[list[float]]]:
    """Return the points of every line of a single run, by its label."""
    (axes,) = figure.axes
    return {str(line.get_label()): np.asarray(line.get_xydata()).tolist() for line in axes.lines}


def window_axis(figure: Figure) -> SecondaryAxis | None:
    return next((each for axes in figure.axes for each in axes.child_axes), None)  # type: ignore[return-value]


def legend(figure: Figure) -> list[str]:
    (shown,) = [*figure.legends, *filter(None, (axes.get_legend() for axes in figure.axes))]
    return [text.get_text() for text in shown.get_texts()]


def test_a_run_has_all_losses_in_one_plot() -> None:
    figure = plot_losses([curve("one")])
    (axes,) = figure.axes
    expected = {"train loss": [[7, 0.5], [14, 0.25]], "validation loss": [[14, 2.75]]}
    assert drawn(figure) == expected
    assert legend(figure) == list(expected)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("update", "loss, nats per character")
    assert axes.get_title("left").replace("\n", " ") == describe_setting(CONFIG)
    assert window_axis(figure) is None
    figure = plot_losses([LossCurve("one", ROWS[:1], CONFIG)])  # without validation
    assert legend(figure) == ["train loss"]


@pytest.mark.parametrize(("updates", "shown"), [(9_999, ["train loss"]), (10_000, ["smooth loss", "train loss"])])
def test_the_smooth_loss_of_a_short_run_lags_and_is_not_shown(updates: int, shown: list[str]) -> None:
    rows = [ROWS[0], replace(ROWS[1], update=updates, validation_loss=None)]
    assert legend(plot_losses([LossCurve("one", rows, CONFIG)])) == shown


def test_the_smooth_loss_in_place_of_the_train_loss() -> None:
    figure = plot_losses([curve("one")], smooth=True)
    assert legend(figure) == [*drawn(figure)] == ["smooth loss", "validation loss"]
    figures = [figure, *(plot_losses([curve("one"), curve("two", seq_length=n)], smooth=True) for n in (T, T + 1))]
    assert [axes.get_ylabel() for axes in figures[1].axes] == [
        "smooth loss, nats per character", "validation loss, nats per character",
    ]  # fmt: skip
    per_window = [window_axis(each) for each in figures]
    assert [axis and axis.get_ylabel() for axis in per_window] == [*[f"nats per window of {T} characters"] * 2, None]
    figure.draw_without_rendering()
    assert per_window[0] is not None
    assert per_window[0].get_ylim() == pytest.approx([T * loss for loss in figure.axes[0].get_ylim()])


def test_the_characters_that_were_read_are_those_of_every_window_and_row() -> None:
    figure = plot_losses([curve("one")], by="characters")
    assert drawn(figure)["train loss"] == [[7 * T * 2, 0.5], [14 * T * 2, 0.25]]
    assert figure.axes[0].get_xlabel() == "characters read"
    figure = plot_losses([curve("one"), curve("two", seq_length=100)], by="characters")
    assert np.asarray(figure.axes[0].lines[1].get_xdata()).tolist() == [7 * 200, 14 * 200]
    for unit, last in (("epochs", 1), ("seconds", 1e300)):
        assert drawn(plot_losses([curve("one")], by=unit))["train loss"][1] == [last, 0.25]
    with pytest.raises(ElmanError, match=r"^by must be updates, epochs, characters or seconds \(got 'letters'\)$"):
        plot_losses([curve("one")], by="letters")


DEFAULTS = make_config("reference")
LABELS: dict[str, tuple[list[LossCurve], list[str]]] = {
    "names, where no setting differs": ([curve("a"), curve("b", metrics_every=3, sample_every=0)], ["a", "b"]),
    "settings": ([curve("a", seq_length=100), curve("b")], ["seq_length 100", f"seq_length {T}"]),
    "several": (
        [curve("a", optimizer="adam", learning_rate=0.002), curve("b", lines=True)],
        ["optimizer adam, learning_rate 0.002, lines no", "optimizer adagrad, learning_rate 0.1, lines yes"],
    ),
    "both": ([curve("a", seed=1), curve("b"), curve("c")], ["seed 1", "seed 400, b", "seed 400, c"]),
    "seeds": (
        [curve("a", cell="gru"), *(curve("b", seed=seed) for seed in (1, 2, 3))],
        ["cell gru, seed 400", "cell rnn, 3 seeds: mean and range"],
    ),
    "seeds of one setting": ([curve("b", seed=seed) for seed in (1, 2)], ["2 seeds: mean and range"]),
    "a file without its folder": (
        [curve("a", validation="/folder/held out"), curve("b", max_updates=5)],
        ["max_updates none, validation held out", "max_updates 5, validation 0"],
    ),
    "texts and weights": (
        [curve("a")._replace(text="one"), curve("b")._replace(text="two", init_from="base")],
        ["text one, init_from none", "text two, init_from base"],
    ),
    "a preset and what does not follow from it": (
        [
            LossCurve("a", ROWS, replace(DEFAULTS, seed=1), preset="reference"),
            LossCurve("b", ROWS, make_config("steady"), preset="steady"),
            LossCurve("c", ROWS, replace(make_config("minute"), max_chars=9, batch_size=7), preset="minute"),
        ],
        ["preset reference, seed 1", "preset steady, seed 400", "preset minute, seed 400"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("curves", "labels"), LABELS.values(), ids=LABELS)
def test_runs_are_labelled_by_the_settings_in_which_they_differ(curves: list[LossCurve], labels: list[str]) -> None:
    found = legend(plot_losses(curves))
    assert [" ".join(label.split()) for label in found] == labels
    assert max(map(len, "\n".join(found).split("\n"))) <= LABEL_WIDTH


def test_a_setting_is_described_in_one_line() -> None:
    assert describe_setting(Config(dtype="float64", engine="numba", epochs=1, init_std=0.05)) == (
        "rnn, m = 100, T = 25, η = 0.1, initial weights of standard deviation 0.05, 1 epoch, AdaGrad, clipped to ±5"
        " by value, float64, engine numba"
    )
    assert describe_setting(replace(make_config("minute"), max_updates=2000, dtype="float32", engine="numpy")) == (
        "gru, 2 layers, m = 256, T = 64, B = 64, η = 0.03, cosine schedule, orthogonal initial weights of standard"
        " deviation 1, at most 18 epochs, 2,000 updates or 60 s, Muon, clipped to a norm of 16, float32, mixed"
        " precision, engine numpy"
    )


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


def test_seeds_of_a_setting_are_a_line_with_a_range() -> None:
    later = [replace(row, update=row.update + 3, train_loss=row.train_loss + 1, validation_loss=None) for row in ROWS]
    figure = plot_losses([curve("a", seed=1), LossCurve("b", later, replace(CONFIG, seed=2))])
    (line,), (area,) = figure.axes[0].lines, figure.axes[0].collections
    # Of the positions of the first run, 7 and 14, the second reaches the latter.
    second = 1.5 - 0.25 * 4 / 7
    assert np.asarray(line.get_xydata()).tolist() == [[14, pytest.approx((0.25 + second) / 2)]]
    assert area.get_datalim(figure.axes[0].transData).get_points()[:, 1] == pytest.approx([0.25, second])
    assert np.asarray(figure.axes[1].lines[0].get_xydata()).tolist() == [[14, 2.75]]


def test_each_text_has_plots_of_its_own() -> None:
    high = [replace(row, train_loss=9.0 + row.update) for row in ROWS]
    curves = [curve("a")._replace(text="one"), LossCurve("b", high, CONFIG, "$two$")]
    figure = plot_losses(curves)
    assert [axes.get_title("left") for axes in figure.axes] == ["one", "", "$two$", ""]
    assert [len(axes.lines) for axes in figure.axes] == [1] * 4
    low, _, top, _ = (axes.get_ylim() for axes in figure.axes)
    assert low[1] < 3 < 23 < top[1]


def test_early_losses_do_not_determine_the_range_of_several_runs() -> None:
    rows = [replace(ROWS[1], update=update, train_loss=100 / update, validation_loss=None) for update in range(1, 101)]
    figure = plot_losses([LossCurve(name, rows, CONFIG) for name in "ab"])
    assert figure.axes[0].get_ylim()[1] == pytest.approx(10, rel=0.1)
    assert plot_losses([LossCurve("a", rows, CONFIG)]).axes[0].get_ylim()[1] > 100


def test_a_run_is_drawn_on_given_axes() -> None:
    from matplotlib.figure import Figure as NewFigure

    axes = NewFigure().subplots(1, 2)
    figure = plot_losses([curve("one")], ax=axes[1])
    assert figure is axes[1].figure
    assert [len(each.lines) for each in axes] == [0, 2]
    assert (axes[1].get_xlabel(), axes[1].get_title("left")) == ("update", "")


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


@pytest.mark.parametrize("label", ["$x$", r"$\x$", "_run", "小说", "🐈", "b\udcff"])
def test_a_plot_is_written_and_names_runs_as_they_are_called(tmp_path: Path, label: str) -> None:
    figure = plot_losses([curve(label), curve("other")])
    for suffix, beginning in ((".png", b"\x89PNG\r\n"), (".svg", b"<?xml"), (".pdf", b"%PDF-")):
        save_figure(figure, tmp_path / f"figure{suffix}")
        assert (tmp_path / f"figure{suffix}").read_bytes().startswith(beginning)
    assert [text.replace(r"\$", "$") for text in legend(figure)] == [label.replace("\udcff", "\\udcff"), "other"]
    save_figure(plot_losses([curve("a")._replace(text=label), curve("b")]), tmp_path / "texts.png")
    with pytest.raises(ElmanError, match=r"^the file of a plot must end in \.eps, .*\(got 'figure\.txt'\)"):
        save_figure(figure, tmp_path / "figure.txt")
    with pytest.raises(ElmanError, match=r"^cannot write '.*none/figure\.png' \(No such file or directory\)"):
        save_figure(figure, tmp_path / "none" / "figure.png")


@pytest.mark.usefixtures("drawn_plots")
def test_runs_with_other_sequence_lengths_are_comparable(corpus: Corpus, tmp_path: Path) -> None:
    """The losses of training are not sums over a sequence, which would differ by its length."""
    for length in (5, 15):
        out, listens = tmp_path / str(length), Listens()
        options: dict[str, Any] = {"seq_length": length, "metrics_every": 7, "max_updates": 20}
        train(corpus, **SHORT | options, out=out, callback=listens)
        assert (out / PLOT).read_bytes().startswith(b"\x89PNG\r\n")
        assert not any("curve" in notice for notice in listens.notices)
    curves = [LossCurve.of_directory(RunDirectory(tmp_path / name)) for name in ("5", "15")]
    assert [each.name for each in curves] == ["5", "15"]
    for loss in ("train_loss", "smooth_loss"):
        first, second = (each.points(loss)[1][-1] for each in curves)
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
