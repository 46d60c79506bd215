"""An n-gram model prepared for the kernels."""

from __future__ import annotations

from elman.engine.numba.ngrams import added
from elman.engine.numba.ngrams.added import Added
from elman.engine.numba.ngrams.tree import build_tree
from elman.network.ngram import NgramModel

INITIAL_CAPACITY = 1 << 10
"""Contexts and blocks of entries for which a growing model has room at first."""


class NgramReader:
    """An n-gram model for the kernels.

    Parameters
    ----------
    model : NgramModel
    """

    def __init__(self, model: NgramModel) -> None:
        self.model = model
        if model.base is None:
            self.tree, self.added = build_tree(model), added.empty_added()
        else:
            base = reader(model.base)
            self.tree = base.tree
            self.added = added.grow(added.empty_added(), INITIAL_CAPACITY, INITIAL_CAPACITY)
            if base.added.sizes[0]:
                self.added = added.copy(base.added)

    @property
    def growth(self) -> Added | None:
        """The counts that are added to those of the tree; None for a model that continues no other."""
        return self.added if self.added.sizes[0] else None

    def reserve(self, characters: int) -> None:
        """Make room for counting so many characters."""
        nodes, blocks = (int(size) + characters * (self.tree.order + 1) for size in self.added.sizes)
        if nodes > len(self.added.nodes) or blocks > len(self.added.blocks):
            self.added = added.grow(self.added, 2 * nodes, 2 * blocks)


def reader(model: NgramModel) -> NgramReader:
    """Return the compiled form of a model, which is made on first use."""
    if "numba" not in model.tables:
        model.tables["numba"] = NgramReader(model)
    of_model: NgramReader = model.tables["numba"]
    return of_model
