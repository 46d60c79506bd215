"""The code that the report's section on the method prints: the solution of the course, in NumPy.

It is short, and it is checked: `elman.testing` compares it with the network of this package.
"""

from __future__ import annotations

from elman.apps.course.faults import read_solution

FUNCTIONS = ("step", "forward", "backward", "adagrad")
"""What an update of the vanilla RNN with AdaGrad calls."""


def read_method() -> str:
    """Return the source of `FUNCTIONS`, some forty lines."""
    solution = read_solution()
    return "\n\n".join(solution[name] for name in FUNCTIONS)
