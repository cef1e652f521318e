"""The places that move: an offset and what it does to embedded positions are two views of one thing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from polydx.names import Perturbed
from polydx.train.perturbations.embeddings import EmbeddingPoint, Site

WIDTH = 3


def new_site(target: Perturbed, seed: int, padding: int | None) -> tuple[Site, list[Tensor]]:
    """Two calls of an embedding, of different shapes, with words in common."""
    torch.manual_seed(seed)
    embedding = nn.Embedding(6, WIDTH, padding_idx=padding)
    ids = [torch.randint(0, 6, (2, 4)), torch.randint(0, 6, (3, 2))]
    return Site(embedding, target, ids), ids


def moves(site: Site, ids: list[Tensor], offset: Tensor) -> list[Tensor]:
    """What an offset adds to each call."""
    clean = [site.embedding(each) for each in ids]
    with site.moved(offset):
        return [site.embedding(each) - before for each, before in zip(ids, clean, strict=True)]


PLACES = given(
    target=st.sampled_from(["table", "positions"]),
    seed=st.integers(0, 1000),
    padding=st.sampled_from([None, 0]),
    radius=st.floats(0.01, 3.0),
)


@settings(deadline=None, max_examples=40)
@PLACES
def test_gathering_is_the_transpose_of_moving(target: Perturbed, seed: int, padding: int | None, radius: float) -> None:
    """For any offset o and position gradients g: the sum of g times what o adds equals o times what g gathers to."""
    site, ids = new_site(target, seed, padding)
    offset = radius * site.still_padding(torch.randn(len(site.group), WIDTH))
    gradients = [torch.randn(*each.shape, WIDTH) for each in ids]
    added = sum((g * m).sum() for g, m in zip(gradients, moves(site, ids, offset), strict=True))
    torch.testing.assert_close(added, (site.gather(gradients) * offset).sum(), rtol=1e-4, atol=1e-4)


@settings(deadline=None, max_examples=40)
@PLACES
def test_projected_offsets_lie_in_the_ball_and_inner_ones_stay(
    target: Perturbed, seed: int, padding: int | None, radius: float
) -> None:
    site, ids = new_site(target, seed, padding)
    offset = site.still_padding(torch.randn(len(site.group), WIDTH))
    projected = site.project(offset, radius)
    assert site.norms(projected).max() <= radius * (1 + 1e-5)
    inside = (site.norms(offset) <= radius).squeeze(1)
    assert torch.equal(projected[inside], offset[inside])
    for each, moved in zip(ids, moves(site, ids, projected), strict=True):
        if padding is not None:
            assert (moved[each == padding] == 0).all()
        if target == "table":
            for word in each.unique():
                same = moved[each == word]
                torch.testing.assert_close(same, same[:1].expand_as(same))


@pytest.mark.parametrize(("target", "norms"), [("table", 1), ("positions", 5)])
def test_the_table_has_one_norm_and_each_row_of_ids_its_own(target: Perturbed, norms: int) -> None:
    site, _ = new_site(target, 3, None)
    assert len(site.norms(torch.randn(len(site.group), WIDTH)).unique()) == norms


def test_a_block_that_ends_in_an_error_leaves_no_hook() -> None:
    site, ids = new_site("table", 0, 0)
    point = EmbeddingPoint(site.embedding, "table")
    with pytest.raises(KeyError), point.watched(), site.moved(torch.zeros(len(site.group), WIDTH)):
        raise KeyError
    assert not site.embedding._forward_hooks
    assert torch.equal(site.embedding(ids[0]), site.embedding.weight[ids[0]])
