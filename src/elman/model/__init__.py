"""Inference with a trained model: generating text and scoring it."""

from elman.fronts import lazy_front

__getattr__, __dir__ = lazy_front(__name__)
