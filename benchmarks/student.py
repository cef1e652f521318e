"""What a run's student keeps of its ensemble's score, and how many times faster it is.

    python benchmarks/student.py --run ohsumed

Scores are the run's own: nested, out of fold. Speeds are measured here, on the same test records for all, in batches of
similar length; student and teachers take turns, medians count, and tokenisation counts unless a figure says otherwise.
The ensemble is every fold model that the final choice needs, in PyTorch fp32: members without weight in it stay out.
Whatever is unsure is in its favour: its models of one encoder share one tokenisation, linear ones are taken to spread
evenly over all cores, and the fold students, weights and trees of a fusion cost nothing. Where the final choice is the
student itself, the ensemble is all that taught it.

The student is timed as `polydx predict` runs it, in fp32, and in each form that `polydx compress` shipped, whose own
score then counts. The fastest of them is the one of the ratios. The last line printed is JSON.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np

from polydx.artifacts import read_json
from polydx.cli.needed import need_stacked
from polydx.compress import FORMS
from polydx.config import Settings, TransformerMember
from polydx.contest.records import TEST, read_records
from polydx.deploy.student_model import load_student
from polydx.errors import UserError
from polydx.model.tokens import encode
from polydx.paths import RunPaths
from polydx.plan import fold_jobs
from polydx.report.card import Json
from polydx.resolve import load_settings
from polydx.train.device import prepare
from student_timing import Clock, Cost, Sample, StudentForm, Teacher, cost_of, measure
from user_faults import with_exit_status

OWN = "fp32"
"""The student as it is."""


def student_forms(paths: RunPaths, sample: Sample, macro_f1: float) -> list[StudentForm]:
    """The student as it is, and its shipped forms; `macro_f1` is the student's own."""
    forms = []
    for name, score in {OWN: macro_f1, **shipped_scores(paths, macro_f1)}.items():
        student = load_student(paths.submission / "student" if name == OWN else paths.submission / FORMS / name)
        tokenise = partial(encode, student.tokenizer, sample.texts, student.card.max_tokens)
        forms.append(StudentForm(name, score, tokenise, student.score))
    return forms


def shipped_scores(paths: RunPaths, macro_f1: float) -> dict[str, float]:
    """Macro-F1 of each form that `polydx compress` shipped, where it was run."""
    verdicts = paths.submission / FORMS / "verdicts.json"
    if not verdicts.is_file():
        return {}
    return {verdict["form"]: macro_f1 - verdict["drop"] for verdict in read_json(verdicts) if verdict["ships"]}


def teachers_of(paths: RunPaths, settings: Settings, entries: Iterable[str]) -> list[Teacher]:
    """The fold models of some of the ledger's members."""
    found = []
    for entry in entries:
        member, round_number = member_of(entry)
        design = settings.members[member]
        encoder = paths.encoder(design.encoder) if isinstance(design, TransformerMember) else None
        for job in range(fold_jobs(settings.split)):
            folder = paths.fold_model(member, round_number, job).model
            found.append(Teacher(entry, f"{entry} fold {job}", folder, encoder))
    return found


def member_of(entry: str) -> tuple[str, int]:
    """Member and round of a ledger's entry."""
    member, _, round_number = entry.rpartition(".round")
    return member, int(round_number)


def needed(ledger: Json) -> list[str]:
    """Entries of the members that the final choice needs."""
    chosen, members = ledger["choice"]["entry"], list(ledger["members"])
    if chosen in members:
        return [chosen]
    weights = ledger["weights"].get(chosen, {})
    return [entry for entry in members if weights.get(entry, 1.0) > 0]


def best_neural(ledger: Json, settings: Settings) -> str:
    """The entry of the neural member with the highest score."""
    neural = [
        entry for entry in ledger["members"] if isinstance(settings.members[member_of(entry)[0]], TransformerMember)
    ]
    if not neural:
        raise UserError("members", "has no neural one to compare the student with", "name a run that has one")
    return max(neural, key=lambda entry: ledger["members"][entry]["oof_macro_f1"])


