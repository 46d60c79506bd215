"""Registries: the entries of one kind, from the core and from installed packages.

A package adds an entry by an entry point in the group of the registry, as the applications of Elman do::

    [project.entry-points."elman.formats"]
    c = "elman_c:FORMAT"

The name is the key in the registry, and the value leads to the entry.
"""

from __future__ import annotations

import warnings
from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from functools import cache, cached_property
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from elman.errors import ElmanError, quote, shorten

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Entry = TypeVar("Entry")


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Entries by name: first the core's entries, in their order, then the entries of installed packages.

    An entry of the core may be a string, ``module:name``, which is imported on first use. Installed packages are
    searched only for a name that the core does not have, or for all names.
    """

    def __init__(self, group: str, core: Mapping[str, Entry | str] | None = None) -> None:
        self.group, self.core = group, dict(core or {})

    @cached_property
    def entry_points(self) -> dict[str, EntryPoint]:
        """The entry points of installed packages by name, without names of the core."""
        found = (each for each in _search().select(group=self.group) if each.name not in self.core)
        return {each.name: each for each in found if _is_there(each)}

    def __getitem__(self, name: str) -> Entry:
        if name in self.core:
            entry = self.core[name]
            if isinstance(entry, str):
                entry = self.core[name] = resolve_name(entry)
            return entry
        entry_point = self.entry_points[name]
        try:
            return entry_point.load()  # type: ignore[no-any-return]
        except Exception as error:  # a module of another package may raise anything
            entry = f"{quote(name)} of {self.group} cannot be loaded from {entry_point.value} ({shorten(error)})"
            raise ElmanError(f"{entry}: update or remove the package that adds it") from error

    def load_all(self) -> dict[str, Entry]:
        """Return the entries that can be loaded, by name, and warn of the others, which a command may not need."""
        found = dict[str, Entry]()
        for name in self:
            try:
                found[name] = self[name]
            except ElmanError as error:
                warnings.warn(str(error), RuntimeWarning, stacklevel=2)
        return found

    def values(self) -> ValuesView[Entry]:
        """Return the entries that can be loaded."""
        return self.load_all().values()

    def items(self) -> ItemsView[str, Entry]:
        """Return the names and the entries that can be loaded."""
        return self.load_all().items()

    def __contains__(self, name: object) -> bool:
        return name in self.core or name in self.entry_points

    def __iter__(self) -> Iterator[str]:
        return iter([*self.core, *self.entry_points])

    def __len__(self) -> int:
        return len(self.core) + len(self.entry_points)


@cache  # the search takes 20 milliseconds
def _search() -> Any:  # its type depends on the version of Python
    """Search the installed packages for entry points."""
    from importlib.metadata import entry_points

    return entry_points()


def _is_there(entry_point: EntryPoint) -> bool:
    """Return whether the module belongs to another package, or to a part of Elman that has not been deleted."""
    package, *parts = entry_point.module.split(".")
    path = Path(__file__).parent.joinpath(*parts)
    return package != __package__ or path.is_dir() or path.with_suffix(".py").is_file()
