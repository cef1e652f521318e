"""Losses on hidden states and on the relations of rows, each against a plain loop."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from polydx.distil.attention import attention_score_loss, attention_scores, attention_transfer_loss, relation_loss
from polydx.distil.hints import Hint
from polydx.distil.patient import patient_loss
from polydx.distil.relations import angle_loss, distance_loss, similarity_loss
from polydx.distil.value_direction import ValueAndDirection

LENGTHS = (3, 5)
MASK = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unit(vector: Tensor) -> Tensor:
    return vector / vector.pow(2).sum().sqrt()


def huber(gap: float) -> float:
    return gap**2 / 2 if abs(gap) < 1 else abs(gap) - 0.5


def test_a_hint_is_the_error_after_the_projection() -> None:
    student, teacher = normal(2, 5, 3, seed=0), normal(2, 5, 4, seed=1)
    hint = Hint(3, 4)
    errors = [
        sum(((hint.projection.weight @ student[row, token]) - teacher[row, token]).pow(2)).item() / 4
        for row, length in enumerate(LENGTHS)
        for token in range(length)
    ]
    assert hint(student, teacher, MASK).item() == pytest.approx(sum(errors) / 8, abs=1e-6)


def test_a_hint_of_the_same_width_starts_without_projecting() -> None:
    states = normal(2, 5, 4, seed=0)
    assert Hint(4, 4)(states, states, MASK).item() == 0


def test_patient_by_a_loop() -> None:
    student, teacher = ([normal(2, 5, 4, seed=seed + layer) for layer in range(3)] for seed in (0, 10))
    terms = [
        (unit(learns[row, 0]) - unit(teaches[row, 0])).pow(2).sum().item()
        for learns, teaches in zip(student, teacher, strict=True)
        for row in range(2)
    ]
    assert patient_loss(student, teacher).item() == pytest.approx(sum(terms) / 6, abs=1e-6)
    with pytest.raises(ValueError, match="longer"):
        patient_loss(student[:2], teacher)


def test_attention_scores_by_a_loop() -> None:
    query, key, other_query, other_key = (normal(2, 3, 5, 4, seed=seed) for seed in range(4))
    errors = [
        ((query[row, head, i] @ key[row, head, j] - other_query[row, head, i] @ other_key[row, head, j]) / 2) ** 2
        for row, length in enumerate(LENGTHS)
        for head in range(3)
        for i in range(length)
        for j in range(length)
    ]
    loss = attention_score_loss(attention_scores(query, key), attention_scores(other_query, other_key), MASK)
    assert loss.item() == pytest.approx(sum(errors).item() / len(errors), abs=1e-6)


def relation(left: Tensor, right: Tensor, row: int, head: int, heads: int) -> Tensor:
    """Rows of one relation over real tokens; vectors are all heads' joined, cut into `heads`."""
    length = LENGTHS[row]
    a, b = (torch.cat(list(vectors[row]), dim=-1)[:length].chunk(heads, dim=-1)[head] for vectors in (left, right))
    rows = []
    for i in range(length):
        scores = [math.exp(float(a[i] @ b[j]) / math.sqrt(a.shape[-1])) for j in range(length)]
        rows.append([score / sum(scores) for score in scores])
    return torch.tensor(rows)


def test_relations_need_neither_the_same_width_nor_the_same_heads() -> None:
    student = normal(2, 3, 5, 4, seed=0), normal(2, 3, 5, 4, seed=1)  # 3 heads of 4
    teacher = normal(2, 4, 5, 2, seed=2), normal(2, 4, 5, 2, seed=3)  # 4 heads of 2
    terms = []
    for row, head in itertools.product(range(2), range(2)):
        own, other = relation(*student, row, head, 2), relation(*teacher, row, head, 2)
        terms.extend((other * (other / own).log()).sum(-1).tolist())
    found = relation_loss(student, teacher, MASK, heads=2)
    assert found.item() == pytest.approx(sum(terms) / len(terms), abs=1e-6)
    assert relation_loss(student, student, MASK, heads=3).item() == pytest.approx(0, abs=1e-6)