def summarise(
    ledger: Json, forms: Sequence[StudentForm], teachers: Sequence[Teacher], best: str, clock: Clock, threads: int
) -> tuple[Json, dict[str, tuple[float, Cost]]]:
    """The shares and ratios, and macro-F1 and cost of every side by name."""
    own = [teacher for teacher in teachers if teacher.entry == best]
    shared = cost_of(clock, own, threads)
    sides = {
        form.name: (form.macro_f1, Cost(clock.median(f"tokens of {form.name}"), clock.median(form.name)))
        for form in forms
    }
    fastest = min(forms, key=lambda form: sides[form.name][1].total)
    chosen = ledger["choice"]["entry"]
    entries = needed(ledger)
    behind = [teacher for teacher in teachers if teacher.entry in entries]
    # One fold model is one pass; its tokens cost the same as all folds' together.
    member = Cost(shared.tokens, shared.passes / len(own))
    ensemble = cost_of(clock, behind, threads)
    sides[f"{best}, one fold"] = (ledger["members"][best]["oof_macro_f1"], member)
    sides[f"ensemble ({chosen}), {len(behind)} models"] = (ledger["final"]["oof_macro_f1"], ensemble)
    macro_f1, cost = sides[fastest.name]
    summary = {
        "student_form": fastest.name,
        "member": best,
        "final_entry": chosen,
        "macro_f1_share": round(macro_f1 / ledger["final"]["oof_macro_f1"], 4),
        "macro_f1_share_member": round(macro_f1 / ledger["members"][best]["oof_macro_f1"], 4),
        "throughput_ratio": round(ensemble.total / cost.total, 3),
        "throughput_ratio_member": round(member.total / cost.total, 3),
        "passes_ratio": round(ensemble.passes / cost.passes, 3),
        "passes_ratio_member": round(member.passes / cost.passes, 3),
    }
    return summary, sides


def show(sides: dict[str, tuple[float, Cost]], rows: int) -> None:
    """Print a line for every side."""
    print(f"{'':36s}{'macro-F1':>9}{'tokens s':>10}{'passes s':>10}{'records/s':>11}{'without tokens':>16}")
    for name, (macro_f1, cost) in sides.items():
        without = f"{rows / cost.passes:.1f}" if cost.passes else "-"
        rate = rows / cost.total
        print(f"{name:36s}{macro_f1:9.4f}{cost.tokens:10.3f}{cost.passes:10.3f}{rate:11.1f}{without:>16}")


@with_exit_status
def main() -> None:
    """Load, time, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="name of a finished run under runs/")
    parser.add_argument("--rows", type=int, default=512, help="test records, drawn at random")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    # Read by the tokenizers' own pool when it starts.
    os.environ.setdefault("RAYON_NUM_THREADS", str(options.threads))
    prepare(options.threads, seed=0)
    paths = RunPaths(options.run)
    settings = load_settings(paths.settings)
    if not settings.distil.enabled:
        raise UserError(str(paths.settings), "has no student", "run it with distil.enabled=true")
    need_stacked(paths, settings)
    ledger = read_json(paths.ledger)
    records = read_records(paths.records, paths.labels)
    test = records.part(TEST)
    drawn = np.sort(np.random.default_rng(0).permutation(len(test))[: options.rows])
    sample = Sample(test.iloc[drawn].reset_index(drop=True), len(records.label_names))

    best = best_neural(ledger, settings)
    teachers = teachers_of(paths, settings, dict.fromkeys([*needed(ledger), best]))
    forms = student_forms(paths, sample, ledger["student"]["oof_macro_f1"])
    clock = measure(sample, forms, teachers, options.repeats)
    summary, sides = summarise(ledger, forms, teachers, best, clock, options.threads)
    show(sides, len(drawn))
    rates = {name: round(len(drawn) / cost.total, 1) for name, (_, cost) in sides.items()}
    about = {"run": options.run, "records": len(drawn), "threads": options.threads, "repeats": options.repeats}
    print(json.dumps(about | summary | {"records_a_second": rates}))


if __name__ == "__main__":
    sys.exit(main())
