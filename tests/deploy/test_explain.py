"""Gradient times input against a plain reference: one row, one label, one finite difference at a time."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from polydx.deploy.explain import EXPLAINED_WORDS, NO_LABEL, attributions, explain, top_words
from polydx.deploy.predict import Wanted, predict
from polydx.deploy.student_model import LoadedStudent, load_student
from polydx.model.tokens import encode
from polydx.text.words import word_spans, words

TEXTS = ["男 48岁 主诉:发热3天。", "女 主诉:咳嗽 关节疼痛", "暂无发热"]


@pytest.fixture(scope="module")
def student(student_folder: Path) -> LoadedStudent:
    return load_student(student_folder)


def reference(student: LoadedStudent, input_ids: torch.Tensor, column: int) -> torch.Tensor:
    """d logit / d scale of each token's embedding, by central differences in double precision."""
    model = student.model.double()
    embedded = model.get_input_embeddings()(input_ids[None])

    def logit(token: int, scale: float) -> torch.Tensor:
        scaled = embedded.clone()
        scaled[0, token] *= scale
        return model(inputs_embeds=scaled).logits[0, column]

    step = 1e-4
    with torch.no_grad():
        slopes = [(logit(token, 1 + step) - logit(token, 1 - step)) / (2 * step) for token in range(len(input_ids))]
    student.model.float()
    return torch.stack(slopes)


def test_attributions_are_the_slopes_along_each_embedding(student: LoadedStudent) -> None:
    tokens = encode(student.tokenizer, TEXTS, 24)
    input_ids, attention_mask = tokens.pad(np.arange(3))
    columns = np.array([[0, 1], [1, NO_LABEL], [NO_LABEL, NO_LABEL]])
    found = attributions(student.model, input_ids, attention_mask, columns)
    assert found.shape == (3, 2, input_ids.shape[1])
    for row, labels in enumerate(columns):
        length = int(tokens.lengths[row])
        assert not found[row, :, length:].any()
        for rank, column in enumerate(labels):
            expected = np.zeros(length)
            if column != NO_LABEL:
                expected = reference(student, input_ids[row, :length], int(column)).numpy()
            np.testing.assert_allclose(found[row, rank, :length], expected, atol=1e-6)


def test_batched_equals_one_by_one(student: LoadedStudent) -> None:
    decided, device = [[0, 1], [1], []], torch.device("cpu")
    together = explain(student, TEXTS, decided, device)
    assert [len(labels) for labels in together] == [2, 1, 0]
    for text, labels, found in zip(TEXTS, decided, together, strict=True):
        (alone,) = explain(student, [text], [labels], device)
        assert [list(words) for words in alone] == [list(words) for words in found]
        for one, other in zip(alone, found, strict=True):
            assert one == pytest.approx(other, abs=1e-6)


def test_tokens_add_up_to_words() -> None:
    offsets = [(0, 0), (0, 3), (3, 5), (6, 9), (9, 10), (11, 16), (0, 0)]
    shares = np.array([9, 0.5, 0.25, -1, 5, 0.5, 9, 9], dtype=np.float32)
    # "fever" stands twice, in another case the second time; "and" spoke against; the comma is no word.
    assert top_words("fever and, fever", "en", offsets, shares) == {"fever": 1.25}
    many = " ".join("abcdefgh")
    spans = [(2 * place, 2 * place + 1) for place in range(8)]
    best = top_words(many, "tokens", spans, np.arange(1, 9, dtype=np.float32))
    assert list(best) == ["h", "g", "f", "e", "d"][:EXPLAINED_WORDS]


@pytest.mark.parametrize("language", ["zh", "en", "tokens"])
def test_spans_are_those_of_the_words(language: str) -> None:
    text = "Fever 38.5度, 咳嗽3天 and a rash"
    spans = [text[start:end] for start, end in word_spans(text, language)]  # type: ignore[arg-type]
    expected = words(text, language)  # type: ignore[arg-type]
    assert ([span.lower() for span in spans] if language == "en" else spans) == expected


def test_words_are_written_for_decided_labels_only_when_asked_for(student_folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "new.jsonl"
    source.write_text(
        '{"emr_id": "a", "age": null, "gender": null, "complaint": "咳嗽", "history": "关节疼痛"}', encoding="utf-8"
    )
    for explained in (False, True):
        predict(student_folder, source, tmp_path / "out.jsonl", Wanted("labels", explained, skip_bad=False))
        line = json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8"))
        assert ("words" in line) == explained
    assert list(line["words"]) == line["labels"]
    assert all(share > 0 for of_label in line["words"].values() for share in of_label.values())
