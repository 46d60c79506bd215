"""What a command reads: the text and the model if none is named, and the runs in directories."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from elman.errors import ElmanError, quote
from elman.storage import exists, is_file

if TYPE_CHECKING:
    from elman.model import Model
    from elman.text import Corpus, TextFile
    from elman.text.reading import JoinedText
    from elman.text.sources import TextInput

T = TypeVar("T")


def choose_corpus() -> str | None:
    """Return ``-`` if a text is piped to standard input, otherwise None; a pipe without data is an error."""
    from elman.text.sources import PIPE_SECONDS, inspect_standard_input

    match inspect_standard_input():
        case "text":
            return "-"
        case "ended pipe":
            raise ElmanError("standard input is a pipe without data: name a text, or redirect /dev/null")
        case "silent pipe":
            remedy = "name a text, or pass - to wait for it"
            raise ElmanError(f"standard input is a pipe that delivered nothing in {PIPE_SECONDS:.0f} s: {remedy}")
    return None


def split_run(run: str | Path | None, corpus: Sequence[str | Path]) -> tuple[Path | None, list[str | Path]]:
    """Return the run, if there is one, and the texts of a command whose RUN may be left out.

    It is left out if the first argument is a file of text, ``-`` or a built-in text; else it must exist.
    """
    from elman.model.loading import hub_name, is_builtin

    if run is None:
        return None, list(corpus)
    if _is_text(str(run)):
        return None, [run, *corpus]
    run = Path(run)
    if not (hub_name(run) or exists(run) or is_builtin(run)):
        remedy = "pass a run directory written by elman train, a text file, or both"
        raise ElmanError(f"there is no checkpoint {quote(run)}, and no text of this name: {remedy}")
    return run, list(corpus)


def _is_text(name: str) -> bool:
    from elman.storage.tensors import is_named_or_begins_like_tensors
    from elman.text.sources import is_builtin

    if not is_file(name):
        return name == "-" or (is_builtin(name) and not exists(name))
    return not is_named_or_begins_like_tensors(Path(name))


def load_model(run: Path | None, *, quiet: bool) -> Model:
    """Load the model of a run, or else the built-in model, which is reported on standard error unless `quiet`."""
    from elman.model.loading import load, load_builtin

    if run is not None:
        return load(run)
    if not quiet:
        print("using the built-in model, as no run is given", file=sys.stderr)
    return load_builtin()


def warn_of_records(files: Iterable[TextFile | TextInput], field: str) -> None:
    """Warn of files of records that are read as they are, as `elman train` does."""
    from elman.runs.texts import suggest_field

    if hint := suggest_field([each.path for each in files], field):
        print(f"warning: {hint}", file=sys.stderr)


def report_newlines(text: Corpus | JoinedText) -> bool:
    """Report on standard error if a text that a model reads had line ends that it does not know; return whether."""
    from elman.text.formats import describe_newlines

    if text.newlines_translated:
        print(f"{describe_newlines(text.newlines_translated)}: the model does not know \\r", file=sys.stderr)
    return bool(text.newlines_translated)


def reporting_newlines(text: JoinedText) -> Iterator[str]:
    """Yield a text, and report its line ends as soon as there are some that the model does not know."""
    is_reported = False
    for chunk in text:
        is_reported = is_reported or report_newlines(text)
        yield chunk


def read_runs(paths: Sequence[Path], read: Callable[[Path, str], T]) -> list[T]:
    """Read the runs in directories by `read`, which is passed their unique names; warn of those that cannot be read."""
    from elman.training.saved_runs import find_runs

    if not paths:
        raise ElmanError("missing required argument RUNS (run directories, or directories that contain some)")
    found = list(dict.fromkeys(run for path in paths for run in (find_runs(path) if path.is_dir() else []) or [path]))
    names = [path.resolve().name for path in found]
    results = []
    for path, name in zip(found, names, strict=True):
        try:
            results.append(read(path, name if names.count(name) == 1 else str(path)))
        except ElmanError as error:
            if path in paths:
                raise
            print(f"warning: {error}", file=sys.stderr)
    return results