def test_padding_leaves_the_gradient_of_relations_finite() -> None:
    own = normal(2, 3, 5, 4, seed=0).requires_grad_()
    relation_loss((own, own), (normal(2, 3, 5, 4, seed=1),) * 2, MASK, heads=3).backward()
    assert own.grad is not None
    assert own.grad.isfinite().all()
    assert (own.grad[0, :, 3:] == 0).all()


def test_attention_transfer_by_a_loop() -> None:
    student, teacher = normal(2, 5, 3, seed=0), normal(2, 5, 4, seed=1)
    total = 0.0
    for row, length in enumerate(LENGTHS):
        maps = [unit(states[row, :length].pow(2).mean(-1)) for states in (student, teacher)]
        total += (maps[0] - maps[1]).pow(2).sum().item()
    assert attention_transfer_loss(student, teacher, MASK).item() == pytest.approx(total / 2, abs=1e-6)


def test_similarities_by_a_loop() -> None:
    student, teacher = normal(4, 3, seed=0), normal(4, 5, seed=1)
    total = 0.0
    for row in range(4):
        products = [unit(torch.stack([side[row] @ other for other in side])) for side in (student, teacher)]
        total += (products[0] - products[1]).pow(2).sum().item()
    assert similarity_loss(student, teacher).item() == pytest.approx(total / 16, abs=1e-6)


def test_distances_by_a_loop() -> None:
    student, teacher = normal(4, 3, seed=0), normal(4, 5, seed=1)
    pairs = list(itertools.product(range(4), repeat=2))
    relative = []
    for side in (student, teacher):
        distances = {(i, j): (side[i] - side[j]).norm().item() for i, j in pairs}
        mean = sum(distances.values()) / 12  # of pairs of different rows
        relative.append({pair: distance / mean for pair, distance in distances.items()})
    expected = sum(huber(relative[0][pair] - relative[1][pair]) for pair in pairs) / 16
    assert distance_loss(student, teacher).item() == pytest.approx(expected, abs=1e-6)


def test_angles_by_a_loop() -> None:
    student, teacher = normal(4, 3, seed=0), normal(4, 5, seed=1)

    def cosine(side: Tensor, i: int, j: int, k: int) -> float:
        if i in (j, k):
            return 0.0
        return float(unit(side[j] - side[i]) @ unit(side[k] - side[i]))

    triples = list(itertools.product(range(4), repeat=3))
    expected = sum(huber(cosine(student, *triple) - cosine(teacher, *triple)) for triple in triples) / 64
    assert angle_loss(student, teacher).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("loss", [distance_loss, angle_loss, similarity_loss])
def test_equal_rows_and_a_single_row_keep_the_gradient_finite(loss: object) -> None:
    assert callable(loss)
    for rows in (torch.ones(3, 4), torch.ones(1, 4)):
        student = rows.clone().requires_grad_()
        loss(student, normal(len(rows), 4, seed=0)).backward()
        assert student.grad is not None
        assert student.grad.isfinite().all()


@pytest.mark.parametrize("loss", [distance_loss, angle_loss, similarity_loss])
def test_relations_are_no_mean_over_rows(loss: object) -> None:
    assert callable(loss)
    student, teacher = normal(4, 3, seed=0), normal(4, 5, seed=1)
    halves = (loss(student[:2], teacher[:2]) + loss(student[2:], teacher[2:])) / 2
    assert abs(halves - loss(student, teacher)) > 1e-3


def test_value_and_direction_start_equally_large() -> None:
    student, teacher = normal(2, 5, 4, seed=0), normal(2, 5, 4, seed=1)
    values, directions = [], []
    for row, length in enumerate(LENGTHS):
        own, other = (states[row, :length].flatten() for states in (student, teacher))
        values.append((own - other).pow(2).mean().item())
        directions.append(1 - float(unit(own) @ unit(other)))
    lesson = ValueAndDirection()
    assert lesson(student, teacher, MASK).item() == pytest.approx(sum(values), abs=1e-5)  # twice their mean
    ratio = sum(values) / sum(directions)
    assert lesson.ratio.item() == pytest.approx(ratio, rel=1e-5)
    later = lesson(teacher * 2, teacher, MASK)
    twice = sum(teacher[row, :length].pow(2).mean().item() for row, length in enumerate(LENGTHS)) / 2
    assert later.item() == pytest.approx(twice, abs=1e-5)
    assert lesson.state_dict()["ratio"] == lesson.ratio
