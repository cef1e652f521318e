import io

from rich.console import Console

from polydx.report.card import ScoreLine, Training, add_up, score_lines, with_training
from polydx.report.terminal import score_table


def scores(value: float) -> dict[str, object]:
    interval = [value - 0.1, value + 0.1]
    return {"oof_macro_f1": value, "oof_interval": interval, "test_macro_f1": None, "test_interval": None}


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
    assert lines[-1] == ScoreLine("final", "final", 0.6, (0.5, 0.7), 0.4321, (0.4, 0.5), 6, 8)
    console = Console(width=110, file=io.StringIO())
    console.print(score_table("tiny", lines))
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "0.6000" in printed
    assert "0.5000 to 0.7000" in printed
    assert "0.4321" in printed
    assert printed.count("–") == 4
