"""Terminal output: the progress of commands that may take minutes, and control characters."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from elman.cli.display import TrainingDisplay, show_progress
from elman.compilation import COMPILATION
from elman.engine import COMPILING
from support.cli import exit_code
from support.state import TEXT
from support.terminal import use_terminal


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def progress(title: str, total: float | None, steps: Sequence[tuple[float, float]], *, quiet: bool = False) -> None:
    """Show the progress of a command that has done so much at a time; the steps are times and amounts."""
    clock = Clock()
    with show_progress(title, total, quiet=quiet, clock=clock) as show:
        for now, done in steps:
            clock.now = now
            show(done)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("total", "steps", "shown"),
    [
        (100, [(n / 2, 10 * n) for n in range(5)], ["20 %", "40 %, 0:00:03 left"]),
        (
            100,
            [(n, n) for n in range(30, 40)],
            ["30 %", "32 %, 0:01:08 left", "34 %, 0:01:06 left", "36 %, 0:01:04 left", "38 %, 0:01:02 left"],
        ),
        (100, [(1000, 1), (1005, 2), (1010, 51)], ["1 %", "2 %, 0:08:10 left", "51 %, 0:00:10 left"]),
        (None, [(10, 0), (20, 1_234_567)], ["0 kB", "1,235 kB"]),  # of a pipe
    ],
)
def test_a_log_gets_a_line_every_second_at_first_and_less_often_later(
    capsys: pytest.CaptureFixture[str], total: int | None, steps: list[tuple[float, float]], shown: list[str]
) -> None:
    progress("compressing", total, steps)
    assert lines(capsys) == [f"compressing: {each}" for each in shown]


def test_what_is_quick_or_quiet_is_silent(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    progress("compressing", 10, [(0.4, 10)])
    terminal = use_terminal(monkeypatch)
    progress("compressing", 10, [(0.4, 10)])
    progress("compressing", 10, [(10, 5)], quiet=True)
    assert (lines(capsys), terminal.getvalue()) == ([], "")


def test_a_terminal_gets_a_bar_that_disappears(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = use_terminal(monkeypatch)
    progress("checking [b]", 4, [(1, 1), (2, 2)])
    assert "25 %" in terminal.getvalue()
    *_, last = terminal.getvalue().split("50 %, 0:00:02 left")
    assert "\x1b[2K" in last  # the line is erased
    assert not re.search(r"\w{5}", last)
    assert "checking [b]" in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())


@pytest.mark.parametrize("quiet", [False, True])
def test_a_warning_of_a_training(capsys: pytest.CaptureFixture[str], quiet: bool) -> None:
    with TrainingDisplay(quiet=quiet) as display:
        display.on_warning("it is not well")
    assert capsys.readouterr().err == "warning: it is not well\n"


@pytest.mark.parametrize("quiet", [False, True])
def test_a_compilation_is_announced(capsys: pytest.CaptureFixture[str], quiet: bool) -> None:
    with show_progress("compressing", 10, quiet=quiet), COMPILATION.measure():
        pass
    assert capsys.readouterr().err == ("" if quiet else f"{COMPILING}\n")


@pytest.fixture
def slow(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elman.cli.display.line_interval", lambda elapsed: 0.0)


CHECK = ("gradcheck", "novel.txt", "--hidden-size", 3, "--seq-length", 4, "--engine", "numpy")


@pytest.mark.usefixtures("slow")
def test_a_command_shows_progress(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert exit_code(*CHECK) == 0
    found = re.findall(r"ing.*: (\d+) %(?:, 0:00:\d\d left)?\n", capsys.readouterr().err)
    assert len(found) >= 6  # the gradients of an array are checked in a few batches
    assert [int(each) for each in found] == sorted(map(int, found))
    assert found[-1] == "100"
    for more in ("-q", "--json"):
        assert exit_code(*CHECK, more) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("slow")
def test_dynamic_evaluation_shows_progress(capsys: pytest.CaptureFixture[str]) -> None:
    Path("long.txt").write_text(TEXT * 60, "utf-8")
    capsys.readouterr()
    assert exit_code("eval", "run", "long.txt", "--adapt", "weights") == 0
    percentages = [int(found) for found in re.findall(r"scoring: (\d+) %", capsys.readouterr().err)]
    assert len(percentages) > 5
    assert percentages == sorted({*percentages})
    assert percentages[-1] > 90
    assert exit_code("eval", "run", "long.txt", "--adapt", "weights", "--json") == 0
    assert capsys.readouterr().err == ""
