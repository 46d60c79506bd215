"""Arguments that several commands take, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elman.cli.training_options import corpus_name
from elman.errors import ElmanError

_CORPUS = "A text file, - for standard input, or a built-in text: python-docs, shakespeare."
Corpus = Annotated[str, Parameter(help=_CORPUS, allow_leading_hyphen=True, converter=corpus_name)]
Run = Annotated[Path, Parameter(help="A run directory that elman train wrote, or its checkpoint.")]
Json = Annotated[bool, Parameter("--json", negative="", help="Print the figures as JSON.")]
Encoding = Annotated[str, Parameter(help="Encoding of the text.")]


def refuse_to_replace(out: Path, *read: Path) -> None:
    """Refuse to write over a file that is read, or over one of the files of a run that is read."""
    from elman.runs.directory import FILES

    for path in read:
        run = path.parent if path.name in FILES else path
        for file in (path, *(run / name for name in FILES)):
            if _same(out, file):
                raise ElmanError(f"{str(out)!r} is read, and --out would replace it: give another --out")


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):  # one of them is not there, or cannot be
        return False
