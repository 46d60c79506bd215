"""The command line: the only package that prints, prompts or exits."""

from elman.fronts import lazy_front

__getattr__, __dir__ = lazy_front(__name__)
