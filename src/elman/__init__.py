"""Elman: character-level language models with recurrent networks (RNN, GRU, LSTM) on a CPU.

>>> import elman
>>> run = elman.train("novel.txt", out="runs/novel", epochs=10)      # doctest: +SKIP
>>> model = elman.load("runs/novel")                                 # doctest: +SKIP
>>> print(model.sample(500, prompt="The "))                           # doctest: +SKIP
>>> model.score("It was a dark night.").bits_per_char                # doctest: +SKIP
"""

from elman._version import __version__ as __version__
from elman.fronts import lazy_front

__getattr__, __dir__ = lazy_front(__name__)
__all__ = __dir__()
