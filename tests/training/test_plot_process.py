"""The process that draws the plot of a training."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from elman.text import Corpus
from elman.training import plot_process
from support.cli import Command
from support.state import TEXT
from support.training import train

SMALL: dict[str, Any] = {"hidden_size": 3, "seq_length": 5, "engine": "numpy", "max_updates": 40, "metrics_every": 5}
PLOT = "smooth_loss.png"

pytestmark = pytest.mark.usefixtures("drawn_plots")


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list["subprocess.Popen[bytes]"]:
    """The processes that were started."""
    started: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    return started


def test_it_draws_the_same_plot(corpus: Corpus, tmp_path: Path, processes: list["subprocess.Popen[bytes]"]) -> None:
    with plot_process.plot_process():
        run = train(corpus, **SMALL, validation=0.3, out=tmp_path)
        assert [process.returncode for process in processes] == [0]
    drawn = (tmp_path / PLOT).read_bytes()
    run.save_plot()
    assert drawn.startswith(b"\x89PNG")
    assert drawn == (tmp_path / PLOT).read_bytes()


def test_a_second_training_and_one_whose_process_was_killed_draw_themselves(
    corpus: Corpus, tmp_path: Path, processes: list["subprocess.Popen[bytes]"]
) -> None:
    with plot_process.plot_process():
        processes[0].kill()
        processes[0].wait()
        train(corpus, **SMALL, out=tmp_path / "a")
        train(corpus, **SMALL, out=tmp_path / "b")
    assert len(processes) == 1
    assert all((tmp_path / name / PLOT).read_bytes().startswith(b"\x89PNG") for name in "ab")


def test_a_process_that_fails_is_replaced_by_drawing(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = tmp_path / "fails"
    fails.write_text("#!/bin/sh\ncat > /dev/null\nexit 1\n", encoding="utf-8")
    fails.chmod(0o700)
    for executable in (str(fails), str(tmp_path / "missing"), None):
        monkeypatch.setattr(sys, "executable", executable)
        with plot_process.plot_process():
            train(corpus, **SMALL, out=tmp_path / "run", overwrite=True)
        assert (tmp_path / "run" / PLOT).read_bytes().startswith(b"\x89PNG")
        (tmp_path / "run" / PLOT).unlink()


def test_a_process_that_takes_too_long_is_killed(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: list["subprocess.Popen[bytes]"]
) -> None:
    monkeypatch.setattr(plot_process, "TIMEOUT", 0.0)
    with plot_process.plot_process():
        for name in "ab":
            train(corpus, **SMALL, out=tmp_path / name)
            assert processes[0].returncode is not None
            assert (tmp_path / name / PLOT).read_bytes().startswith(b"\x89PNG")
    stdin = processes[0].stdin
    assert stdin is not None
    assert stdin.closed


def test_it_ends_with_the_block(processes: list["subprocess.Popen[bytes]"]) -> None:
    with pytest.raises(ZeroDivisionError), plot_process.plot_process():
        raise ZeroDivisionError
    assert processes[0].returncode is not None


def test_it_ends_when_its_parent_does(processes: list["subprocess.Popen[bytes]"]) -> None:
    with plot_process.plot_process():
        assert processes[0].stdin is not None
        processes[0].stdin.close()  # as the system does with a process that was killed
        assert processes[0].wait() == 0


def test_there_is_none_without_matplotlib(
    monkeypatch: pytest.MonkeyPatch, processes: list["subprocess.Popen[bytes]"]
) -> None:
    monkeypatch.setattr(plot_process, "find_spec", lambda name: None)
    with plot_process.plot_process():
        assert not processes


def test_there_is_none_on_one_core(monkeypatch: pytest.MonkeyPatch, processes: list["subprocess.Popen[bytes]"]) -> None:
    monkeypatch.setattr(plot_process, "thread_count", lambda: 1)
    with plot_process.plot_process():
        assert not processes


def test_the_command_uses_it(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: list["subprocess.Popen[bytes]"]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "novel.txt").write_text(TEXT * 5, encoding="utf-8")
    options = [word for name, value in SMALL.items() for word in ("--" + name.replace("_", "-"), value)]
    assert command("train", "novel.txt", "-o", "run", "--preset", "reference", *options).code == 0
    assert [process.returncode for process in processes] == [0]
    assert (tmp_path / "run" / PLOT).read_bytes().startswith(b"\x89PNG")
