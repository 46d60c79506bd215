"""Comparisons with the reference, `elman.network`: of an engine, and of a forward and a backward pass of one's own."""

from __future__ import annotations

from elman.testing.comparison import GradientComparison as GradientComparison
from elman.testing.conformance import REFERENCE_OPTIMIZER as REFERENCE_OPTIMIZER
from elman.testing.conformance import EngineComparison as EngineComparison
from elman.testing.conformance import check_engine as check_engine
from elman.testing.conformance import compare_gradients as compare_gradients
from elman.testing.conformance import relative_error as relative_error
from elman.testing.gradients import check_forward as check_forward
from elman.testing.gradients import check_gradients as check_gradients
