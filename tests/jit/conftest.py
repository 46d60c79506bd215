"""Tests of how kernels are compiled, and of plain mode, in which most of that is not used."""

from elman.jit import PLAIN

collect_ignore = ["test_compiler.py", "test_parallel.py"] if PLAIN else []
