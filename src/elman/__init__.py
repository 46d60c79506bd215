"""Elman: character-level recurrent networks, every step shown.

>>> import elman
>>> run = elman.train("novel.txt", out="runs/novel", epochs=10)      # doctest: +SKIP
>>> model = elman.load("runs/novel")                                 # doctest: +SKIP
>>> print(model.sample(500, prime="The "))                           # doctest: +SKIP
>>> model.score("It was a dark night.").bits_per_char                # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.errors import ElmanError as ElmanError
    from elman.experiment.config import Config as Config
    from elman.experiment.exchange import export as export
    from elman.experiment.exchange import import_ as import_
    from elman.experiment.gradcheck import gradcheck as gradcheck
    from elman.experiment.run import Run as Run
    from elman.experiment.run import load as load
    from elman.experiment.train import train as train
    from elman.text import Corpus as Corpus
    from elman.use import Model as Model

__version__ = "0.1.0"

_HOMES = {
    "Config": "elman.experiment.config",
    "Corpus": "elman.text",
    "ElmanError": "elman.errors",
    "Model": "elman.use",
    "Run": "elman.experiment.run",
    "export": "elman.experiment.exchange",
    "gradcheck": "elman.experiment.gradcheck",
    "import_": "elman.experiment.exchange",
    "load": "elman.experiment.run",
    "train": "elman.experiment.train",
}

__all__ = sorted(_HOMES)


def __dir__() -> list[str]:
    """Name what there is to use."""
    return __all__


def __getattr__(name: str) -> Any:
    """Import a public name where it is first used, so that `import elman` stays fast."""
    if name not in _HOMES:
        raise AttributeError(f"module 'elman' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
