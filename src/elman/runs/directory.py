"""Reading a run directory and its ``run.json``; `elman.runs.writer` explains why its files always agree."""

from __future__ import annotations

import csv
import errno
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from elman._version import __version__
from elman.config import Config
from elman.engine_registry import ENGINES, NUMBA_INSTALLED
from elman.errors import ElmanError, option, quote
from elman.machine import thread_count
from elman.runs.checkpoint import Checkpoint, load_checkpoint
from elman.runs.history import Metrics, Sample, parse_metrics, parse_samples
from elman.runs.loggers import LOGGERS, MANIFEST, MAX_RECORDS
from elman.runs.snapshot import BEST as BEST
from elman.runs.snapshot import CHECKPOINT as CHECKPOINT
from elman.runs.snapshot import check_format
from elman.storage import exists
from elman.storage.files import (
    MAX_FILE,
    PARTIAL_SUFFIX,
    parse_strict_json,
    read_regular_file,
    require_int,
    require_sha256,
    require_str,
    safe_message,
)
from elman.storage.tensors import read_description
from elman.text import Alphabet, Corpus, TextFile
from elman.text.kinds import TextKind

METRICS, SAMPLES = LOGGERS["csv"].target, LOGGERS["samples"].target
PLOT, LOCK = "smooth_loss.png", ".lock"
FILES = (CHECKPOINT, BEST, METRICS, SAMPLES, MANIFEST)
"""The files of a run directory that cannot be recreated without training."""
_NOT_A_FILE = (errno.EISDIR, errno.EINVAL, errno.EFBIG, errno.ENOTDIR, errno.ELOOP)
"""Error numbers for paths that cannot be a file of a run."""
_T = TypeVar("_T")
_Record = TypeVar("_Record", Metrics, Sample)


@dataclass(frozen=True)
class TextRecord:
    """The record of a text; `files` are the files that it was read from, empty if it was in memory."""

    name: str
    chars: int
    alphabet_size: int
    sha256: str
    files: list[TextFile]

    @classmethod
    def of(cls, corpus: Corpus) -> TextRecord:
        """Return the record of a text."""
        return cls(corpus.name, len(corpus.indices), len(corpus.alphabet), corpus.sha256, [*corpus.files])

    @classmethod
    def parse(cls, value: Any) -> TextRecord:
        """Parse the value in ``run.json``."""
        files = [TextFile(require_str(each["path"], "path"), require_sha256(each["sha256"])) for each in value["files"]]
        chars, size = (require_int(value[name], name) for name in ("chars", "alphabet_size"))
        return cls(require_str(value["name"], "name"), chars, size, require_sha256(value["sha256"]), files)


@dataclass(frozen=True, slots=True)
class ModelOrigin:
    """The model that a run started from, see `elman.training.pretrained`."""

    path: str | None
    """The absolute path or the name on the Hugging Face Hub it was loaded from; None for a model in memory."""
    sha256: str
    """Its `elman.model.loading.fingerprint`, in hexadecimal."""

    @classmethod
    def parse(cls, value: Any) -> ModelOrigin:
        """Parse the value in ``run.json``."""
        path = value["path"]
        return cls(None if path is None else require_str(path, "path"), require_sha256(value["sha256"]))


@dataclass(frozen=True, eq=False)
class RunManifest:
    """The contents of ``run.json``, without the versions and the machine."""

    config: Config
    alphabet: Alphabet
    corpus: TextRecord
    preset: str = ""
    """The preset that the settings started from; empty if that is not known."""
    stopped: str = ""
    """Why training ended; empty while it has not."""
    validation: TextRecord | None = None
    """The text of the validation set if it is a separate file."""
    init_from: ModelOrigin | None = None
    log: tuple[str, ...] = ()
    """The optional loggers that write the records of the run."""
    validation_chars: int | None = None
    """Characters of the validation set on which its validation loss was computed; None while there is no such loss."""
    text_kind: TextKind | None = None
    """The detected kind of the text, and the settings that follow from it; None if they were given."""

    def as_dict(self) -> dict[str, Any]:
        """Return the contents of ``run.json``."""
        optional = {"init_from": self.init_from, "validation": self.validation, "text_kind": self.text_kind}
        return {
            "config": asdict(self.config),
            "alphabet": self.alphabet.characters,
            "corpus": asdict(self.corpus),
            "preset": self.preset or None,
            "versions": list_versions(ENGINES[self.config.engine].extra),
            "machine": describe_machine(),
            "stopped": self.stopped,
            "validation_chars": self.validation_chars,
            "log": [*self.log],
        } | {name: asdict(value) for name, value in optional.items() if value is not None}

    @classmethod
    def parse(cls, value: Any) -> RunManifest:
        """Parse the contents of ``run.json``; ElmanError, ValueError, KeyError or TypeError if they are invalid."""
        config, chars = Config(**value["config"]), value["validation_chars"]
        validation, init_from, kind = (value.get(name) for name in ("validation", "init_from", "text_kind"))
        return cls(
            config,
            Alphabet(require_str(value["alphabet"], "alphabet"), has_unknown=config.min_count > 0),
            TextRecord.parse(value["corpus"]),
            require_str(value["preset"] or "", "preset"),
            require_str(value["stopped"], "stopped"),
            None if validation is None else TextRecord.parse(validation),
            None if init_from is None else ModelOrigin.parse(init_from),
            tuple(name for name in value["log"] if name in LOGGERS),
            None if chars is None else require_int(chars, "validation_chars"),
            None if kind is None else TextKind.parse(kind),
        )


