"""Counts of the strings of a text, and the distributions that they imply: a language model without any network.

`model` has the definition in NumPy, `table` the packed counts, `counting` counts a text, `merging` adds the counts of
two texts, `kernels` read characters, and `language_model` has the arguments of the kernels: a model with a cache.
"""

from elman.fronts import lazy_front

__getattr__, __dir__ = lazy_front(__name__)
