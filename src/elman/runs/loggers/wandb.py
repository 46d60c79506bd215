"""``wandb/``: a run of Weights & Biases, on its server or offline."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from operator import itemgetter
from pathlib import Path
from typing import Any

from elman.config import Config
from elman.errors import ElmanError, option, require_extra
from elman.runs.history import Metrics, Sample
from elman.runs.loggers import (
    MANIFEST,
    LoggerSpec,
    MetricsLogger,
    list_values,
    make_directory,
    read_if_exists,
    without_surrogates,
)
from elman.storage import real_path
from elman.storage.files import parse_strict_json, read_regular_file, replace_file, require_int, require_str

PROGRESS = "elman.json"
"""The file with the ID of the W&B run, and the updates up to which W&B has the rows and the samples."""


class WandbLogger(MetricsLogger):
    """Sends the metrics, the samples and the settings to a W&B run, with the update as the x-axis.

    W&B is configured by its own environment variables; ``WANDB_DIR`` is ignored. A W&B run only grows: a resumed run
    continues it. Records that W&B has are not sent again, even if no checkpoint covers them, because a resumed run
    repeats them bit for bit. W&B's files are not synced: a killed process may lose its last records there, or repeat
    them.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with require_extra("wandb"):
            import wandb
        self._wandb: Any = wandb
        self._run: Any = None
        self._id, self._last_row, self._last_sample = "", 0, -1

    @classmethod
    def remove(cls, path: Path) -> None:
        """Remove W&B's files of the run and its ID, so that a new W&B run is started."""
        if path.is_symlink():
            path.unlink()
        elif (path / PROGRESS).exists():
            shutil.rmtree(path, ignore_errors=True)

    def rewind(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Start a W&B run or continue this run's W&B run, and send the records that it does not have yet."""
        directory = self.path.parent
        manifest = parse_strict_json(read_regular_file(directory / MANIFEST).decode("utf-8"))
        make_directory(self.path)
        progress = self._read_progress() if metrics or samples else None
        self._id, self._last_row, self._last_sample = progress or (os.urandom(4).hex(), 0, -1)
        while any(self.path.glob(f"*-{time.strftime('%Y%m%d_%H%M%S')}-{self._id}")):
            time.sleep(0.05)  # W&B names its directory by the second, and would overwrite a directory just closed
        with self._readable_errors():
            self._run = self._wandb.init(
                project=os.environ.get("WANDB_PROJECT", "elman"),
                name=real_path(directory).name,
                id=self._id,
                resume="allow" if progress else None,
                dir=directory,
                config=_without_paths(manifest),
                # By default, W&B also sends the command, paths, the user and the installed packages.
                settings=self._wandb.Settings(
                    console="off", disable_git=True, save_code=False, x_disable_meta=True, x_save_requirements=False
                ),
            )
            self._run.define_metric("*", step_metric="update")
        self.append(metrics, samples)

    def append(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        """Send the records that were not sent before."""
        entries: list[dict[str, Any]] = [
            {"update": row.update, "epoch": row.epoch, **list_values(row)}
            for row in metrics
            if row.update > self._last_row
        ]
        for sample in samples:
            if sample.update > self._last_sample:
                html = self._wandb.Html(f"<pre>{escape(without_surrogates(sample.text))}</pre>")
                entries.append({"update": sample.update, "sample": html})
        with self._readable_errors():
            for entry in sorted(entries, key=itemgetter("update")):
                self._run.log(entry)
        self._last_row = max([self._last_row, *(row.update for row in metrics)])
        self._last_sample = max([self._last_sample, *(sample.update for sample in samples)])
        progress = {"id": self._id, "last_row": self._last_row, "last_sample": self._last_sample}
        replace_file(self.path / PROGRESS, json.dumps(progress).encode())

    def close(self) -> None:
        """Finish the W&B run."""
        if self._run is not None:
            run, self._run = self._run, None
            with self._readable_errors():
                run.finish()

    def _read_progress(self) -> tuple[str, int, int] | None:
        """Return the contents of `PROGRESS`; None if it is missing or invalid, so that a new W&B run is started."""
        try:
            progress = parse_strict_json(read_if_exists(self.path / PROGRESS).decode("utf-8"))
            run_id = require_str(progress["id"], "id")
            rows = require_int(progress["last_row"], "last_row")
            samples = require_int(progress["last_sample"], "last_sample", minimum=-1)
        except (ValueError, KeyError, TypeError):
            return None
        return (run_id, rows, samples) if re.fullmatch("[0-9a-f]{8}", run_id) else None

    @contextmanager
    def _readable_errors(self) -> Iterator[None]:
        try:
            yield
        except self._wandb.Error as error:
            remedy = "WANDB_MODE=offline needs no server"
            raise ElmanError(f"{option.log:wandb} failed ({' '.join(str(error).split())}); {remedy}") from error


def _without_paths(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that are sent to W&B; they contain the names of files, not the paths."""
    config, corpus = Config(**manifest["config"]).without_paths(), dict(manifest["corpus"])
    corpus["files"] = [file | {"path": Path(file["path"]).name} for file in corpus["files"]]
    return {"config": config, "corpus": corpus} | {name: manifest[name] for name in ("versions", "machine")}


SPEC = LoggerSpec(
    f"{__name__}:WandbLogger", "wandb", "metrics, samples and settings, also sent to Weights & Biases", extra="wandb"
)
