"""A worker of a sweep: a process that trains one trial after the other, and how the sweep talks to it.

The sweep writes lines of JSON to the standard input of the process: a `TrialOrder` for every trial, and after each
``validated`` whether to prune. Closing standard input stops the worker, which saves the run in training, so that it
also stops if the sweep is killed. The worker writes events to standard output, a line each::

    {"event": "progress", "fraction": 0.3}
    {"event": "validated", "rung": 25, "loss": 1.9, "seconds": 4.2, "updates": 310}
    {"event": "complete", "loss": 1.6, "seconds": 16.5, "updates": 1240}         or "pruned", without the loss
    {"event": "failed", "error": "…"}                                            of one trial
    {"event": "error", "message": "…"}                                           of the sweep, which it ends
"""

from __future__ import annotations

import json
import math
import os
import queue
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from elman.config import make_config
from elman.engine import get_engine
from elman.errors import ElmanError, LockedError, command_line, option
from elman.inference.score import score
from elman.machine import thread_count
from elman.runs.run import Run
from elman.text import Corpus, read_corpus
from elman.training.callbacks import TrainingCallback
from elman.training.train import train

COMMAND: Sequence[str] = ("-P", "-m", "elman.tuning.worker")
LOG = "workers.log"
"""The file to which the standard error of the workers is appended."""
PRUNING_CHARS = 8192
"""Characters of the validation set, at most, that an intermediate validation reads."""
EVENT_SECONDS = 0.5
"""Between two events about the progress of a trial."""
_BLAS_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class TrialOrder:
    """A trial to train, or to continue if its run directory exists.

    Parameters
    ----------
    out : str
        Its run directory.
    corpus, corpus_sha256 : str
        The text, which must not have changed since the sweep began.
    preset : str
    options : dict
        Of `elman.train`.
    rungs : list of int
        Percent of the budget at which the trial is validated, and pruned if the answer is so.
    on_command_line : bool
        Whether errors name options as the command line does.
    """

    out: str
    corpus: str
    corpus_sha256: str
    preset: str
    options: dict[str, Any]
    rungs: list[int]
    on_command_line: bool


class Worker:
    """The side of the sweep: a worker process, which is started when it is needed and again after it was killed.

    The cores of the machine are shared out among its `count` workers.
    """

    def __init__(self, directory: Path, count: int) -> None:
        self.directory, self.threads = directory, max(1, thread_count() // count)
        self.process: subprocess.Popen[str] | None = None
        self.is_stopped = False

    def train(self, trial: TrialOrder) -> Iterator[dict[str, Any]]:
        """Yield the events of a trial; without one that ends it if the worker is stopped or killed."""
        if self.process is None or self.process.poll() is not None:
            self._wait()
            self.process = self._start()
            if self.is_stopped:  # meanwhile
                self.stop()
        self.send(asdict(trial))
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with suppress(ValueError):  # the last line of a killed process may be partial
                yield json.loads(line)
        self.process.wait()

    def send(self, message: Mapping[str, Any]) -> None:
        """Write a line to the worker, if it is running."""
        assert self.process is not None
        assert self.process.stdin is not None
        with suppress(OSError, ValueError):  # it was killed, or stopped
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()

    def stop(self) -> None:
        """Ask the worker to save the run in training and end."""
        self.is_stopped = True
        if self.process is not None and self.process.stdin is not None:
            with suppress(OSError):  # what is buffered cannot be written after it was killed
                self.process.stdin.close()

    def kill(self) -> None:
        """End the worker at once."""
        if self.process is not None:
            self.process.kill()

    def close(self) -> None:
        """Stop the worker, and wait until it has ended."""
        self.stop()
        self._wait()

    def _wait(self) -> None:
        if self.process is not None:
            with suppress(OSError), self.process:  # waits, and closes the pipes
                pass

    def _start(self) -> subprocess.Popen[str]:
        """Start it afresh, and not as a fork: threads of compiled kernels do not survive one."""
        path = self.directory / LOG
        if path.is_symlink() or not path.is_file():  # such as a pipe
            path.unlink(missing_ok=True)
        threads = str(self.threads)
        with path.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *COMMAND],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=dict.fromkeys(_BLAS_VARIABLES, threads) | os.environ | {"NUMBA_NUM_THREADS": threads},
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C in a terminal must not reach it: the sweep stops it
            )


# --- The worker process ---


