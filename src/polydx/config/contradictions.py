"""Values that are fine one by one but not together."""

from collections.abc import Iterator

from polydx.config.data import Columns
from polydx.config.members import TransformerMember
from polydx.config.settings import Encoder, Pseudo, Settings, Stack
from polydx.config.student import Distil

Key = tuple[str, ...]
"""Where a setting stands: the names of its sections and its own."""


def contradictions(settings: Settings) -> Iterator[tuple[Key, str, str]]:
    """All of them, each as (key, problem, fix)."""
    known = ", ".join(settings.encoders) or "none"
    for name, encoder in settings.encoders.items():
        key = ("encoders", name)
        if encoder.source == "pretrained" and (encoder.path is None) == (encoder.package is None):
            yield (*key, "source"), "is pretrained", "set exactly one of path and package"
        if encoder.source == "own" and encoder.hidden_size % encoder.heads:
            yield (*key, "heads"), f"is {encoder.heads}", f"choose a divisor of hidden_size {encoder.hidden_size}"
        if encoder.source == "own" and encoder.pretrain.max_tokens > encoder.max_positions:
            yield (
                (*key, "pretrain", "max_tokens"),
                f"is {encoder.pretrain.max_tokens}",
                f"stay within max_positions {encoder.max_positions}",
            )
    for name, member in settings.members.items():
        if isinstance(member, TransformerMember):
            key = ("members", name)
            if member.encoder not in settings.encoders:
                yield (*key, "encoder"), f"{member.encoder!r} is not in encoders", f"choose one of: {known}"
            used = settings.encoders.get(member.encoder)
            own = used if used is not None and used.source == "own" else None
            for field, problem, fix in _length_contradictions(member, None if own is None else own.max_positions):
                yield (*key, *field), problem, fix
            yield from _member_contradictions(key, member)
            yield from _without_effect(key, member, settings.contest.columns)
            if own is not None:
                yield from _layer_contradictions(key, member, own.layers)
            yield from _adversary_contradictions(key, member, settings.pseudo)
            if settings.compute.compile:
                yield from _hidden_from_compiler(name, member)
        elif member.character_ngrams is not None and member.character_ngrams[0] > member.character_ngrams[1]:
            yield ("members", name, "character_ngrams"), "shortest is above longest", "write [shortest, longest]"
    yield from _section_contradictions(settings, known)


def _member_contradictions(key: Key, member: TransformerMember) -> Iterator[tuple[Key, str, str]]:
    losses = member.losses
    if losses.later_weights and not losses.weights:
        yield (
            (*key, "losses", "later_weights"),
            "has no weights to come from",
            "name the first losses in losses.weights",
        )
    if losses.ramp[0] > losses.ramp[1]:
        yield (*key, "losses", "ramp"), f"is {list(losses.ramp)}", "write [start, end], rising"
    if member.frozen_layers is not None:
        for field, clashes in _needs_whole_encoder(member).items():
            if clashes:
                yield (*key, "frozen_layers"), f"is {member.frozen_layers}, but {field} needs all layers", "use null"
    if member.accumulate > member.batch_size:
        yield (*key, "accumulate"), f"is {member.accumulate}", f"stay at or below batch_size {member.batch_size}"
    if member.patience is not None and member.weights != "inner":
        yield (*key, "patience"), f"is {member.patience}", "patience needs rows to watch: use weights: inner, or null"


def _without_effect(key: Key, member: TransformerMember, columns: Columns) -> Iterator[tuple[Key, str, str]]:
    """Settings of a member that would change nothing."""
    for feature, column in (("age", columns.age), ("sex", columns.sex)):
        if feature in member.side_features and column is None:
            problem = f"names {feature}, but contest.columns.{feature} is null"
            yield (*key, "side_features"), problem, "name its column there, or leave it out here"
    if member.dropout == 0 and member.adversary.method == "r_drop":
        yield (*key, "adversary", "method"), "is r_drop, but dropout is 0", "raise dropout, or set method: none"
    if member.dropout == 0 and member.dropout_samples > 1:
        yield (*key, "dropout_samples"), f"is {member.dropout_samples}, but dropout is 0", "raise dropout, or give 1"
    losses = member.losses
    has_bce = "bce" in {*losses.weights, *losses.later_weights} if losses.weights else member.soft_f1_weight < 1
    if losses.class_weight_power and not has_bce:
        problem = f"is {losses.class_weight_power}, but no loss is bce"
        yield (*key, "losses", "class_weight_power"), problem, "give bce a weight, or set this to 0"


