"""Comparisons with the reference, `elman.network`: of an engine, and of the functions of the assignment."""

from __future__ import annotations

from elman.testing.checks import check_backward as check_backward
from elman.testing.checks import check_forward as check_forward
from elman.testing.checks import check_gradient_checker as check_gradient_checker
from elman.testing.checks import check_gradients as check_gradients
from elman.testing.checks import check_initial as check_initial
from elman.testing.checks import check_optimizer as check_optimizer
from elman.testing.checks import check_sampling as check_sampling
from elman.testing.checks import check_training as check_training
from elman.testing.checks import check_windows as check_windows
from elman.testing.comparison import CheckResult as CheckResult
from elman.testing.comparison import Finding as Finding
from elman.testing.conformance import REFERENCE_OPTIMIZER as REFERENCE_OPTIMIZER
from elman.testing.conformance import EngineComparison as EngineComparison
from elman.testing.conformance import check_engine as check_engine
from elman.testing.conformance import compare_gradients as compare_gradients
from elman.testing.conformance import relative_error as relative_error
from elman.testing.grading import Grade as Grade
from elman.testing.grading import TaskGrade as TaskGrade
from elman.testing.grading import grade as grade
