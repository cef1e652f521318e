"""What a ledger consists of: the techniques, their settings, and one job for each seed and fold."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from polydx.artifacts import read_json
from polydx.config import Settings, TransformerMember
from polydx.errors import UserError
from polydx.paths import RunPaths
from polydx.plan import missing_packages
from polydx.provenance import code_hash
from polydx.resolve import load_settings

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
STAGES = ("s1_clean", "s3_split", "s4_pretrain", "s5_finetune")
PLAIN = ("pooling=mean", "weights=last", "soft_f1_weight=0.0", "adversary={method: none}")
MACHINE = ("compute.threads=1", "compute.device=cpu")
"""The cost is processor time, and two jobs side by side get more out of two cores than one job of two threads."""
BASELINE = "baseline"
TECHNIQUES = {
    "first_token": "pooling=first",
    "attention": "pooling=attention",
    "label_attention": "pooling=label_attention",
    "laat": "pooling=laat",
    "fgm": "adversary={method: fgm}",
    "fgm_small": "adversary={method: fgm, epsilon: 0.2}",
    "pgd": "adversary={method: pgd}",
    "pgd_small": "adversary={method: pgd, epsilon: 0.2, alpha: 0.06}",
    "vat": "adversary={method: vat}",
    "r_drop": "adversary={method: r_drop}",
    "soft_f1": "soft_f1_weight=0.2",
    "soft_f1_later": "losses={weights: {bce: 1.0}, later_weights: {bce: 0.5, soft_f1: 0.5}}",
    "asl": "losses={weights: {asl: 1.0}}",
    "class_weights": "losses={class_weight_power: 0.5}",
    "ema": "weights=averaged",
    "layer_decay": "layer_decay=0.9",
    "dropout_samples": "dropout_samples=5",
    "head_tail": "long_records={mode: head_tail}",
    "section_shares": "long_records={mode: section_shares}",
    "frozen_words": "frozen_layers=0",
    "all_layers": "frozen_layers=null",
}
"""The one setting of the member that each changes."""
LEFT_OUT = {
    "gaiic": ("head_tail", "section_shares", "all_layers"),
    "ohsumed": ("section_shares", "fgm", "fgm_small", "pgd", "pgd_small", "vat", "frozen_words"),
}
"""Records of one section have no shares, hardly a GAIIC report is cut at all, and GAIIC's member trains every layer;
Ohsumed's freezes the words, which three perturbations would move, with some layers."""
SEEDS = {"gaiic": 3}
"""Where `--seeds` is silent; elsewhere one."""


@dataclass(frozen=True)
class Job:
    """One technique's training with one seed on one fold.

    Attributes:
        folder: The data's, in the output folder.
        settings: Resolved, the technique's change included.
        member: The member's name.
    """

    folder: Path
    settings: Settings
    member: str
    technique: str
    seed: int
    fold: int

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.technique}-seed{self.seed}-fold{self.fold}"

    @property
    def result(self) -> Path:
        """Its setting and cost; it is written last, so that a job is done if it is there."""
        return self.folder / "results" / f"{self.name}.json"

    @property
    def probabilities(self) -> Path:
        """Of the fold's validation rows: float32 `[rows, labels]`."""
        return self.result.with_suffix(".npy")

    @property
    def done(self) -> bool:
        """Whether there is a result of this very setting."""
        return self.result.exists() and read_json(self.result)["setting"] == TECHNIQUES.get(self.technique)


@dataclass(frozen=True)
class Ledger:
    """The techniques on one contest.

    Attributes:
        folder: Its part of the output folder.
        member: The transformer member that is varied.
        variants: Resolved settings of the baseline and every technique.
        seeds: How many.
        folds: How many of the split's folds are trained and scored.
    """

    data: str
    folder: Path
    member: str
    variants: dict[str, Settings]
    seeds: int
    folds: int

    @property
    def plain(self) -> Settings:
        """The baseline's settings."""
        return self.variants[BASELINE]

    @property
    def made_by(self) -> Path:
        """What everything here was made by; written once the preparations are complete."""
        return self.folder / "made_by.json"

    def job(self, technique: str, seed: int, fold: int) -> Job:
        """One of the jobs."""
        return Job(self.folder, self.variants[technique], self.member, technique, seed, fold)


def all_rows(folder: Path) -> RunPaths:
    """The run that holds the cleaned records, the folds and the encoder."""
    return RunPaths("prepared", folder)


def labelled_rows(folder: Path) -> RunPaths:
    """The run that holds the training records alone: nothing can be chosen by rows that are not there."""
    return RunPaths("labelled", folder)


def open_ledger(
    data: str, raw: Path, out: Path, techniques: Sequence[str], seeds: int | None, folds: int | None
) -> Ledger:
    """Resolve the settings of every technique and look whether the folder was made by the same.

    Raises:
        UserError: There is no such configuration, a package is missing, or the folder holds what others made.
    """
    config = CONFIGS / f"{data}.yaml"
    members = load_settings(config).members
    member = next(name for name, each in members.items() if isinstance(each, TransformerMember))
    changes = {BASELINE: PLAIN} | {name: (*PLAIN, TECHNIQUES[name]) for name in techniques}
    for name in LEFT_OUT.get(data, ()):
        changes.pop(name, None)
    where = f"contest.folder={json.dumps(str(raw.resolve()))}"
    variants = {
        name: load_settings(config, [where, *MACHINE, *(f"members.{member}.{change}" for change in changed)])
        for name, changed in changes.items()
    }
    split = variants[BASELINE].split
    most = 1 if split.scheme == "holdout" else split.folds
    ledger = Ledger(data, out / data, member, variants, seeds or SEEDS.get(data, 1), min(folds or most, most))
    if missing := missing_packages(ledger.plain):
        raise UserError(str(config), f"{missing[0]} is not installed", "pip install --no-deps it, or let run.sh do so")
    if ledger.made_by.exists() and read_json(ledger.made_by) != provenance(ledger):
        problem = "holds what other settings or other code made"
        raise UserError(str(ledger.folder), problem, "name another --out, or remove it")
    return ledger


def provenance(ledger: Ledger) -> dict[str, object]:
    """Settings and code that results must share to be compared."""
    code = {stage: code_hash(f"polydx.stages.{stage}") for stage in STAGES}
    return {"settings": ledger.plain.model_dump(mode="json"), "code": code}
