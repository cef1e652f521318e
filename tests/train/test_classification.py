from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from polydx.model.tokens import TokenTable
from polydx.train import classification
from polydx.train.classification import (
    ClassificationTask,
    LabelledExamples,
    log_loss,
    predict_probabilities,
    train_classifier,
)
from polydx.train.loop import Recipe
from polydx.train.losses import bce, soft_f1
from polydx.train.losses.objective import LossShapes, Objective, bce_and_soft_f1

ROWS, LABELS = 60, 3
CPU = torch.device("cpu")
RECIPE = Recipe(
    epochs=2.0,
    batch_size=8,
    learning_rate=1e-2,
    head_learning_rate=1e-2,
    weight_decay=0.0,
    warmup_share=0.1,
    clip_norm=1.0,
    bf16=False,
    checkpoint_seconds=1e9,
    seed=3,
)


class Model(nn.Module):
    """Masked mean of embeddings under a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(40, 8, padding_idx=0)
        self.head = nn.Linear(8, LABELS)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        mask = attention_mask[..., None]
        logits: Tensor = self.head((self.embedding(input_ids) * mask).sum(1) / mask.sum(1))
        return logits


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return Model()


@pytest.fixture
def tokens() -> TokenTable:
    draw = np.random.default_rng(0)
    lengths = draw.integers(1, 30, ROWS)
    ids = draw.integers(1, 40, lengths.sum()).astype(np.int32)
    return TokenTable(ids, np.concatenate([[0], np.cumsum(lengths)]), 0)


def mixed(soft_f1_weight: float) -> Objective:
    targets = np.ones((4, LABELS), dtype=np.float32)
    return Objective(bce_and_soft_f1(soft_f1_weight), {}, (0.0, 1.0), targets, LossShapes())


def examples(tokens: TokenTable, pseudo: int = 20) -> LabelledExamples:
    """40 rows, the last `pseudo` of them pseudo-rows."""
    draw = np.random.default_rng(1)
    targets = (draw.random((40, LABELS)) < 0.5).astype(np.float32)
    targets[40 - pseudo :] = draw.random((pseudo, LABELS))
    return LabelledExamples(tokens, np.arange(5, 45), targets, np.arange(40) >= 40 - pseudo)


@pytest.mark.parametrize("threads", [1, 2])
def test_batched_probabilities_equal_one_by_one(
    model: Model, tokens: TokenTable, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setattr(classification, "PREDICTION_TOKENS", 100)
    rows = np.random.default_rng(2).permutation(ROWS)[:50]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = predict_probabilities(model, tokens, rows, LABELS, CPU, bf16=False)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert found.dtype == np.float32
    with torch.inference_mode():
        for place, row in enumerate(rows):
            ids = torch.from_numpy(tokens.ids[tokens.starts[row] : tokens.starts[row + 1]].astype(np.int64))[None]
            expected = model(ids, torch.ones_like(ids)).sigmoid().numpy()[0]
            np.testing.assert_allclose(found[place], expected, rtol=0, atol=1e-6)


def test_no_rows_have_no_probabilities(model: Model, tokens: TokenTable) -> None:
    found = predict_probabilities(model, tokens, np.zeros(0, dtype=np.int64), LABELS, CPU, bf16=False)
    assert found.shape == (0, LABELS)


def test_a_batch_holds_the_rows_asked_for(tokens: TokenTable) -> None:
    some = examples(tokens)
    batch = some.batch(np.array([1, 39]), np.random.default_rng(0))
    ids, mask = tokens.pad(np.array([6, 44]))
    assert torch.equal(batch["input_ids"], ids) and torch.equal(batch["attention_mask"], mask)
    assert batch["pseudo"].tolist() == [False, True]
    np.testing.assert_array_equal(batch["targets"].numpy(), some.targets[[1, 39]])
    np.testing.assert_array_equal(some.lengths, tokens.lengths[5:45])


def test_the_fingerprint_follows_every_part(tokens: TokenTable) -> None:
    some = examples(tokens)
    ids, targets = tokens.ids.copy(), some.targets.copy()
    ids[0] += 1
    targets[0, 0] = 0.25
    others = [
        LabelledExamples(TokenTable(ids, tokens.starts, 0), some.rows, some.targets, some.pseudo),
        LabelledExamples(tokens, some.rows[::-1], some.targets, some.pseudo),
        LabelledExamples(tokens, some.rows, targets, some.pseudo),
        LabelledExamples(tokens, some.rows, some.targets, ~some.pseudo),
    ]
    assert examples(tokens).fingerprint() == some.fingerprint()
    assert len({some.fingerprint(), *(other.fingerprint() for other in others)}) == 5


@pytest.mark.parametrize("soft_f1_weight", [0.0, 0.3, 1.0])
def test_pseudo_rows_of_weight_zero_are_left_out_but_for_the_divisor(
    model: Model, tokens: TokenTable, soft_f1_weight: float
) -> None:
    some = examples(tokens)
    chosen = np.array([0, 7, 19, 20, 30, 39])
    batch, real = (some.batch(rows, np.random.default_rng(0)) for rows in (chosen, chosen[:3]))
    loss = ClassificationTask(model, mixed(soft_f1_weight), lambda _progress: 0.0)(batch, 0.5)
    logits, weights = model(real["input_ids"], real["attention_mask"]), torch.ones(3)
    expected = (1 - soft_f1_weight) * bce(logits, real["targets"], weights) * 3 / 6
    expected += soft_f1_weight * soft_f1(logits, real["targets"], weights)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)


def test_the_ramp_weighs_pseudo_rows_by_progress(model: Model, tokens: TokenTable) -> None:
    batch = examples(tokens).batch(np.arange(15, 25), np.random.default_rng(0))
    task = ClassificationTask(model, mixed(0.0), lambda progress: 4 * progress)
    logits = model(batch["input_ids"], batch["attention_mask"])
    for progress in (0.0, 0.25, 0.9):
        weights = torch.tensor([1.0] * 5 + [4 * progress] * 5)
        assert task(batch, progress).item() == pytest.approx(bce(logits, batch["targets"], weights).item(), abs=1e-6)


def fit(
    model: Model, some: LabelledExamples, folder: Path, inner: npt.NDArray[np.bool_] | None, ramp: float = 0.0
) -> bytes:
    train_classifier(
        model,
        some,
        RECIPE,
        name="test",
        device=CPU,
        checkpoint=folder / "job",
        depends_on="",
        objective=mixed(0.2),
        pseudo_weight=lambda progress: ramp * progress,
        adversary=None,
        adversary_start_epoch=0.0,
        inner=inner,
    )
    return b"".join(value.detach().numpy().tobytes() for value in model.parameters())


def new_model() -> Model:
    torch.manual_seed(0)
    return Model()


def test_training_learns_from_pseudo_rows_only_when_they_weigh(tokens: TokenTable, tmp_path: Path) -> None:
    some = examples(tokens)
    changed = some.targets.copy()
    changed[some.pseudo] = 1 - changed[some.pseudo]
    other = LabelledExamples(tokens, some.rows, changed, some.pseudo)
    assert fit(new_model(), some, tmp_path, None) == fit(new_model(), other, tmp_path, None)
    assert fit(new_model(), some, tmp_path, None, 1.0) != fit(new_model(), other, tmp_path, None, 1.0)


def test_examples_are_parted(tokens: TokenTable) -> None:
    some = examples(tokens)
    chosen = np.arange(len(some.rows)) % 3 == 0
    inner, rest = some.take(chosen), some.take(~chosen)
    assert sorted([*inner.rows, *rest.rows]) == list(some.rows)
    assert inner.pseudo.sum() + rest.pseudo.sum() == some.pseudo.sum()
    for part in (inner, rest):
        np.testing.assert_array_equal(part.targets, some.targets[part.rows - 5])


def test_the_inner_score_sees_its_slice_and_nothing_else(
    tokens: TokenTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = examples(tokens)
    inner = np.isin(np.arange(len(some.rows)), [3, 8, 11])
    scored: list[list[int]] = []

    def spy(score, tokens, rows, *rest):  # type: ignore[no-untyped-def]
        scored.append(rows.tolist())
        return predict_probabilities(score, tokens, rows, *rest)

    monkeypatch.setattr(classification, "predict_probabilities", spy)
    fit(new_model(), some, tmp_path, inner)
    assert scored == [some.rows[inner].tolist()] * 2


def test_log_loss_by_hand_and_clipped() -> None:
    targets = np.array([[1.0, 0.0]], dtype=np.float32)
    found = log_loss(targets, np.array([[0.8, 0.4]], dtype=np.float32))
    assert found == pytest.approx(-(np.log(0.8) + np.log(0.6)) / 2)
    assert log_loss(targets, 1 - targets) == pytest.approx(-np.log(1e-7), rel=1e-3)


class SideModel(Model):
    """Adds one number beside the text to every logit."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor, side: Tensor | None = None) -> Tensor:
        assert side is not None
        return super().forward(input_ids, attention_mask) + side


