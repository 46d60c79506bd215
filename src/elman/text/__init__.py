"""Text as small unsigned indices: alphabets, corpora, and training windows."""

from elman.fronts import lazy_front

__getattr__, __dir__ = lazy_front(__name__)
