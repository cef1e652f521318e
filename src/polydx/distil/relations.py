"""Relations between the rows of a batch: what is alike for the teacher shall be alike for the student.

None of these losses is a mean over rows: a row is compared with the others of its batch, so accumulating small batches
or splitting one over devices leaves out the pairs across the parts.
"""

import torch
from torch import Tensor
from torch.nn import functional


def similarity_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Similarity-preserving (arXiv 1907.09682): ||G_s - G_t||_F^2 / rows^2, G the row-normalised products of all pairs.

    Args:
        student: `[rows, width]`, one vector a row.
        teacher: `[rows, another width]`.
    """
    learns, teaches = (functional.normalize(vectors @ vectors.T, dim=1) for vectors in (student, teacher))
    return (learns - teaches).square().mean()


def distance_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """RKD-D (Park 2019): Huber loss between distances of pairs, each divided by its own mean distance.

    The mean of the loss is over all rows x rows, as in the authors' code; a single row has no pair and gives 0.

    Args:
        student: `[rows, width]`.
        teacher: `[rows, another width]`.
    """
    return functional.smooth_l1_loss(_relative_distances(student), _relative_distances(teacher))


def angle_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """RKD-A (Park 2019): Huber loss between the cosines of the angles of all triples; mean over rows^3.

    Args:
        student: `[rows, width]`.
        teacher: `[rows, another width]`.
    """
    return functional.smooth_l1_loss(_angles(student), _angles(teacher))


def _relative_distances(vectors: Tensor) -> Tensor:
    squares = (vectors[:, None] - vectors[None]).square().sum(-1)
    # The root has no slope at 0, where a row meets itself or its copy.
    apart = squares > 0
    distances = torch.where(apart, squares, 1.0).sqrt() * apart
    return distances / (distances.sum() / apart.sum().clamp_min(1)).clamp_min(torch.finfo(distances.dtype).tiny)


def _angles(vectors: Tensor) -> Tensor:
    """Entry (i, j, k): cosine of the angle at row i between rows j and k; 0 where a side has no length."""
    sides = functional.normalize(vectors[None] - vectors[:, None], dim=-1)
    return sides @ sides.transpose(1, 2)
