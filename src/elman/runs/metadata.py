"""The metadata of a run: its settings, its text, the versions it was made with, the machine, and why it ended."""

from __future__ import annotations

import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

from elman._version import __version__
from elman.engines import ENGINES, NUMBA_INSTALLED
from elman.processes import thread_count
from elman.runs.recorded_text import describe_text
from elman.runs.run import Run


def create_run_metadata(run: Run) -> dict[str, Any]:
    """Return the contents of ``run.json``: settings, preset, alphabet, texts, versions, machine, why it ended."""
    corpus = run.corpus
    metadata = {
        "config": run.config.as_dict(),
        "alphabet": corpus.alphabet.characters,
        "corpus": describe_text(corpus),
        "preset": run.preset or None,
        "versions": list_versions(ENGINES[run.config.engine].extra),
        "machine": describe_machine(),
        "stopped": run.stopped,
    }
    if run.init_from is not None:
        metadata["init_from"] = asdict(run.init_from)
    return metadata if run.validation is None else metadata | {"validation": describe_text(run.validation)}


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
