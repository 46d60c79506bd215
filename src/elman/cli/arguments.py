"""Arguments that several commands take, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elman.cli.options import corpus_name

_CORPUS = "A text file, - for standard input, or a built-in text: python-docs, shakespeare."
Corpus = Annotated[str, Parameter(help=_CORPUS, allow_leading_hyphen=True, converter=corpus_name)]
Run = Annotated[Path, Parameter(help="A run directory that elman train wrote, or its checkpoint.")]
Json = Annotated[bool, Parameter("--json", negative="", help="Print the figures as JSON.")]
Encoding = Annotated[str, Parameter(help="Encoding of the text.")]
