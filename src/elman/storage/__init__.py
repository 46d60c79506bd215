"""Files: atomic replacement, tensors with a digest, untrusted content, the cache directory, and tests of paths."""

from elman.fronts import lazy_front

__getattr__, __dir__ = lazy_front(__name__)
