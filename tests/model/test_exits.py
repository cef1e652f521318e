"""Exit rules by plain loops; rows that really leave get what the rule says; one knob; the file."""

import copy
import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertForSequenceClassification

from polydx.errors import UserError
from polydx.model.exit_rules import (
    KINDS,
    ExitRule,
    change,
    cuts_at_rates,
    leave,
    normalised_entropy,
    set_speed,
    work_done,
    work_saved,
    work_shares,
)
from polydx.model.exit_running import all_exits, run_with_exits
from polydx.model.exit_speeds import SPEEDS, SPEEDS_FILE, read_speed, save_speeds, speed_table
from polydx.model.exits import EXITS_FILE, Exits, load_exits, save_exits
from polydx.names import ExitRuleName

LAYERS, LABELS, ROWS = 5, 3, 40
CUTS = torch.tensor([0.5, 0.4, 0.6])


def bits(p: float) -> float:
    return -sum(q * math.log2(q) for q in (p, 1 - p) if q > 0)


@pytest.fixture(scope="module")
def probabilities() -> torch.Tensor:
    """Of each exit, drifting from layer to layer."""
    draw = torch.Generator().manual_seed(0)
    return torch.randn(LAYERS, ROWS, LABELS, generator=draw).cumsum(0).sigmoid()


@pytest.fixture(scope="module")
def model() -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30,
        hidden_size=8,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=LABELS,
        initializer_range=0.5,
    )
    return BertForSequenceClassification(config).eval()


@pytest.fixture(scope="module")
def exits() -> Exits:
    torch.manual_seed(1)
    return Exits(8, LABELS, LAYERS, 0.1).eval()


@pytest.fixture(scope="module")
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    lengths = torch.randint(3, 9, (ROWS, 1), generator=draw)
    mask = (torch.arange(8) < lengths).long()
    return torch.randint(5, 30, (ROWS, 8), generator=draw) * mask, mask


