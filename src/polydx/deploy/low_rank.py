"""An embedding table as a product of two thin ones."""

import copy

import torch
from torch import Tensor, nn

from polydx.deploy.student_model import StudentModel, word_embedding


class LowRankEmbedding(nn.Module):
    """The best approximation of a table by one of rank r in squared error (Eckart and Young 1936), r (V + h) numbers.

    No stock class has such an embedding, so a student with one ships as ONNX.
    """

    def __init__(self, table: Tensor, rank: int) -> None:
        """Factorise.

        Args:
            table: `[vocabulary, width]`.
            rank: r, from 1 to the smaller side.

        Raises:
            ValueError: The rank is outside.
        """
        super().__init__()
        if not 1 <= rank <= min(table.shape):
            raise ValueError(f"rank {rank} of a table {tuple(table.shape)}")
        left, sizes, right = torch.linalg.svd(table.detach().double(), full_matrices=False)
        codes, basis = (left[:, :rank] * sizes[:rank]).to(table.dtype), right[:rank].to(table.dtype)
        self.codes = nn.Embedding.from_pretrained(codes, freeze=False)
        self.basis = nn.Linear(rank, table.shape[1], bias=False)
        self.basis.weight = nn.Parameter(basis.T.contiguous())

    def forward(self, input_ids: Tensor) -> Tensor:
        """Embeddings `[…, width]` of ids `[…]`."""
        embedded: Tensor = self.basis(self.codes(input_ids))
        return embedded


def with_low_rank_embedding(model: StudentModel, rank: int) -> StudentModel:
    """Copy a student with its word embedding at rank r; the model given is left as it is."""
    smaller = copy.deepcopy(model)
    smaller.set_input_embeddings(LowRankEmbedding(word_embedding(model).weight, rank))
    return smaller
