"""The detector of scikit-learn's interface: its conventions, and that it finds what `elman score` finds.

scikit-learn, which takes a second, is imported when a test needs it, and not by every process that collects the tests.
"""

from __future__ import annotations

import pickle
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import elman
from elman.errors import ElmanError
from elman.model.score_lines import AGGREGATIONS, DEFAULT_AGGREGATION, find_threshold, score_lines

if TYPE_CHECKING:
    from elman.apps.sklearn import LineOutlierDetector

pytestmark = pytest.mark.skipif(find_spec("sklearn") is None, reason="scikit-learn is not installed")
LINES = [f"12:{n // 60:02}:{n % 60:02} job {n} is done" for n in range(200)]
ODD = ["12:00:00 panic: no room", "12:00:00 job 7 is gone"]
SMALL: dict[str, Any] = {"preset": "reference", "max_updates": 300, "random_state": 0}

# `check_estimator` runs only the first of these: all checks but these few fit an array of numbers, which is no text.
CHECKS = (
    *("estimator_cloneable", "do_not_raise_errors_in_init_or_set_params", "estimator_repr", "estimator_tags_renamed"),
    *("get_params_invariance", "mixin_order", "no_attributes_set_in_init", "parameters_default_constructible"),
    *("set_params", "valid_tag_types"),
)


def make_detector(**options: Any) -> LineOutlierDetector:
    made: LineOutlierDetector = import_module("elman.apps.sklearn").LineOutlierDetector(**options)
    return made


@pytest.fixture(scope="module")
def detector() -> LineOutlierDetector:
    return make_detector(**SMALL).fit(LINES)


@pytest.mark.filterwarnings("ignore:Can't test estimator")
def test_check_estimator() -> None:
    import_module("sklearn.utils.estimator_checks").check_estimator(make_detector())


@pytest.mark.parametrize("check", CHECKS)
def test_the_checks_that_need_no_numbers(check: str) -> None:
    checks = import_module("sklearn.utils.estimator_checks")
    getattr(checks, f"check_{check}")("LineOutlierDetector", make_detector())


def test_outliers_are_found(detector: LineOutlierDetector) -> None:
    assert detector.predict([*LINES[:20], *ODD]).tolist() == [1] * 20 + [-1] * 2
    decisions, scores = detector.decision_function(ODD), detector.score_samples(ODD)
    np.testing.assert_allclose(decisions, scores - detector.offset_)
    assert (detector.predict(ODD) == np.where(decisions < 0, -1, 1)).all()


def test_scores_are_those_of_elman_score_and_the_offset_is_a_threshold() -> None:
    detector = make_detector(by="max", contamination=0.2, **SMALL).fit(LINES)
    assert detector.offset_ == -find_threshold(detector.model_, "max", 0.8)
    lines = [line for block in score_lines(detector.model_, ["\n".join(ODD)]) for line in block]
    by_default = AGGREGATIONS[DEFAULT_AGGREGATION]
    assert detector.set_params(by=DEFAULT_AGGREGATION).score_samples(ODD)[0] == -by_default(lines[0])
    for by, name in {"worst5": "worst5_nats", "mean": "nats_per_char", "max": "worst_nats", "sum": "nats"}.items():
        scores = detector.set_params(by=by).score_samples(ODD)
        assert scores.tolist() == [-getattr(line, name) for line in lines]


def test_a_few_lines_are_not_divided() -> None:
    lines = ["all is well", "all was well"] * 5
    detector = make_detector(contamination=0.5, **SMALL)
    assert (detector.fit_predict(lines) == 1).sum() >= 5
    assert detector.model_.score_quantiles is None


def test_the_seed_is_the_random_state(detector: LineOutlierDetector) -> None:
    from sklearn.base import clone

    again = clone(detector).fit(np.array(LINES))
    np.testing.assert_array_equal(again.score_samples(ODD), detector.score_samples(ODD))
    other = clone(detector).set_params(random_state=1).fit(LINES)
    assert (other.score_samples(ODD) != detector.score_samples(ODD)).any()


def test_it_is_the_end_of_a_pipeline() -> None:
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    drop_time = FunctionTransformer(lambda lines: [line[9:] for line in lines])
    pipeline = make_pipeline(drop_time, make_detector(**SMALL))
    assert pipeline.fit(LINES).predict(ODD).tolist() == [-1, -1]
    assert pipeline[-1].model_.masker == elman.text.masks.Masker("all")
    labels = [1] * len(LINES)
    assert cross_val_score(make_detector(**SMALL), LINES, labels, scoring="accuracy", cv=2).min() > 0.9


def test_a_copy_and_a_column_of_lines_have_the_same_scores(detector: LineOutlierDetector) -> None:
    column, copy = np.array(ODD, object)[:, None], pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(copy.score_samples(column), detector.score_samples(ODD))


@pytest.mark.parametrize("X", ["a text", [], [1.0], np.eye(2), [["a", "b"]]])
def test_what_is_no_list_of_lines(detector: LineOutlierDetector, X: Any) -> None:
    for method in (detector.predict, make_detector(**SMALL).fit):
        with pytest.raises(ElmanError, match="X must be lines"):
            method(X)
    with pytest.raises(ValueError, match="not fitted"):
        make_detector().predict(ODD)


@pytest.mark.parametrize("option", [{"by": "median"}, {"contamination": 0.6}, {"mask": "colours"}, {"preset": "slow"}])
def test_an_option_out_of_range(option: dict[str, Any]) -> None:
    with pytest.raises(ElmanError, match=next(iter(option))):
        make_detector(**option).fit(LINES)


def test_scikit_learn_is_imported_by_this_module_only(monkeypatch: pytest.MonkeyPatch) -> None:
    import_module("elman.apps.sklearn")
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delitem(sys.modules, "elman.apps.sklearn")
    with pytest.raises(ElmanError, match=r"pip install 'elman\[sklearn\]'"):
        import_module("elman.apps.sklearn")
