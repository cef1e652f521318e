"""Exported students against torch: any batch size and length, and int8 near fp32."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from polydx.deploy.onnx_models import export_onnx, quantise_dynamic, quantise_static
from polydx.deploy.onnx_runtime import Batch, load_onnx
from polydx.deploy.student_model import StudentModel, load_student

SHAPES = [(1, 2), (1, 7), (3, 24), (5, 11)]


@pytest.fixture(scope="module")
def model(student_folder: Path) -> StudentModel:
    return load_student(student_folder).model


@pytest.fixture(scope="module")
def exported(model: StudentModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("onnx") / "student.onnx"
    export_onnx(model, target)
    return target


def batch(shape: tuple[int, int], vocabulary: int, seed: int = 0) -> Batch:
    draw = np.random.default_rng(seed)
    lengths = draw.integers(2, shape[1] + 1, shape[0])
    lengths[0] = shape[1]
    return draw.integers(0, vocabulary, shape), (np.arange(shape[1]) < lengths[:, None]).astype(np.int64)


def reference(model: StudentModel, one: Batch) -> np.ndarray:
    """Each row by itself, without padding."""
    rows = []
    for input_ids, attention_mask in zip(*one, strict=True):
        alone = torch.from_numpy(input_ids[: attention_mask.sum()])[None]
        with torch.no_grad():
            rows.append(model(input_ids=alone).logits[0].numpy())
    return np.stack(rows)


@pytest.mark.parametrize("shape", SHAPES)
def test_export_gives_the_same_logits_for_every_shape(
    model: StudentModel, exported: Path, shape: tuple[int, int]
) -> None:
    one = batch(shape, model.config.vocab_size)
    np.testing.assert_allclose(load_onnx(exported, 1)(*one), reference(model, one), atol=1e-6)


@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_int8_is_small_and_near(model: StudentModel, exported: Path, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "int8.onnx"
    batches = [batch((4, 24), model.config.vocab_size, seed) for seed in (1, 2, 3)]
    if kind == "dynamic":
        quantise_dynamic(exported, target)
    else:
        quantise_static(exported, target, batches)
    one = batch((5, 11), model.config.vocab_size)
    expected = reference(model, one)
    found = load_onnx(target, 1)(*one)
    assert np.abs(found - expected).mean() < 0.2 * expected.std()
    weights = [each for each in onnx.load(target).graph.initializer if each.data_type == onnx.TensorProto.INT8]
    assert len([each for each in weights if len(each.dims) == 2]) >= 6 * model.config.num_hidden_layers
    assert len({tuple(each.dims) for each in weights}) > 1
    assert [path.name for path in tmp_path.iterdir()] == ["int8.onnx"]


def test_only_fixed_ranges_answer_a_record_in_any_batch_alike(
    model: StudentModel, exported: Path, tmp_path: Path
) -> None:
    quantise_dynamic(exported, tmp_path / "dynamic.onnx")
    quantise_static(exported, tmp_path / "static.onnx", [batch((4, 24), model.config.vocab_size, 1)])
    one = batch((8, 24), model.config.vocab_size)
    moved = {}
    for kind in ("dynamic", "static"):
        score = load_onnx(tmp_path / f"{kind}.onnx")
        alone = np.concatenate([score(one[0][row : row + 1], one[1][row : row + 1]) for row in range(8)])
        moved[kind] = np.abs(score(*one) - alone).max()
    assert moved["static"] < 1e-6 < moved["dynamic"]


def test_weights_have_a_scale_a_channel(exported: Path, tmp_path: Path) -> None:
    target = tmp_path / "int8.onnx"
    quantise_dynamic(exported, target)
    scales = [each for each in onnx.load(target).graph.initializer if each.name.endswith("_scale")]
    assert {each.dims[0] for each in scales if each.dims} >= {16, 32}
