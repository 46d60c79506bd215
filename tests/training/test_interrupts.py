"""SIGINT in a program that trains: the run is saved and returned; a second one raises KeyboardInterrupt."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from elman.runs.run import Run
from elman.text import Corpus
from elman.training.callbacks import TrainingCallback
from support.training import EXACT, assert_same, assert_saved, train


class Interrupts(TrainingCallback):
    """Sends SIGINT to this process at some updates; the handler runs at once."""

    def __init__(self, *updates: int) -> None:
        self.updates = updates

    def on_progress(self, run: Run, updates: int) -> None:
        if run.state.update in self.updates:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def _default_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_a_signal_ends_the_run_which_is_saved_and_resumed_bit_for_bit(corpus: Corpus, tmp_path: Path) -> None:
    options: dict[str, Any] = EXACT | {"max_updates": 40}
    run = train(corpus, out=tmp_path, **options, callback=Interrupts(7))
    assert (run.state.update, run.stopped, run.interrupted) == (7, "interrupted", True)
    assert_saved(tmp_path, run)
    resumed = train(corpus, out=tmp_path, resume=True)
    assert_same(resumed, train(corpus, **options))


def test_without_a_directory_the_run_is_returned_too(corpus: Corpus) -> None:
    run = train(corpus, **EXACT, max_updates=40, callback=Interrupts(7))
    assert run.stopped == "interrupted"
    assert len(run.model.sample(10, seed=1)) == 10


class InterruptsTwice(Interrupts):
    def on_progress(self, run: Run, updates: int) -> None:
        super().on_progress(run, updates)
        super().on_progress(run, updates)


def test_a_second_signal_raises(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(corpus, out=tmp_path, **EXACT, max_updates=40, callback=InterruptsTwice(7))
    assert_same(train(corpus, out=tmp_path, resume=True), train(corpus, **EXACT, max_updates=40))


def test_the_handler_of_a_program_is_left_alone(corpus: Corpus) -> None:
    received = []

    def handler(number: int, frame: FrameType | None) -> None:
        received.append(number)

    signal.signal(signal.SIGINT, handler)
    run = train(corpus, **EXACT, max_updates=40, callback=Interrupts(7))
    assert signal.getsignal(signal.SIGINT) is handler
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert (received, run.stopped) == ([signal.SIGINT], "max_updates")


def test_another_thread_can_train(corpus: Corpus) -> None:
    runs: list[Run] = []
    thread = threading.Thread(target=lambda: runs.append(train(corpus, **EXACT, max_updates=20)))
    thread.start()
    thread.join()
    assert runs[0].stopped == "max_updates"


SCRIPT = """
import elman, sys

run = elman.train(
    elman.Corpus.from_text("abcd " * 50), out=sys.argv[1], preset="reference", engine="numpy",
    hidden_size=4, seq_length=5, epochs=1_000_000, on_update=lambda run: print("training", flush=True),
)
print(run.stopped, run.state.update == elman.open_run(sys.argv[1]).metrics[-1].update)
"""


def test_a_signal_from_outside_ends_the_run_of_a_program(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "training\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()
    assert (output.splitlines()[-1], errors, process.returncode) == ("interrupted True", "", 0)
