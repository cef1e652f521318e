import pytest
import torch
from torch import Tensor, nn

from polydx.train.adversary import new_adversary


class TinyTextModel(nn.Module):
    """An embedding, a nonlinear layer, a mean over positions, a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.embedding = nn.Embedding(11, 6)
        self.hidden = nn.Linear(6, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(torch.tanh(self.hidden(self.embedding(ids))).mean(1))


IDS = torch.tensor([[1, 4, 4, 9], [2, 0, 7, 3], [5, 5, 6, 10]])
TARGETS = torch.tensor([[1.0, 0, 0], [0, 1, 1], [0, 0, 1]])


def loss_of(model: nn.Module) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(model(IDS), TARGETS)


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def norm_of(target: str, tensor: Tensor) -> Tensor:
    return tensor.norm() if target == "table" else tensor.flatten(1).norm(dim=1)[:, None, None]


def textbook(model: TinyTextModel, target: str, method: str, epsilon: float, alpha: float, steps: int) -> None:
    """The usual implementation: every step a full backward pass, clean gradients saved and put back before the last.

    With `positions` the model is run from its embeddings on, so that they are a leaf like any other.
    """
    clean = model.embedding.weight.detach().clone()

    def forward_from(embedded: Tensor) -> Tensor:
        logits = model.head(torch.tanh(model.hidden(embedded)).mean(1))
        return nn.functional.binary_cross_entropy_with_logits(logits, TARGETS)

    loss_of(model).backward()
    saved = gradients(model)
    leaf = clean[IDS].clone().requires_grad_()
    forward_from(leaf).backward()
    for name, parameter in model.named_parameters():
        parameter.grad = saved[name].clone()
    gradient = saved["embedding.weight"].clone() if target == "table" else leaf.grad.clone()
    offset = torch.zeros_like(gradient)
    if method == "fgm":
        steps, alpha = 1, epsilon
    for _ in range(steps):
        offset = offset + alpha * gradient / norm_of(target, gradient)
        norm = norm_of(target, offset)
        offset = torch.where(norm > epsilon, offset * epsilon / norm, offset)
        model.zero_grad()
        if target == "table":
            model.embedding.weight.data = clean + offset
            loss_of(model).backward()
            gradient = model.embedding.weight.grad.clone()
        else:
            embedded = model.embedding(IDS)
            embedded.retain_grad()
            shifted = embedded + offset
            shifted.retain_grad()
            forward_from(shifted).backward()
            gradient = shifted.grad.clone()
        model.embedding.weight.data = clean
    for name, parameter in model.named_parameters():
        parameter.grad += saved[name]


@pytest.mark.parametrize("target", ["table", "positions"])
@pytest.mark.parametrize(("method", "steps"), [("fgm", 1), ("pgd", 1), ("pgd", 3), ("pgd", 5)])
def test_gradients_equal_the_textbook(target: str, method: str, steps: int) -> None:
    reference, model = TinyTextModel(), TinyTextModel()
    textbook(reference, target, method, epsilon=0.5, alpha=0.2, steps=steps)
    adversary = new_adversary(method, target, model.embedding, epsilon=0.5, alpha=0.2, steps=steps)
    loss = adversary.backward(lambda: loss_of(model))
    assert loss.item() == loss_of(TinyTextModel()).item()
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, dict(reference.named_parameters())[name].grad, rtol=0, atol=1e-6)


@pytest.mark.parametrize("target", ["table", "positions"])
@pytest.mark.parametrize("method", ["fgm", "pgd"])
def test_the_perturbed_loss_is_higher(target: str, method: str) -> None:
    model = TinyTextModel()
    seen: list[float] = []

    def loss_here() -> Tensor:
        loss = loss_of(model)
        seen.append(loss.item())
        return loss

    new_adversary(method, target, model.embedding, epsilon=0.5, alpha=0.2, steps=3).backward(loss_here)
    assert seen == sorted(seen)
    assert seen[-1] > seen[0] + 0.01


@pytest.mark.parametrize("target", ["table", "positions"])
@pytest.mark.parametrize("method", ["fgm", "pgd"])
@pytest.mark.parametrize("failing_call", [None, 1, 2, 3])
def test_weights_come_back_bit_by_bit_even_after_an_error(target: str, method: str, failing_call: int | None) -> None:
    model = TinyTextModel()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    calls = 0

    def loss_here() -> Tensor:
        nonlocal calls
        calls += 1
        if calls == failing_call:
            raise FloatingPointError("planted")
        return loss_of(model)

    adversary = new_adversary(method, target, model.embedding, epsilon=0.7, alpha=0.3, steps=3)
    if failing_call is None or (method == "fgm" and failing_call == 3):
        adversary.backward(loss_here)
    else:
        with pytest.raises(FloatingPointError):
            adversary.backward(loss_here)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not model.embedding._forward_hooks


def test_inner_steps_leave_weight_gradients_alone() -> None:
    """K steps cost K forward passes, but only the first and the last leave gradients on the weights."""
    model = TinyTextModel()
    filled = []

    def loss_here() -> Tensor:
        filled.append(model.hidden.weight.grad is not None and model.hidden.weight.grad.clone())
        return loss_of(model)

    new_adversary("pgd", "positions", model.embedding, epsilon=0.5, alpha=0.2, steps=4).backward(loss_here)
    assert len(filled) == 5
    assert filled[0] is False
    assert all(torch.equal(filled[1], later) for later in filled[2:])


def test_positions_stay_within_each_examples_ball() -> None:
    model = TinyTextModel()
    clean = model.embedding(IDS).detach()
    offsets: list[Tensor] = []

    def loss_here() -> Tensor:
        hook = model.hidden.register_forward_pre_hook(lambda _, inputs: offsets.append(inputs[0].detach() - clean))
        try:
            return loss_of(model)
        finally:
            hook.remove()

    new_adversary("pgd", "positions", model.embedding, epsilon=0.3, alpha=0.25, steps=4).backward(loss_here)
    norms = torch.stack([offset.flatten(1).norm(dim=1) for offset in offsets])
    assert norms[0].max() == 0
    torch.testing.assert_close(norms[-1], torch.full((3,), 0.3), rtol=0, atol=1e-5)


def test_no_method_is_no_adversary() -> None:
    assert new_adversary("none", "table", nn.Embedding(3, 2), 1.0, 0.3, 3) is None
