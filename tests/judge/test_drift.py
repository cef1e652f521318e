import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polydx.judge import drift
from polydx.judge.drift import adversarial_auc, feature_shift

numbers = st.lists(st.integers(0, 20).map(float) | st.just(float("nan")), max_size=30)


def slow_statistic(train: np.ndarray, test: np.ndarray) -> float:
    return max(abs(np.mean(train <= value) - np.mean(test <= value)) for value in np.concatenate([train, test]))


@given(numbers, numbers)
def test_statistic_is_the_largest_distance_of_the_distributions(first: list[float], second: list[float]) -> None:
    train, test = np.array(first), np.array(second)
    known_train, known_test = train[~np.isnan(train)], test[~np.isnan(test)]
    shift = feature_shift(train, test)
    if not len(known_train) or not len(known_test):
        assert shift is None
    else:
        assert shift is not None
        assert shift.statistic == pytest.approx(slow_statistic(known_train, known_test))
        assert (shift.train_rows, shift.test_rows) == (len(known_train), len(known_test))


def test_p_value_tells_drift_from_none() -> None:
    draw = np.random.default_rng(0)
    train = draw.normal(size=500)
    same, moved = feature_shift(train, draw.normal(size=400)), feature_shift(train, draw.normal(0.5, 1.0, 400))
    assert same is not None
    assert moved is not None
    assert same.p_value > 0.05
    assert moved.p_value < 1e-6


WORDS = ("cough", "fever", "rash", "pain", "nausea", "oedema", "fall", "fracture")


def corpus(draw: np.random.Generator, rows: int) -> list[str]:
    return [" ".join(draw.choice(WORDS, 6)) for _ in range(rows)]


def area(texts: list[str], features: np.ndarray, is_test: np.ndarray, unit: str = "word") -> float:
    areas = adversarial_auc(texts, features, is_test, unit=unit, folds=4, seed=0)  # type: ignore[arg-type]
    assert len(areas) == 4
    assert areas == adversarial_auc(texts, features, is_test, unit=unit, folds=4, seed=0)  # type: ignore[arg-type]
    return float(np.mean(areas))


@pytest.mark.parametrize("unit", ["word", "character"])
def test_adversarial_auc_is_a_coin_toss_without_drift_and_one_with_a_giveaway(unit: str) -> None:
    draw = np.random.default_rng(1)
    texts, is_test = corpus(draw, 300), np.arange(300) % 2 == 0
    features = draw.normal(size=(300, 2))
    assert 0.35 < area(texts, features, is_test, unit) < 0.65
    given_away = [f"{text} ward9" if test else text for text, test in zip(texts, is_test, strict=True)]
    assert area(given_away, features, is_test, unit) > 0.99


def test_adversarial_auc_sees_numbers_and_what_is_missing() -> None:
    draw = np.random.default_rng(2)
    texts, is_test = corpus(draw, 300), np.arange(300) % 2 == 0
    features = draw.normal(size=(300, 1))
    assert area(texts, features + 3.0 * is_test[:, None], is_test) > 0.95
    assert area(texts, np.where(is_test[:, None], np.nan, features), is_test) > 0.99


def test_too_few_rows_have_no_area() -> None:
    texts, is_test = ["a", "b", "c", "d"], np.array([True, False, False, False])
    assert adversarial_auc(texts, np.zeros((4, 1)), is_test, unit="word", folds=2, seed=0) == ()


def test_of_many_rows_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(5)
    texts, is_test = corpus(draw, 300), np.arange(300) % 3 == 0
    features = draw.normal(size=(300, 1)) + 3.0 * is_test[:, None]
    monkeypatch.setattr(drift, "MOST_ROWS", 60)
    seen = []
    standardised = drift._standardised
    monkeypatch.setattr(drift, "_standardised", lambda numbers: seen.append(len(numbers)) or standardised(numbers))
    assert area(texts, features, is_test) > 0.95
    assert set(seen) == {120}
