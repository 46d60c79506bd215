"""Export and import of models, and the registry of formats."""

from elman.fronts import lazy_front

__getattr__, __dir__ = lazy_front(__name__)
