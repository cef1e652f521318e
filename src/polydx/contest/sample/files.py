"""The sample contest as a folder of files."""

from pathlib import Path

from polydx.artifacts import replacing, write_json, write_text
from polydx.contest.sample.frequencies import COUNTS, OFFICIAL_COUNTS
from polydx.contest.sample.generate import Hidden, Record, generate
from polydx.errors import UserError

FILES = ("train.json", "test.json", "unlabelled.json", "labels.txt", "truth.json")


def write_sample(folder: Path, train: int, test: int, unlabelled: int, seed: int) -> None:
    """Write the sample contest into `folder`, whole or not at all; an earlier sample there is replaced.

    `train.json` holds records with their diagnoses, unofficial ones included; `test.json` and `unlabelled.json` records
    without; `labels.txt` the official labels, one a line; `truth.json` the official labels of each test record.

    Args:
        folder: The folder to make.
        train: Labelled records, at least one.
        test: Records to predict, at least one.
        unlabelled: Further records, at least one.
        seed: Seed of everything drawn; the same arguments give the same bytes.

    Raises:
        UserError: `folder` exists and holds anything but a sample.
    """
    if folder.exists() and not (folder.is_dir() and {path.name for path in folder.iterdir()} <= set(FILES)):
        raise UserError(str(folder), "exists and is no sample contest", "name a new folder")
    sample = generate(train, test, unlabelled, seed)
    with replacing(folder) as temporary:
        write_json(temporary / "train.json", [_labelled(hidden) for hidden in sample.part("train")])
        write_json(temporary / "test.json", [hidden.record for hidden in sample.part("test")])
        write_json(temporary / "unlabelled.json", [hidden.record for hidden in sample.part("unlabelled")])
        write_text(temporary / "labels.txt", "".join(f"{name}\n" for name in OFFICIAL_COUNTS))
        write_json(
            temporary / "truth.json", {hidden.emr_id: hidden.official_labels() for hidden in sample.part("test")}
        )


def _labelled(hidden: Hidden) -> Record:
    order = list(COUNTS)
    return {**hidden.record, "diagnosis": sorted(hidden.case.labels, key=order.index)}
