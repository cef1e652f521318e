"""The student as ONNX: fp32, and int8 with dynamic or static activation scales, all with one scale a weight channel.

Only products with weights are quantised; those of attention, the norms and the softmax stay fp32. Exported with
attention by products: the fused kernel's guard against rows without any token costs more there than the product. The
last layer is run for the first token only, as everywhere.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from polydx.artifacts import replacing
from polydx.deploy.onnx_runtime import Batch, IntArray
from polydx.deploy.student_model import StudentModel, in_fp32
from polydx.model.attention import attend_by_products
from polydx.model.layers import classify

QUANTISED = ("MatMul", "Gemm")
"""Operators whose weights become int8."""
EXAMPLE_SHAPE = (2, 16)
"""Of the batch that the exporter traces; both sizes stay free in the exported model."""


class _Logits(nn.Module):
    """A stock model that takes two tensors and gives one, as the exporter wants it."""

    def __init__(self, model: StudentModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits `[batch, labels]`."""
        return classify(self.model, input_ids, attention_mask, attend_by_products)


def export_onnx(model: StudentModel, target: Path) -> None:
    """Write a student as ONNX, fp32, for batches of any size and length.

    Args:
        model: On the CPU, in evaluation mode; left as it is.
        target: The file.
    """
    import onnx

    positions: int = model.config.max_position_embeddings
    shape = {0: torch.export.Dim("batch", min=1), 1: torch.export.Dim("tokens", min=2, max=positions)}
    input_ids = torch.full(EXAMPLE_SHAPE, 1)
    names = ("input_ids", "attention_mask")
    with _quiet_exporter():
        program = torch.onnx.export(
            _Logits(in_fp32(model)).train(False),
            (input_ids, torch.ones_like(input_ids)),
            input_names=names,
            output_names=("logits",),
            dynamic_shapes=dict.fromkeys(names, shape),
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise TypeError("the exporter gave no model")
    graph = program.model_proto
    # Shapes noted before the exporter turned weights over contradict what the quantiser infers.
    del graph.graph.value_info[:]
    with replacing(target) as temporary:
        onnx.save(graph, temporary)


def quantise_dynamic(source: Path, target: Path) -> None:
    """Make weights int8, a scale a channel; activations are quantised with each batch's own range.

    What a record gets so depends a little on the records that it is batched with: of 512 records, batched and alone,
    probabilities differed by up to 0.04, and one record's labels did. A package, which answers one record at a time,
    may thus answer otherwise than `polydx predict`. `quantise_static` depends on no batch.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with replacing(target) as temporary, _quiet_exporter():
        quantize_dynamic(
            source,
            temporary,
            op_types_to_quantize=list(QUANTISED),
            per_channel=True,
            weight_type=QuantType.QInt8,
        )


def quantise_static(source: Path, target: Path, batches: Sequence[Batch]) -> None:
    """Make weights int8, a scale a channel; activations get fixed ranges, those that some batches show.

    Args:
        source: From `export_onnx`.
        target: The file.
        batches: Typical ones; a range they don't reach is cut off later.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the library's base has no types
        """Hands the batches out one by one, then None."""

        def __init__(self) -> None:
            self._left = iter(batches)

        def get_next(self) -> dict[str, IntArray] | None:
            for input_ids, attention_mask in self._left:
                return {"input_ids": input_ids, "attention_mask": attention_mask}
            return None

    with replacing(target) as temporary, _quiet_exporter():
        quantize_static(
            source,
            temporary,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence what the exporter and the quantiser say of operators that no student has, and of their own steps."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
