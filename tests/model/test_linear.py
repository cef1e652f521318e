"""The linear member against scikit-learn's own pipeline."""

from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.base import ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_union
from sklearn.svm import LinearSVC

from polydx.artifacts import Floats
from polydx.errors import UserError
from polydx.model.linear import Features, LinearModel, fit_linear, load_linear
from polydx.names import LinearLoss

TOKENS = Features(language="tokens", word_ngrams=2, character_ngrams=None, stop_words=None)
LOSSES: tuple[LinearLoss, ...] = get_args(LinearLoss)
MIXED = Features(language="tokens", word_ngrams=2, character_ngrams=(1, 3), stop_words=None)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    draw = np.random.default_rng(0)
    return [" ".join(draw.choice(list("abcdefgh"), 12)) for _ in range(80)]


@pytest.fixture(scope="module")
def targets(texts: list[str]) -> Floats:
    counts = np.array([[text.count(letter) for letter in "abc"] for text in texts])
    return np.asarray(counts >= 2, dtype=np.float32)


def fit(
    texts: list[str],
    targets: Floats,
    features: Features,
    weights: Floats | None = None,
    loss: LinearLoss = "logistic",
    **changed: int,
) -> LinearModel:
    weights = np.ones(len(texts), dtype=np.float32) if weights is None else weights
    settings = {"min_documents": 2, "max_features": 1000, "threads": 1} | changed
    return fit_linear(texts, targets, weights, features, loss=loss, inverse_regularisation=20.0, **settings)


def classifier(loss: LinearLoss) -> ClassifierMixin:
    if loss == "logistic":
        return LogisticRegression(C=20.0, solver="liblinear", max_iter=300)
    return CalibratedClassifierCV(LinearSVC(C=20.0, dual=False, max_iter=300), cv=3, ensemble=False)


def reference(texts: list[str], targets: Floats, weights: Floats, loss: LinearLoss) -> npt.NDArray[np.float64]:
    columns = []
    for target in targets.T:
        union = make_union(
            TfidfVectorizer(sublinear_tf=True, min_df=2, token_pattern=r"\S+", ngram_range=(1, 2)),
            TfidfVectorizer(sublinear_tf=True, min_df=2, analyzer="char", ngram_range=(1, 3)),
        )
        counted, model = union.fit_transform(texts), classifier(loss)
        model.fit(counted, target, sample_weight=weights)
        columns.append(model.predict_proba(counted)[:, 1])
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("loss", LOSSES)
def test_equals_scikit_learns_own(texts: list[str], targets: Floats, loss: LinearLoss) -> None:
    weights = np.random.default_rng(1).uniform(0.1, 2.0, len(texts)).astype(np.float32)
    probabilities = fit(texts, targets, MIXED, weights, loss).probabilities(texts)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, reference(texts, targets, weights, loss), atol=1e-6)


def test_saved_and_loaded_gives_the_same_bytes(texts: list[str], targets: Floats, tmp_path: Path) -> None:
    model = fit(texts, targets, MIXED)
    model.save(tmp_path / "model")
    loaded = load_linear(tmp_path / "model")
    assert loaded.features == MIXED
    assert loaded.probabilities(texts).tobytes() == model.probabilities(texts).tobytes()
    assert sorted(file.name for file in (tmp_path / "model").iterdir()) == ["linear.json", "linear.safetensors"]


def test_threads_do_not_change_the_model(texts: list[str], targets: Floats) -> None:
    one, two = (fit(texts, targets, TOKENS, threads=threads).probabilities(texts) for threads in (1, 2))
    assert one.tobytes() == two.tobytes()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_label_without_both_classes_gets_its_rate(texts: list[str], targets: Floats, loss: LinearLoss) -> None:
    weights = np.ones(len(texts), dtype=np.float32)
    weights[40:] = 0.0
    targets = targets.copy()
    targets[:, 0], targets[:40, 1] = 0.0, 1.0
    probabilities = fit(texts, targets, TOKENS, weights, loss).probabilities(texts)
    np.testing.assert_allclose(probabilities[:, 0], 0.5 / 41, rtol=1e-5)
    np.testing.assert_allclose(probabilities[:, 1], 40.5 / 41, rtol=1e-5)
    assert probabilities[:, 2].std() > 0


def test_a_label_too_rare_to_calibrate_gets_a_logistic_regression(texts: list[str], targets: Floats) -> None:
    targets = np.zeros_like(targets)
    targets[:2] = 1.0
    rare, logistic = (fit(texts, targets, TOKENS, loss=loss) for loss in ("squared_hinge", "logistic"))
    np.testing.assert_array_equal(rare.coefficients, logistic.coefficients)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_weight_of_zero_leaves_a_label_of_a_text_out(texts: list[str], targets: Floats, loss: LinearLoss) -> None:
    weights = np.ones(len(texts), dtype=np.float32)
    weights[::4] = 0.0
    flipped = np.where(weights[:, None] == 0, 1 - targets, targets)
    one, two = (fit(texts, each, TOKENS, weights, loss).probabilities(texts) for each in (targets, flipped))
    np.testing.assert_array_equal(one, two)


def test_max_features_keeps_the_most_frequent(texts: list[str], targets: Floats) -> None:
    assert fit(texts, targets, MIXED, max_features=5).coefficients.shape == (3, 10)


def test_no_ngram_left_is_the_users_fault(texts: list[str], targets: Floats) -> None:
    with pytest.raises(UserError, match="no n-gram occurs in 81 of 80 texts"):
        fit(texts, targets, TOKENS, min_documents=81)


def test_soft_targets_are_refused(texts: list[str], targets: Floats) -> None:
    with pytest.raises(ValueError, match="0 or 1"):
        fit(texts, targets * np.float32(0.9), TOKENS)
