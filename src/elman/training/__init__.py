"""Training: starting and resuming a run, the loop, limits, callbacks, health checks and advice."""

from elman.fronts import lazy_front

__getattr__, __dir__ = lazy_front(__name__)
