"""How hard the sample contest is: an oracle of its hidden facts against the linear member alone.

    python benchmarks/sample_difficulty.py --train 1500 --test 500 --seed 0

The oracle applies the generator's medical rules to the facts that each test record states; it loses what stood in
sections left out. The linear member reads the text: jieba words and character n-grams, one logistic regression a label,
each label's threshold from out-of-fold probabilities. The last line is JSON.
"""

import argparse
import json
import statistics
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import KFold

from polydx.contest.sample import Hidden, Sample, generate
from polydx.contest.sample.frequencies import OFFICIAL_COUNTS
from polydx.contest.sample.generate import COLUMNS
from polydx.ensemble.thresholds import f1_thresholds
from polydx.judge.metrics import macro_f1
from polydx.model.linear import Features, LinearModel, fit_linear
from polydx.text.demographics import parse_age, parse_sex
from polydx.text.normalise import SectionCleaner
from polydx.text.sections import compose

Mask = npt.NDArray[np.bool_]
FOLDS = 3
HEADINGS = (("主诉",), ("现病史",), ("既往史",), ("体格检查", "查体"), ("辅助检查",))
PLACEHOLDERS = ("无", "暂缺")
FEATURES = Features("zh", word_ngrams=2, character_ngrams=(1, 3), stop_words=None)


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
    return compose(parse_sex(None if sex is None else str(sex))[0], years, sections, "zh")


def oracle_macro_f1(sample: Sample) -> float:
    """Score of the rules on the test records' facts."""
    test = sample.part("test")
    inferred = [sample.knowledge.infer(hidden.facts, hidden.case.patient) for hidden in test]
    return macro_f1(targets(inferred), targets([hidden.case.labels for hidden in test]))


def linear_scores(sample: Sample) -> npt.NDArray[np.float64]:
    """F1 of the linear member on the test records, for each label."""
    train, test = sample.part("train"), sample.part("test")
    train = [hidden for hidden in train if hidden.official_labels()]
    texts, truth = np.array([text(hidden) for hidden in train]), targets([hidden.case.labels for hidden in train])
    probabilities = np.zeros(truth.shape, dtype=np.float32)
    for rows, held_out in KFold(FOLDS, shuffle=True, random_state=0).split(texts):
        probabilities[held_out] = fit(list(texts[rows]), truth[rows]).probabilities(list(texts[held_out]))
    predicted = fit(list(texts), truth).probabilities([text(hidden) for hidden in test])
    decided = predicted >= f1_thresholds(probabilities, truth)
    wanted = targets([hidden.case.labels for hidden in test])
    hits = (decided & wanted).sum(axis=0)
    scores: npt.NDArray[np.float64] = 2 * hits / np.maximum(decided.sum(axis=0) + wanted.sum(axis=0), 1)
    return scores


def fit(texts: list[str], truth: Mask) -> LinearModel:
    """Fit the linear member with its default settings."""
    return fit_linear(
        texts,
        truth.astype(np.float32),
        np.ones(len(texts), dtype=np.float32),
        FEATURES,
        min_documents=2,
        max_features=200_000,
        inverse_regularisation=20.0,
        threads=1,
    )


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
