"""A worker of a sweep: a process that takes trial after trial from the study and trains it.

Its standard input has its number and the plan of the sweep, and is then closed to stop the worker, which saves the run
in training and ends within a minute: the system closes it if the sweep is killed. An error that ends the sweep is
written to standard output.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from elman import train
from elman.apps.sweep.results import trial_directory
from elman.apps.sweep.space import SweepPlan, SweepSettings
from elman.apps.sweep.study import SweepStudy, open_study
from elman.config import Config, make_config
from elman.engine import get_engine
from elman.errors import ElmanError, LockedError, command_line, option
from elman.model.score import score
from elman.network import begin_text
from elman.runs import read_text
from elman.text import Corpus
from elman.training import Run, TrainingCallback, limit_texts

LOG = "workers.log"
"""The file to which the standard error of the workers is appended."""
FAILED = 3
"""The exit code for an error that ends the sweep, and not only a trial."""
PRUNING_CHARS = 8192
"""Characters of the validation set, at most, that an intermediate validation reads."""
PROGRESS_STEP = 0.05
"""The fraction of its budget after which the progress of a trial is recorded again."""
GRACE_SECONDS = 60
"""After which a worker that is to stop ends, whatever it does."""
RETRY_SECONDS = 0.5
"""Between two looks at a trial that is not free, and at those of other workers."""


def main() -> None:
    """Train trials until there are no more, or until standard input is closed."""
    line, stopped = sys.stdin.readline(), threading.Event()
    threading.Thread(target=_wait_for_end, args=(stopped,), daemon=True).start()
    try:
        if line:
            number, names_flags, plan = json.loads(line)
            with command_line(names_flags):
                settings, directory = SweepSettings(**plan["settings"]), Path(plan["directory"])
                work(SweepPlan(**plan | {"settings": settings, "directory": directory}), number, stopped)
    except ElmanError as error:
        print(error)
        sys.exit(FAILED)
    except Exception as error:
        traceback.print_exc()
        print(f"a worker ended with {type(error).__name__}; see {LOG}")
        sys.exit(FAILED)


def _wait_for_end(stopped: threading.Event) -> None:
    while os.read(0, 1024):  # and not by `sys.stdin`, whose lock a thread may not hold at the end of the process
        pass
    stopped.set()
    time.sleep(GRACE_SECONDS)  # a trial that takes longer to stop continues from its last checkpoint
    os._exit(FAILED)


def work(plan: SweepPlan, number: int, stopped: threading.Event) -> None:
    """Train trials until there are no more, or the event is set; the number is that of the worker."""
    corpus, max_chars = None, None
    with open_study(plan) as study:
        while not stopped.is_set():
            trial = study.next_trial(number)
            if trial is not None:
                options = plan.settings.options | trial.params
                config = limit_texts(make_config(plan.settings.preset, options), options)
                if corpus is None or config.max_chars != max_chars:
                    corpus, max_chars = read_trial_text(plan, config), config.max_chars
                train_trial(study, trial, corpus, stopped)
            elif study.running():  # one may be lost, and has to be tried again
                stopped.wait(RETRY_SECONDS)
            else:
                return


def read_trial_text(plan: SweepPlan, config: Config) -> Corpus:
    """Return the text of trials, which must not have changed since the sweep began."""
    corpus = read_text(plan.settings.corpus, config, in_order=True)
    if corpus.sha256 != plan.corpus_sha256:
        raise ElmanError(f"the text has changed since the sweep began; restore it or choose another {option.out}")
    return corpus


def train_trial(study: SweepStudy, trial: Trial, corpus: Corpus, stopped: threading.Event) -> None:
    """Train a trial, or continue it, and record how it ended, unless the worker is stopped before."""
    settings, callback = study.plan.settings, TrialCallback(study, trial, stopped)
    options: Any = settings.options | trial.params
    out = trial_directory(study.plan.directory, trial.number)
    try:
        run = train(corpus, out=out, preset=settings.preset, resume=True, progress=False, callback=callback, **options)
    except LockedError:  # by a worker whose sweep was killed, and which saves the run
        stopped.wait(RETRY_SECONDS)
        return
    except (ElmanError, MemoryError) as error:
        if isinstance(error.__cause__, OSError):  # such as a full disk: no fault of the trial
            raise
        study.tell(trial, TrialState.FAIL, error=str(error) or "not enough memory")
        return
    if callback.is_pruned:
        run.stopped = "pruned"
        assert run.directory is not None
        run.directory.write_manifest(run.manifest)
    elif run.interrupted:
        return
    elif run.validation_loss is None or not math.isfinite(run.validation_loss):
        study.tell(trial, TrialState.FAIL, error="the validation loss is not finite")
    else:
        study.tell(trial, TrialState.COMPLETE, run.validation_loss, **describe_run(run))


class TrialCallback(TrainingCallback):
    """Records the progress of a trial, and stops it if it is pruned or the worker is to stop.

    The intermediate validations do not change the run.
    """

    def __init__(self, study: SweepStudy, trial: Trial, stopped: threading.Event) -> None:
        self.study, self.trial, self.stopped = study, trial, stopped
        self.rungs, self.recorded = study.rungs(trial.number), 0.0
        self.is_pruned = self.is_lost = False

    def on_progress(self, run: Run, updates: int) -> None:
        """Record the progress; where a rung is reached, validate and compare with other trials."""
        fraction = run.state.update / max(updates, 1)
        try:
            if fraction >= self.recorded + PROGRESS_STEP:
                self.recorded = fraction
                self.trial.set_user_attr("fraction", round(fraction, 4))
            reached = [rung for rung in self.rungs if rung <= 100 * fraction]
            if reached and fraction < 1:
                self.rungs = [rung for rung in self.rungs if rung > reached[-1]]
                self.trial.report(validate(run), reached[-1])
                self.is_pruned = self.trial.should_prune()
        except UpdateFinishedTrialError:  # another machine has taken this one for lost
            self.is_lost = True
        if self.is_pruned:
            self.study.tell(self.trial, TrialState.PRUNED, **describe_run(run))

    def should_stop(self) -> bool:
        """Return whether the trial is pruned or lost, or the worker is to stop."""
        return self.is_pruned or self.is_lost or self.stopped.is_set()


def validate(run: Run) -> float:
    """Return the validation loss of the current network on the first characters of the validation set."""
    network, sample = run.snapshot(), run.data.validation_sample
    assert sample is not None
    state = begin_text(network.parameters, network.h)
    loss = score(get_engine(run.config.engine), network.parameters, state, sample[:PRUNING_CHARS]).nats_per_char
    return loss if math.isfinite(loss) else math.nan


def describe_run(run: Run) -> dict[str, Any]:
    """Return how long a run has been trained."""
    return {"seconds": round(run.state.seconds, 3), "updates": run.state.update}


if __name__ == "__main__":
    main()
