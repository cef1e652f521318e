"""The linear member: TF-IDF of words and character n-grams, one linear classifier a label."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_matrix, hstack
from scipy.special import expit, logit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import LinearSVC

from polydx.artifacts import Array, Floats, read_json, replacing, write_json
from polydx.errors import UserError
from polydx.names import Language, LinearLoss
from polydx.text.words import words

Doubles = npt.NDArray[np.float64]

SETTINGS_FILE = "linear.json"
WEIGHTS_FILE = "linear.safetensors"
MAX_ITERATIONS = 300
BLOCK_ROWS = 8192
"""Texts predicted at a time: their logits are float64."""
PLATT_FOLDS = 3
"""Inner folds that a support vector machine's probabilities are calibrated on."""


@dataclass(frozen=True)
class Features:
    """What is counted in a text.

    Attributes:
        language: How words are found (`polydx.text.words`).
        word_ngrams: Longest word n-gram.
        character_ngrams: Shortest and longest character n-gram, or None for words only.
        stop_words: Words to leave out, before n-grams are made.
    """

    language: Language
    word_ngrams: int
    character_ngrams: tuple[int, int] | None
    stop_words: Literal["english"] | None


@dataclass(frozen=True)
class LinearModel:
    """A fitted linear member.

    Attributes:
        features: What is counted.
        vectorizers: Of words and, if asked for, of characters; their L2-normalised blocks stand side by side.
        coefficients: `[labels, n-grams]`, float32.
        intercepts: `[labels]`, float64.
    """

    features: Features
    vectorizers: tuple[TfidfVectorizer, ...]
    coefficients: Floats
    intercepts: Doubles

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """Probability of each label: `[texts, labels]`, float32."""
        probabilities = np.empty((len(texts), len(self.intercepts)), dtype=np.float32)
        for start in range(0, len(texts), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            counted = _side_by_side([vectorizer.transform(texts[rows]) for vectorizer in self.vectorizers])
            probabilities[rows] = expit(counted @ self.coefficients.T + self.intercepts)
        return probabilities

    def save(self, folder: Path) -> None:
        """Write the settings and vocabularies as JSON and the numbers as safetensors."""
        arrays: dict[str, Array] = {"coefficients": self.coefficients, "intercepts": self.intercepts}
        for index, vectorizer in enumerate(self.vectorizers):
            arrays[f"idf{index}"] = vectorizer.idf_
        with replacing(folder) as temporary:
            temporary.mkdir()
            save_file(arrays, temporary / WEIGHTS_FILE)
            write_json(
                temporary / SETTINGS_FILE,
                {
                    "language": self.features.language,
                    "word_ngrams": self.features.word_ngrams,
                    "character_ngrams": self.features.character_ngrams,
                    "stop_words": self.features.stop_words,
                    "vocabularies": [vectorizer.get_feature_names_out().tolist() for vectorizer in self.vectorizers],
                },
            )


def load_linear(folder: Path) -> LinearModel:
    """Read a model that `LinearModel.save` wrote."""
    settings, arrays = read_json(folder / SETTINGS_FILE), load_file(folder / WEIGHTS_FILE)
    vocabularies = settings.pop("vocabularies")
    ngrams = settings.pop("character_ngrams")
    features = Features(**settings, character_ngrams=tuple(ngrams) if ngrams else None)
    vectorizers = tuple(
        new_vectorizer(vocabulary=terms) for new_vectorizer, terms in zip(_recipes(features), vocabularies, strict=True)
    )
    for index, vectorizer in enumerate(vectorizers):
        vectorizer.idf_ = arrays[f"idf{index}"]
    return LinearModel(features, vectorizers, arrays["coefficients"], arrays["intercepts"])


def fit_linear(
    texts: Sequence[str],
    targets: Floats,
    weights: Floats,
    features: Features,
    *,
    min_documents: int,
    max_features: int,
    loss: LinearLoss,
    inverse_regularisation: float,
    threads: int,
) -> LinearModel:
    """Fit one linear classifier a label by liblinear's primal solvers, which draw nothing at random.

    A support vector machine's margins become probabilities by Platt's sigmoid of its margins on inner folds (Platt,
    "Probabilistic outputs for support vector machines", 1999). A label too rare for these gets a logistic regression.

    Args:
        texts: The training texts.
        targets: `[texts, labels]`, 0 or 1.
        weights: `[texts]`, at least 0: what each text's loss counts. Its n-grams count fully in vocabulary and idf.
        features: What is counted.
        min_documents: Texts that an n-gram must occur in.
        max_features: Most n-grams kept of each kind, the most frequent first.
        loss: The logistic regression's, or the support vector machine's squared hinge.
        inverse_regularisation: C, what a text's loss weighs against half the squared norm of the coefficients.
        threads: Labels fitted at a time, each in a process of its own: liblinear shares state between threads, and now
            and then gives other coefficients there (scikit-learn issue 31883).

    Raises:
        UserError: When no n-gram occurs in `min_documents` texts.
        ValueError: When a target is neither 0 nor 1.
    """
    if not np.isin(targets, (0.0, 1.0)).all():
        raise ValueError("a linear model's targets are 0 or 1")
    limits = {"min_df": min_documents, "max_features": max_features}
    vectorizers = tuple(new_vectorizer(**limits) for new_vectorizer in _recipes(features))
    try:
        counted = _side_by_side([vectorizer.fit_transform(texts) for vectorizer in vectorizers])
    except ValueError as error:
        raise UserError(
            "linear member", f"no n-gram occurs in {min_documents} of {len(texts)} texts", "lower min_documents"
        ) from error
    fitted = Parallel(n_jobs=threads, prefer="processes")(
        delayed(_fit_label)(counted, column, weights, loss, inverse_regularisation) for column in targets.T
    )
    coefficients = np.stack([coefficient for coefficient, _ in fitted])
    return LinearModel(features, vectorizers, coefficients, np.array([intercept for _, intercept in fitted]))


def _recipes(features: Features) -> list[Callable[..., TfidfVectorizer]]:
    """How to make each vectorizer, short of its vocabulary or its limits."""
    recipes: list[Callable[..., TfidfVectorizer]] = [
        partial(
            TfidfVectorizer,
            sublinear_tf=True,
            tokenizer=partial(words, language=features.language),
            token_pattern=None,
            ngram_range=(1, features.word_ngrams),
            stop_words=features.stop_words,
        )
    ]
    if features.character_ngrams is not None:
        recipes.append(
            partial(TfidfVectorizer, sublinear_tf=True, analyzer="char", ngram_range=features.character_ngrams)
        )
    return recipes


def _side_by_side(blocks: list[csr_matrix]) -> csr_matrix:
    return blocks[0] if len(blocks) == 1 else hstack(blocks, format="csr")


def _fit_label(
    counted: csr_matrix, target: Floats, weights: Floats, loss: LinearLoss, strength: float
) -> tuple[Floats, float]:
    """Coefficients, float32, and intercept of one label's logit.

    A label that every weighted text has, or none, gets no coefficients and the logit of its rate with half a text added
    to either side (Jeffreys' prior), which is finite.
    """
    present = target[weights > 0] > 0
    rarer = min(present.sum(), (~present).sum())
    if rarer == 0:
        rate = (present.sum() + 0.5) / (len(present) + 1.0)
        return np.zeros(counted.shape[1], dtype=np.float32), float(logit(rate))
    if loss == "squared_hinge" and rarer >= PLATT_FOLDS:
        return _support_vectors(counted[weights > 0], present, weights[weights > 0], strength)
    regression = LogisticRegression(C=strength, solver="liblinear", max_iter=MAX_ITERATIONS)
    regression.fit(counted, target, sample_weight=weights)
    return regression.coef_[0].astype(np.float32), float(regression.intercept_[0])


def _support_vectors(
    counted: csr_matrix, present: npt.NDArray[np.bool_], weights: Floats, strength: float
) -> tuple[Floats, float]:
    """A support vector machine whose margin, times a slope and with an offset, is the logit: linear again."""
    machine = CalibratedClassifierCV(
        LinearSVC(C=strength, dual=False, max_iter=MAX_ITERATIONS), cv=StratifiedKFold(PLATT_FOLDS), ensemble=False
    )
    machine.fit(counted, present, sample_weight=weights)
    (calibrated,) = machine.calibrated_classifiers_
    (sigmoid,) = calibrated.calibrators
    margin = calibrated.estimator
    coefficients: Floats = (-sigmoid.a_ * margin.coef_[0]).astype(np.float32)
    return coefficients, float(-sigmoid.a_ * margin.intercept_[0] - sigmoid.b_)
