"""The estimators of scikit-learn's interface: its conventions, and that they find what `elman score` finds.

scikit-learn, which takes a second, is imported when a test needs it, and not by every process that collects the tests.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import elman
from elman.errors import ElmanError
from elman.model.score_lines import AGGREGATIONS, DEFAULT_AGGREGATION, find_threshold, score_lines

if TYPE_CHECKING:
    from elman.apps.sklearn import LineClassifier, LineOutlierDetector

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


def make_classifier(**options: Any) -> LineClassifier:
    made: LineClassifier = import_module("elman.apps.sklearn").LineClassifier(**options)
    return made


@pytest.mark.filterwarnings("ignore:Can't test estimator")
@pytest.mark.parametrize("make", [make_detector, make_classifier])
def test_check_estimator(make: Callable[[], Any]) -> None:
    import_module("sklearn.utils.estimator_checks").check_estimator(make())


@pytest.mark.parametrize("make", [make_detector, make_classifier])
@pytest.mark.parametrize("check", CHECKS)
def test_the_checks_that_need_no_numbers(check: str, make: Callable[[], Any]) -> None:
    checks, estimator = import_module("sklearn.utils.estimator_checks"), make()
    getattr(checks, f"check_{check}")(type(estimator).__name__, estimator)


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


@pytest.mark.parametrize("X", ["a text", [], [1.0], np.eye(2), [["a", "b"]], np.array("a"), {"a": 1}, {"a"}])
def test_what_is_no_list_of_lines(detector: LineOutlierDetector, X: Any) -> None:
    for method in (detector.predict, make_detector(**SMALL).fit):
        with pytest.raises(ElmanError, match=r"X must be (lines|in an order)"):
            method(X)
    with pytest.raises(ElmanError, match="X must be lines"):
        make_detector(**SMALL).fit(None)  # type: ignore[arg-type]
    for estimator in (make_detector(), make_classifier()):
        with pytest.raises(ValueError, match="not fitted"):
            estimator.predict(ODD)


@pytest.mark.parametrize(
    "option",
    [
        {"by": "median"},
        {"by": []},
        {"contamination": 0.6},
        {"contamination": "a"},
        {"mask": "colours"},
        {"preset": "slow"},
    ],
)
def test_an_option_out_of_range(option: dict[str, Any]) -> None:
    with pytest.raises(ElmanError, match=next(iter(option))):
        make_detector(**option).fit(LINES)


def test_a_score_that_is_set_after_fitting(detector: LineOutlierDetector) -> None:
    with pytest.raises(ElmanError, match=r"^by must be one of .* \(got median\)$"):
        pickle.loads(pickle.dumps(detector)).set_params(by="median").score_samples(ODD)


CLASSES = {
    "en": ["the cat is here", "where is the dog", "this is the house", "he has three cats"],
    "fi": ["kissa on täällä", "missä koira on", "tämä on talo", "hänellä on kissoja"],
    "fr": ["le chat est là", "où est le chien", "voici la maison", "il a trois chats"],
}
TEXTS, LABELS = zip(*((line, name) for name, lines in CLASSES.items() for line in lines * 5), strict=True)


def test_lines_are_classified_by_the_model_that_predicts_them_best() -> None:
    classifier = make_classifier().fit(list(TEXTS), list(LABELS))
    assert classifier.classes_.tolist() == ["en", "fi", "fr"]
    lines = ["the house is here", "koira on täällä", "la maison est là"]
    assert classifier.predict(lines).tolist() == ["en", "fi", "fr"]
    nats = np.stack([model.score_lines(lines, by="sum") for model in classifier.models_], axis=1)
    p = classifier.predict_proba(lines)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_allclose(np.log(p[:, 0] / p[:, 1]), nats[:, 1] - nats[:, 0])  # the classes are equally frequent
    np.testing.assert_array_equal(classifier.decision_function(lines), classifier.predict_log_proba(lines))
    assert classifier.score(list(TEXTS), list(LABELS)) == 1


def test_a_fit_that_fails_leaves_the_earlier_one(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = make_classifier(**SMALL | {"max_updates": 20}).fit([*LINES[:20], *ODD * 10], [0] * 20 + [1] * 20)
    before = classifier.predict_log_proba(ODD)
    with pytest.raises(ElmanError, match="cannot train on class 3"):
        classifier.fit([*LINES[:20], "x"], [2] * 20 + [3])
    np.testing.assert_array_equal(classifier.predict_log_proba(ODD), before)
    assert classifier.classes_.tolist() == [0, 1]
    detector = make_detector(**SMALL | {"max_updates": 20}).fit(LINES[:20])
    scores = detector.decision_function(ODD)
    monkeypatch.setattr(import_module("elman.apps.sklearn"), "BlockScorer", None)  # as if it were interrupted
    with pytest.raises(TypeError):
        detector.fit(LINES[20:40])
    monkeypatch.undo()
    np.testing.assert_array_equal(detector.decision_function(ODD), scores)


def test_two_classes_of_numbers_and_their_frequencies() -> None:
    lines, classes = [*CLASSES["en"] * 6, *CLASSES["fi"] * 2], [1] * 24 + [0] * 8
    classifier = make_classifier().fit(lines, classes)
    asked = ["where is the cat", "missä kissa on"]
    nats = [model.score_lines(asked, by="sum") for model in classifier.models_]
    np.testing.assert_allclose(classifier.decision_function(asked), nats[0] - nats[1] + np.log(24 / 8))
    assert classifier.predict(asked).tolist() == [1, 0]


def test_the_classifier_is_validated_and_its_models_are_reproducible() -> None:
    from sklearn.model_selection import cross_val_score

    assert cross_val_score(make_classifier(), list(TEXTS), list(LABELS), cv=2).min() > 0.9
    one, other = (make_classifier(**SMALL).fit(list(TEXTS), list(LABELS)).predict_proba(ODD) for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("lines", "classes", "words"),
    [
        (["a cat", "a dog"], ["x", "x"], r"^y must have at least two classes \(got \['x'\]\)"),
        (["a cat", "a dog", "b"], ["x", "x", "y"], r"^cannot train on class x \(the text has 13 characters, but"),
        ("a text", ["x"], "^X must be lines"),
        (["a", "b"], ["x", None], "^y must be classes of one type$"),
    ],
)
def test_what_cannot_be_classified(lines: Any, classes: list[str], words: str) -> None:
    with pytest.raises(ElmanError, match=words):
        make_classifier().fit(lines, classes)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        make_classifier().fit(["a", "b"], ["x"])


def test_scikit_learn_is_imported_by_this_module_only(monkeypatch: pytest.MonkeyPatch) -> None:
    import_module("elman.apps.sklearn")
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delitem(sys.modules, "elman.apps.sklearn")
    with pytest.raises(ElmanError, match=r"pip install 'elman\[sklearn\]'"):
        import_module("elman.apps.sklearn")
