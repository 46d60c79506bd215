"""The process that a sweep is started from: it starts workers, starts killed ones again, and writes the results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace

from optuna.trial import TrialState

from elman.config import Config, make_config
from elman.errors import ElmanError, is_command_line, option, quote, shorten
from elman.runs.directory import DirectoryLock, reject_links
from elman.text.reading import hash_text
from elman.training.callbacks import InterruptCallback
from elman.tuning.results import BEST, TRIAL_RUNS, SweepResult, copy_best, write_report, write_trials
from elman.tuning.space import SweepPlan
from elman.tuning.study import SweepStudy, open_study, report_damage
from elman.tuning.worker import FAILED, LOG

COMMAND: Sequence[str] = ("-P", "-m", "elman.tuning.worker")
REFRESH_SECONDS = 0.5
"""Between two looks at the workers and the study."""
MAX_ATTEMPTS = 10
"""A trial whose worker was killed so often has failed: it may be the reason."""
_BLAS_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run_sweep(plan: SweepPlan, callback: Callable[[SweepResult], object]) -> SweepResult:
    """Work on a sweep until it has all its trials or is stopped, and write its results; see `elman.sweep`."""
    settings, directory = plan.settings, plan.directory
    if settings.corpus == "-":
        raise ElmanError("a sweep reads the text in every worker: pass a file instead of standard input")
    encoding = make_config(settings.preset, settings.options).encoding
    plan = replace(plan, corpus_sha256=hash_text(settings.corpus, encoding=encoding))
    reject_links(directory / BEST, directory / TRIAL_RUNS, *directory.glob(f"{TRIAL_RUNS}/*"))
    with DirectoryLock(directory) as lock, open_study(plan) as study:
        lock.acquire()
        with report_damage(plan):
            study.check_identity()
            study.result()
        run_workers(study, callback)
        result = study.result()
        is_finished = result.finished >= plan.trials and not result.select("running")
        result = replace(result, interrupted=not is_finished)
        write_trials(result)
        copy_best(result)
        write_report(result, study.study)
    failed = result.select("failed")
    if failed and len(failed) == len(result.trials):
        raise ElmanError(f"every trial failed; trial {failed[0].number}: {failed[0].error}")
    return result


def check_identity(study: Study, identity: dict[str, Any], directory: Path) -> None:
    """Reject a study that was made with something else; a new one is made with this."""
    saved = study.user_attrs.get(IDENTITY)
    if saved is None or study.directions != [StudyDirection.MINIMIZE]:
        if study.get_trials(deepcopy=False) or saved is not None:
            raise ElmanError(
                f"the study {quote(study.study_name)} was not made by elman sweep; choose another {option.study}"
            )
        if any((directory / TRIAL_RUNS).glob("*")):
            raise ElmanError(f"{quote(directory)} contains the trials of another study; choose another {option.out}")
        study.set_user_attr(IDENTITY, identity)
        return
    for name in [*saved, *identity]:
        before, given = (each.get(name, "none") for each in (saved, identity))
        if before != given:
            label = f"options: {option[name]}" if name in Config.__dataclass_fields__ else name
            what = f"{label} (sweep: {shorten(before)}, given: {shorten(given)})"
            raise ElmanError(
                f"the sweep {quote(directory)} differs in its {what}; pass the same or choose another {option.out}"
            )


class SweepController:
    """Takes trials from a study until there are `total` on all machines, and gives each to a worker.

    The hash is that of the text.
    """

    def __init__(self, study: Study, settings: SweepSettings, directory: Path, total: int, sha256: str) -> None:
        self.study, self.settings, self.directory, self.total = study, settings, directory, total
        self.sha256 = sha256
        self.lock = threading.Lock()  # of the study
        self.stopping = threading.Event()
        self.stopped_trials = self._claim_stopped()
        self.trials = {trial.number: trial for trial in self.stopped_trials}  # those of this machine, in progress
        self.heartbeat_at = time.monotonic()
        self.fractions: dict[int, float] = {}

    def result(self) -> SweepResult:
        """Return the trials so far."""
        return SweepResult.of(self.study, self.directory, self.settings, self.total, self.fractions)

    def run(self, workers: list[Worker], callback: Callable[[SweepResult], object]) -> None:
        """Train trials until there are no more, or until `callback` or SIGINT stops the sweep."""
        with InterruptCallback() as interrupt, ThreadPoolExecutor(len(workers)) as threads:
            pending = {threads.submit(self._work, worker) for worker in workers}
            try:
                while pending:
                    done, pending = wait(pending, REFRESH_SECONDS, FIRST_EXCEPTION)
                    for future in done:
                        future.result()  # raises its error
                    if callback(self._refresh()) or interrupt.should_stop():
                        self._stop(workers)
            except BaseException as error:
                self._stop(workers)
                if not isinstance(error, ElmanError):  # such as a second Ctrl-C, which does not wait
                    for worker in workers:
                        worker.kill()
                raise

    def _refresh(self) -> SweepResult:
        """Send heartbeats of the trials in progress, and return the trials so far."""
        with self.lock:
            if time.monotonic() - self.heartbeat_at > HEARTBEAT_SECONDS:
                self.heartbeat_at = time.monotonic()
                send_heartbeats(self.study, self.trials.values())
            return self.result()

    def _stop(self, workers: list[Worker]) -> None:
        self.stopping.set()
        for worker in workers:
            worker.stop()

    def _claim_stopped(self) -> list[Trial]:
        """Return the trials that this machine had in progress when the sweep was stopped or killed."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        numbers = [trial.number for trial in running]
        if is_shared(self.study):  # those of other machines have no files here
            numbers = [number for number in numbers if trial_directory(self.directory, number).exists()]
        return [claim_trial(self.study, self.settings, number) for number in numbers]

    # --- The thread of a worker ---

    def _work(self, worker: Worker) -> None:
        """Let a worker train trial after trial; it is replaced if it is killed."""
        try:
            while (trial := self._next_trial()) is not None:
                for _ in range(MAX_ATTEMPTS):
                    if self._train(trial, worker) or worker.is_stopped:
                        break
                else:
                    self._tell(trial, "failed", error=f"its worker ended {MAX_ATTEMPTS} times before it; see {LOG}")
                with self.lock:
                    del self.trials[trial.number]
        finally:
            worker.close()

    def _next_trial(self) -> Trial | None:
        """Return a trial that was stopped, or else a new one; None if there are no more, or the sweep is stopped."""
        while not self.stopping.is_set():
            with self.lock:
                if self.stopped_trials:
                    return self.stopped_trials.pop(0)
                trial = ask_trial(self.study, self.settings, self.total)
                if trial is not None:
                    self.trials[trial.number] = trial
                    return trial
                if all(running.number in self.trials for running in self.result().select("running")):
                    return None
            self.stopping.wait(REFRESH_SECONDS)  # another machine, which may be lost, has a trial in progress
        return None

    def _train(self, trial: Trial, worker: Worker) -> bool:
        """Let a worker train a trial, or continue it; return whether the trial has ended."""
        with self.lock:
            recorded = self.study.get_trials(deepcopy=False)[trial.number]
        if recorded.state.is_finished():  # the worker was killed after it was pruned
            return True
        rungs = RUNGS if self.settings.pruner == "halving" else ()
        order = TrialOrder(
            out=str(trial_directory(self.directory.resolve(), trial.number)),
            corpus=self.settings.corpus,
            corpus_sha256=self.sha256,
            preset=self.settings.preset,
            options=self.settings.trial_options(trial.params),
            rungs=[rung for rung in rungs if rung > max(recorded.intermediate_values, default=0)],
            on_command_line=is_command_line(),
        )
        for event in worker.train(order):
            match event.pop("event"):
                case "progress":
                    self.fractions[trial.number] = event["fraction"]
                case "validated":
                    worker.send({"prune": self._should_prune(trial, **event)})
                case "error":
                    raise ElmanError(event["message"])
                case state:
                    self._tell(trial, state, **event)
                    return True
        return False

    def _should_prune(self, trial: Trial, rung: int, loss: float, **figures: float) -> bool:
        """Record an intermediate validation loss; return whether the trial is pruned, which is then recorded, too."""
        with self.lock:
            try:
                trial.report(loss, rung)
                prune = trial.should_prune()
            except UpdateFinishedTrialError:  # another machine has taken this one for lost
                return True
        if prune:
            self._tell(trial, "pruned", **figures)
        return prune

    def _tell(self, trial: Trial, state: str, loss: float | None = None, **attributes: object) -> None:
        """Record how a trial has ended, unless that is recorded already."""
        with self.lock, suppress(UpdateFinishedTrialError):
            for name, value in attributes.items():
                trial.set_user_attr(name, value)
            self.study.tell(trial, loss, _STATES[state], skip_if_finished=True)