@torch.inference_mode()
def answers_of(
    model: BertForSequenceClassification, exits: Exits, batch: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """Probabilities `[exits, rows, labels]`."""
    return all_exits(model, exits, *batch).sigmoid().transpose(0, 1)


def test_entropy_and_change_by_a_loop(probabilities: torch.Tensor) -> None:
    now, before = probabilities[1], probabilities[0]
    for row in range(ROWS):
        p, q = now[row].tolist(), before[row].tolist()
        assert normalised_entropy(now)[row].item() == pytest.approx(sum(map(bits, p)) / LABELS, abs=1e-6)
        jensen = [bits((a + b) / 2) - (bits(a) + bits(b)) / 2 for a, b in zip(p, q, strict=True)]
        assert change(now, before)[row].item() == pytest.approx(sum(jensen) / LABELS, abs=1e-6)
    certain = torch.tensor([[0.0, 1.0]])
    assert normalised_entropy(certain).item() == 0
    assert change(certain, 1 - certain).item() == pytest.approx(1.0)


def taken_by(rule: ExitRule, answers: torch.Tensor) -> int:
    """The exit of one row, `[exits, labels]`, step by step."""
    streak = 0
    for number in range(LAYERS - 1):
        now = answers[number]
        if rule.kind == "entropy":
            if sum(map(bits, now.tolist())) / LABELS <= rule.bar:
                return number
            continue
        if number:
            before = answers[number - 1]
            decided = ((now >= CUTS) == (before >= CUTS)).all().item()
            same = decided if rule.kind == "patience" else change(now[None], before[None]).item() <= rule.bar
            streak = streak + 1 if same else 0
            if streak >= rule.patience:
                return number
    return LAYERS - 1


RULES = [
    ExitRule("entropy", bar=0.6),
    ExitRule("patience", patience=1),
    ExitRule("patience", patience=2),
    ExitRule("similarity", bar=0.03, patience=1),
    ExitRule("similarity", bar=0.1, patience=2),
]


@pytest.mark.parametrize("rule", RULES)
def test_rules_by_a_loop(probabilities: torch.Tensor, rule: ExitRule) -> None:
    found = leave(rule, probabilities, CUTS).tolist()
    assert found == [taken_by(rule, probabilities[:, row]) for row in range(ROWS)]
    assert len(set(found)) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_leave_the_batch_get_what_the_rule_says(
    model: BertForSequenceClassification, exits: Exits, batch: tuple[torch.Tensor, torch.Tensor], kind: ExitRuleName
) -> None:
    answers = answers_of(model, exits, batch)
    cuts = answers[:-1].flatten(0, 1).median(0).values
    rule = set_speed(kind, 0.4, answers, cuts, work_shares(LAYERS, 8, 8, 16))
    expected = leave(rule, answers, cuts)
    assert len(set(expected.tolist())) > 1
    left = run_with_exits(model, exits, *batch, rule, cuts)
    assert left.exits.tolist() == expected.tolist()
    taken = answers[expected, torch.arange(ROWS)]
    torch.testing.assert_close(left.logits.sigmoid(), taken, rtol=0, atol=1e-5)
    alone = run_with_exits(model, exits, batch[0][:1], batch[1][:1], rule, cuts)
    torch.testing.assert_close(alone.logits[0], left.logits[0], rtol=0, atol=1e-5)


def test_later_layers_see_only_the_rows_that_stayed(
    model: BertForSequenceClassification, exits: Exits, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    watched = copy.deepcopy(model)
    seen: list[int] = []
    for layer in watched.bert.encoder.layer:
        layer.output.register_forward_hook(lambda _layer, inputs, _output: seen.append(len(inputs[0])))
    answers = answers_of(model, exits, batch)
    rule = set_speed("entropy", 0.4, answers, CUTS, work_shares(LAYERS, 8, 8, 16))
    left = run_with_exits(watched, exits, *batch, rule, CUTS)
    assert seen == [int((left.exits >= number).sum()) for number in range(LAYERS)]
    assert seen[-1] < seen[0] == ROWS
    seen.clear()
    everyone = run_with_exits(watched, exits, *batch, ExitRule("entropy", bar=1.0), CUTS)
    assert seen == [ROWS]
    assert not everyone.exits.any()


@pytest.mark.parametrize("kind", KINDS)
def test_one_knob_saves_what_it_says(probabilities: torch.Tensor, kind: ExitRuleName) -> None:
    shares = work_shares(LAYERS, 50, 16, 64)
    saved = []
    for speed in (0.0, 0.1, 0.2, 0.3):
        rule = set_speed(kind, speed, probabilities, CUTS, shares)
        saved.append(1 - shares[leave(rule, probabilities, CUTS)].mean().item())
        assert saved[-1] >= speed
    assert saved == sorted(saved)
    assert saved[0] == 0
    if kind != "patience":
        assert saved[-1] == pytest.approx(0.3, abs=0.03)
    least = set_speed(kind, 1.0, probabilities, CUTS, shares)
    assert least.bar == pytest.approx(1.0) or least.patience == 1


def test_work_is_counted_by_hand() -> None:
    shares = work_shares(3, tokens=10, width=4, intermediate=8)
    whole = 10 * (
        3 * 16 + 16 + 2 * 10 * 4 + 2 * 4 * 8
    )  # three projections in, one out, scores and context, feed-forward
    last = 2 * 10 * 16 + 2 * 16 + 2 * 10 * 4 + 2 * 4 * 8  # keys and values of all tokens, the rest for one
    total = 2 * whole + last
    assert shares.tolist() == pytest.approx([whole / total, 2 * whole / total, 1.0])


def test_saved_work_counts_long_records_for_what_they_cost() -> None:
    lengths, taken = torch.tensor([10, 2, 5]), torch.tensor([0, 2, 1])
    done = work_done(3, lengths, width=4, intermediate=8)
    one_by_one = []
    for row, length in enumerate(lengths.tolist()):
        layer = length * (4 * 16 + 2 * length * 4 + 2 * 4 * 8)
        last = 2 * length * 16 + 2 * 16 + 2 * length * 4 + 2 * 4 * 8
        one_by_one.append([layer, 2 * layer, 2 * layer + last])
        shares = work_shares(3, length, width=4, intermediate=8)
        torch.testing.assert_close(done[row] / done[row, -1], shares, rtol=0, atol=1e-12)
    assert done.tolist() == one_by_one
    spent = sum(costs[exit_taken] for costs, exit_taken in zip(one_by_one, taken.tolist(), strict=True))
    assert work_saved(taken, done) == pytest.approx(1 - spent / sum(costs[-1] for costs in one_by_one))
    assert work_saved(torch.full_like(taken, 2), done) == 0


def test_cuts_decide_labels_as_often_as_their_rates() -> None:
    rates = [0.25, 0.1, 0.29, 0.004, 0.0, 1.0]
    probabilities = torch.rand(100, len(rates), generator=torch.Generator().manual_seed(0))
    cuts = cuts_at_rates(probabilities, rates)
    assert (probabilities >= cuts).sum(0).tolist() == [25, 10, 29, 0, 0, 100]
    assert not (torch.ones(len(rates)) >= cuts)[3:5].any(), "nor does any other row reach what none reaches"


def test_exits_are_kept_beside_the_weights(exits: Exits, tmp_path: Path) -> None:
    save_exits(exits, tmp_path)
    (tmp_path / "any").touch()
    assert {file.stat().st_mode for file in tmp_path.iterdir()} == {(tmp_path / "any").stat().st_mode}
    loaded = load_exits(tmp_path)
    assert not loaded.training
    hidden = [torch.randn(2, 4, 8) for _ in range(LAYERS - 1)]
    mask = torch.ones(2, 4, dtype=torch.int64)
    for found, expected in zip(loaded(hidden, mask), exits(hidden, mask), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_the_knobs_settings_are_kept_too(probabilities: torch.Tensor, tmp_path: Path) -> None:
    rates, shares = [0.3, 0.2, 0.1], work_shares(LAYERS, 50, 16, 64)
    save_speeds(speed_table(probabilities, rates, shares), tmp_path)
    cuts = cuts_at_rates(probabilities[-1], rates)
    asked = 0
    for kind in KINDS:
        for speed in SPEEDS:
            rule, kept, saves = read_speed(tmp_path, kind, speed)
            assert rule == set_speed(kind, speed, probabilities, cuts, shares)
            torch.testing.assert_close(kept, cuts, rtol=0, atol=0)
            taken = leave(rule, probabilities, cuts)
            assert saves == pytest.approx(1 - shares[taken].mean().item(), abs=1e-6)
            asked += 1
    assert asked == 3 * len(SPEEDS)
    with pytest.raises(UserError, match=r"speed: is 0\.55; choose one of 0, 0\.1, 0\.2"):
        read_speed(tmp_path, "entropy", 0.55)
    for kind in KINDS:
        rule = read_speed(tmp_path, kind, 0.0).rule
        assert set(leave(rule, probabilities, cuts).tolist()) == {LAYERS - 1}


def test_a_student_without_exits_is_the_users_fault(tmp_path: Path) -> None:
    for read in (load_exits, lambda folder: read_speed(folder, "entropy", 0.0)):
        with pytest.raises(UserError, match=r"without early exits; train it with distil\.exits"):
            read(tmp_path)


SETTINGS = {"bar": 0.5, "patience": 1, "saves": 0.1}


@pytest.mark.parametrize(
    "content",
    [
        '{"cuts": [0.5',
        "[]",
        "null",
        json.dumps({"cuts": [0.5]}),
        json.dumps({"cuts": ["x"], "rules": {"entropy": {"0.1": SETTINGS}}}),
        json.dumps({"cuts": [[0.5]], "rules": {"entropy": {"0.1": SETTINGS}}}),
        json.dumps({"cuts": [0.5], "rules": {"patience": {"0.1": SETTINGS}}}),
        json.dumps({"cuts": [0.5], "rules": {"entropy": {"0.1": {"bar": 0.5}}}}),
        json.dumps({"cuts": [0.5], "rules": {"entropy": {"0.1": SETTINGS | {"bar": "x"}}}}),
        json.dumps({"cuts": [0.5], "rules": {"entropy": {"fast": SETTINGS}}}),
    ],
)
def test_damaged_settings_of_exits_are_the_users_fault(tmp_path: Path, content: str) -> None:
    (tmp_path / SPEEDS_FILE).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"exits\.json: holds no readable speeds \(\w+\); ship the student again"):
        read_speed(tmp_path, "entropy", 0.1)


def test_damaged_exits_are_the_users_fault(exits: Exits, tmp_path: Path) -> None:
    save_exits(exits, tmp_path)
    file = tmp_path / EXITS_FILE
    whole, weights = file.read_bytes(), exits.state_dict()
    damages = [b"", b"no weights", whole[:100], whole[:-1]]
    for wrong in (
        {"other": weights["heads.0.weight"]},
        {**weights, "heads.0.weight": torch.zeros(LABELS)},
        {**weights, "heads.1.weight": weights["heads.1.weight"][:, :2].contiguous()},
        {key: weight for key, weight in weights.items() if key != "heads.2.bias"},
    ):
        save_file(wrong, file)
        damages.append(file.read_bytes())
    assert len(damages) == 8
    for damage in damages:
        file.write_bytes(damage)
        with pytest.raises(UserError, match=r"holds no readable exits \(\w+\); ship the student again"):
            load_exits(tmp_path)
