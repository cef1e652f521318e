"""Words by language."""

import logging
import tempfile
from pathlib import Path

import pytest

from polydx.text.words import words


def test_chinese_words_join_to_the_text() -> None:
    text = "患者反复咳嗽2月,WBC 12.5×10^9/L。"
    found = words(text, "zh")
    assert "".join(found) == text.replace(" ", "")
    assert "咳嗽" in found


def test_english_words_are_lower_case_letters_and_digits() -> None:
    assert words("Non-small CELL carcinoma_2 (T4).", "en") == ["non", "small", "cell", "carcinoma", "2", "t4"]


def test_tokens_are_what_white_space_separates() -> None:
    assert words("12 7 12", "tokens") == ["12", "7", "12"]


def test_segmenting_leaves_the_temporary_folder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "jieba.cache").write_bytes(b"put here by another user")
    from polydx.text.words import _segmenter

    _segmenter.cache_clear()
    with caplog.at_level(logging.DEBUG):
        assert words("反复咳嗽", "zh") == ["反复", "咳嗽"]
    assert [file.name for file in tmp_path.iterdir()] == ["jieba.cache"]
    assert not caplog.records
