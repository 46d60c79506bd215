"""The run directory: the files of one run, written so that they agree at every instant."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from elman.errors import ElmanError, quote
from elman.inference.network_file import ModelFile, NetworkSnapshot, save_imported
from elman.runs.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, save_network
from elman.runs.lock import LOCK, DirectoryLock, cannot_write
from elman.runs.loggers import open_loggers, optional_loggers
from elman.runs.loggers.base import RUN_JSON, CsvLogger, MetricsLogger, SamplesLogger
from elman.runs.metadata import RunManifest
from elman.runs.records import Metrics, Sample, parse_metrics, parse_samples
from elman.storage.atomic import PARTIAL_SUFFIX, replace_file
from elman.storage.untrusted import parse_strict_json, require_regular_file, safe_message

CHECKPOINT, BEST = "checkpoint.safetensors", "best.safetensors"
METRICS, SAMPLES = CsvLogger.target, SamplesLogger.target
PLOT = "smooth_loss.png"
FILES = (CHECKPOINT, BEST, METRICS, SAMPLES, RUN_JSON)
"""The files of a run directory that cannot be made again without training."""
_T = TypeVar("_T")


class RunDirectory:
    """The files of one run. The checkpoint, the metrics and the samples in it belong together.

    Records are written and synced before the checkpoint that covers them, and `rewind` drops those that no checkpoint
    covers. A writer holds `lock`; readers need none.

    Parameters
    ----------
    path : Path
    loggers : sequence of MetricsLogger, optional
        Loggers that write the records; by default those that every run has.
    overwrite : bool
        Whether `create` may replace a run.
    """

    def __init__(self, path: Path, loggers: Sequence[MetricsLogger] | None = None, *, overwrite: bool = False) -> None:
        self.path, self.overwrite = path, overwrite
        self.loggers = open_loggers(path) if loggers is None else loggers
        self.lock = DirectoryLock(path)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock from the first write on, and close the loggers at the end."""
        with self.lock:
            try:
                yield
            finally:
                for logger in self.loggers:
                    with self._readable_errors():
                        logger.close()

    @property
    def plot_path(self) -> Path:
        """The path of the plot of the smooth loss."""
        return self.path / PLOT

    # --- Contents ---

    def holds_run(self) -> bool:
        """Whether it contains a run, that is, a checkpoint."""
        # Unlike Path.exists, this treats a path that the system refuses to inspect as nonexistent.
        return os.path.exists(self.path / CHECKPOINT)  # noqa: PTH110

    def has_manifest(self) -> bool:
        """Whether a run was started in it, of which perhaps only the manifest exists."""
        return os.path.isfile(self.path / RUN_JSON)  # noqa: PTH113 (as in `holds_run`)

    def is_empty(self) -> bool:
        """Whether it exists and is empty, except for files of a process that was killed right at the start."""
        try:
            return all(path.name == LOCK or path.suffix == PARTIAL_SUFFIX for path in self.path.iterdir())
        except OSError:
            return False

    # --- Reading ---

    def load(self) -> Checkpoint:
        """Load the checkpoint."""
        return load_checkpoint(self.path / CHECKPOINT)

    def metrics(self) -> list[Metrics]:
        """Read the rows of ``metrics.csv``."""
        return self._read(METRICS, lambda data: parse_metrics(csv.DictReader(_complete_lines(data))))

    def samples(self) -> list[Sample]:
        """Read the lines of ``samples.jsonl``."""
        return self._read(SAMPLES, lambda data: parse_samples(_complete_lines(data)))

    def metadata(self) -> dict[str, Any]:
        """Read ``run.json``."""
        metadata: dict[str, Any] = self._read(RUN_JSON, lambda data: parse_strict_json(data.decode("utf-8")))
        return metadata

    def manifest(self) -> RunManifest:
        """Read and parse ``run.json``."""
        return self._read(RUN_JSON, lambda data: RunManifest.parse(parse_strict_json(data.decode("utf-8"))))

    def manifest_if_valid(self) -> RunManifest | None:
        """Return the same; None if it is lost or damaged, since a run with a checkpoint is resumed without it, too."""
        try:
            return self.manifest()
        except ElmanError:
            return None

    # --- Writing ---

    def create(self, manifest: RunManifest, checkpoint: Checkpoint) -> None:
        """Start a run.

        Raises
        ------
        ElmanError
            If the directory already contains a run, or cannot be written.
        """
        if self.overwrite and self.holds_run():
            self._replace(manifest, checkpoint)
            return
        self._lock_unused("add --resume to continue it, --overwrite to replace it, or choose another --out")
        self.write_manifest(manifest)  # first: a run that is killed from here on can be started again from it
        self._rewind_loggers([], [])
        self.save(checkpoint)  # last: without a checkpoint there is no run

    def _replace(self, manifest: RunManifest, checkpoint: Checkpoint) -> None:
        """Start a run in place of another, and leave all other files alone.

        The checkpoint is replaced first: until then the other run is complete, and from then on the new one can be
        resumed, which rewinds its records to that checkpoint.
        """
        self.lock.acquire()
        if self.manifest_if_valid() is None:
            self.load()  # raises if the checkpoint is a file of another program
        self.save(checkpoint)
        self.write_manifest(manifest)
        with self._readable_errors():
            self.plot_path.unlink(missing_ok=True)
            for logger in optional_loggers().values():  # the new run may not have them
                logger.remove(self.path)
        self._rewind_loggers([], [])

    def save_imported(self, imported: ModelFile) -> None:
        """Save a network where there is no run, as the best network of one.

        Raises
        ------
        ElmanError
            If the directory already contains a run or a network, or cannot be written.
        """
        self._lock_unused("choose another --out")
        save_imported(self.path / BEST, imported)

    def write_manifest(self, manifest: RunManifest) -> None:
        """Write ``run.json``."""
        replace_file(self.path / RUN_JSON, (json.dumps(manifest.as_dict(), indent=2) + "\n").encode())

    def append(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Add records to all logs."""
        self.lock.check()
        with self._readable_errors():
            for logger in self.loggers:
                logger.append(metrics, samples)

    def save(self, checkpoint: Checkpoint, selected: NetworkSnapshot | None = None) -> None:
        """Replace the checkpoint and, next to it, the copy of the network that is used instead of the last one.

        The checkpoint contains that network, too, so that it is complete whatever happens in between.
        """
        self.lock.check()
        save_checkpoint(self.path / CHECKPOINT, checkpoint)
        self.save_selected(checkpoint, selected)

    def save_selected(self, checkpoint: Checkpoint, selected: NetworkSnapshot | None) -> None:
        """Replace the copy of the network that is used instead of the last one; None if there is none."""
        if selected is not None:
            save_network(self.path / BEST, checkpoint, selected)
            return
        with self._readable_errors():
            (self.path / BEST).unlink(missing_ok=True)

    def rewind(
        self, row_covered: Callable[[int], bool], sample_covered: Callable[[int], bool]
    ) -> tuple[list[Metrics], list[Sample]]:
        """Keep only the records that the checkpoint covers, by their update, and return them."""
        metrics = [row for row in self.metrics() if row_covered(row.update)]
        samples = [sample for sample in self.samples() if sample_covered(sample.update)]
        self._rewind_loggers(metrics, samples)
        return metrics, samples

    def _rewind_loggers(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        with self._readable_errors():
            for logger in self.loggers:
                logger.rewind(metrics, samples)

    def _lock_unused(self, remedy: str) -> None:
        """Acquire the lock where there is no run, nor one that another process started meanwhile."""
        self._require_unused(remedy)
        self.lock.acquire()
        self._require_unused(remedy)

    def _require_unused(self, remedy: str) -> None:
        if self.holds_run():
            raise ElmanError(f"{quote(self.path)} already contains a run; {remedy}")
        if os.path.exists(self.path / BEST):  # noqa: PTH110 (as in `holds_run`)
            raise ElmanError(f"{quote(self.path)} already contains a model; choose another --out")

    def _read(self, name: str, parse: Callable[[bytes], _T]) -> _T:
        path = self.path / name
        try:
            return parse(require_regular_file(path).read_bytes())
        except FileNotFoundError:
            if name != RUN_JSON and self.has_manifest():
                raise ElmanError(f"the run in {quote(self.path)} has no {name}") from None
            raise ElmanError(f"no {name} in {quote(self.path)}; pass a run directory written by elman train") from None
        except NotADirectoryError:
            raise ElmanError(f"{quote(self.path)} is a file; pass a run directory written by elman train") from None
        except (OSError, ElmanError, ValueError, KeyError, TypeError, ArithmeticError, csv.Error) as error:
            raise ElmanError(
                f"{quote(path)} cannot be read as {name} ({safe_message(error)}); restore a copy or train again"
            ) from error

    @contextmanager
    def _readable_errors(self) -> Iterator[None]:
        """Turn an error of the system into one line that names the directory."""
        try:
            yield
        except OSError as error:
            raise cannot_write(self.path, error) from error


def _complete_lines(data: bytes) -> list[str]:
    """Return lines without a partial one at the end, which a killed run may have left."""
    return data[: data.rfind(b"\n") + 1].decode("utf-8").split("\n")[:-1]
