"""Age, sex and lengths beside the text: plain numbers that add a term of their own to the logits."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from polydx.artifacts import Floats
from polydx.contest.records import AGE_YEARS, SECTION_PREFIX, SEX
from polydx.names import SideFeature

MALE, FEMALE = 1.0, -1.0


def side_columns(kinds: Sequence[SideFeature], sections: Sequence[str]) -> list[str]:
    """The columns of `records.parquet` that these features are read off; `sections` are those of the sections."""
    of_kind = {"age": [AGE_YEARS], "sex": [SEX], "lengths": list(sections)}
    return [column for kind in kinds for column in of_kind[kind]]


def side_features(table: pd.DataFrame, kinds: Sequence[SideFeature]) -> Floats:
    """Read numbers off rows of `records.parquet`.

    Args:
        table: The rows.
        kinds: `age`: log(1 + years); `sex`: `MALE` or `FEMALE`; `lengths`: log(1 + characters) of each section.

    Returns:
        `[rows, features]`, float32; NaN where unknown. The columns stand in the order of `kinds`.
    """
    columns: list[npt.NDArray[np.floating]] = []
    for kind in kinds:
        match kind:
            case "age":
                columns.append(np.log1p(table[AGE_YEARS].to_numpy(np.float64)))
            case "sex":
                columns.append(table[SEX].map({"male": MALE, "female": FEMALE}).to_numpy(np.float64))
            case "lengths":
                sections = [name for name in table.columns if name.startswith(SECTION_PREFIX)]
                columns += [np.log1p(table[name].str.len().fillna(0).to_numpy(np.float64)) for name in sections]
    features = np.empty((len(table), len(columns)), dtype=np.float32)
    for index, column in enumerate(columns):
        features[:, index] = column
    return features


class SideTerm(nn.Module):
    """Logits `[batch, labels]` that a record's features add: W ((x - mean) / deviation), an unknown x adding nothing.

    Under a linear head this is the same as joining the features to the pooled vector, and it serves every head. W
    starts at zero: at first the text speaks alone.

    Attributes:
        mean: `[features]`, of the rows the model trains on; kept with the weights.
        deviation: `[features]`, above 0.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, features: int, labels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(labels, features))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))

    @torch.no_grad()
    def standardise_by(self, features: Floats) -> None:
        """Take mean and deviation from training rows, `[rows, features]`, NaN left out; a constant keeps its scale."""
        values = features.astype(np.float64)
        known = ~np.isnan(values)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, values, 0.0).sum(axis=0) / count
        deviation = np.sqrt((np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / count)
        self.mean.copy_(torch.from_numpy(mean))
        self.deviation.copy_(torch.from_numpy(np.where(deviation > 0, deviation, 1.0)))

    def forward(self, features: Tensor) -> Tensor:
        """The term for `[batch, features]`, float32."""
        standardised = (features - self.mean) / self.deviation
        return functional.linear(torch.where(features.isnan(), 0.0, standardised), self.weight)