def list_versions(extra: str = "") -> dict[str, str]:
    """Return the versions of Elman, Python and the libraries that the numbers depend on, and of an extra."""
    from importlib.metadata import version

    compiler = ("numba", "llvmlite") if NUMBA_INSTALLED else ()
    libraries = {name: version(name) for name in ("numpy", *compiler, *filter(None, [extra]))}
    return {"elman": __version__, "python": platform.python_version()} | libraries


def describe_machine() -> dict[str, Any]:
    """Return the system, architecture, processor and number of cores of this machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        processor = platform.processor()
    system, architecture = platform.system(), platform.machine()
    return {"system": system, "architecture": architecture, "processor": processor, "cores": thread_count()}


class RunDirectory:
    """The files of one run; its checkpoint, metrics and samples agree."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def holds_run(self) -> bool:
        """Whether the directory contains a run, that is, a checkpoint."""
        return exists(self.path / CHECKPOINT)

    def is_empty(self) -> bool:
        """Whether it exists and is empty except for files of a process that was killed right at the start."""
        try:
            return all(path.name in (LOCK, MANIFEST) or path.suffix == PARTIAL_SUFFIX for path in self.path.iterdir())
        except OSError:
            return False

    def require_unused(self, remedy: str = "") -> None:
        """Raise ElmanError if the directory contains a run or a model."""
        if self.holds_run():
            raise ElmanError(f"{quote(self.path)} already contains a run; {remedy}choose another {option.out}")
        if (self.path / BEST).exists():
            raise ElmanError(f"{quote(self.path)} already contains a model; choose another {option.out}")

    def load(self) -> Checkpoint:
        """Load the checkpoint."""
        return load_checkpoint(self.path / CHECKPOINT)

    def metrics(self) -> list[Metrics]:
        """Read the rows of ``metrics.csv`` that the checkpoint covers; a full disk may leave more."""
        return self._select_covered(self.written_metrics())

    def written_metrics(self) -> list[Metrics]:
        """Read all rows of ``metrics.csv``."""
        return self._read(METRICS, lambda data: parse_metrics(_complete_lines(data)))

    def samples(self) -> list[Sample]:
        """Read the lines of ``samples.jsonl`` that the checkpoint covers."""
        return self._select_covered(self._read(SAMPLES, lambda data: parse_samples(_complete_lines(data))))

    def _select_covered(self, records: list[_Record]) -> list[_Record]:
        """Return the records that the checkpoint covers; all, if it cannot be read."""
        try:
            last = require_int(read_description(self.path / CHECKPOINT)["state"]["update"], "update")
        except (ValueError, KeyError, TypeError):
            return records
        return [record for record in records if record.update <= last]

    def read_manifest(self) -> dict[str, Any]:
        """Read ``run.json``."""
        return self._read(MANIFEST, lambda data: dict(parse_strict_json(data.decode("utf-8"))))

    def manifest(self) -> RunManifest:
        """Read and parse ``run.json``."""
        return self._read(MANIFEST, lambda data: RunManifest.parse(parse_strict_json(data.decode("utf-8"))))

    def manifest_if_valid(self) -> RunManifest | None:
        """Parse ``run.json``; return None if it is lost or damaged: a run can be resumed from its checkpoint alone."""
        try:
            return self.manifest()
        except ElmanError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno not in _NOT_A_FILE:
                raise  # the file may exist
            return None

    def _read(self, name: str, parse: Callable[[bytes], _T]) -> _T:
        path, remedy = self.path / name, "pass a run directory written by elman train"
        try:
            return parse(read_regular_file(path, MAX_FILE if name == MANIFEST else MAX_RECORDS))
        except FileNotFoundError:
            missing = f"no {name} in {quote(self.path)}; {remedy}"
            raise ElmanError(f"the run in {quote(self.path)} has no {name}" if self.holds_run() else missing) from None
        except NotADirectoryError:
            raise ElmanError(f"{quote(self.path)} is a file; {remedy}") from None
        except (OSError, ElmanError, ValueError, KeyError, TypeError, ArithmeticError, csv.Error) as error:
            check_format(self.path / CHECKPOINT, read_description(self.path / CHECKPOINT))
            remedy = "restore a copy or train again"
            raise ElmanError(f"{quote(path)} cannot be read as {name} ({safe_message(error)}); {remedy}") from error


def _complete_lines(data: bytes) -> list[str]:
    """Return lines without a partial one at the end, which a killed run may have left."""
    return data[: data.rfind(b"\n") + 1].decode("utf-8").split("\n")[:-1]
