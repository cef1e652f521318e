"""What a transformer member's settings say about its model."""

from transformers import PreTrainedModel

from polydx.artifacts import Floats
from polydx.config import TransformerMember
from polydx.model.classifier import Design, TextClassifier
from polydx.model.encoders import check_length
from polydx.model.positions import extend_positions
from polydx.model.reading import CHUNKED
from polydx.stages.readings import member_readings


def new_model(
    encoder: PreTrainedModel, name: str, member: TransformerMember, labels: int, side: Floats | None
) -> TextClassifier:
    """Build the member's model on an encoder, which may get more positions and another attention.

    Args:
        encoder: From `load_encoder`.
        name: The member's name.
        member: Its settings.
        labels: Number of labels.
        side: `[training rows, features]`, numbers beside the text, which set their scale; None without.

    Raises:
        UserError: The encoder has too few positions for the sequences it shall read, in training or prediction.
    """
    long = member.long_records
    sequence = max(reading.sequence_tokens for reading in member_readings(member))
    if long.positions != "fixed":
        extend_positions(encoder, sequence, long.positions)
    check_length(encoder, sequence, f"members.{name}.{_length_setting(member)}")
    design = Design(
        mode=long.mode,
        chunk_tokens=long.chunk_tokens,
        own_encoders=long.own_encoders,
        joiner_layers=long.joiner_layers,
        side_features=0 if side is None else side.shape[1],
        performer_features=long.performer_features,
    )
    model = TextClassifier(encoder, labels, member.pooling, member.dropout, design)
    if model.side is not None and side is not None:
        model.side.standardise_by(side)
    return model


def _length_setting(member: TransformerMember) -> str:
    """The setting that says how long the encoder's sequences are."""
    long = member.long_records
    if long.mode in CHUNKED:
        return "long_records.chunk_tokens"
    longer = long.prediction_tokens is not None and long.prediction_tokens > member.max_tokens
    return "long_records.prediction_tokens" if longer else "max_tokens"
