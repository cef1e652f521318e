import numpy as np
import pytest
from scipy.sparse import coo_array, csc_matrix, csr_matrix
from sklearn.datasets import make_classification
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.naive_bayes import GaussianNB
from sklearn.utils.estimator_checks import check_estimator

from polydx.ensemble.estimator import ThresholdClassifier
from polydx.ensemble.thresholds import decide, half_f1_thresholds, pooled_threshold, shrunk_thresholds

ITS_TABLE_IS_NOT_THE_LABELS = (
    "fits 5 labels on 2 columns, or 3 on 20, of counts above 1: a column of a threshold is its label's probability"
)
"""The one reason of all five. To pass, `fit` would have to cut columns that are no probability of the label."""
EXPECTED_FAILURES = {
    "check_classifier_multioutput": ITS_TABLE_IS_NOT_THE_LABELS,
    "check_classifiers_multilabel_representation_invariance": ITS_TABLE_IS_NOT_THE_LABELS,
    "check_classifiers_multilabel_output_format_predict": ITS_TABLE_IS_NOT_THE_LABELS,
    "check_classifiers_multilabel_output_format_predict_proba": ITS_TABLE_IS_NOT_THE_LABELS,
    "check_classifiers_multilabel_output_format_decision_function": ITS_TABLE_IS_NOT_THE_LABELS,
}


def problem(rows=300, labels=5, seed=0):
    draw = np.random.default_rng(seed)
    targets = draw.random((rows, labels)) < np.linspace(0.4, 0.03, labels)
    return np.clip(0.3 * targets + 0.7 * draw.random((rows, labels)), 0, 1).astype(np.float32), targets


@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_own_checks():
    done = check_estimator(ThresholdClassifier(), expected_failed_checks=EXPECTED_FAILURES, on_fail=None, on_skip=None)
    assert not [(check["check_name"], check["exception"]) for check in done if check["status"] == "failed"]
    assert {check["check_name"] for check in done if check["status"] == "xfail"} == set(EXPECTED_FAILURES)
    assert sum(check["status"] == "passed" for check in done) > 50


def test_a_table_of_labels_is_decided_as_by_the_functions():
    probabilities, targets = problem()
    model = ThresholdClassifier(prior=10.0, min_labels=1, max_labels=2).fit(probabilities, targets)
    np.testing.assert_array_equal(model.thresholds_, shrunk_thresholds(probabilities, targets, 10.0))
    found = model.predict(probabilities)
    np.testing.assert_array_equal(found, decide(probabilities, model.thresholds_, 1, 2))
    assert found.dtype == np.int64 and found.sum(axis=1).max() == 2 and found.sum(axis=1).min() == 1
    np.testing.assert_array_equal(
        found, model.fit(probabilities.astype(np.float64), targets * 1).predict(probabilities)
    )


@pytest.mark.parametrize("method", ["shrunk", "pooled", "half_f1"])
def test_every_method_of_the_rule(method):
    probabilities, targets = problem()
    model = ThresholdClassifier(prior=10.0, method=method).fit(probabilities, targets)
    expected = {
        "shrunk": shrunk_thresholds(probabilities, targets, 10.0),
        "pooled": np.full(5, pooled_threshold(probabilities, targets)),
        "half_f1": half_f1_thresholds(probabilities, targets, 10.0),
    }
    np.testing.assert_array_equal(model.thresholds_, expected[method])
    np.testing.assert_array_equal(model.predict(probabilities), probabilities >= expected[method])
    one = ThresholdClassifier(prior=10.0, method=method).fit(probabilities[:, :1], targets[:, 0])
    alone = half_f1_thresholds(probabilities[:, :1], targets[:, :1], 10.0)
    own = shrunk_thresholds(probabilities[:, :1], targets[:, :1], 0.0)
    np.testing.assert_array_equal(one.thresholds_, alone if method == "half_f1" else own)


def test_the_expected_failures_pass_where_the_columns_are_the_labels():
    probabilities, targets = problem()
    wanted = ThresholdClassifier().fit(probabilities, targets.astype(int)).predict(probabilities)
    for table, truth in ((probabilities.tolist(), targets.tolist()), (np.asfortranarray(probabilities), targets * 1.0)):
        found = ThresholdClassifier().fit(table, truth).predict(table)
        np.testing.assert_array_equal(found, wanted)
        assert found.shape == targets.shape


@pytest.mark.parametrize("form", [csr_matrix, csc_matrix, coo_array])
def test_sparse_labels_are_the_same_labels(form):
    probabilities, targets = problem()
    wanted = ThresholdClassifier().fit(probabilities, targets)
    found = ThresholdClassifier().fit(probabilities, form(targets.astype(int)))
    np.testing.assert_array_equal(found.thresholds_, wanted.thresholds_)
    np.testing.assert_array_equal(found.predict(probabilities), wanted.predict(probabilities))


def test_it_ends_a_stack_of_scikit_learns():
    columns, truth = make_classification(500, weights=[0.85], random_state=0)
    names = np.array(["well", "ill"])[truth]
    stack = StackingClassifier([("linear", LogisticRegression()), ("bayes", GaussianNB())], ThresholdClassifier())
    assert f1_score(names, stack.fit(columns, names).predict(columns), pos_label="ill") > 0.7


def test_what_does_not_fit_is_refused():
    probabilities, targets = problem()
    with pytest.raises(ValueError, match="5 columns of probabilities for 4 labels"):
        ThresholdClassifier().fit(probabilities, targets[:, :4])
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        ThresholdClassifier().fit(probabilities * 3, targets)
    with pytest.raises(ValueError, match="other than 0 and 1"):
        ThresholdClassifier().fit(probabilities, targets * 2)
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        ThresholdClassifier(method="half_f1").fit(probabilities[:, :1] * 3, targets[:, 0])
    with pytest.raises(ValueError, match="'none': choose one of shrunk, pooled, half_f1"):
        ThresholdClassifier(method="none").fit(probabilities, targets)
    for arguments, expected in (
        ({"prior": -5}, "prior -5: it is 0 or more"),
        ({"min_labels": -1}, "min_labels -1: it is 0 or more"),
        ({"max_labels": 0}, "max_labels 0: it is at least 1 and min_labels, 0"),
        ({"min_labels": 3, "max_labels": 2}, "max_labels 2: it is at least 1 and min_labels, 3"),
    ):
        with pytest.raises(ValueError, match=expected):
            ThresholdClassifier(**arguments).fit(probabilities, targets)
