"""The process that a sweep is started from: it runs the workers, shows their progress, and writes the results."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

from elman.config import make_config
from elman.errors import ElmanError, flag, name_options, quote, shorten
from elman.text import read_corpus
from elman.training.callbacks import InterruptCallback
from elman.tuning.callbacks import SweepCallback, SweepStatus, update_fractions
from elman.tuning.pool import WorkerPool
from elman.tuning.report import write_report
from elman.tuning.results import SweepResult, copy_best, write_trials
from elman.tuning.settings import SweepSettings
from elman.tuning.storage import OpenStudy, StorageAddress, check_address, find_network_file_system
from elman.tuning.trial import trial_directory
from elman.tuning.worker import WorkerOrder

IDENTITY = "elman"
"""The attribute of a study that says what it was made with."""
POLL_SECONDS = 0.2
REFRESH_SECONDS = 1.0
"""Between two looks at the study for the progress display."""


class SweepController:
    """One call of `elman.sweep`.

    Parameters
    ----------
    settings : SweepSettings
    out : Path
    trials, workers : int
    storage, study : str or None
        As in `elman.sweep`.
    """

    def __init__(
        self, settings: SweepSettings, out: Path, trials: int, workers: int, storage: str | None, study: str | None
    ) -> None:
        check_address(storage)
        self.settings, self.out, self.trials, self.workers = settings, out, trials, workers
        # A journal has one study, whose name must not change if the directory is moved.
        name = study or ("sweep" if storage is None else out.resolve().name)
        self.address = StorageAddress(out, name, storage)

    def run(self, callback: SweepCallback | None) -> SweepResult:
        """Open the study, work until no trial is left or the sweep is stopped, and write the results."""
        sha256 = self._hash_corpus()
        self._warn_of_network_file_system()
        with self.address.open(self.settings.pruner) as opened:
            self.out.mkdir(parents=True, exist_ok=True)
            with opened.locks.exclusive():
                self._check_identity(opened, sha256)
            interrupted = self._work(opened, sha256, callback or SweepCallback())
            result = SweepResult.of(opened.study, self.out, self.settings, self.trials, interrupted)
            with opened.locks.exclusive():
                self._write(result, opened)
        failed = result.select("failed")
        if failed and len(failed) == len(result.trials):
            raise ElmanError(f"every trial failed; trial {failed[0].number}: {failed[0].error}")
        return result

    def _hash_corpus(self) -> str:
        if self.settings.corpus == "-":
            raise ElmanError("a sweep reads the text in every worker: pass a file instead of standard input")
        encoding = make_config(self.settings.preset, self.settings.options).encoding
        return read_corpus(self.settings.corpus, encoding=encoding).sha256

    def _warn_of_network_file_system(self) -> None:
        kind = "" if self.address.url else find_network_file_system(self.out)
        if kind:
            message = (
                f"{quote(self.out)} is on a network file system ({kind}), where a journal can be corrupted if several"
                " machines write to it: run workers on one machine only, or use --storage postgresql+psycopg://…"
            )
            warnings.warn(name_options(message), stacklevel=4)

    def _check_identity(self, opened: OpenStudy, sha256: str) -> None:
        """Reject a study that was made with something else; a new one is made with this."""
        study, identity = opened.study, self.settings.identity(sha256)
        saved = study.user_attrs.get(IDENTITY)
        if saved is None:
            if study.get_trials(deepcopy=False):
                raise ElmanError(f"the study {quote(study.study_name)} is none of elman sweep; choose another --study")
            if any((self.out / "trials").glob("*")):
                raise ElmanError(f"{quote(self.out)} contains the trials of another study; choose another --out")
            study.set_user_attr(IDENTITY, identity)
            return
        different = [name for name, value in identity.items() if saved.get(name) != value]
        if different:
            what = _describe_difference(different[0], saved.get(different[0]), identity[different[0]])
            raise ElmanError(
                f"the sweep in {self.address.describe()} differs in its {what}; pass the same or choose another --out"
            )

    def _work(self, opened: OpenStudy, sha256: str, callback: SweepCallback) -> bool:
        """Run the workers; return whether they were stopped before the last trial."""
        order = WorkerOrder(
            str(self.out.resolve()),
            self.address.name,
            self.address.url,
            self.trials,
            sha256,
            self.settings.as_dict(),
            name_options("--out") == "--out",
        )
        status = SweepStatus(SweepResult.of(opened.study, self.out, self.settings, self.trials))
        status.finished_before = status.finished
        if self._is_finished(status):
            return False
        refreshed_at = 0.0
        with InterruptCallback() as interrupt, WorkerPool(order.as_line(), self.workers, self.out) as pool:
            while pool.is_working:
                update_fractions(status.fractions, pool.poll(POLL_SECONDS))
                if time.monotonic() - refreshed_at >= REFRESH_SECONDS:
                    status.result = SweepResult.of(opened.study, self.out, self.settings, self.trials)
                    callback.on_progress(status)
                    refreshed_at = time.monotonic()
                if not pool.is_stopping and (interrupt.should_stop() or callback.should_stop()):
                    pool.stop()
            status.result = SweepResult.of(opened.study, self.out, self.settings, self.trials)
            callback.on_progress(status)
            return not self._is_finished(status)

    def _is_finished(self, status: SweepStatus) -> bool:
        return status.finished >= self.trials and not status.result.select("running")

    def _write(self, result: SweepResult, opened: OpenStudy) -> None:
        write_trials(result)
        best = result.best
        if best is not None and best.validation_loss is not None:
            copy_best(self.out, trial_directory(self.out, best.number), best.validation_loss)
        write_report(result, opened.study)


def _describe_difference(name: str, saved: object, given: object) -> str:
    """Return which part of its identity a sweep has with another value, and the two values."""
    if isinstance(saved, dict) and isinstance(given, dict):
        key = next(key for key in [*saved, *given] if saved.get(key) != given.get(key))
        name = f"{name}: {key if name == 'search space' else flag(key)}"
        saved, given = saved.get(key, "none"), given.get(key, "none")
    return f"{name} (sweep: {shorten(saved)}, given: {shorten(given)})"
