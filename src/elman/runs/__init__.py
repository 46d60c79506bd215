"""Runs on disk: directory, history, checkpoint, loggers."""

from elman.fronts import lazy_front

__getattr__, __dir__ = lazy_front(__name__)
