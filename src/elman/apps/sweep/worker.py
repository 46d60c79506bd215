"""Training of a trial in a process that may be killed at any moment.

Standard input has the arguments as one line of JSON. When it is closed, which also happens if the sweep is killed, the
run is saved and the process ends. Standard output has a line for each validation, and a line that says how the trial
ended.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
from typing import Any

from elman import train
from elman.errors import ElmanError, LockedError, command_line
from elman.training import Run, TrainingCallback

GRACE_SECONDS = 60
"""Seconds after which a stopping process ends in any case: a trial continues from its last checkpoint."""
RETRY_SECONDS = 0.5


class TrialCallback(TrainingCallback):
    """Writes validation losses to standard output, and stops the run once standard input is closed."""

    def __init__(self) -> None:
        self.stopped, self.updates = threading.Event(), 1
        threading.Thread(target=self._wait_for_end, daemon=True).start()

    def _wait_for_end(self) -> None:
        os.read(0, 1)  # not by `sys.stdin`: a thread must not hold its lock at the end of the process
        self.stopped.set()
        time.sleep(GRACE_SECONDS)
        os._exit(1)

    def on_progress(self, run: Run, updates: int) -> None:
        """Keep the expected number of updates."""
        self.updates = max(updates, 1)

    def on_validation(self, run: Run, validation_loss: float) -> None:
        """Write the loss, and the percentage of the budget that is spent."""
        send(percent=100 * run.state.update // self.updates, loss=validation_loss)

    def should_stop(self) -> bool:
        """Return whether standard input is closed."""
        return self.stopped.is_set()


def send(**message: Any) -> None:
    """Write a line."""
    print(json.dumps(message), flush=True)


def train_trial(corpus_sha256: str, options: dict[str, Any], callback: TrainingCallback) -> dict[str, Any]:
    """Train a trial, or continue it, and return how it ended; a system error, such as a full disk, aborts the sweep."""
    run = None
    while run is None:
        try:
            run = train(**options, resume=True, progress=False, callback=callback)
        except LockedError:  # locked by a process whose sweep was killed, and which saves the run
            time.sleep(RETRY_SECONDS)
            if callback.should_stop():
                return {"state": "stopped"}
        except (ElmanError, MemoryError) as error:
            state = "aborted" if isinstance(error.__cause__, OSError) else "failed"
            return {"state": state, "error": str(error) or "not enough memory"}
    ended: dict[str, Any] = {"state": "complete", "loss": run.validation_loss}
    if run.interrupted:
        ended = {"state": "stopped"}
    elif run.corpus.sha256 != corpus_sha256:
        ended = {"state": "failed", "error": "the text has changed since the sweep began"}
    elif run.validation_loss is None or not math.isfinite(run.validation_loss):
        ended = {"state": "failed", "error": "the validation loss is not finite"}
    return ended | {"seconds": round(run.state.seconds, 3), "updates": run.state.update}


def main() -> None:
    """Train the trial that standard input describes."""
    is_command, corpus_sha256, options = json.loads(sys.stdin.readline())
    with command_line(is_command):  # errors name options as the sweep does
        send(**train_trial(corpus_sha256, options, TrialCallback()))


if __name__ == "__main__":
    main()
