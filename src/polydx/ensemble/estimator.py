"""The thresholds as a scikit-learn estimator, for those who bring probabilities of their own."""

from typing import Self, get_args

import numpy as np
import numpy.typing as npt
from scipy.sparse import sparray, spmatrix
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, check_non_negative, validate_data

from polydx.artifacts import Floats
from polydx.ensemble.cuts import best_cuts
from polydx.ensemble.thresholds import DecisionRule, half_f1_thresholds
from polydx.judge.metrics import Mask, Scores
from polydx.names import ThresholdMethod


class ThresholdClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Decides labels by thresholds that maximise macro-F1 on the rows it is fitted on.

    Fit it on out-of-fold probabilities: thresholds fitted on probabilities of a model's own training rows are too high.

    With a table of labels, `X` holds the probabilities of the same labels. With one label, `y` as a plain column of two
    classes, `X` holds one score or several: opinions whose mean is cut, so that it can end a
    `sklearn.ensemble.StackingClassifier`. These scores may exceed 1, save for `half_f1`. The pooled threshold of one
    label is its own.

    Args:
        prior: Positives' worth of pull of a label's threshold towards the pooled one, 0 for none; see
            `shrunk_thresholds`, and `half_f1_thresholds` for what it pulls there.
        min_labels: Fewest labels of a row, where there are several labels; at least 0.
        max_labels: Most labels of a row, likewise, at least 1 and `min_labels`; None for no limit.
        threads: Threads of the search.
        method: `shrunk`, `pooled` or `half_f1`, as of `DecisionRule`.

    Attributes:
        thresholds_: `[labels]`, float64.
        classes_: The two classes of one label, or the numbers of several.
        n_features_in_: Columns of `X`.
    """

    def __init__(
        self,
        prior: float = 20.0,
        min_labels: int = 0,
        max_labels: int | None = None,
        threads: int = 1,
        method: ThresholdMethod = "shrunk",
    ) -> None:
        self.prior = prior
        self.min_labels = min_labels
        self.max_labels = max_labels
        self.threads = threads
        self.method = method

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike | sparray | spmatrix) -> Self:  # noqa: N803  # scikit-learn's names
        """Fit the thresholds.

        Args:
            X: `[rows, labels]` probabilities, or `[rows, opinions]` scores of one label; not negative.
            y: `[rows, labels]`, 0 or 1, dense or sparse, or `[rows]` of at most two classes.

        Raises:
            ValueError: The labels are of another kind, or several and not as many as columns of `X`; or there, or
                under `half_f1`, a probability lies outside [0, 1]; or an argument is not what it may be.
        """
        self._check_arguments()
        scores: Floats
        labels: npt.NDArray[np.generic]
        dense = y.toarray() if isinstance(y, sparray | spmatrix) else y
        scores, labels = validate_data(self, X, dense, dtype=np.float32, multi_output=True)
        check_classification_targets(labels)
        kind = type_of_target(labels, input_name="y", raise_unknown=True)
        if kind not in {"binary", "multilabel-indicator"}:
            raise ValueError(f"Only binary classification is supported. The type of the target is {kind}.")
        check_non_negative(scores, "ThresholdClassifier.fit")
        if kind == "multilabel-indicator":
            self._fit_many(scores, labels)
        else:
            self.classes_ = np.unique(labels)
            # A single class is the answer to everything.
            self.thresholds_ = self._fit_one(_opinion(scores), (labels == self.classes_[-1]).reshape(-1, 1))
        self._output_shape = labels.shape[1:]
        return self

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[np.generic]:  # noqa: N803
        """Decide rows: `[rows, labels]`, int64, 0 or 1, or the classes in the shape that `y` had."""
        check_is_fitted(self)
        scores: Floats = validate_data(self, X, dtype=np.float32, reset=False)
        if len(self.thresholds_) > 1:
            return self._rule(scores.shape[1]).decide(scores, self.thresholds_).astype(np.int64)
        if len(self.classes_) == 1:
            return np.full((len(scores), *self._output_shape), self.classes_[0])
        positive = (_opinion(scores) >= self.thresholds_).astype(np.int64)
        return self.classes_[positive].reshape(-1, *self._output_shape)

    def _check_arguments(self) -> None:
        if self.method not in get_args(ThresholdMethod):
            raise ValueError(f"method {self.method!r}: choose one of {', '.join(get_args(ThresholdMethod))}")
        if self.prior < 0:
            raise ValueError(f"prior {self.prior}: it is 0 or more")
        if self.min_labels < 0:
            raise ValueError(f"min_labels {self.min_labels}: it is 0 or more")
        if self.max_labels is not None and self.max_labels < max(1, self.min_labels):
            raise ValueError(f"max_labels {self.max_labels}: it is at least 1 and min_labels, {self.min_labels}")

    def _fit_many(self, probabilities: Floats, labels: npt.NDArray[np.generic]) -> None:
        if labels.shape[1] != probabilities.shape[1]:
            raise ValueError(f"{probabilities.shape[1]} columns of probabilities for {labels.shape[1]} labels")
        if not np.isin(labels, (0, 1)).all():
            raise ValueError("labels other than 0 and 1")
        self.classes_ = np.arange(labels.shape[1])
        self.thresholds_ = self._rule(labels.shape[1]).fit(probabilities, labels == 1)

    def _fit_one(self, scores: Floats, targets: Mask) -> Scores:
        if self.method == "half_f1":
            return half_f1_thresholds(scores, targets, self.prior)
        return best_cuts(scores, targets, largest=np.inf).thresholds

    def _rule(self, labels: int) -> DecisionRule:
        most = labels if self.max_labels is None else self.max_labels
        return DecisionRule(self.prior, self.min_labels, most, self.method, self.threads)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.target_tags.multi_output = True
        tags.classifier_tags.multi_class = False
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.poor_score = True  # the mean of arbitrary columns is no opinion on anything
        return tags


def _opinion(scores: Floats) -> Floats:
    mean: Floats = scores.mean(axis=1, keepdims=True)
    return mean
