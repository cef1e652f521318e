"""Runs an exported student; torch isn't needed here, nor imported."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from polydx.artifacts import Floats
from polydx.errors import UserError

IntArray = npt.NDArray[np.int64]
Batch = tuple[IntArray, IntArray]
"""`input_ids` and `attention_mask`, both `[batch, tokens]`, int64."""
SLOWER_FUSIONS = ["SkipLayerNormFusion"]
"""Joins an int8 layer's sum and norm into one operator, on a CPU slower than both: by a sixth of the whole time of
GAIIC's student."""
Scorer = Callable[[IntArray, IntArray], Floats]
"""Logits `[batch, labels]`, float32, of a batch."""


def load_onnx(path: Path, threads: int = 1) -> Scorer:
    """Load an ONNX student on the CPU.

    Args:
        path: The file.
        threads: That work on one batch. More than one get in the way of batches that run side by side, as they do in
            prediction.

    Raises:
        UserError: The file is damaged.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as faults

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOWER_FUSIONS
        )
    except (faults.Fail, faults.InvalidArgument, faults.InvalidGraph, faults.InvalidProtobuf, ValueError) as error:
        problem = f"is no readable ONNX file ({type(error).__name__})"
        raise UserError(str(path), problem, "make the form again (polydx compress)") from None

    def score(input_ids: IntArray, attention_mask: IntArray) -> Floats:
        logits: Floats = session.run(None, {"input_ids": input_ids, "attention_mask": attention_mask})[0]
        return logits

    return score
