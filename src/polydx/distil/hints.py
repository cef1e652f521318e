"""Hints (FitNets, Romero 2015) and TinyBERT's embedding and hidden losses (Jiao 2020): a projection, then MSE."""

from torch import Tensor, nn


class Hint(nn.Module):
    """MSE between the projected states of the student and those of the teacher, mean over real tokens and width.

    The projection is learned with the student and thrown away after training.

    Args:
        student_width: Width of the student's states.
        teacher_width: Width of the teacher's.
    """

    def __init__(self, student_width: int, teacher_width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(student_width, teacher_width, bias=False)
        if student_width == teacher_width:
            # A student that keeps its teacher's layers speaks its language from the start.
            nn.init.eye_(self.projection.weight)

    def forward(self, student: Tensor, teacher: Tensor, attention_mask: Tensor) -> Tensor:
        """Scalar loss.

        Args:
            student: `[batch, tokens, student width]`.
            teacher: `[batch, tokens, teacher width]`.
            attention_mask: `[batch, tokens]`, 1 for real tokens.
        """
        errors = (self.projection(student) - teacher).square().mean(dim=-1)
        return token_mean(errors, attention_mask)


def token_mean(values: Tensor, attention_mask: Tensor) -> Tensor:
    """Mean of `[batch, tokens]` over the real tokens of the batch: a row of more tokens weighs more."""
    weights = attention_mask.to(values.dtype)
    return (values * weights).sum() / weights.sum()