# --- The study ---


@contextmanager
def open_study(directory: Path, name: str, url: str | None, pruner: str) -> Iterator[Study]:
    """Open the study in the journal of a directory or in a database, and create it if there is none."""
    halving = SuccessiveHalvingPruner(min_resource=RUNGS[0], reduction_factor=2)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            warnings.filterwarnings("ignore", "Heartbeat of storage")  # of Study.ask; see `send_heartbeats`
            with _open_database(url) if url else nullcontext(_open_journal(directory)) as storage:
                with _report_damage(directory, url):
                    study = optuna.create_study(
                        storage=storage,
                        study_name=name,
                        direction="minimize",
                        load_if_exists=True,
                        pruner=halving if pruner == "halving" else NopPruner(),
                    )
                yield study
    finally:
        optuna.logging.set_verbosity(verbosity)


def _open_journal(directory: Path) -> JournalStorage:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / JOURNAL
    with _report_damage(directory, None):
        if os.path.lexists(path):
            _check_lines(path)
        return JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path))))


def _check_lines(path: Path) -> None:
    """Check the lines of a journal, and remove a partial one at its end, to which Optuna would append the next."""
    if path.is_symlink():  # Optuna would append elsewhere
        raise ValueError("it is a link")
    with require_regular_file(path).open("r+b") as file:
        *lines, partial = file.read().split(b"\n")
        for line in lines:
            parse_strict_json(line.decode("utf-8"))
        file.truncate(file.tell() - len(partial))


