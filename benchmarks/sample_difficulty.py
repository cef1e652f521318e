"""How hard the sample contest is: an oracle of its hidden facts against the linear member alone.

    python benchmarks/sample_difficulty.py --train 1500 --test 500 --seed 0

The oracle applies the generator's medical rules to the facts that each test record states; it loses what stood in
sections left out. The linear member reads the text: jieba words and character n-grams, one logistic regression a
label, each label's threshold from out-of-fold probabilities. All labels are fitted at once here, in the space that the
training records span, where the same problem has as many unknowns as there are records. The last line is JSON.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.sparse import csr_matrix, hstack
from scipy.special import expit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import KFold

from polydx.contest.sample import Hidden, Sample, generate
from polydx.contest.sample.frequencies import OFFICIAL_COUNTS
from polydx.contest.sample.generate import COLUMNS
from polydx.ensemble.thresholds import f1_thresholds
from polydx.judge.metrics import label_scores, macro_f1
from polydx.text.demographics import parse_age, parse_sex
from polydx.text.normalise import SectionCleaner
from polydx.text.sections import compose
from polydx.text.words import words

Mask = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
FOLDS = 3
HEADINGS = (("主诉",), ("现病史",), ("既往史",), ("体格检查", "查体"), ("辅助检查",))
PLACEHOLDERS = ("无", "暂缺")
INVERSE_REGULARISATION = 20.0
MAX_ITERATIONS = 60
SMALLEST_EIGENVALUE = 1e-8


def targets(label_sets: Sequence[Sequence[str] | set[str]]) -> Mask:
    """`[records, labels]`, bool, official labels in official order."""
    return np.array([[name in labels for name in OFFICIAL_COUNTS] for labels in label_sets])


def text(hidden: Hidden) -> str:
    """A record's text as models read it, cleaned."""
    sections = []
    for headings, column in zip(HEADINGS, COLUMNS.values(), strict=True):
        raw = hidden.record[column]
        cleaned, _ = SectionCleaner(headings, PLACEHOLDERS, "zh").clean(None if raw is None else str(raw))
        sections.append((headings[0], cleaned))
    age, sex = hidden.record["age"], hidden.record["gender"]
    years, _ = parse_age(None if age is None else str(age))
    return compose(parse_sex(None if sex is None else str(sex))[0], years, sections, "zh").text


def oracle_macro_f1(sample: Sample) -> float:
    """Score of the rules on the test records' facts."""
    test = sample.part("test")
    inferred = [sample.knowledge.infer(hidden.facts, hidden.case.patient) for hidden in test]
    return macro_f1(targets(inferred), targets([hidden.case.labels for hidden in test]))


def linear_scores(sample: Sample) -> Doubles:
    """F1 of the linear member on the test records, for each label."""
    train, test = sample.part("train"), sample.part("test")
    train = [hidden for hidden in train if hidden.official_labels()]
    truth, wanted = (targets([hidden.case.labels for hidden in part]) for part in (train, test))
    counted, unseen = count([text(hidden) for hidden in train], [text(hidden) for hidden in test])
    probabilities = np.zeros(truth.shape, dtype=np.float32)
    for rows, held_out in KFold(FOLDS, shuffle=True, random_state=0).split(truth):
        probabilities[held_out] = predict(counted[rows], truth[rows], counted[held_out])
    decided = predict(counted, truth, unseen) >= f1_thresholds(probabilities, truth)
    return label_scores(decided, wanted).f1


def count(train: list[str], test: list[str]) -> tuple[csr_matrix, csr_matrix]:
    """TF-IDF of words and character n-grams, `[records, n-grams]`, as the linear member counts them."""
    recipe = partial(TfidfVectorizer, sublinear_tf=True, min_df=2)
    vectorizers = (
        recipe(tokenizer=partial(words, language="zh"), token_pattern=None, ngram_range=(1, 2)),
        recipe(analyzer="char", ngram_range=(1, 3)),
    )
    counted = hstack([vectorizer.fit_transform(train) for vectorizer in vectorizers], format="csr")
    return counted, hstack([vectorizer.transform(test) for vectorizer in vectorizers], format="csr")


def predict(train: csr_matrix, truth: Mask, test: csr_matrix) -> npt.NDArray[np.float32]:
    """Fit one logistic regression a label, its intercept penalised as liblinear does, and return probabilities."""
    values, vectors = np.linalg.eigh((train @ train.T).toarray() + 1.0)
    kept = values > SMALLEST_EIGENVALUE
    roots, vectors = np.sqrt(values[kept]), vectors[:, kept]
    spanned, signs = vectors * roots, np.where(truth, 1.0, -1.0)

    def loss(flat: Doubles) -> tuple[float, Doubles]:
        weights = flat.reshape(-1, truth.shape[1])
        margins = signs * (spanned @ weights)
        gradient = weights - INVERSE_REGULARISATION * spanned.T @ (signs * expit(-margins))
        value = (weights**2).sum() / 2 + INVERSE_REGULARISATION * np.logaddexp(0.0, -margins).sum()
        return float(value), gradient.ravel()

    start = np.zeros(spanned.shape[1] * truth.shape[1])
    best = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": MAX_ITERATIONS}).x
    projected = ((test @ train.T).toarray() + 1.0) @ (vectors / roots)
    probabilities: npt.NDArray[np.float32] = expit(projected @ best.reshape(-1, truth.shape[1])).astype(np.float32)
    return probabilities


def main() -> None:
    """Generate, score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=int, default=1500)
    parser.add_argument("--test", type=int, default=500)
    parser.add_argument("--unlabelled", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sample = generate(arguments.train, arguments.test, arguments.unlabelled, arguments.seed)
    lengths = [hidden.characters for hidden in sample.records]
    scores = linear_scores(sample)
    for name, score in zip(OFFICIAL_COUNTS, scores, strict=True):
        positives = sum(name in hidden.case.labels for hidden in sample.part("train"))
        print(f"{score:.3f} {positives:5d} {name}")
    summary = {
        "oracle_macro_f1": round(oracle_macro_f1(sample), 4),
        "linear_macro_f1": round(float(scores.mean()), 4),
        "characters": {"min": min(lengths), "median": statistics.median(lengths), "max": max(lengths)},
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
