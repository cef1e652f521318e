"""A record's fields and the counts of what changed."""

from polydx.text.cleaner import RecordCleaner

HEADINGS = {"complaint": ("主诉",), "unused": ("别处",)}


def test_fields_and_counts() -> None:
    cleaner = RecordCleaner(("complaint", "history"), HEADINGS, ("无", "-"), "zh")

    fields = cleaner.clean(("主诉：主诉:反复咳嗽２月 ", "无"), "Y48", "男性", (" ", "门诊Ａ", "-"))

    assert fields.sections == ("反复咳嗽2月", None)
    assert (fields.age_years, fields.sex) == (48.0, "male")
    assert fields.categories == (None, "门诊A", None)
    assert fields.text == "男 48岁 主诉:反复咳嗽2月"
    assert fields.part_ends == (1, 5, len(fields.text))
    assert {kind for kind, count in cleaner.section_changes["complaint"].items() if count} == {
        "width",
        "whitespace",
        "heading",
    }
    assert cleaner.section_changes["history"]["placeholder"] == 1
    assert cleaner.age_spellings["letter_first"] == cleaner.sex_spellings["known"] == 1


def test_missing_texts_are_counted_once() -> None:
    cleaner = RecordCleaner(("complaint", "history"), {}, (), "zh")
    fields = cleaner.clean((None, " "), None, None, ())
    assert fields.text == ""
    assert [sum(counts.values()) for counts in cleaner.section_changes.values()] == [1, 1]
    assert cleaner.section_changes["history"]["missing"] == 1


def test_a_placeholder_is_no_age_and_no_sex() -> None:
    cleaner = RecordCleaner(("complaint",), {}, ("暂缺",), "zh")
    fields = cleaner.clean(("咳嗽",), "暂缺", "暂缺。", ())
    assert (fields.age_years, fields.sex) == (None, None)
    assert cleaner.age_spellings["missing"] == cleaner.sex_spellings["missing"] == 1


def test_keys_stand_in_a_fixed_order() -> None:
    first, second = (RecordCleaner(("a",), {}, ("无",), "zh") for _ in range(2))
    first.clean(("１",), None, None, ())
    second.clean(("无",), "3", "男", ())
    assert list(first.section_changes["a"]) == list(second.section_changes["a"])
    assert list(first.age_spellings) == list(second.age_spellings)
