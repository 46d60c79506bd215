"""Common mistakes in the functions of the assignment, as changes of its solution: ``kit/faults.toml``."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

KIT = Path(__file__).parent / "kit"  # the files of the course, also those that `elman course` copies
SECOND = sorted(path.stem.removeprefix("solution_") for path in KIT.glob("solution_*.py"))
"""The cells of the second assignment; the first has the cell rnn."""

_TASKS = ("initialize", "make_windows", "forward", "backward", "gradient_error", "adagrad", "train", "synthesize")
FUNCTIONS = {task: (task,) for task in _TASKS} | {"forward": ("gates", "step", "forward")}
"""Task -> the functions that a student writes for it; the last has the name of the task."""


class Fault(NamedTuple):
    """A mistake: its name, its description, and the changes of the solution that make it."""

    name: str
    finding: str
    changes: tuple[tuple[str, str], ...]
    is_variant: bool = False  # whether it is a usual variant and not wrong


@cache
def read_faults() -> dict[str, tuple[Fault, ...]]:
    """Return the known mistakes of every task, in the order in which a student should correct them."""
    tables = tomllib.loads((KIT / "faults.toml").read_text("utf-8"))
    return {
        task: tuple(Fault(**row | {"changes": tuple(map(tuple, row["changes"]))}) for row in rows)
        for task, rows in tables.items()
    }


def list_faults(task: str) -> tuple[Fault, ...]:
    """Return the mistakes that the check of a task looks for; for training, also the mistakes of AdaGrad."""
    return read_faults()[task] + (read_faults()["adagrad"] if task == "train" else ())


@cache
def read_solution(cell: str = "rnn") -> dict[str, str]:
    """Return the source of every function of the solution, by name."""
    files = ["solution.py", *([f"solution_{cell}.py"] if cell != "rnn" else [])]
    functions = dict[str, str]()
    for source in ((KIT / name).read_text("utf-8") for name in files):
        nodes = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
        functions |= {node.name: ast.get_source_segment(source, node) or "" for node in nodes}
    return functions


@lru_cache(2048)
def _compile(source: str) -> CodeType:
    return compile(source, "<solution>", "exec")


def load_solution(task: str, faults: Iterable[Fault] = (), cell: str = "rnn", **names: Any) -> dict[str, Any]:
    """Return the functions of the solution with mistakes; a `LookupError` if a change has nothing to replace."""
    sources = read_solution(cell)
    changed = (*FUNCTIONS[task], "adagrad") if task == "train" else FUNCTIONS[task]
    own = {name: sources[name] for name in changed if name in sources}
    for old, new in (change for fault in faults for change in fault.changes):
        if not any(old in source for source in own.values()):
            raise LookupError(old)
        own = {name: source.replace(old, new) for name, source in own.items()}
    functions: dict[str, Any] = {"np": np, **names}
    for source in (sources | own).values():
        exec(_compile(source), functions)
    return functions
