import io

import pytest
from rich.console import Console

from polydx.report.card import ScoreLine, Training, add_up, card_entries, score_lines, with_training
from polydx.report.terminal import difference_table, score_table


def scores(value: float) -> dict[str, object]:
    interval = [value - 0.1, value + 0.1]
    return {
        "oof_macro_f1": value,
        "oof_interval": interval,
        "optimistic_oof_macro_f1": value + 0.125,
        "test_macro_f1": None,
        "test_interval": None,
        "minus_mean": None,
        "minus_best_single": {"difference": value - 0.5, "interval": [value - 0.75, value - 0.25]},
    }


LEDGER = {
    "final": scores(0.6),
    "members": {"linear.round0": scores(0.5)},
    "student": None,
    "fusion": {"mean": scores(0.55)},
    "choice": {"entry": "mean"},
}
SEEN = {"linear.round0": Training(2, 0, 0, ()), "mean": Training(4, 6, 8, ("bert",))}


def test_reports_add_up_and_an_encoder_counts_once() -> None:
    reports = [{"pseudo_rows": 2, "adversarial_steps": 3}, {"pseudo_rows": 4, "adversarial_steps": 5}]
    assert add_up(reports, ["bert", "ernie", "bert"]) == Training(2, 6, 8, ("bert", "ernie"))


def test_final_choice_takes_what_the_chosen_entry_saw() -> None:
    loss = {"before": 3.0, "after": 2.0}
    card = with_training(LEDGER, SEEN, {"bert": loss})  # type: ignore[dict-item]
    assert card["final"]["pseudo_rows"] == card["fusion"]["mean"]["pseudo_rows"] == 6
    assert card["final"]["masked_lm_loss"] == {"bert": loss}
    assert card["members"]["linear.round0"]["masked_lm_loss"] == {}
    assert card["student"] is None


def test_lines_keep_the_order_and_the_table_shows_test_scores_once_known() -> None:
    card = with_training(LEDGER, SEEN, {"bert": {"before": None, "after": None}})
    card["final"] |= {"test_macro_f1": 0.4321, "test_interval": [0.4, 0.5]}
    lines = score_lines(card)
    assert [line.entry for line in lines] == ["linear.round0", "mean", "final"]
    assert lines[-1] == ScoreLine(
        entry="final",
        kind="final",
        oof=0.6,
        oof_interval=(0.5, 0.7),
        optimistic=0.725,
        test=0.4321,
        test_interval=(0.4, 0.5),
        minus_mean=None,
        minus_mean_interval=None,
        minus_best_single=pytest.approx(0.1),
        minus_best_single_interval=pytest.approx((-0.15, 0.35)),
        pseudo_rows=6,
        adversarial_steps=8,
    )
    console = Console(width=110, file=io.StringIO())
    console.print(score_table("tiny", lines))
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "0.6000" in printed
    assert "0.5000 to 0.7000" in printed
    assert "0.4321" in printed
    assert printed.count("–") == 4


def test_every_entry_is_listed_once_members_first() -> None:
    listed = card_entries(LEDGER | {"student": scores(0.4)})
    assert [(name, kind) for name, kind, _ in listed] == [
        ("linear.round0", "member"),
        ("student", "student"),
        ("mean", "fusion"),
        ("final", "final"),
    ]
    assert listed[-1][2] is LEDGER["final"]


def test_differences_are_shown_with_signs_and_of_fusions_alone() -> None:
    card = with_training(LEDGER, SEEN, {"bert": {"before": None, "after": None}})
    mean = card["fusion"]["mean"]
    mean |= {"minus_mean": {"difference": 0.0, "interval": [0.0, 0.0]}, "optimistic_oof_macro_f1": 0.987}
    console = Console(width=110, file=io.StringIO())
    console.print(difference_table(score_lines(card), "linear.round0"))
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "0.9870" in printed
    assert "+0.1000" in printed
    assert "-0.1500 to +0.3500" in printed
    assert "best single: linear.round0" in printed
    assert len([line for line in printed.splitlines() if "mean " in line or "final" in line]) == 3  # with the heading
