"""Closed sets of names that settings or commands give and the library acts on, in the order of the pipeline.

They stand here because the library imports no settings, and settings nothing as heavy as the library.
"""

from typing import Literal

TableFormat = Literal["auto", "json", "jsonl", "csv", "parquet", "excel"]
"""How a table is stored: `polydx.contest.tables`."""

Language = Literal["zh", "en", "tokens"]
"""What the records are written in: `polydx.text.normalise`."""

WithoutLabels = Literal["drop", "keep"]
"""What becomes of records without labels: `polydx.contest.selection`."""

UnofficialLabels = Literal["drop", "refuse"]
"""What becomes of labels that are not official: `polydx.contest.label_names`."""

FoldScheme = Literal["stratified", "repeated", "plain", "holdout"]
"""How rows are dealt into folds: `polydx.judge.folds`."""

Architecture = Literal["bert", "ernie"]
"""Model types of encoders: `polydx.model.encoders`."""

TokenizerName = Literal["characters", "wordpiece", "words"]
"""What a vocabulary of one's own is made of: `polydx.model.tokenizers`."""

LongMode = Literal["cut", "head_tail", "section_shares", "chunks", "two_streams"]
"""What happens to a record that is too long: `polydx.model.reading`."""

SideFeature = Literal["age", "sex", "lengths"]
"""What enters beside the text: `polydx.model.side_features`."""

Pooling = Literal["first", "mean", "attention", "label_attention", "laat", "binary"]
"""From tokens to logits: `polydx.model.heads`."""

Perturbed = Literal["table", "positions"]
"""Where FGM and its like move words: `polydx.train.perturbations.embeddings`."""

LossName = Literal[
    "bce", "soft_f1", "clamped_soft_f1", "sigmoid_f1", "asl", "focal", "distribution_balanced", "zlpr", "hamming"
]
"""What a member can minimise; the functions of the same names stand in `train/losses/`."""

LinearLoss = Literal["logistic", "squared_hinge"]
"""What a linear member minimises: `polydx.model.linear`."""

PseudoCutoff = Literal["fixed", "prior"]
"""How sure a pseudo-label must be: `polydx.semi.pseudo_labels`."""

TemperatureSchedule = Literal["fixed", "annealed", "learned"]
"""How warm soft targets are over the training: `polydx.distil.temperature`."""

ExitTraining = Literal["none", "joint", "self", "mutual"]
"""What early exits learn: `polydx.distil.exit_training`."""

FoldCombination = Literal["mean", "vote", "matched"]
"""From the fold models' predictions to one: `polydx.ensemble.fold_predictions`."""

CalibrationMethod = Literal["platt", "isotonic"]
"""From scores to probabilities that mean what they say: `polydx.ensemble.calibration`."""

ThresholdMethod = Literal["shrunk", "pooled", "half_f1"]
"""How thresholds are fitted: `polydx.ensemble.thresholds`."""

FusionName = Literal[
    "mean",
    "geometric",
    "log_odds",
    "power",
    "rank",
    "weighted",
    "by_rank",
    "label_weighted",
    "bagged",
    "blended",
    "calibrated",
    "vote",
    "weighted_vote",
    "majority",
    "plurality",
    "logistic",
    "lightgbm",
]
"""Means of several kinds, weights found in several ways, hard votes, and stackers: `polydx.ensemble.fusions`."""

SubmissionFormat = Literal["json_labels", "csv_labels", "csv_probabilities"]
"""What a submission looks like: `polydx.contest.writers`."""

FormName = Literal["bf16", "vocabulary", "neurons", "low_rank", "heads", "onnx", "int8", "int8-static"]
"""A student's smaller forms: `polydx.deploy.forms`."""

ExitRuleName = Literal["entropy", "patience", "similarity"]
"""When a record leaves a student early: `polydx.model.exit_rules`."""

Give = Literal["labels", "probabilities", "both"]
"""What `polydx predict` writes of a record."""
