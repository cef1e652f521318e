"""Stage 9: the submission, the score card, what both came from, and the student ready to ship."""

import shutil
import sys
from itertools import chain
from pathlib import Path

import numpy as np

from polydx.artifacts import read_array, read_json, replacing, write_json
from polydx.config import Settings, TransformerMember
from polydx.contest.readers import ColumnRoles
from polydx.contest.records import ID, PART, TEST, Records, read_records
from polydx.contest.writers import SUFFIXES, write_submission
from polydx.deploy.student_card import StudentCard, write_card
from polydx.judge.folds import read_folds
from polydx.paths import ALL_ROWS, RunPaths, member_entry
from polydx.report import score_figures
from polydx.report.card import NOTES, Json, MaskedLmLoss, Training, add_up, score_lines, with_training
from polydx.report.versions import versions
from polydx.resolve import write_settings


def run(paths: RunPaths, settings: Settings) -> None:
    """Write what is uploaded, shipped and read.

    Args:
        paths: The run's files; reads s1, s8, the folds and the reports of s4, s5 and s7; writes `paths.card` and all of
            `paths.submission` but the finished scores.
        settings: All settings: they are laid beside the submission.

    Raises:
        UserError: A label holds the submission's delimiter.
    """
    records = read_records(paths.records, paths.labels, [ID, PART])
    test_ids = records.part(TEST)[ID].tolist()
    losses = _masked_lm_losses(paths, settings)
    ledger = with_training(read_json(paths.ledger), _training(paths, settings), losses)
    card = {
        "run": settings.run.name,
        "seed": settings.run.seed,
        **ledger,
        "encoders": losses,
        "data_use": _data_use(paths, settings),
        "notes": NOTES,
    }

    weights = [encoder.distribution for encoder in settings.encoders.values() if encoder.distribution is not None]
    name = "submission" + SUFFIXES[settings.submit.format]
    # The folder is replaced as a whole: what an earlier run left in it would pass for this one's.
    with replacing(paths.submission) as folder:
        write_submission(
            folder / name,
            settings.submit.format,
            test_ids,
            records.label_names,
            np.asarray(read_array(paths.decisions("final") / "test.npy")),
            np.asarray(read_array(paths.stack / "fused_test.npy")),
            settings.submit.label_delimiter,
        )
        write_settings(settings, folder / "settings.json")
        write_json(folder / "versions.json", versions(weights))
        if settings.distil.enabled:
            _ship_student(paths, settings, folder / "student")
        _draw(paths, card, records, folder / "figures")
    write_json(paths.card, card)
    print(f"s9 submit: {len(test_ids)} test records in {paths.submission / name}", file=sys.stderr)


def _masked_lm_losses(paths: RunPaths, settings: Settings) -> dict[str, MaskedLmLoss]:
    reports = {name: read_json(paths.encoder(name) / "pretraining.json") for name in settings.encoders}
    return {
        name: {"before": report["heldout_loss_before"], "after": report["heldout_loss_after"]}
        for name, report in reports.items()
    }


def _training(paths: RunPaths, settings: Settings) -> dict[str, Training]:
    """What the models behind each entry of the ledger saw; behind a fusion stand all that it fuses."""
    jobs = range(read_folds(paths.folds).jobs)
    seen: dict[str, Training] = {}
    every_report: list[Json] = []
    every_encoder: list[str] = []
    for name, member in settings.members.items():
        encoders = [member.encoder] if isinstance(member, TransformerMember) else []
        rounds = [
            [read_json(paths.fold_model(name, number, job).report) for job in jobs]
            for number in range(settings.pseudo.rounds + 1)
        ]
        goes_on = settings.pseudo.continue_weights and isinstance(member, TransformerMember)
        for number in range(len(rounds)):
            behind = rounds[0 if goes_on else number : number + 1]
            seen[member_entry(name, number)] = add_up(list(chain(*behind)), encoders)
        every_report += chain(*rounds)
        every_encoder += encoders
    if settings.distil.enabled:
        reports = [read_json(paths.student(job).report) for job in jobs]
        seen["student"] = add_up(reports, [settings.distil.encoder])
        if settings.stack.fuse_student:
            every_report += reports
            every_encoder.append(settings.distil.encoder)
    fused = add_up(every_report, every_encoder)
    return seen | dict.fromkeys(settings.stack.candidates, fused)


def _data_use(paths: RunPaths, settings: Settings) -> Json:
    """What else than training records and their labels went into the models."""
    pretraining = [read_json(paths.encoder(name) / "pretraining.json") for name in settings.encoders]
    return {
        "test_text_in_pretraining": any(report["test_text"] and report["steps"] > 0 for report in pretraining),
        "test_rows_pseudo_labelled": settings.pseudo.rounds > 0 and settings.pseudo.test_rows,
        "test_rows_in_distillation": settings.distil.enabled,
        "record_number_in_stacking": settings.stack.record_number,
    }


def _ship_student(paths: RunPaths, settings: Settings, target: Path) -> None:
    """Copy the student on all rows, with a card of all that prediction by it alone needs."""
    rule, contest = read_json(paths.stack / "student_thresholds.json"), settings.contest
    card = StudentCard(
        labels=tuple(rule["thresholds"]),
        thresholds=tuple(rule["thresholds"].values()),
        min_labels=rule["min_labels"],
        max_labels=rule["max_labels"],
        max_tokens=settings.distil.max_tokens,
        language=contest.language,
        # It reads texts: no record is refused for a column that it has no eyes for.
        columns=ColumnRoles(**contest.columns.model_dump(exclude={"order"}) | {"numbers": (), "categories": ()}),
        separator=contest.separator,
        encoding=contest.encoding,
        headings=settings.clean.headings,
        placeholders=settings.clean.placeholders,
    )
    # Hidden files are the engine's own.
    shutil.copytree(paths.student(ALL_ROWS).model, target, ignore=shutil.ignore_patterns(".*"))
    write_card(target, card)


def _draw(paths: RunPaths, card: Json, records: Records, target: Path) -> None:
    labels, rule = card["labels"], read_json(paths.stack / "thresholds.json")
    f1, positives = (np.array([row[key] for row in labels]) for key in ("f1", "positives"))
    thresholds = np.array([rule["thresholds"][name] for name in records.label_names])
    score_figures.scores(target / "scores.png", score_lines(card))
    score_figures.label_f1(target / "label_f1.png", f1, positives, records.label_names)
    score_figures.thresholds(target / "thresholds.png", thresholds, positives)
    for fusion, shares in card["importance"].items():
        score_figures.importance(target / f"importance_{fusion}.png", shares)
