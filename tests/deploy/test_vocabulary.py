"""A pruned vocabulary: the same answers on the texts it was pruned for, and a folder that loads."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import models, processors
from transformers import PreTrainedTokenizerFast

from polydx.deploy.student_model import LoadedStudent, load_student
from polydx.deploy.vocabulary import prune_vocabulary, renumbered
from polydx.errors import UserError
from polydx.model.encoders import load_tokenizer, save_folder

SEEN = ["男 48岁 主诉:发热3天。", "发热 发热"]


@pytest.fixture(scope="module")
def student(student_folder: Path) -> LoadedStudent:
    return load_student(student_folder)


def test_seen_texts_are_answered_as_before(student: LoadedStudent, tmp_path: Path) -> None:
    smaller = prune_vocabulary(student.model, student.tokenizer, SEEN)
    save_folder(tmp_path, smaller.model, smaller.tokenizer)
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["vocab_size"] == len(smaller.tokenizer)
    assert len(smaller.tokenizer) < len(student.tokenizer)
    reloaded = load_tokenizer(tmp_path)
    for text in SEEN:
        before, after = student.tokenizer(text, return_tensors="pt"), reloaded(text, return_tensors="pt")
        tokens = [
            tokenizer.convert_ids_to_tokens(ids["input_ids"][0])
            for tokenizer, ids in ((student.tokenizer, before), (reloaded, after))
        ]
        assert tokens[0] == tokens[1]
        with torch.no_grad():
            expected = student.model(input_ids=before["input_ids"]).logits
            assert torch.equal(smaller.model(input_ids=after["input_ids"]).logits, expected)


def test_what_is_gone_is_unknown_and_special_tokens_stay(student: LoadedStudent) -> None:
    smaller = prune_vocabulary(student.model, student.tokenizer, SEEN).tokenizer
    assert set(smaller.get_vocab()) < set(student.tokenizer.get_vocab())
    assert student.tokenizer.unk_token_id not in student.tokenizer("咳", add_special_tokens=False)["input_ids"]
    assert smaller("咳", add_special_tokens=False)["input_ids"] == [smaller.unk_token_id]
    for name in ("pad", "unk", "cls", "sep", "mask"):
        assert getattr(smaller, f"{name}_token") == getattr(student.tokenizer, f"{name}_token")
    assert smaller.model_max_length == student.tokenizer.model_max_length


def test_the_models_own_template_is_renumbered_too(student: LoadedStudent) -> None:
    original = student.tokenizer
    backend = type(original.backend_tokenizer).from_str(original.backend_tokenizer.to_str())
    backend.post_processor = processors.BertProcessing(
        (original.sep_token, original.sep_token_id), (original.cls_token, original.cls_token_id)
    )
    names = {f"{name}_token": getattr(original, f"{name}_token") for name in ("pad", "unk", "cls", "sep", "mask")}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **names)
    shifted = {old: len(original) - 1 - old for old in range(len(original))}
    found = renumbered(tokenizer, shifted)(SEEN[0])["input_ids"]
    assert found == [shifted[old] for old in tokenizer(SEEN[0])["input_ids"]]
    backend.model = models.BPE()
    with pytest.raises(UserError, match="is of kind BPE"):
        renumbered(PreTrainedTokenizerFast(tokenizer_object=backend, **names), shifted)
