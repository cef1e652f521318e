"""A text encoder with a head that scores every label."""

from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from polydx.artifacts import read_json, write_json
from polydx.model.encoders import load_encoder, save_folder
from polydx.model.heads import Pooling, new_head


class TextClassifier(nn.Module):
    """Encoder and head.

    Attributes:
        encoder: A Hugging Face encoder without a pooling layer.
        head: From `new_head`; its parameters' names start with `head.`.
    """

    def __init__(self, encoder: PreTrainedModel, labels: int, pooling: Pooling, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.labels = labels
        self.pooling: Pooling = pooling
        self.head = new_head(encoder.config.hidden_size, labels, pooling, dropout)

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
        logits: Tensor = self.head(hidden, attention_mask)
        return logits.float()


def save_classifier(model: TextClassifier, folder: Path) -> None:
    """Write `encoder/` in Hugging Face layout, `head.safetensors` and `classifier.json`."""
    save_folder(folder / "encoder", model.encoder)
    save_file(
        {key: value.detach().cpu() for key, value in model.head.state_dict().items()}, folder / "head.safetensors"
    )
    write_json(folder / "classifier.json", {"pooling": model.pooling, "labels": model.labels})


def load_classifier(folder: Path, dropout: float) -> TextClassifier:
    """Read what `save_classifier` wrote."""
    shape = read_json(folder / "classifier.json")
    model = TextClassifier(load_encoder(folder / "encoder", dropout), shape["labels"], shape["pooling"], dropout)
    model.head.load_state_dict(load_file(folder / "head.safetensors"))
    return model
