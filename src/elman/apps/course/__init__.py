"""The course: functions of the assignment, their checks, and the grader."""

from elman.fronts import lazy_front

__getattr__, __dir__ = lazy_front(__name__)
