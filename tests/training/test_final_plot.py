"""The plot that a training writes at its end, and what happens without Matplotlib."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.errors import ElmanError
from elman.text import Corpus
from elman.training.callbacks import TrainingCallback
from elman.training.loop import describe_missing_plot
from support.cli import Command, assert_refused
from support.state import TEXT
from support.training import train

SMALL: dict[str, Any] = {"hidden_size": 3, "seq_length": 5, "engine": "numpy", "max_updates": 4}
PLOT = "smooth_loss.png"
MISSING = "this requires matplotlib, which is not installed: pip install 'elman[plot]'"


class Notices(TrainingCallback):
    """Collects the notices."""

    def __init__(self) -> None:
        self.seen = list[str]()

    def on_notice(self, notice: str) -> None:
        """Add it."""
        self.seen.append(notice)


@pytest.fixture
def _no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every import of Matplotlib fail, as where it is not installed."""
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a text."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "novel.txt").write_text(TEXT * 5, encoding="utf-8")
    return tmp_path


@pytest.mark.usefixtures("drawn_plots")
def test_the_plot_is_drawn_at_the_end(corpus: Corpus, tmp_path: Path) -> None:
    notices = Notices()
    train(corpus, **SMALL, out=tmp_path, callback=notices)
    assert (tmp_path / PLOT).read_bytes().startswith(b"\x89PNG")
    assert describe_missing_plot(tmp_path) not in notices.seen


@pytest.mark.usefixtures("_no_matplotlib", "drawn_plots")
def test_without_matplotlib_a_notice_says_so_once(corpus: Corpus, tmp_path: Path) -> None:
    notices = Notices()
    run = train(corpus, **SMALL, out=tmp_path / "run", callback=notices)
    notice = describe_missing_plot(tmp_path / "run")
    assert (run.stopped, notices.seen.count(notice), notices.seen[-1]) == ("max_updates", 1, notice)
    assert (tmp_path / "run" / "checkpoint.safetensors").exists()
    assert not (tmp_path / "run" / PLOT).exists()
    assert len(elman.load(tmp_path / "run").sample(9)) == 9
    in_memory = Notices()
    train(corpus, **SMALL, callback=in_memory)
    assert not any("curve" in seen for seen in in_memory.seen)  # a run without a directory has no plot


@pytest.mark.usefixtures("_no_matplotlib", "drawn_plots")
def test_only_the_first_run_in_a_directory_has_the_notice(corpus: Corpus, tmp_path: Path) -> None:
    for out, expected in (("a", True), ("b", False), ("a", True), ("other/c", True)):
        notices = Notices()
        train(corpus, **SMALL, out=tmp_path / out, overwrite=True, callback=notices)
        assert (describe_missing_plot(tmp_path / out) in notices.seen) == expected
        shutil.rmtree(tmp_path / "b", ignore_errors=True)


@pytest.mark.usefixtures("_no_matplotlib", "drawn_plots")
def test_a_figure_without_matplotlib_is_an_error(corpus: Corpus, tmp_path: Path) -> None:
    run = train(corpus, **SMALL, out=tmp_path)
    for plotted in (run, elman.open_run(tmp_path)):
        with pytest.raises(ElmanError) as error:
            plotted.plot()
        assert str(error.value) == MISSING


@pytest.mark.usefixtures("_no_matplotlib", "drawn_plots", "folder")
def test_the_commands_without_matplotlib(command: Command) -> None:
    options = [word for name, value in SMALL.items() for word in ("--" + name.replace("_", "-"), value)]
    training = command("train", "novel.txt", "-o", "run", "--preset", "reference", *options)
    assert (training.code, training.err.splitlines().count(describe_missing_plot(Path("run")))) == (0, 1)
    assert "train loss" in training.out
    assert_refused(command("plot", "run"), MISSING)
    assert_refused(command("report", "novel.txt", "-o", "report"), MISSING)
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["novel.txt", "run"]
