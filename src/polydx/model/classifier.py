"""A text encoder with a linear head over pooled tokens."""

from pathlib import Path
from typing import Literal

from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from polydx.artifacts import read_json, write_json
from polydx.model.encoders import load_encoder, save_folder

MEAN_SCALE = 10.0
"""The normalised mean has length 1; times this its entries have the size a head's default weights are made for."""

Pooling = Literal["first", "mean"]


class TextClassifier(nn.Module):
    """Encoder, pooling, dropout, linear head.

    Attributes:
        encoder: A Hugging Face encoder without a pooling layer.
        head: The linear layer; its parameters' names start with `head.`.
    """

    def __init__(self, encoder: PreTrainedModel, labels: int, pooling: Pooling, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling: Pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.config.hidden_size, labels)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    @property
    def word_embedding(self) -> nn.Embedding:
        """The table that adversaries perturb."""
        embedding = self.encoder.get_input_embeddings()
        if not isinstance(embedding, nn.Embedding):
            raise TypeError(f"{type(self.encoder).__name__} has no embedding table")
        return embedding

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Score every label.

        Args:
            input_ids: `[batch, tokens]`, int64.
            attention_mask: `[batch, tokens]`, int64, 1 for real tokens.

        Returns:
            `[batch, labels]`, float32, logits.
        """
        hidden: Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        if self.pooling == "first":
            pooled = hidden[:, 0]
        else:
            mask = attention_mask[..., None].to(hidden.dtype)
            pooled = MEAN_SCALE * functional.normalize((hidden * mask).sum(1), dim=-1)
        logits: Tensor = self.head(self.dropout(pooled))
        return logits.float()


def save_classifier(model: TextClassifier, folder: Path) -> None:
    """Write `encoder/` in Hugging Face layout, `head.safetensors` and `classifier.json`."""
    save_folder(folder / "encoder", model.encoder)
    save_file(
        {key: value.detach().cpu() for key, value in model.head.state_dict().items()}, folder / "head.safetensors"
    )
    write_json(folder / "classifier.json", {"pooling": model.pooling, "labels": model.head.out_features})


def load_classifier(folder: Path, dropout: float) -> TextClassifier:
    """Read what `save_classifier` wrote."""
    shape = read_json(folder / "classifier.json")
    model = TextClassifier(load_encoder(folder / "encoder", dropout), shape["labels"], shape["pooling"], dropout)
    model.head.load_state_dict(load_file(folder / "head.safetensors"))
    return model
