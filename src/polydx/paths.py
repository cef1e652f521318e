"""Where every artefact of a run lies; the only place that spells these names."""

from dataclasses import dataclass
from pathlib import Path

from polydx.errors import UserError

ALL_ROWS = "all"
"""The fold name of the student that is trained on every labelled row."""


@dataclass(frozen=True)
class RunPaths:
    """The files of one run, all relative to the folder the command was started in."""

    name: str
    runs: Path = Path("runs")
    submissions: Path = Path("submissions")

    @property
    def root(self) -> Path:
        """The run's folder."""
        return self.runs / self.name

    @property
    def settings(self) -> Path:
        """The resolved settings that every stage of the run reads."""
        return self.root / "settings.json"

    # s1 clean
    @property
    def records(self) -> Path:
        """All cleaned records; columns in `polydx.contest.records`."""
        return self.root / "s1_clean" / "records.parquet"

    @property
    def labels(self) -> Path:
        """`{"labels": [name, …]}`: the label order of every array of the run."""
        return self.root / "s1_clean" / "labels.json"

    @property
    def cleaning(self) -> Path:
        """Every change counted and every dropped row with its reason."""
        return self.root / "s1_clean" / "cleaning.json"

    # s2 inspect
    @property
    def inspection(self) -> Path:
        """What the data look like: labels, lengths, drift, leaks."""
        return self.root / "s2_inspect" / "inspection.json"

    @property
    def inspection_figures(self) -> Path:
        """Folder of the pictures of `inspection`."""
        return self.root / "s2_inspect" / "figures"

    # s3 split
    @property
    def folds(self) -> Path:
        """(repeat, fold) of every labelled record; columns in `polydx.judge.folds`."""
        return self.root / "s3_split" / "folds.parquet"

    @property
    def coverage(self) -> Path:
        """Positives of each label in each fold, and the labels that are too rare for the folds."""
        return self.root / "s3_split" / "coverage.json"

    # s4 pretrain
    def encoder(self, encoder: str) -> Path:
        """Folder of a pre-trained encoder with its tokenizer, in Hugging Face layout, and `pretraining.json`."""
        return self.root / "s4_pretrain" / encoder

    # s5 finetune
    def tokens(self, name: str) -> Path:
        """All records' tokens as some models read them, an Arrow file (`polydx.stages.token_files`)."""
        return self.root / "s5_finetune" / "tokens" / f"{name}.arrow"

    def lower_states(self, name: str) -> Path:
        """Folder of what frozen layers make of all records, while fold jobs need it (`TransformerMember`)."""
        return self.root / "s5_finetune" / "lower_states" / name

    def fold_model(self, member: str, round_number: int, fold: int) -> "FoldFiles":
        """What one finetune job writes."""
        return FoldFiles(self.root / "s5_finetune" / member / f"round{round_number}" / f"fold{fold}")

    # s6 pseudo
    def pseudo(self, round_number: int, fold: int) -> Path:
        """Folder with `rows.npy`, `soft_labels.npy` and `report.json` for the training of one fold in one round."""
        return self.root / "s6_pseudo" / f"round{round_number}" / f"fold{fold}"

    # s7 distil
    def student(self, fold: int | str) -> "FoldFiles":
        """What one distil job writes; fold `ALL_ROWS` is the student that is shipped."""
        return FoldFiles(self.root / "s7_distil" / (fold if isinstance(fold, str) else f"fold{fold}"))

    # s8 stack
    @property
    def stack(self) -> Path:
        """Folder of the fused probabilities, thresholds, decisions and the ledger of honest scores."""
        return self.root / "s8_stack"

    @property
    def ledger(self) -> Path:
        """Honest out-of-fold scores of every member, the student, every fusion candidate and the final choice."""
        return self.stack / "ledger.json"

    def decisions(self, entry: str) -> Path:
        """Folder of one ledger entry's decided labels: `oof.npy` and `test.npy`, bool `[rows, labels]`."""
        return self.stack / "decisions" / entry

    # s9 submit, score
    @property
    def card(self) -> Path:
        """The score card before the scoring rule has added the test score."""
        return self.root / "s9_submit" / "scores.json"

    @property
    def submission(self) -> Path:
        """Folder of what is uploaded and shipped."""
        return self.submissions / self.name

    @property
    def scores(self) -> Path:
        """The finished score card."""
        return self.submission / "scores.json"

    def checkpoints(self, job: str) -> Path:
        """Folder for a job's checkpoints, outside every declared output, since the engine deletes those on a rerun."""
        return self.root / "checkpoints" / job


@dataclass(frozen=True)
class FoldFiles:
    """The files of one trained fold model. Arrays are float32 probabilities `[rows, labels]` in record order."""

    folder: Path

    @property
    def model(self) -> Path:
        """Folder of the model itself."""
        return self.folder / "model"

    @property
    def validation(self) -> Path:
        """Probabilities of the fold's validation rows (absent for the student on all rows)."""
        return self.folder / "validation.npy"

    @property
    def test(self) -> Path:
        """Probabilities of the test rows."""
        return self.folder / "test.npy"

    @property
    def unlabelled(self) -> Path:
        """Probabilities of the unlabelled rows; an array of no rows where the contest has none."""
        return self.folder / "unlabelled.npy"

    @property
    def training(self) -> Path:
        """Probabilities of the fold's own training rows: what this teacher may teach its fold's student."""
        return self.folder / "training.npy"

    @property
    def report(self) -> Path:
        """How training went: steps, seconds, losses, pseudo-rows, adversarial steps."""
        return self.folder / "report.json"


def member_entry(member: str, round_number: int) -> str:
    """Name of a member's round among the ledger's entries."""
    return f"{member}.round{round_number}"


def need(made: Path, command: str, *, since: str = "yet") -> None:
    """See that a file or folder of an earlier stage is there.

    Args:
        made: What that stage wrote.
        command: The command that writes it.
        since: "yet", or "any more" where it must have been there.

    Raises:
        UserError: It is absent.
    """
    if not made.exists():
        fix = f"run polydx {command} first, or bash run.sh for everything"
        raise UserError(str(made), f"is not there {since}", fix)
