"""The text of a run as ``run.json`` records it, and how a resumed run finds it again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from elman.errors import ElmanError, quote
from elman.runs.directory import RunDirectory
from elman.storage.untrusted import require_regular_file, require_sha256, require_str
from elman.text import Corpus, TextFile, has_piped_text
from elman.text.sources import STANDARD_INPUT, Source, is_builtin


@dataclass(frozen=True)
class RecordedText:
    """What ``run.json`` says of the texts of a run; empty where an older version wrote it or it cannot be read.

    Parameters
    ----------
    name : str
        Name of the training text.
    files : tuple of TextFile
        The files that it was read from.
    validation_sha256 : str
        Of the text of the validation set, where it is a file of its own.
    preset : str
    stopped : str
        Why training ended.
    """

    name: str = ""
    files: tuple[TextFile, ...] = ()
    validation_sha256: str = ""
    preset: str = ""
    stopped: str = ""


def describe_text(corpus: Corpus) -> dict[str, Any]:
    """Return what ``run.json`` says of a text."""
    return {
        "name": corpus.name,
        "chars": len(corpus.indices),
        "alphabet_size": len(corpus.alphabet),
        "sha256": corpus.sha256,
        "files": [asdict(file) for file in corpus.files],
    }


def read_recorded_text(directory: RunDirectory) -> RecordedText:
    """Return what the ``run.json`` of a directory says of its texts; a checkpoint is resumed without that file, too."""
    try:
        metadata = directory.metadata()
        validation = metadata.get("validation")
        return RecordedText(
            require_str(metadata["corpus"]["name"], "name"),
            _parse_files(metadata["corpus"]),
            "" if validation is None else require_sha256(validation["sha256"]),
            require_str(metadata.get("preset") or "", "preset"),
            require_str(metadata.get("stopped") or "", "stopped"),
        )
    except (ElmanError, LookupError, TypeError, ValueError, AttributeError):
        return RecordedText()


def _parse_files(corpus: Any) -> tuple[TextFile, ...]:
    if "files" not in corpus:  # written by an older version
        return (TextFile(corpus["name"], require_sha256(corpus["sha256"])),) if is_builtin(corpus["name"]) else ()
    return tuple(
        TextFile(require_str(file["path"], "path"), require_sha256(file["sha256"])) for file in corpus["files"]
    )


def find_text(recorded: RecordedText, directory: RunDirectory) -> Sequence[Source]:
    """Return the files of a run that is resumed without naming its text.

    Raises
    ------
    ElmanError
        If they are not recorded, or cannot be read.
    """
    run = f"the run in {quote(directory.path)}"
    if not recorded.files:
        raise ElmanError(f"{run} does not record the file of its text: pass the text with --resume")
    return [_find_file(file.path, run) for file in recorded.files]


def _find_file(path: str, run: str) -> Source:
    if path == STANDARD_INPUT:
        if not has_piped_text():
            raise ElmanError(f"{run} was trained on standard input: pipe the text to it again, or pass its file")
        return path
    if is_builtin(path):
        return path
    if not os.path.isabs(path):  # noqa: PTH117
        raise ElmanError(f"{run} records a text without its directory ({quote(path)}): pass the text with --resume")
    try:
        return require_regular_file(Path(path))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ElmanError(
            f"{run} was trained on {quote(path)}, which cannot be read ({reason}): pass the text with --resume"
        ) from None


def require_unchanged(recorded: RecordedText, corpus: Corpus, directory: RunDirectory) -> None:
    """Check that the files that were found again have the contents that are recorded.

    Raises
    ------
    ElmanError
        If one has changed.
    """
    for before, now in zip(recorded.files, corpus.files, strict=False):
        if before.sha256 != now.sha256:
            raise ElmanError(
                f"{quote(now.path)} has changed since the run in {quote(directory.path)} was started (SHA-256"
                f" {now.sha256[:12]}…, then {before.sha256[:12]}…): restore it, or choose another --out"
            )
