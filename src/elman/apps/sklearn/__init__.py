"""An outlier detector and a classifier for lines of text, with scikit-learn's API; requires the extra ``sklearn``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elman import train
from elman.errors import ElmanError, check_number, list_items, quote, report_system_errors, require_extra, shorten
from elman.model import AGGREGATIONS, DEFAULT_AGGREGATION, BlockScorer, Line, Model, find_threshold
from elman.network import log_softmax
from elman.text import Corpus

with require_extra("sklearn"):
    from sklearn.base import BaseEstimator, ClassifierMixin, OutlierMixin
    from sklearn.utils import check_consistent_length, check_random_state, column_or_1d
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from sklearn.utils import Tags

HELD_OUT = 0.1
"""Fraction of the lines that are held out, from which the offset is computed."""
MIN_HELD_OUT = 10
"""Number of lines below which nothing is held out, and the offset is computed from the training lines."""


class LineOutlierDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Outlier detection in lines of text, by the surprisal of a recurrent network with an n-gram prior.

    Parameters
    ----------
    preset : str
        Hyperparameter preset of the training run, see `elman.train`.
    max_seconds : float, optional
        Time budget of training; by default the preset's.
    max_updates : int, optional
        Number of updates as a budget instead, which is reproducible.
    mask : str
        Names of the masks that replace volatile parts of lines, separated by commas; ``all`` or empty.
    mask_regex : str
        A regular expression whose matches are also replaced.
    by : {"worst5+mean", "worst5", "mean", "max", "sum"}
        The score of a line: the mean of its five highest losses plus the mean of all, the sum of the five, or the mean,
        the maximum or the sum of all losses.
    contamination : float
        Fraction of lines similar to the training set that are considered outliers, from 0 to 0.5.
    random_state : int, RandomState or None
        Determines the initial weights, and which lines are held out.

    Attributes
    ----------
    model_ : elman.Model
    offset_ : float
        The score below which a line is an outlier, computed from held-out lines: a network predicts its training lines
        too well.

    Examples
    --------
    >>> from elman.apps.sklearn import LineOutlierDetector
    >>> lines = [f"12:00:{n:02} job {n} is done" for n in range(60)] * 5
    >>> detector = LineOutlierDetector(max_updates=60, random_state=0).fit(lines)
    >>> detector.predict(["12:01:00 job 60 is done", "12:01:00 panic: no room"]).tolist()
    [1, -1]
    """

    def __init__(
        self,
        preset: str = "quick",
        *,
        max_seconds: float | None = None,
        max_updates: int | None = None,
        mask: str = "all",
        mask_regex: str = "",
        by: str = DEFAULT_AGGREGATION,
        contamination: float = 0.01,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.preset, self.max_seconds, self.max_updates = preset, max_seconds, max_updates
        self.mask, self.mask_regex, self.by = mask, mask_regex, by
        self.contamination, self.random_state = contamination, random_state

    def fit(self, X: Iterable[str], y: Any = None) -> LineOutlierDetector:
        """Train on lines.

        Parameters
        ----------
        X : iterable of str, shape (n_samples,)
            Lines without line feeds, as a list, an array or a column.
        y : ignored

        Raises
        ------
        ElmanError
            If a parameter is invalid, or there is too little text.
        """
        lines = _list_lines(X)
        self._choose_aggregation()
        check_number("contamination", self.contamination, "from 0 to 0.5", lambda value: 0 <= value <= 0.5)
        model = _train(self, lines, HELD_OUT if len(lines) * HELD_OUT >= MIN_HELD_OUT else 0.0)
        if model.score_quantiles is None:
            offset = float(np.quantile(self._score(model, lines), self.contamination))
        else:
            offset = -find_threshold(model, self.by, 1 - self.contamination)
        self.model_, self.offset_ = model, offset  # set at once: a fit that fails leaves the earlier one
        return self

    def score_samples(self, X: Iterable[str]) -> NDArray[np.float64]:
        """Return the negative score of every line, float64 of shape (n_samples,): the lower, the more unusual."""
        check_is_fitted(self)
        return self._score(self.model_, _list_lines(X))

    def _score(self, model: Model, lines: list[str]) -> NDArray[np.float64]:
        scorer, aggregate = BlockScorer(model, carry_state=False), self._choose_aggregation()
        return np.array([-aggregate(line) for line in scorer.score_batch(lines)], np.float64)

    def _choose_aggregation(self) -> Callable[[Line], float]:
        if not isinstance(self.by, str) or self.by not in AGGREGATIONS:
            raise ElmanError(f"by must be one of {', '.join(AGGREGATIONS)} (got {shorten(self.by)})")
        return AGGREGATIONS[self.by]

    def decision_function(self, X: Iterable[str]) -> NDArray[np.float64]:
        """Return `score_samples` minus ``offset_``: negative for outliers, of shape (n_samples,)."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Iterable[str]) -> NDArray[np.intp]:
        """Return -1 for every outlier, and 1 for every other line, of shape (n_samples,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def __sklearn_tags__(self) -> Tags:
        return _of_lines(super().__sklearn_tags__())


class LineClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Classification of lines of text, such as by their language: a model of each class, and Bayes' theorem.

    Parameters
    ----------
    preset, max_seconds, max_updates, mask, mask_regex, random_state
        As in `LineOutlierDetector`, for the model of each class; the preset ``counts`` trains no network.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
    models_ : list of elman.Model
        The model of each class.
    class_log_prior_ : ndarray, shape (n_classes,)
        Logarithm of the fraction of the lines in each class.

    Examples
    --------
    >>> from elman.apps.sklearn import LineClassifier
    >>> lines = ["the cat is here", "where is the dog", "le chat est la", "la vie est belle"] * 5
    >>> classifier = LineClassifier().fit(lines, ["en", "en", "fr", "fr"] * 5)
    >>> classifier.predict(["here is the cat", "la belle vie"]).tolist()
    ['en', 'fr']
    """

    def __init__(
        self,
        preset: str = "counts",
        *,
        max_seconds: float | None = None,
        max_updates: int | None = None,
        mask: str = "",
        mask_regex: str = "",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.preset, self.max_seconds, self.max_updates = preset, max_seconds, max_updates
        self.mask, self.mask_regex, self.random_state = mask, mask_regex, random_state

    def fit(self, X: Iterable[str], y: ArrayLike) -> LineClassifier:
        """Train a model of the lines of each class.

        Parameters
        ----------
        X : iterable of str, shape (n_samples,)
            Lines without line feeds, as a list, an array or a column.
        y : array_like, shape (n_samples,)
            The classes of the lines: at least two, each with enough text; otherwise an ElmanError is raised.
        """
        lines, y = _list_lines(X), column_or_1d(y)
        check_consistent_length(lines, y)
        try:
            check_classification_targets(y)
            classes, of, counts = np.unique(y, return_inverse=True, return_counts=True)
        except TypeError:
            raise ElmanError("y must be classes of one type") from None
        if len(counts) < 2:
            raise ElmanError(f"y must have at least two classes (got {quote(classes.tolist())})")
        models = list[Model]()
        for k, name in enumerate(classes):
            with report_system_errors(f"train on class {shorten(name)}", errors=(ElmanError,)):
                models.append(_train(self, [lines[n] for n in np.flatnonzero(of == k)], validation=0.0))
        # Set at once: a fit that fails leaves the earlier one.
        self.classes_, self.class_log_prior_, self.models_ = classes, np.log(counts / len(lines)), models
        return self

    def predict_log_proba(self, X: Iterable[str]) -> NDArray[np.float64]:
        """Return log P(class | line), float64 of shape (n_samples, n_classes)."""
        check_is_fitted(self)
        lines = _list_lines(X)
        nats = np.stack([model.score_lines(lines, by="sum") for model in self.models_], axis=1)
        return np.asarray(log_softmax(self.class_log_prior_ - nats), np.float64)

    def predict_proba(self, X: Iterable[str]) -> NDArray[np.float64]:
        """Return P(class | line), of shape (n_samples, n_classes)."""
        return np.exp(self.predict_log_proba(X))

    def decision_function(self, X: Iterable[str]) -> NDArray[np.float64]:
        """Return `predict_log_proba`; for two classes, the log-odds of the second class, of shape (n_samples,)."""
        log_p = self.predict_log_proba(X)
        return log_p if len(self.classes_) > 2 else log_p[:, 1] - log_p[:, 0]

    def predict(self, X: Iterable[str]) -> NDArray[Any]:
        """Return the most probable class of every line, of shape (n_samples,)."""
        log_p = self.predict_log_proba(X)  # computed first: it raises an error if the estimator is not fitted
        return np.asarray(self.classes_[log_p.argmax(axis=1)])

    def __sklearn_tags__(self) -> Tags:
        return _of_lines(super().__sklearn_tags__())


def _of_lines(tags: Tags) -> Tags:
    tags.input_tags.string = tags.input_tags.one_d_array = tags.no_validation = True
    tags.input_tags.two_d_array = False
    return tags


def _train(estimator: LineOutlierDetector | LineClassifier, lines: list[str], validation: float) -> Model:
    """Train a model of lines with the parameters of an estimator."""
    limits = {"max_seconds": estimator.max_seconds, "max_updates": estimator.max_updates}
    return train(
        Corpus.from_lines(lines),
        preset=estimator.preset,
        lines=True,
        mask=estimator.mask,
        mask_regex=estimator.mask_regex,
        validation=validation,
        validate_every=0,
        sample_every=0,
        seed=int(check_random_state(estimator.random_state).randint(2**31 - 1)),
        progress=False,
        **{name: value for name, value in limits.items() if value is not None},  # type: ignore[arg-type]
    ).model


def _list_lines(X: Iterable[str]) -> list[str]:
    """Return the lines of an array or a column, which may have a second axis of length 1."""
    shape: tuple[int, ...] | None = getattr(X, "shape", None)
    if shape is not None and len(shape) == 2 and shape[1] == 1:
        X = np.asarray(X)[:, 0]
    expected = "lines: a list, a one-dimensional array or a column of strings, which is not empty"
    if lines := [] if isinstance(X, str) else list_items("X", X, str, expected):
        return lines
    raise ElmanError(f"X must be {expected}")
