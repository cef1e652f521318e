import numpy as np
import torch

from polydx.model.heads import MEAN_SCALE, new_head, start_at_rates

torch.manual_seed(0)
HIDDEN = torch.randn(3, 5, 8)
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])


def test_the_first_token_and_the_mean_by_hand() -> None:
    for pooling in ("first", "mean"):
        head = new_head(8, 4, pooling, 0.0)
        for row in range(3):
            tokens = HIDDEN[row][MASK[row] == 1]
            pooled = tokens[0] if pooling == "first" else MEAN_SCALE * tokens.sum(0) / tokens.sum(0).norm()
            expected = head.weight @ pooled + head.bias
            torch.testing.assert_close(head(HIDDEN, MASK)[row], expected, rtol=0, atol=1e-6)


def test_label_attention_equals_the_plain_loop() -> None:
    head = new_head(8, 4, "label_attention", 0.0)
    torch.nn.init.normal_(head.bias)
    logits = head(HIDDEN, MASK)
    for row in range(3):
        tokens = HIDDEN[row][MASK[row] == 1]
        for label in range(4):
            scores = torch.stack([token @ head.query[label] for token in tokens])
            weights = scores.exp() / scores.exp().sum()
            read = sum(weight * token for weight, token in zip(weights, tokens, strict=True))
            expected = head.weight[label] @ read + head.bias[label]
            torch.testing.assert_close(logits[row, label], expected, rtol=0, atol=1e-6)


def test_padding_changes_nothing() -> None:
    for pooling in ("first", "mean", "label_attention"):
        head = new_head(8, 4, pooling, 0.0)
        disturbed = torch.where(MASK[..., None] == 1, HIDDEN, HIDDEN + 100)
        torch.testing.assert_close(head(disturbed, MASK), head(HIDDEN, MASK), rtol=0, atol=0)


def test_the_bias_starts_at_the_smoothed_rates() -> None:
    targets = np.array([[1, 0, 1], [0, 0, 1], [0, 0, 1]], dtype=np.float32)
    head = new_head(8, 3, "mean", 0.0)
    start_at_rates(head.bias, targets)
    torch.testing.assert_close(head.bias.sigmoid(), torch.tensor([1.5, 0.5, 3.5]) / 4, rtol=0, atol=1e-6)