def test_numbers_beside_the_text_reach_the_model_in_training_and_prediction(tokens: TokenTable) -> None:
    torch.manual_seed(0)
    side_model, side = SideModel(), np.arange(ROWS, dtype=np.float32)[:, None]
    with_side = replace(tokens, side=side)
    some = replace(examples(tokens), tokens=with_side)
    assert some.fingerprint() != examples(tokens).fingerprint()
    assert some.fingerprint() != replace(some, tokens=replace(tokens, side=side + 1)).fingerprint()
    batch = some.batch(np.array([0, 3]), np.random.default_rng(0))
    assert batch["side"].tolist() == [[5.0], [8.0]]
    loss = ClassificationTask(side_model, mixed(0.0), lambda _progress: 1.0)(batch, 0.5)
    logits = side_model(batch["input_ids"], batch["attention_mask"], side=batch["side"])
    assert loss.item() == pytest.approx(bce(logits, batch["targets"], torch.ones(2)).item(), abs=1e-6)

    rows = np.array([7, 2, 50])
    found = predict_probabilities(side_model, with_side, rows, LABELS, CPU, bf16=False)
    torch.manual_seed(0)
    plain = predict_probabilities(Model(), tokens, rows, LABELS, CPU, bf16=False)
    shifted = torch.from_numpy(plain).logit() + torch.from_numpy(side[rows])
    np.testing.assert_allclose(found, shifted.sigmoid().numpy(), rtol=0, atol=1e-5)
