"""What is changed in a loaded model before it is trained."""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from polydx.errors import UserError
from polydx.model.layers import layers_of


@torch.no_grad()
def reinitialise_top(encoder: PreTrainedModel, layers: int, setting: str, frozen: int = 0) -> None:
    """Give an encoder's top layers new random weights, drawn from torch's generator (Zhang 2021).

    The top layers know most of the pre-training task and least of any other. Matrices are normal with the encoder's own
    `initializer_range`, biases 0, norms 1, as when it was made.

    Args:
        encoder: From `load_encoder`.
        layers: How many; 0 changes nothing.
        setting: Named in the error.
        frozen: Lowest layers that must stay as they are.

    Raises:
        UserError: The encoder has fewer layers, or fewer that may change.
    """
    found = layers_of(encoder)
    if layers > len(found) - frozen:
        kept = f", of which {frozen} are frozen" if frozen else ""
        raise UserError(setting, f"is {layers}", f"stay within the encoder's {len(found)} layers{kept}")
    for layer in found[len(found) - layers :]:
        for module in layer.modules():
            if isinstance(module, nn.Linear):
                module.weight.normal_(0.0, encoder.config.initializer_range)
                module.bias.zero_()
            elif isinstance(module, nn.LayerNorm):
                module.reset_parameters()


def average_over_masks(head: nn.Module, samples: int) -> None:
    """Multi-sample dropout (Inoue 2019): in training, a head's logits are the mean over several dropout masks.

    The encoder, which costs nearly everything, runs once. The paper averages the losses, contest code the logits, as
    here: for a convex loss the loss of the mean is the smaller one. Prediction is not touched.

    Args:
        head: Its dropout lies inside it.
        samples: Masks; 1 changes nothing.
    """
    if samples == 1:
        return

    def further(module: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor], logits: Tensor) -> Tensor:
        if not module.training:
            return logits
        return torch.stack([logits, *(module.forward(*inputs, **named) for _ in range(samples - 1))]).mean(0)

    head.register_forward_hook(further, with_kwargs=True)
