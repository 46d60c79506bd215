"""The progress of a training: lines in a log, a bar on a terminal or in a notebook."""

import io
import re
from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any, cast

import pytest

from elman.runs.history import Sample
from elman.text import Corpus
from elman.text.alphabet import visible
from elman.training.progress import (
    LONGEST_INTERVAL,
    SHORTEST_INTERVAL,
    ProgressBar,
    ProgressDisplay,
    ProgressLines,
    StderrConsole,
    create_display,
    describe_progress,
    line_interval,
)
from elman.training.run import Run
from support.state import TEXT, T
from support.terminal import use_terminal
from support.training import EXACT, SMALL, assert_same, train

# Not of the preset reference, whose samples are printed.
OPTIONS: dict[str, Any] = EXACT | {
    "preset": "steady",
    "validation": 0.25,
    "validate_every": 8,
    "max_updates": 20,
    "metrics_every": 1,
}


def lines(corpus: Corpus, capsys: pytest.CaptureFixture[str], clock: Callable[[], float]) -> list[str]:
    """Return the lines of a training, in which every update is shown to the display."""
    train(corpus, **OPTIONS, callback=ProgressLines(StderrConsole(), clock))
    return capsys.readouterr().err.splitlines()


def test_a_line_is_printed_at_each_validation_and_the_end(corpus: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    seconds = count(step=SHORTEST_INTERVAL / 8)  # from validation to validation
    notice, *others = lines(corpus, capsys, lambda: next(seconds))
    assert notice == "training on text: 77 characters, 26 distinct"
    assert [line.split(", ")[1] for line in others] == ["update 8/20", "update 16/20", "update 20/20"]
    number = r"\d\.\d{3}"
    for line in others:
        losses = rf"train loss {number}, validation loss {number} nats/char"
        assert re.fullmatch(rf"epoch \d, update \d+/20, {losses}, [\d,]+ chars/s, 0:00:\d\d left", line)


def test_frequent_validations_have_a_line_per_second(corpus: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    seconds = count(step=SHORTEST_INTERVAL / 4)
    train(corpus, **OPTIONS | {"validate_every": 1}, callback=ProgressLines(StderrConsole(), lambda: next(seconds)))
    shown = re.findall(r"update (\d+)/20", capsys.readouterr().err)
    assert shown == ["1", "5", "9", "13", "17", "20"]


def test_the_last_line_has_the_train_loss_of_the_results(capsys: pytest.CaptureFixture[str]) -> None:
    options = EXACT | {"max_updates": 300, "metrics_every": 7, "batch_size": 60}
    run = train(Corpus.from_text(TEXT * 50), **options, callback=ProgressLines(StderrConsole(), lambda: 0.0))
    assert f"train loss {run.train_loss:.3f} nats/char" in capsys.readouterr().err.splitlines()[-1]


def test_lines_are_printed_less_and_less_often(
    corpus: Corpus, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("elman.training.limits.TICK_SECONDS", 0.0)  # every update is shown
    for step, expected in (
        (0.5, [*range(2, 43, 2), *range(45, 61, 3)]),  # a line per second at first
        (1.0, [*range(1, 22), *range(23, 42, 2), *range(44, 60, 3), 60]),
        (10 * LONGEST_INTERVAL, [*range(1, 61)]),
    ):
        seconds = count(step=step)
        train(corpus, **EXACT, max_updates=60, callback=ProgressLines(StderrConsole(), lambda: next(seconds)))  # noqa: B023
        assert [int(each) for each in re.findall(r"update (\d+)/60", capsys.readouterr().err)] == expected, step
    intervals = [line_interval(elapsed) for elapsed in (0, 1, 20, 40, 100, 1000)]
    assert intervals == [SHORTEST_INTERVAL, SHORTEST_INTERVAL, 1, 2, LONGEST_INTERVAL, LONGEST_INTERVAL]


CHECK = ("10 characters, hidden size 5, sequence length 5", (10, 5, 5))


def test_a_gradient_check_has_a_line_per_second(capsys: pytest.CaptureFixture[str]) -> None:
    now, (described, sizes) = 0.0, CHECK
    display = ProgressLines(StderrConsole(), lambda: now)
    for tenth in range(21):
        now = tenth / 10
        display.on_gradient_check(*sizes, tenth / 20)
    shown = capsys.readouterr().err.splitlines()
    assert shown == [f"checking gradients: {described}: {percent} %" for percent in (0, 40, 80)]


def test_a_gradient_check_moves_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, now, (described, sizes) = use_terminal(monkeypatch), 0.0, CHECK
    bar = ProgressBar(StderrConsole(), lambda: now)
    for hundredth in range(101):
        now = hundredth / 100
        bar.on_gradient_check(*sizes, hundredth / 100)
    bar.close()
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    assert described in shown
    assert max(map(len, shown.splitlines())) <= 80
    percentages = list(dict.fromkeys(re.findall(r"(\d+) %", shown)))
    assert (percentages[0], 9 <= len(percentages) <= 11) == ("0", True)


def test_how_progress_is_described(corpus: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(corpus, **EXACT, batch_size=2, max_updates=7)  # there is no validation
    assert describe_progress(run, 10)["losses"] == f"train loss {run.state.smooth_loss / T:.3f} nats/char"
    run = train(corpus, **EXACT, epochs=2)  # epochs are counted where they end the run
    assert describe_progress(run, run.state.update)["epoch"] == "epoch 2/2"
    # The first update gives no estimate: it may take as long as a thousand of the others.
    run = train(corpus, **EXACT, max_updates=1, callback=ProgressLines(StderrConsole(), lambda: 0.0))
    fields = describe_progress(run, 10)
    assert (fields["speed"], fields["left"]) == ("", "")
    assert capsys.readouterr().err.splitlines()[-1] == f"epoch 1, update 1/1, {fields['losses']}"


@pytest.mark.parametrize("progress", [None, True, False])
def test_a_log_is_written_if_wanted(corpus: Corpus, capsys: pytest.CaptureFixture[str], progress: bool | None) -> None:
    shown = train(corpus, **OPTIONS, progress=progress)
    assert ("update 20/20" in capsys.readouterr().err) == bool(progress)
    assert_same(shown, train(corpus, **OPTIONS))


def test_on_a_terminal_there_is_a_bar_by_default(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = use_terminal(monkeypatch)
    run = train(corpus, **OPTIONS)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    assert "training on text" in shown
    assert "update 20/20" in shown
    assert f"train loss {run.train_loss:.3f}, validation loss " in shown
    assert visible(run.samples[-2].text).split("\n")[0] in shown
    assert max(map(len, shown.splitlines())) <= 80
    before = len(terminal.getvalue())
    train(corpus, **OPTIONS, progress=False)
    assert len(terminal.getvalue()) == before


def test_a_dumb_terminal_and_a_log_in_colour_get_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    use_terminal(monkeypatch)
    assert StderrConsole().is_watched
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(create_display(True, StderrConsole()), ProgressLines)
    assert type(create_display(None, StderrConsole())) is ProgressDisplay
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert isinstance(create_display(True, StderrConsole()), ProgressLines)


def test_a_notebook_gets_one_output_that_is_updated(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []

    class Handle:
        def __init__(self, content: Any, **_: object) -> None:
            self.update(content)

        def update(self, content: Any) -> None:
            shown.append(content._repr_mimebundle_([], []))

    monkeypatch.setattr("IPython.display.display", Handle)
    console = StderrConsole()
    console.is_jupyter = True
    bar = create_display(None, console)
    assert isinstance(bar, ProgressBar)
    train(corpus, **OPTIONS, callback=bar)
    assert "training on text" in shown[0]["text/plain"]
    assert "validation loss" in shown[-1]["text/plain"]
    assert "<pre" in shown[-1]["text/html"]


def test_a_warning_and_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, minute = use_terminal(monkeypatch), cast(Run, SimpleNamespace(preset="minute"))
    for display in (ProgressLines(StderrConsole()), ProgressBar(StderrConsole())):
        display.on_warning("[it] is not well" * 20)
        display.on_sample(minute, Sample(1, None, "\x1b[31m"))
        display.close()
    assert terminal.getvalue() == 2 * f"warning: {'[it] is not well' * 20}\n"
    assert visible("a\x1b[31mb\tc\nd\x7f\x9b") == "a␛[31mb\tc\nd␡�"


@pytest.mark.parametrize("is_terminal", [False, True])
def test_the_reference_experiment_prints_its_samples(
    is_terminal: bool, corpus: Corpus, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = use_terminal(monkeypatch) if is_terminal else None
    shown, samples = list[str](), list[Sample]()
    for preset, prints_samples in (("reference", True), ("reference", False), ("steady", True)):
        display = (ProgressBar if is_terminal else ProgressLines)(StderrConsole())
        display.prints_samples &= prints_samples  # it is True at first
        options = SMALL | {"preset": preset, "engine": "numpy", "max_updates": 20, "progress": False}
        run = train(corpus, **options, callback=display)
        display.close()
        shown.append(terminal.getvalue() if terminal else capsys.readouterr().err)
        samples = samples or run.samples[:]
    loss = samples[1].smooth_loss
    assert loss is not None
    line = f"update 10, smooth loss {T * loss:.2f} nats per {T} characters ({loss:.3f} nats/char):"
    assert [text.count(line) for text in shown] == ([1, 1, 1] if is_terminal else [1, 0, 0])
    assert len(samples) == 3
    assert all(visible(sample.text) in shown[0] for sample in samples)
