"""What a stage reads of earlier ones, so that a command given too early says which one comes first."""

from collections.abc import Iterable

from polydx.artifacts import read_json
from polydx.config import Settings, TransformerMember
from polydx.errors import UserError
from polydx.paths import ALL_ROWS, RunPaths, member_entry, need
from polydx.plan import fold_jobs


def need_records(paths: RunPaths, *, folds: bool = False) -> None:
    """See that stage 1 is done, and stage 3 where folds are needed."""
    need(paths.records, "clean")
    if folds:
        need(paths.folds, "split")


def need_encoder(paths: RunPaths, name: str) -> None:
    """See that stage 4 is done for an encoder."""
    need(paths.encoder(name), f"pretrain --encoder {name}")


def need_members(paths: RunPaths, settings: Settings, round_number: int, folds: Iterable[int]) -> None:
    """See that stage 5 is done for every member in one round on these fold jobs."""
    for fold in folds:
        for name in settings.members:
            need(paths.fold_model(name, round_number, fold).report, _finetune(name, fold, round_number))


def need_teachers(paths: RunPaths, settings: Settings, folds: Iterable[int]) -> None:
    """See that stage 5 is done in the last round on these fold jobs, what a student learns from its models too."""
    last = settings.pseudo.rounds
    for fold in folds:
        need_members(paths, settings, last, [fold])
        for name in settings.members:
            need(paths.fold_model(name, last, fold).training, _finetune(name, fold, last))


def _finetune(member: str, fold: int, round_number: int) -> str:
    return f"finetune --member {member} --fold {fold} --round {round_number}"


def need_all(paths: RunPaths, settings: Settings) -> None:
    """See that all is done that stage 8 reads: every member's rounds, and the fold students."""
    jobs = range(fold_jobs(settings.split))
    need_records(paths, folds=True)
    for round_number in range(settings.pseudo.rounds + 1):
        need_members(paths, settings, round_number, jobs)
    if settings.distil.enabled:
        for fold in jobs:
            need(paths.student(fold).report, f"distil --fold {fold}")


def need_stacked(paths: RunPaths, settings: Settings) -> None:
    """See that stage 8 is done, and with what these settings name."""
    need(paths.ledger, "stack")
    ledger = read_json(paths.ledger)
    rounds = range(settings.pseudo.rounds + 1)
    asked = {member_entry(member, number) for member in settings.members for number in rounds}
    same = ledger["members"].keys() == asked and ledger["fusion"].keys() == set(settings.stack.candidates)
    if not same or (ledger["student"] is not None) != settings.distil.enabled:
        problem = "was made with other members, rounds, candidates or distil.enabled"
        raise UserError(str(paths.ledger), problem, "run polydx stack with these settings first")
    if settings.distil.enabled:
        need(paths.student(ALL_ROWS).report, f"distil --fold {ALL_ROWS}")


def need_for_training(paths: RunPaths, settings: Settings, member: str, round_number: int, fold: int) -> None:
    """See that all is done that one member's training on one fold reads."""
    need_records(paths, folds=True)
    chosen = settings.members[member]
    if isinstance(chosen, TransformerMember):
        need_encoder(paths, chosen.encoder)
    if round_number > 0:
        need(paths.pseudo(round_number, fold) / "rows.npy", f"pseudo --fold {fold} --round {round_number}")