@contextmanager
def _report_damage(directory: Path, url: str | None) -> Iterator[None]:
    """Report in one line what Optuna, and who reads its study, raises for a journal that is damaged."""
    try:
        yield
    except Exception as error:
        if isinstance(error, ElmanError) or url is not None:
            raise
        reason = safe_message(error) or type(error).__name__
        raise ElmanError(
            f"{quote(directory / JOURNAL)} is not a journal of Optuna ({reason}): restore it or choose another"
            f" {option.out}"
        ) from error


@contextmanager
def _open_database(text: str) -> Iterator[RDBStorage]:
    """Open the database of a URL; report its errors in one line, without its password."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ElmanError(f"{option.storage} must be a URL such as postgresql+psycopg://user@host/database") from None
    shown = url.set(query={}).render_as_string()
    try:
        try:
            storage = RDBStorage(
                url.render_as_string(hide_password=False),
                engine_kwargs={"pool_pre_ping": True},
                heartbeat_interval=HEARTBEAT_SECONDS,
                grace_period=GRACE_SECONDS,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
            )
        except ImportError as error:
            raise ElmanError(f"the driver of {shown} is not installed ({error.__cause__ or error})") from None
        try:
            yield storage
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = getattr(error, "orig", None) or getattr(error.__cause__, "orig", None) or error
        reason = str(cause).strip().partition("\n")[0]
        if url.password:
            reason = reason.replace(str(url.password), "***")
        raise ElmanError(f"cannot use the database {shown} ({safe_message(ValueError(reason))})") from None


class Worker(subprocess.Popen[str]):
    """A worker process; the workers of a sweep share the cores of the machine equally.

    It ends once its standard input is closed, and so with the process that started it, however that ends. It is started
    afresh, and not as a fork: threads of compiled kernels do not survive one.
    """

    def __init__(self, plan: SweepPlan, number: int) -> None:
        path, threads = plan.directory / LOG, str(max(1, thread_count() // plan.workers))
        if path.is_symlink() or not path.is_file():  # such as a pipe
            path.unlink(missing_ok=True)
        with path.open("ab") as log:
            super().__init__(
                [sys.executable, *COMMAND],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=dict.fromkeys(_BLAS_VARIABLES, threads) | os.environ | {"NUMBA_NUM_THREADS": threads},
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C in a terminal must not reach it: the sweep stops it
            )
        assert self.stdin is not None
        with suppress(OSError):  # it was killed
            self.stdin.write(json.dumps([number, asdict(plan) | {"directory": str(plan.directory.resolve())}]) + "\n")
            self.stdin.flush()

    def stop(self) -> None:
        """Ask it to save the run in training and end."""
        assert self.stdin is not None
        with suppress(OSError):  # what is buffered cannot be written after it was killed
            self.stdin.close()

    def close(self) -> str:
        """Wait until it has ended, and return what it has written: the error with which it ends the sweep."""
        self.stop()
        assert self.stdout is not None
        with self:
            return self.stdout.read().strip()
