"""Elman: character-level recurrent networks, every step shown.

>>> import elman
>>> run = elman.train("novel.txt", out="runs/novel", epochs=10)      # doctest: +SKIP
>>> model = elman.load("runs/novel")                                 # doctest: +SKIP
>>> print(model.sample(500, prime="The "))                           # doctest: +SKIP
>>> model.score("It was a dark night.").bits_per_char                # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elman._version import __version__ as __version__

if TYPE_CHECKING:
    from elman.config import Config as Config
    from elman.errors import ElmanError as ElmanError
    from elman.inference import Model as Model
    from elman.interop import export as export
    from elman.interop import import_ as import_
    from elman.runs.run import Run as Run
    from elman.runs.run import load as load
    from elman.text import Corpus as Corpus
    from elman.training.gradcheck import gradcheck as gradcheck
    from elman.training.train import train as train


_HOMES = {
    "Config": "elman.config",
    "Corpus": "elman.text",
    "ElmanError": "elman.errors",
    "Model": "elman.inference",
    "Run": "elman.runs.run",
    "export": "elman.interop",
    "gradcheck": "elman.training.gradcheck",
    "import_": "elman.interop",
    "load": "elman.runs.run",
    "train": "elman.training.train",
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