class Channel:
    """The side of the worker: lines from the sweep, and events to it."""

    def __init__(self) -> None:
        self.stopped = threading.Event()  # set once standard input is closed
        self._lines = queue.Queue[str]()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            self._lines.put(line)
        self.stopped.set()
        self._lines.put("")

    def receive(self) -> dict[str, Any] | None:
        """Return the next message; None once the worker is to stop."""
        line = self._lines.get()
        message: dict[str, Any] | None = json.loads(line) if line and not self.stopped.is_set() else None
        return message

    def emit(self, event: str, **values: object) -> None:
        """Write an event."""
        print(json.dumps({"event": event} | values), flush=True)


class PruningCallback(TrainingCallback):
    """Sends intermediate validation losses to the sweep, and stops a trial that is to be pruned.

    The validations do not change the run. The rungs are those of `TrialOrder`.
    """

    def __init__(self, channel: Channel, rungs: list[int]) -> None:
        self.channel, self.rungs = channel, rungs
        self.pruned, self.emitted_at = False, 0.0

    def on_progress(self, run: Run, updates: int) -> None:
        """Validate where a rung is reached, and ask whether to prune."""
        fraction = run.state.update / max(updates, 1)
        if time.monotonic() - self.emitted_at >= EVENT_SECONDS:
            self.emitted_at = time.monotonic()
            self.channel.emit("progress", fraction=round(fraction, 4))
        reached = [rung for rung in self.rungs if rung <= 100 * fraction]
        if reached and fraction < 1:
            self.rungs = [rung for rung in self.rungs if rung > reached[-1]]
            self.channel.emit("validated", rung=reached[-1], loss=validate(run), **describe_run(run))
            answer = self.channel.receive()
            self.pruned = answer is not None and answer["prune"]

    def should_stop(self) -> bool:
        """Return whether the trial is pruned or the worker stops."""
        return self.pruned or self.channel.stopped.is_set()


def validate(run: Run) -> float:
    """Return the validation loss of the current network on the first characters of the validation set."""
    sample = run.data.validation_sample
    assert sample is not None
    state, engine = run.state, get_engine(run.config.engine)
    loss = score(engine, state.eval_parameters, state.final_hidden, sample[:PRUNING_CHARS]).nats_per_char
    return loss if math.isfinite(loss) else math.nan


def describe_run(run: Run) -> dict[str, Any]:
    """Return how long a run has been trained."""
    return {"seconds": round(run.state.seconds, 3), "updates": run.state.update}


def main() -> None:
    """Train trials until standard input is closed."""
    channel, corpus = Channel(), None
    try:
        while (message := channel.receive()) is not None:
            order = TrialOrder(**message)
            with command_line(order.on_command_line):
                config = make_config(order.preset, order.options)
                corpus = corpus or read_corpus(
                    order.corpus, encoding=config.encoding, field=config.field, lines=config.lines
                )
                if corpus.sha256 != order.corpus_sha256:
                    raise ElmanError(
                        f"the text has changed since the sweep began; restore it or choose another {option.out}"
                    )
                train_trial(order, corpus, channel)
    except BrokenPipeError:  # the sweep was killed
        pass
    except ElmanError as error:
        channel.emit("error", message=str(error))
    except Exception as error:
        traceback.print_exc()
        channel.emit("error", message=f"a worker ended with {type(error).__name__}; see {LOG}")


def train_trial(order: TrialOrder, corpus: Corpus, channel: Channel) -> None:
    """Train a trial, or continue it, and report how it ended, unless the worker is stopped before."""
    callback, out = PruningCallback(channel, order.rungs), Path(order.out)
    options: Any = order.options
    try:
        run = train(
            corpus, out=out, preset=order.preset, resume=out.is_dir(), progress=False, callback=callback, **options
        )
    except LockedError as error:  # by a worker whose sweep was killed, and which saves the run
        sys.exit(str(error))  # the sweep will try again
    except (ElmanError, MemoryError) as error:
        if isinstance(error.__cause__, OSError):  # such as a full disk: no fault of the trial
            raise
        channel.emit("failed", error=str(error) or "not enough memory")
        return
    if callback.pruned:
        channel.emit("pruned", **describe_run(run))
    elif run.interrupted:
        return
    elif run.validation_loss is None or not math.isfinite(run.validation_loss):
        channel.emit("failed", error="the validation loss is not finite")
    else:
        channel.emit("complete", loss=run.validation_loss, **describe_run(run))


if __name__ == "__main__":
    main()
