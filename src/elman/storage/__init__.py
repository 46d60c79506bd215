"""Files: atomic replacement, tensors with a digest, untrusted content; where the cache is; what a path leads to."""

from elman.fronts import lazy_front

__getattr__, __dir__ = lazy_front(__name__)
