from elman.testing.conformance import REFERENCE_OPTIMIZER as REFERENCE_OPTIMIZER
from elman.testing.conformance import EngineComparison as EngineComparison
from elman.testing.conformance import check_engine as check_engine
from elman.testing.conformance import compare_gradients as compare_gradients
from elman.testing.conformance import relative_error as relative_error
from elman.testing.gradcheck import MAX_RELATIVE_ERROR as MAX_RELATIVE_ERROR
from elman.testing.gradcheck import REPORTED as REPORTED
