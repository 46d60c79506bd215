"""The entry of an export format, and the information that its writer receives."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated, get_args, get_type_hints

from elman.errors import ElmanError
from elman.network.parameters import Architecture
from elman.options import Option
from elman.runs.directory import TextRecord
from elman.runs.snapshot import Snapshot
from elman.storage.files import Data
from elman.text import Alphabet


@dataclass(frozen=True, eq=False)
class ModelInfo:
    """Information about a model for formats that describe it."""

    name: str  # name of the folder; for a file, name of the run
    snapshot: Snapshot  # settings and validation loss
    text: TextRecord | None = None  # the training text if the model is from a run
    date: date | None = None  # end of training if the model is from a run


License = Annotated[str, "Licence in a model card or page, such as mit or cc-by-4.0."]
Language = Annotated[str, "Language in a model card, such as en."]
Weights = Annotated[
    str,
    "Weights in a page: int8, float16 or float32. By default the smallest that increase the loss by at most 0.002 nats"
    " per character.",
]
IncludeText = Annotated[
    bool, "Write a page or a folder even if the training text can be read from the model's unpruned n-gram table."
]
"""Options that several formats have, with their help."""

_FEATURES: dict[str, tuple[str, Callable[[Architecture], bool]]] = {
    "counts": ("of counts alone", lambda net: not net.m),
    "layers": ("with several layers", lambda net: net.layers > 1),
    "prior": ("with an n-gram prior", lambda net: net.context_length > 0),
    "lines": ("of independent lines", lambda net: net.is_of_lines),
}
"""Features that a format may lack: the words for a model with the feature, and whether a model has it."""


@dataclass(frozen=True)
class Format:
    """An export format.

    `write(model, info, **options)` returns a model as the bytes of a file, or their pieces, or the bytes of each file
    of a folder, by name. Its keyword arguments are the options of the format: ``order: Annotated[int | None, "Help."] =
    None``. It raises ElmanError if it cannot represent the model.

    `read(path, alphabet)` returns the network in an untrusted file, with a given alphabet or the file's, and raises
    ElmanError, or an exception of reading such as ValueError, if the file is invalid. It may have a keyword argument
    `space`. It is None for a format that cannot be imported, or whose folder `elman.load` reads.
    """

    suffix: str  # suffix of its files, which no two formats share; empty for a folder
    help: str  # its contents, for ``--help``: a phrase without a full stop
    write: Callable[..., Data | dict[str, bytes]]
    read: Callable[[Path, Alphabet | None], Snapshot] | None = None
    also_reads: tuple[str, ...] = ()  # suffixes of other files that `read` accepts
    cells: Collection[str] | None = None  # cells that it can represent; None for all
    lacks: tuple[str, ...] = ()  # some of "counts" (models without a network), "layers", "prior", "lines"

    @cached_property
    def options(self) -> tuple[Option, ...]:
        """The options of `elman.export` that have an effect on this format."""
        hints, parameters = get_type_hints(self.write, include_extras=True), inspect.signature(self.write).parameters
        keywords = [each for each in parameters.values() if each.kind is each.KEYWORD_ONLY]
        described = ((each, *get_args(hints[each.name])) for each in keywords)
        return tuple(Option(each.name, hint, each.default, help) for each, hint, help in described)

    def missing(self, net: Architecture) -> str:
        """Return the words for a model with a feature that the format lacks; empty if it can represent the model."""
        if self.cells is not None and net.cell not in self.cells:
            return f"with cell {net.cell!r}"
        return next((phrase for name, (phrase, has) in _FEATURES.items() if name in self.lacks and has(net)), "")

    def require(self, name: str, net: Architecture) -> None:
        """Check that the format, whose name is given, can represent a model; raise an `ElmanError` if it cannot."""
        if missing := self.missing(net):
            raise ElmanError(f"a model {missing} cannot be exported to {name}; export to npz")
