"""Before stage 5: what the frozen layers of a member make of every record, once for all its folds and rounds."""

import sys
import time

from transformers import PreTrainedModel

from polydx.config import Compute, TransformerMember
from polydx.errors import UserError
from polydx.model.attention import use_own_attention
from polydx.model.encoders import check_length, load_encoder
from polydx.model.frozen import freeze_lower
from polydx.model.tokens import TokenTable
from polydx.paths import RunPaths
from polydx.stages.readings import training_reading
from polydx.stages.recipes import new_recipe
from polydx.stages.token_files import open_tokens
from polydx.train.device import pick_device, prepare
from polydx.train.lower_states import LowerStates, fingerprint, read_lower_states, write_lower_states


def run(paths: RunPaths, name: str, member: TransformerMember, compute: Compute) -> None:
    """Write `RunPaths.lower_states`.

    Args:
        paths: The run's files.
        name: The member's name.
        member: Its settings; some of its layers are frozen.
        compute: Threads and device.

    Raises:
        UserError: No layer would be left to train, or the encoder has too few positions.
        ValueError: Nothing is frozen.
    """
    started = time.monotonic()
    if member.frozen_layers is None or member.lower_states is None:
        raise ValueError(f"member {name} has no frozen layers")
    prepare(compute.threads, 0)
    device = pick_device(compute.device)
    encoder = load_encoder(paths.encoder(member.encoder), dropout=0.0).eval()
    check_length(encoder, member.max_tokens, f"members.{name}.max_tokens")
    freeze_lower(encoder, member.frozen_layers, f"members.{name}.frozen_layers")
    bf16 = new_recipe(member, compute, device, 0).bf16
    use_own_attention(encoder)
    folder = paths.lower_states(member.lower_states)
    tokens = open_tokens(paths, member.encoder, training_reading(member))
    shown = f"s5 lower states of {name}"
    write_lower_states(folder, encoder, member.frozen_layers, tokens, name=shown, device=device, bf16=bf16)
    print(f"{shown}: {len(tokens.lengths)} records in {time.monotonic() - started:.1f} s", file=sys.stderr)


def open_lower_states(
    paths: RunPaths, name: str, member: TransformerMember, encoder: PreTrainedModel, tokens: TokenTable
) -> LowerStates | None:
    """Read what `run` wrote for a member.

    Args:
        paths: The run's files.
        name: The member's name.
        member: Its settings.
        encoder: Whose frozen layers the states stand for.
        tokens: All records' tokens.

    Returns:
        None where nothing is frozen, or the states were too many to keep.

    Raises:
        UserError: They are absent, or were computed from other tokens or other weights.
    """
    if member.frozen_layers is None or member.lower_states is None:
        return None
    folder = paths.lower_states(member.lower_states)
    fix = f"make it anew: polydx lower-states --member {name}"
    if not folder.is_dir():
        raise UserError(str(folder), "is absent, as after a whole run", fix)
    lower = read_lower_states(folder, tokens.lengths)
    if lower is not None and lower.made_of != fingerprint(encoder, member.frozen_layers, tokens):
        problem = "was made of other records or another encoder"
        raise UserError(str(folder), problem, f"{fix}, and finetune from round 0 on")
    return lower
