"""Elman: character-level language models with recurrent networks (RNN, GRU, LSTM) on a CPU.

>>> import elman
>>> run = elman.train("novel.txt", out="runs/novel", epochs=10)      # doctest: +SKIP
>>> model = elman.load("runs/novel")                                 # doctest: +SKIP
>>> print(model.sample(500, prompt="The "))                           # doctest: +SKIP
>>> model.score("It was a dark night.").bits_per_char                # doctest: +SKIP
"""

from __future__ import annotations

from elman._version import __version__ as __version__

TYPE_CHECKING = False  # as in `typing`, which takes a while to import
if TYPE_CHECKING:
    from elman.config import Config as Config
    from elman.errors import ElmanError as ElmanError
    from elman.inference import Model as Model
    from elman.inference import Score as Score
    from elman.inference.codec import compress as compress
    from elman.inference.codec import decompress as decompress
    from elman.inference.decode import decode_ctc as decode_ctc
    from elman.inference.decode import rescore as rescore
    from elman.inference.ensemble import ensemble as ensemble
    from elman.interop import export as export
    from elman.interop import import_ as import_
    from elman.interpret.explain_page import explain as explain
    from elman.runs.history import Sample as Sample
    from elman.runs.loading import LineScorer as LineScorer
    from elman.runs.loading import load as load
    from elman.runs.run import Run as Run
    from elman.runs.saved_runs import SavedRun as SavedRun
    from elman.runs.saved_runs import list_runs as list_runs
    from elman.runs.saved_runs import open_run as open_run
    from elman.testing.gradcheck import gradcheck as gradcheck
    from elman.text import Corpus as Corpus
    from elman.training.callbacks import TrainingCallback as TrainingCallback
    from elman.training.train import train as train
    from elman.tuning.sweep import sweep as sweep


_NAMES = {
    "config": ["Config"],
    "errors": ["ElmanError"],
    "inference": ["Model", "Score"],
    "inference.codec": ["compress", "decompress"],
    "inference.decode": ["decode_ctc", "rescore"],
    "inference.ensemble": ["ensemble"],
    "interop": ["export", "import_"],
    "interpret.explain_page": ["explain"],
    "runs.history": ["Sample"],
    "runs.loading": ["LineScorer", "load"],
    "runs.run": ["Run"],
    "runs.saved_runs": ["SavedRun", "list_runs", "open_run"],
    "testing.gradcheck": ["gradcheck"],
    "text": ["Corpus"],
    "training.callbacks": ["TrainingCallback"],
    "training.train": ["train"],
    "tuning.sweep": ["sweep"],
}
_MODULES = {name: f"elman.{module}" for module, names in _NAMES.items() for name in names}

__all__ = sorted(_MODULES)


def __dir__() -> list[str]:
    return __all__


if not TYPE_CHECKING:  # a type checker that saw it would accept every name

    def __getattr__(name: str) -> object:
        """Import a public name on first use, so that `import elman` stays fast."""
        if name not in _MODULES:
            raise AttributeError(f"module 'elman' has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(_MODULES[name]), name)