def _layer_contradictions(key: Key, member: TransformerMember, layers: int) -> Iterator[tuple[Key, str, str]]:
    """Layers to freeze, or to start anew, that an encoder of so many hasn't got."""
    frozen, fresh = member.frozen_layers or 0, member.reinitialised_layers
    found = f"encoder {member.encoder}'s {layers}"
    if frozen >= layers:
        yield (*key, "frozen_layers"), f"is {frozen}", f"leave a layer to train: stay below {found}"
    elif fresh > layers - frozen:
        kept = f", of which {frozen} are frozen" if frozen else ""
        yield (*key, "reinitialised_layers"), f"is {fresh}", f"stay within {found} layers{kept}"


def _adversary_contradictions(key: Key, member: TransformerMember, pseudo: Pseudo) -> Iterator[tuple[Key, str, str]]:
    adversary = member.adversary
    if adversary.method == "none":
        return
    if adversary.method == "freelb" and adversary.target == "table":
        yield (*key, "adversary", "target"), "is table, but FreeLB perturbs positions", "use target: positions"
    start = (*key, "adversary", "start_epoch")
    if adversary.start_epoch >= member.epochs:
        problem = f"is {adversary.start_epoch} of {member.epochs} epochs"
        yield start, problem, "start earlier, or set method: none"
    elif pseudo.rounds and not pseudo.continue_weights and adversary.start_epoch >= pseudo.epochs:
        problem = f"is {adversary.start_epoch} of pseudo.epochs {pseudo.epochs}"
        yield start, problem, "start earlier, or go on with pseudo.continue_weights"


def _hidden_from_compiler(name: str, member: TransformerMember) -> Iterator[tuple[Key, str, str]]:
    """Settings with which `torch.compile` would give up at a layer's door or in its middle."""
    hiding = {
        "gradient_checkpointing": member.gradient_checkpointing,
        "long_records.performer_features": member.long_records.performer_features is not None,
    }
    for field, is_on in hiding.items():
        if is_on:
            problem = f"is true, but members.{name}.{field} hides layers from the compiler"
            yield ("compute", "compile"), problem, "switch one of the two off"


def _needs_whole_encoder(member: TransformerMember) -> dict[str, bool]:
    """Settings that change what the lowest layers are given, or recompute it, and whether each is on."""
    return {
        f"adversary.method {member.adversary.method}": member.adversary.method in ("fgm", "pgd", "freelb", "vat"),
        f"long_records.mode {member.long_records.mode}": member.long_records.mode in ("chunks", "two_streams"),
        "long_records.performer_features": member.long_records.performer_features is not None,
        f"long_records.positions {member.long_records.positions}": member.long_records.positions != "fixed",
        "long_records.prediction_tokens": member.long_records.prediction_tokens is not None,
        "gradient_checkpointing": member.gradient_checkpointing,
    }


def _length_contradictions(member: TransformerMember, positions: int | None) -> Iterator[tuple[Key, str, str]]:
    """Lengths of one member that don't fit each other, or the `positions` of its encoder where they are known."""
    long = member.long_records
    most: dict[Key, int] = {("max_tokens",): member.max_tokens}
    if long.prediction_tokens is not None:
        most[("long_records", "prediction_tokens")] = long.prediction_tokens
    if long.mode in ("chunks", "two_streams"):
        if member.pooling == "first":
            yield ("pooling",), f"is first, but records are read in {long.mode}", "use a head that reads every token"
        if long.mode == "two_streams":
            for field, tokens in most.items():
                if tokens > 2 * long.chunk_tokens:
                    yield field, f"is {tokens}", f"stay within two streams of chunk_tokens {long.chunk_tokens}"
        most = {("long_records", "chunk_tokens"): min(long.chunk_tokens, max(most.values()))}
    if positions is not None and long.positions == "fixed":
        for field, tokens in most.items():
            if tokens > positions:
                fix = f"stay within max_positions {positions} of encoder {member.encoder}"
                yield field, f"is {tokens}", fix


def _section_contradictions(settings: Settings, known: str) -> Iterator[tuple[Key, str, str]]:
    columns = settings.contest.columns
    named = [columns.id, *columns.sections, *columns.numbers, *columns.categories, columns.labels]
    named += [column for column in (columns.age, columns.sex, columns.order) if column is not None]
    for column in dict.fromkeys(named):
        if named.count(column) > 1:
            yield ("contest", "columns"), f"column {column!r} has two roles", "give each column one role"
    if settings.split.repeats > 1 and settings.split.scheme != "repeated":
        yield ("split", "repeats"), f"is {settings.split.repeats}", "use split.scheme=repeated, or 1 repeat"
    pseudo = settings.pseudo
    if pseudo.rounds and not pseudo.test_rows and settings.contest.unlabelled is None:
        yield ("pseudo", "rounds"), f"is {pseudo.rounds}, but no rows to label", "allow test_rows or give unlabelled"
    if pseudo.ramp_start > pseudo.ramp_end:
        yield ("pseudo", "ramp_start"), f"is {pseudo.ramp_start}", f"stay at or below ramp_end {pseudo.ramp_end}"
    if pseudo.cutoff == "fixed" and pseudo.negative_below >= pseudo.positive_above:
        fix = f"stay below positive_above {pseudo.positive_above}"
        yield ("pseudo", "negative_below"), f"is {pseudo.negative_below}", fix
    if settings.distil.enabled:
        yield from _distil_contradictions(settings, known)
    yield from _stack_contradictions(settings.stack)


