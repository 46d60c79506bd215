"""A worker: a process that trains one trial after the other until none is left.

The process that starts it writes `WorkerOrder` as a line of JSON to its standard input, and closes that to stop it; the
run in training is saved then. So a worker also stops if that process is killed. Its standard output has one event per
line, as JSON.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
import traceback
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from optuna.trial import Trial, TrialState

from elman.config import make_config
from elman.errors import ElmanError, LockedError, command_line
from elman.text import Corpus, read_corpus
from elman.tuning.samplers import create_sampler, suggest
from elman.tuning.settings import SweepSettings
from elman.tuning.storage import OpenStudy, StorageAddress
from elman.tuning.trial import run_trial

POLL_SECONDS = 0.5
"""Between two looks at trials of other workers, which may be killed, once there are no new trials."""
EVENT_SECONDS = 0.5
"""Between two events about the progress of a trial."""


@dataclass(frozen=True)
class WorkerOrder:
    """What a worker is to do.

    Parameters
    ----------
    directory : str
        Of the sweep.
    study : str
        The name of the study.
    storage : str or None
        The URL of the database.
    trials : int
        The number of trials of the sweep, by all workers.
    corpus_sha256 : str
    settings : dict
        Those of `SweepSettings`.
    names_options : bool
        Whether messages name options as the command line does.
    """

    directory: str
    study: str
    storage: str | None
    trials: int
    corpus_sha256: str
    settings: dict[str, Any]
    names_options: bool

    def as_line(self) -> str:
        """Return it as a line of JSON."""
        return json.dumps(asdict(self)) + "\n"


def main() -> None:
    """Work until no trial is left, or until standard input is closed."""
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the process that started this one, which stops it
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    order = WorkerOrder(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_wait_for_end, args=(stop,), daemon=True).start()
    try:
        with command_line() if order.names_options else nullcontext():
            work(order, stop)
    except BrokenPipeError:  # the process that started this one was killed
        pass
    except ElmanError as error:
        emit("error", message=str(error))
    except Exception as error:
        traceback.print_exc()
        emit("error", message=f"a worker ended with {type(error).__name__}; see {order.directory}/workers.log")


def _wait_for_end(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


def emit(event: str, **values: object) -> None:
    """Write an event."""
    print(json.dumps({"event": event} | values), flush=True)


def work(order: WorkerOrder, stop: threading.Event) -> None:
    """Train trials.

    Raises
    ------
    ElmanError
        If the text has changed, a file cannot be written, or the database cannot be used.
    """
    settings, directory = SweepSettings.from_dict(order.settings), Path(order.directory)
    corpus = _read_corpus(settings, order.corpus_sha256)
    with StorageAddress(directory, order.study, order.storage).open(settings.pruner) as opened:
        emit("ready")
        while not stop.is_set():
            trial = claim_trial(opened, settings, order.trials)
            if trial is not None:
                _work_on(trial, opened, settings, corpus, directory, stop)
            elif find_running(opened):
                stop.wait(POLL_SECONDS)
            else:
                return


def _read_corpus(settings: SweepSettings, sha256: str) -> Corpus:
    encoding = make_config(settings.preset, settings.options).encoding
    corpus = read_corpus(settings.corpus, encoding=encoding)
    if corpus.sha256 != sha256:
        raise ElmanError("the text has changed since the sweep began; restore it or choose another --out")
    return corpus


def _work_on(
    trial: Trial, opened: OpenStudy, settings: SweepSettings, corpus: Corpus, directory: Path, stop: threading.Event
) -> None:
    number, emitted_at = trial.number, 0.0

    def emit_progress(fraction: float) -> None:
        nonlocal emitted_at
        if time.monotonic() - emitted_at >= EVENT_SECONDS:
            emitted_at = time.monotonic()
            emit("progress", trial=number, fraction=round(fraction, 4))

    emit("start", trial=number)
    try:
        run_trial(trial, settings, corpus, directory, stop, emit_progress)
    except LockedError:  # by a worker that has lost its connection to the database and does not know yet
        stop.wait(POLL_SECONDS)
    finally:
        opened.locks.release(number)
    emit("end", trial=number)


def find_running(opened: OpenStudy) -> list[int]:
    """Return the numbers of the trials that are not finished."""
    return [each.number for each in opened.study.get_trials(deepcopy=False) if not each.state.is_finished()]


def claim_trial(opened: OpenStudy, settings: SweepSettings, trials: int) -> Trial | None:
    """Return a trial that no worker has, with its lock held: one that was stopped, or else a new one.

    Returns
    -------
    Trial or None
        None if there are as many as wanted, and each is finished or has a worker.
    """
    study, locks = opened.study, opened.locks
    with locks.exclusive():
        for number in find_running(opened):
            if locks.try_acquire(number):
                found = study.get_trials(deepcopy=False)[number]  # its worker may have finished it meanwhile
                if found.state == TrialState.RUNNING:
                    study.sampler = create_sampler(settings, number)
                    return _complete(Trial(study, found._trial_id), settings)
                locks.release(number)
        number = len(study.get_trials(deepcopy=False))
        if number >= trials:
            return None
        study.sampler = create_sampler(settings, number)
        trial = study.ask()
        locks.try_acquire(trial.number)
        return _complete(trial, settings)


def _complete(trial: Trial, settings: SweepSettings) -> Trial:
    """Choose the values of a trial that it does not have yet."""
    for dimension in settings.space:
        suggest(trial, dimension)
    return trial


if __name__ == "__main__":
    main()
