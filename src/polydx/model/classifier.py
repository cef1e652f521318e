"""A text encoder with a head that scores every label."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from polydx.artifacts import read_json, write_json
from polydx.model.encoders import load_encoder, save_folder
from polydx.model.frozen import freeze_lower, run_above
from polydx.model.heads import new_head
from polydx.model.long_documents import TwoStreamReader, new_reader
from polydx.model.packing import encode_packed, encode_padded
from polydx.model.performer import use_performer
from polydx.model.side_features import SideTerm
from polydx.names import LongMode, Pooling


@dataclass(frozen=True)
class Design:
    """What a classifier has beside an encoder and a head.

    Attributes:
        mode: How records longer than one sequence are read; only `chunks` and `two_streams` change the model.
        chunk_tokens: Tokens of a chunk in these two modes.
        own_encoders: `two_streams`: whether the second stream has an encoder of its own.
        joiner_layers: `two_streams`: layers of the transformer over both.
        side_features: How many numbers enter beside the text.
        performer_features: Random features of linear attention; None for exact attention.
    """

    mode: LongMode = "cut"
    chunk_tokens: int = 512
    own_encoders: bool = False
    joiner_layers: int = 1
    side_features: int = 0
    performer_features: int | None = None


PLAIN = Design()
"""An encoder and a head, nothing else."""


class TextClassifier(nn.Module):
    """Encoder and head; where the design says so, a reader of long records between them and numbers beside the text.

    Attributes:
        encoder: A Hugging Face encoder without a pooling layer.
        head: From `new_head`; its parameters' names start with `head.`.
        reader: Reads records longer than one sequence; None where the encoder reads them as they are. What it learns
            it learns at the encoder's rate.
        side: Adds what age, sex and lengths say to the logits, or None; its parameters' names start with `side.`.
        frozen_layers: The encoder's lowest layers that don't learn; None where even the embeddings do.
        packed: Whether padding is left out of the encoder's layers (`model/packing.py`); the encoders attend by
            `use_own_attention` then. It is no part of what is saved.
    """

    def __init__(
        self, encoder: PreTrainedModel, labels: int, pooling: Pooling, dropout: float, design: Design = PLAIN
    ) -> None:
        super().__init__()
        if design.performer_features is not None:
            use_performer(encoder, design.performer_features)
        self.encoder = encoder
        self.labels = labels
        self.pooling: Pooling = pooling
        self.design = design
        self.head = new_head(encoder.config.hidden_size, labels, pooling, dropout)
        self.reader = new_reader(
            design.mode, encoder, design.chunk_tokens, design.own_encoders, design.joiner_layers, dropout
        )
        self.side = SideTerm(design.side_features, labels) if design.side_features else None
        self.frozen_layers: int | None = None
        self.packed = False

    @property
    def encoders(self) -> list[PreTrainedModel]:
        """The encoder, and the second stream's own if there is one."""
        second = self.reader.second if isinstance(self.reader, TwoStreamReader) else None
        return [self.encoder] if second is None else [self.encoder, second]

    @property
    def word_embedding(self) -> nn.Embedding:
        """The table that adversaries perturb."""
        embedding = self.encoder.get_input_embeddings()
        if not isinstance(embedding, nn.Embedding):
            raise TypeError(f"{type(self.encoder).__name__} has no embedding table")
        return embedding

    def freeze_lower(self, layers: int, setting: str) -> None:
        """Keep the encoder's embeddings and lowest `layers` as they are; see `model/frozen.py`."""
        freeze_lower(self.encoder, layers, setting)
        self.frozen_layers = layers

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, side: Tensor | None = None, lower: Tensor | None = None
    ) -> Tensor:
        """Score every label.

        Args:
            input_ids: `[batch, tokens]`, int64.
            attention_mask: `[batch, tokens]`, int64, 1 for real tokens.
            side: `[batch, features]`, float32, NaN where unknown; given exactly where the design has such numbers.
            lower: `[batch, tokens, width]`, what the frozen layers make of the tokens, where that is known already.

        Returns:
            `[batch, labels]`, float32, logits.
        """
        if lower is None:
            hidden = self._encode(input_ids, attention_mask)
        else:
            hidden = run_above(self.encoder, self.frozen_layers or 0, lower, attention_mask, packed=self.packed)
        logits: Tensor = self.head(hidden, attention_mask)
        if self.side is None and side is None:
            return logits.float()
        if self.side is None or side is None:
            raise ValueError("numbers beside the text are given exactly where the model was made for them")
        term: Tensor = self.side(side)
        return logits.float() + term.float()

    def _encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Hidden states `[batch, tokens, width]`; the arguments are those of `forward`."""
        encode = encode_packed if self.packed else encode_padded
        embedded = self.word_embedding(input_ids)
        if self.reader is None:
            return encode(self.encoder, embedded, attention_mask)
        hidden: Tensor = self.reader(self.encoder, embedded, attention_mask, encode)
        return hidden


def save_classifier(model: TextClassifier, folder: Path) -> None:
    """Write `encoder/` in Hugging Face layout, other parts as `<part>.safetensors`, and `classifier.json`."""
    save_folder(folder / "encoder", model.encoder)
    for name, part in _parts(model):
        tensors = {key: value.detach().cpu().contiguous() for key, value in part.state_dict().items()}
        save_file(tensors, folder / f"{name}.safetensors")
    shape = {"pooling": model.pooling, "labels": model.labels, "design": asdict(model.design)}
    write_json(folder / "classifier.json", shape)


def load_classifier(folder: Path, dropout: float) -> TextClassifier:
    """Read what `save_classifier` wrote."""
    shape = read_json(folder / "classifier.json")
    encoder, design = load_encoder(folder / "encoder", dropout), Design(**shape["design"])
    model = TextClassifier(encoder, shape["labels"], shape["pooling"], dropout, design)
    for name, part in _parts(model):
        part.load_state_dict(load_file(folder / f"{name}.safetensors"))
    return model


def _parts(model: TextClassifier) -> Iterator[tuple[str, nn.Module]]:
    """The parts beside the encoder that have weights, by name."""
    for name, part in model.named_children():
        if name != "encoder" and part.state_dict():
            yield name, part