def _stack_contradictions(stack: Stack) -> Iterator[tuple[Key, str, str]]:
    if stack.min_labels > stack.max_labels:
        yield ("stack", "min_labels"), f"is {stack.min_labels}", f"stay at or below max_labels {stack.max_labels}"
    if stack.record_number:
        key = ("stack", "record_number")
        if "lightgbm" not in stack.candidates:
            yield key, "is true, but only the LightGBM stacker looks at it", "put lightgbm into stack.candidates"
        if not stack.neighbour_widths:
            yield key, "is true, but there is no neighbourhood", "give stack.neighbour_widths"


def _distil_contradictions(settings: Settings, known: str) -> Iterator[tuple[Key, str, str]]:
    distil, lessons = settings.distil, settings.distil.lessons
    if distil.encoder not in settings.encoders:
        yield ("distil", "encoder"), f"{distil.encoder!r} is not in encoders", f"choose one of: {known}"
    alike = [
        name
        for name, member in settings.members.items()
        if isinstance(member, TransformerMember) and member.encoder == distil.encoder
    ]
    for key, name in ((("distil", "start"), distil.start), (("distil", "lessons", "teacher"), lessons.teacher)):
        if name is not None and name not in alike:
            fix = f"choose a member on distil.encoder {distil.encoder!r}: " + (", ".join(alike) or "there is none")
            yield key, f"is {name!r}", fix
    shown = settings.members.get(lessons.teacher or "")
    if isinstance(shown, TransformerMember) and shown.long_records.performer_features is not None:
        problem = f"is {lessons.teacher!r}, but lessons ignore its long_records.performer_features: exact attention"
        yield ("distil", "lessons", "teacher"), problem, "choose a member without them, or switch the lessons off"
    for name in distil.teacher_weights:
        if name not in settings.members:
            fix = "choose one of: " + ", ".join(settings.members)
            yield ("distil", "teacher_weights", name), f"{name!r} is not in members", fix
    if distil.teacher_weights and not any(distil.teacher_weights.values()):
        yield ("distil", "teacher_weights"), "leaves no teacher", "give one of them a weight above 0"
    if distil.teachers == "by_score" and settings.split.scheme == "holdout":
        problem = "is by_score, but a hold-out scores no row outside the student's own fold"
        yield ("distil", "teachers"), problem, "set it to mean, or split.scheme to one with folds"
    yield from _student_layer_contradictions(distil, settings.encoders.get(distil.encoder))
    if lessons.layers and len(lessons.layers) != len(distil.layers):
        fix = f"give one for each of the {len(distil.layers)} distil.layers, or none"
        yield ("distil", "lessons", "layers"), f"is {list(lessons.layers)}", fix
    if (lessons.teacher is None) == any(value for field, value in lessons if field not in ("teacher", "layers")):
        yield ("distil", "lessons", "teacher"), f"is {lessons.teacher}", "name a teacher and give a lesson a weight"
    if distil.exits != "none" and len(distil.layers) + distil.pooling_layer < 2:
        yield ("distil", "exits"), f"is {distil.exits}, but there is one layer", "set it to none or keep more layers"
    if distil.schedule == "learned" and not 1.0 < distil.temperature < 10.0:
        yield ("distil", "temperature"), f"is {distil.temperature}", "start a learned one between 1 and 10"


def _student_layer_contradictions(distil: Distil, encoder: Encoder | None) -> Iterator[tuple[Key, str, str]]:
    """Layers that can't be kept, and a length that can't be read, as far as is known before an encoder is loaded."""
    own = encoder if encoder is not None and encoder.source == "own" else None
    named = {"layers": distil.layers, "assistant_layers": distil.assistant_layers}
    for field, layers in named.items():
        risen = list(layers) == sorted(set(layers))
        if not risen or (own is not None and layers and layers[-1] >= own.layers):
            most = "" if own is None else f" to {own.layers - 1}"
            yield ("distil", field), f"is {list(layers)}", f"give rising numbers from 0{most}"
    if own is not None and distil.max_tokens > own.max_positions:
        fix = f"stay within max_positions {own.max_positions} of encoder {distil.encoder}"
        yield ("distil", "max_tokens"), f"is {distil.max_tokens}", fix
    if own is not None and any(layer >= own.layers for layer in distil.lessons.layers):
        problem = f"is {list(distil.lessons.layers)}"
        yield ("distil", "lessons", "layers"), problem, f"give numbers from 0 to {own.layers - 1}"
