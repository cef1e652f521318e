import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from polydx.errors import UserError
from polydx.model.tokenizers import SPECIAL_TOKENS, new_tokenizer
from polydx.names import TokenizerName

CHINESE = ["患者3天前出现发热,体温39.5℃,WBC 12.3×10^9/L", "患者2天前咳嗽,体温39.2℃,WBC 10.5×10^9/L,出现发热"] * 2
ENGLISH = ["the patient coughed and was coughing", "coughing patients, the cough of the patient"] * 2
TOKENS = ["623 328 | 538 328", "328 538 9"]


def test_characters_stand_alone_and_other_scripts_are_pieces() -> None:
    tokenizer = new_tokenizer("characters", CHINESE, 200)
    tokens = tokenizer.tokenize("患者发热,WBC 39")
    assert tokens == ["患", "者", "发", "热", ",", "wbc", "39"]


def test_wordpiece_learns_pieces_of_every_script() -> None:
    assert "患者" in new_tokenizer("wordpiece", CHINESE, 200).get_vocab()
    tokens = new_tokenizer("wordpiece", ENGLISH, 200).tokenize("coughs coughing")
    assert tokens[0] == "cough"
    assert "##s" in tokens


@pytest.mark.parametrize("kind", ["characters", "wordpiece"])
def test_a_character_never_seen_is_the_only_unknown(kind) -> None:  # type: ignore[no-untyped-def]
    tokenizer = new_tokenizer(kind, CHINESE, 200)
    tokens = tokenizer.tokenize("患者囊,WBC")
    assert tokens.count("[UNK]") == 1
    assert "".join(tokens).replace("##", "") == "患者[UNK],wbc"


def test_words_are_what_space_separates() -> None:
    tokenizer = new_tokenizer("words", TOKENS, 100)
    assert tokenizer("328 538 | 623")["input_ids"] == [2, 5, 6, 1, 1, 3]


@pytest.mark.parametrize(("kind", "texts"), [("characters", CHINESE), ("wordpiece", ENGLISH), ("words", TOKENS)])
@pytest.mark.parametrize("size", [7, 30, 200])
def test_vocabulary_size_is_kept_and_special_tokens_come_first(kind, texts: list[str], size: int) -> None:  # type: ignore[no-untyped-def]
    vocabulary = new_tokenizer(kind, texts, size).get_vocab()
    assert len(SPECIAL_TOKENS) < len(vocabulary) <= size
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))
    assert [vocabulary[token] for token in SPECIAL_TOKENS] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("kind", "texts"), [("characters", CHINESE), ("wordpiece", ENGLISH), ("words", TOKENS)])
def test_saved_folder_is_read_by_the_library(tmp_path: Path, kind, texts: list[str]) -> None:  # type: ignore[no-untyped-def]
    tokenizer = new_tokenizer(kind, texts, 100)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded(texts)["input_ids"] == tokenizer(texts)["input_ids"]
    assert loaded.mask_token_id == 4


@pytest.mark.parametrize("kind", ["words", "wordpiece", "characters"])
def test_texts_without_anything_twice_are_an_error(kind: TokenizerName) -> None:
    with pytest.raises(UserError, match="occurs 2 times"):
        new_tokenizer(kind, ["a b", "c d"], 100)


SAVE = """
import random, sys
from polydx.model.tokenizers import new_tokenizer
draw = random.Random(0)
texts = [" ".join("".join(draw.choices("abcdefghij发热咳嗽", k=6)) for _ in range(30)) for _ in range(60)]
new_tokenizer(sys.argv[1], texts, 300).save_pretrained(sys.argv[2])
"""


def test_same_texts_give_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    """Ties between pieces are many here; the library's own numbering of them differs from process to process."""
    digests = set()
    for run in range(2):
        folder = tmp_path / str(run)
        subprocess.run([sys.executable, "-c", SAVE, "wordpiece", str(folder)], check=True)
        digests.add(hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest())
    assert len(digests) == 1
