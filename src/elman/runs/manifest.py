"""``run.json``: the settings of a run, its texts, the versions and the machine it was made with, and why it ended."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from elman._version import __version__
from elman.config import Config
from elman.engine_registry import ENGINES, NUMBA_INSTALLED
from elman.machine import thread_count
from elman.runs.loggers import optional_loggers
from elman.storage.untrusted import require_int, require_sha256, require_str
from elman.text import Alphabet, Corpus, TextFile


@dataclass(frozen=True)
class TextRecord:
    """What is recorded of a text; `files` are those that it was read from, none if it was in memory."""

    name: str
    chars: int
    alphabet_size: int
    sha256: str
    files: list[TextFile]

    @classmethod
    def of(cls, corpus: Corpus) -> TextRecord:
        """Return what is recorded of a text."""
        return cls(corpus.name, len(corpus.indices), len(corpus.alphabet), corpus.sha256, [*corpus.files])

    @classmethod
    def parse(cls, value: Any) -> TextRecord:
        """Parse the value in ``run.json``."""
        files = [TextFile(require_str(each["path"], "path"), require_sha256(each["sha256"])) for each in value["files"]]
        return cls(
            require_str(value["name"], "name"),
            require_int(value["chars"], "chars"),
            require_int(value["alphabet_size"], "alphabet_size"),
            require_sha256(value["sha256"]),
            files,
        )


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
    """The contents of ``run.json``, without those of versions and machine."""

    config: Config
    alphabet: Alphabet
    corpus: TextRecord
    preset: str = ""
    """The preset that the settings started from; empty if that is not known."""
    stopped: str = ""
    """Why training ended; empty while it has not."""
    validation: TextRecord | None = None
    """The text of the validation set, where it is a file of its own."""
    init_from: ModelOrigin | None = None
    log: tuple[str, ...] = ()
    """The optional loggers that write its records."""
    validation_chars: int | None = None
    """Characters of the validation set that its validation loss is of; None while there is none."""

    def as_dict(self) -> dict[str, Any]:
        """Return the contents of ``run.json``."""
        optional = {"init_from": self.init_from, "validation": self.validation}
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
        config = Config(**value["config"])
        validation, init_from = value.get("validation"), value.get("init_from")
        return cls(
            config,
            Alphabet(require_str(value["alphabet"], "alphabet"), has_unknown=config.min_count > 0),
            TextRecord.parse(value["corpus"]),
            require_str(value["preset"] or "", "preset"),
            require_str(value["stopped"], "stopped"),
            None if validation is None else TextRecord.parse(validation),
            None if init_from is None else ModelOrigin.parse(init_from),
            tuple(name for name in value["log"] if name in optional_loggers()),
            None if value["validation_chars"] is None else require_int(value["validation_chars"], "validation_chars"),
        )


def list_versions(extra: str = "") -> dict[str, str]:
    """Return the versions of Elman, Python and the libraries that the numbers depend on, with that of an extra."""
    from importlib.metadata import version

    compiler = ("numba", "llvmlite") if NUMBA_INSTALLED else ()
    libraries = {name: version(name) for name in ("numpy", *compiler, *filter(None, [extra]))}
    return {"elman": __version__, "python": platform.python_version()} | libraries


def describe_machine() -> dict[str, Any]:
    """Return the system, architecture, processor and number of cores of this machine."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": thread_count(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
