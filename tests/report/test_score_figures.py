"""Pictures of scores, read back from the axes they are drawn on."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from polydx.report import score_figures


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is drawn; it is written all the same."""
    figures: list[Figure] = []
    picture = score_figures.picture

    @contextlib.contextmanager
    def kept(*arguments: object):
        with picture(*arguments) as figure:
            figures.append(figure)
            yield figure

    monkeypatch.setattr(score_figures, "picture", kept)
    return figures


def bars(figure: Figure, place: int) -> dict[str, float]:
    axes = figure.axes[place]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    return dict(zip(names, (bar.get_width() for bar in axes.patches), strict=True))


def test_importance_sums_kinds_and_lists_the_columns_that_gained_most(tmp_path: Path, drawn: list[Figure]) -> None:
    shares = {"log-odds by a": 0.4, "rate in its run": 0.3, "log-odds by b": 0.2, "age_years": 0.1}
    shares |= {f"number_{column}": 0.0 for column in range(30)}
    score_figures.importance(tmp_path / "one.png", shares)
    kinds = bars(drawn[0], 0)
    assert list(kinds) == ["members' log-odds", "neighbours' labels", "the record's features"]
    assert list(kinds.values()) == pytest.approx([0.6, 0.3, 0.1])
    assert bars(drawn[0], 1) == pytest.approx(dict(list(shares.items())[: score_figures.MOST_COLUMNS]))
    score_figures.importance(tmp_path / "two.png", shares)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_trees_that_gain_nothing_are_drawn_too(tmp_path: Path, drawn: list[Figure]) -> None:
    score_figures.importance(tmp_path / "none.png", {"log-odds by a": 0.0, "label": 0.0})
    assert bars(drawn[0], 1) == {"log-odds by a": 0.0, "label": 0.0}


@pytest.mark.parametrize(
    ("labels", "title", "cuts"),
    [
        (80, "Final choice, label by label", []),
        (83, "Final choice, label by label:\nthe best 40 and the worst 40 of 83", [39.5]),
    ],
)
def test_a_cut_between_labels_is_shown(
    tmp_path: Path, drawn: list[Figure], labels: int, title: str, cuts: list[float]
) -> None:
    f1 = np.linspace(0.0, 1.0, labels)
    score_figures.label_f1(tmp_path / "f1.png", f1, np.arange(labels), [f"l{label}" for label in range(labels)])
    axes = drawn[0].axes[0]
    assert axes.get_title(loc="left") == title
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    best = [f"l{label}" for label in reversed(range(labels))]
    assert names == best[:40] + best[-40:]
    assert [line.get_ydata()[0] for line in axes.lines if len(set(line.get_ydata())) == 1] == cuts
