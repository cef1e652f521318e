"""How far the test records are from the training records: one feature at a time, and all together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, hstack
from scipy.stats import ks_2samp
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

Doubles = npt.NDArray[np.float64]

MOST_ROWS = 20_000
"""Rows of either side that the adversarial classifier sees: all n-grams of millions would fill the memory."""
HASHED_FEATURES = 2**16
MOST_EXACT_PAIRS = 1_000_000


@dataclass(frozen=True)
class Shift:
    """Two-sample Kolmogorov-Smirnov test of one feature.

    Attributes:
        statistic: Largest distance between the two cumulative distributions, 0 to 1.
        p_value: Probability of such a distance if both samples came from one distribution.
        train_rows: Training rows where the feature is known.
        test_rows: Test rows where the feature is known.
    """

    statistic: float
    p_value: float
    train_rows: int
    test_rows: int


def feature_shift(train: Doubles, test: Doubles) -> Shift | None:
    """Compare one numeric feature of the training rows with that of the test rows.

    Args:
        train: `[training rows]`, NaN where unknown.
        test: `[test rows]`, NaN where unknown.

    Returns:
        The test over the known values, or None where a side knows none.
    """
    train, test = train[~np.isnan(train)], test[~np.isnan(test)]
    if not (len(train) and len(test)):
        return None
    # The exact p-value takes as many steps as there are pairs of rows, and is needed only where these are few.
    exact = len(train) * len(test) <= MOST_EXACT_PAIRS
    result = ks_2samp(train, test, method="exact" if exact else "asymp")
    return Shift(float(result.statistic), float(result.pvalue), len(train), len(test))


def adversarial_auc(
    texts: Sequence[str],
    numbers: Doubles,
    is_test: npt.NDArray[np.bool_],
    *,
    unit: Literal["character", "word"],
    folds: int,
    seed: int,
) -> tuple[float, ...]:
    """Train a classifier to tell test rows from training rows ("adversarial validation").

    Logistic regression on TF-IDF of hashed uni- and bigrams and on the standardised numbers with their missing flags.
    0.5 means that training and test rows look alike; near 1 a score on training rows says little about the test rows.

    Args:
        texts: Text of each row.
        numbers: `[rows, features]`, NaN where unknown; the record number left out, since it says who numbered the
            records and not what stands in them.
        is_test: `[rows]`, true for a test row.
        unit: What the n-grams are made of; a word is what white space separates.
        folds: Folds of the cross-validation.
        seed: Seed of the folds.

    Returns:
        The area under the ROC curve on each held-out fold; empty where a side has fewer rows than folds. Of a side with
        more than `MOST_ROWS` so many are drawn: they tell the area to a hundredth.
    """
    if min(is_test.sum(), (~is_test).sum()) < folds:
        return ()
    draw = np.random.default_rng(seed)
    sides = [np.flatnonzero(is_test == side) for side in (False, True)]
    rows = np.sort(np.concatenate([draw.permutation(side)[:MOST_ROWS] for side in sides]))
    texts, numbers, is_test = [texts[row] for row in rows], numbers[rows], is_test[rows]
    options = {"analyzer": "char"} if unit == "character" else {"token_pattern": r"\S+"}
    hashed = HashingVectorizer(
        n_features=HASHED_FEATURES, ngram_range=(1, 2), alternate_sign=False, norm=None, **options
    )
    counts = hashed.transform(texts)
    dense = _standardised(numbers)
    areas = []
    for training, held_out in StratifiedKFold(folds, shuffle=True, random_state=seed).split(dense, is_test):
        weights = TfidfTransformer(sublinear_tf=True).fit(counts[training])
        features = hstack([weights.transform(counts), csr_matrix(dense)], format="csr")
        classifier = LogisticRegression(solver="liblinear", random_state=seed)
        classifier.fit(features[training], is_test[training])
        areas.append(float(roc_auc_score(is_test[held_out], classifier.decision_function(features[held_out]))))
    return tuple(areas)


def _standardised(numbers: Doubles) -> Doubles:
    """Centre and scale each column, unknown values at the centre, with a missing flag a column behind them."""
    missing = np.isnan(numbers)
    known = (~missing).sum(axis=0)
    centre = np.where(missing, 0.0, numbers).sum(axis=0) / np.maximum(known, 1)
    centred = np.where(missing, 0.0, numbers - centre)
    scale = np.sqrt((centred**2).sum(axis=0) / np.maximum(known, 1))
    return np.hstack([centred / np.where(scale > 0, scale, 1.0), missing.astype(np.float64)])
