"""Facts into the Chinese of medical records.

The same phrases stand in sentences that affirm, deny, date back or ascribe to somebody else; only the words around them
tell which.
"""

from collections.abc import Sequence
from random import Random

from polydx.contest.sample.facts import Fact, Finding, Form, Knowledge, Section, Status

LONGEST_LIST = 5
_SIDES = ("左", "右", "左侧", "右侧", "双侧")
_LOBES = ("左上", "左下", "右上", "右中", "右下", "两", "双下")

_FRAMES: dict[tuple[Form, Status], tuple[str, ...]] = {
    ("seen", "present"): ("可见{}", "见{}", "示{}", "可见明显{}", "{}明显", "提示{}", "{}较前加重", "发现{}"),
    ("seen", "absent"): ("未见{}", "未见明显{}", "无{}", "{}未见", "未发现{}", "{}不明显", "未提示{}"),
    ("heard", "present"): ("可闻及{}", "闻及{}", "可闻{}", "闻及散在{}", "{}明显"),
    ("heard", "absent"): ("未闻及{}", "未闻及明显{}", "无{}", "{}未闻及", "未闻{}"),
    ("felt", "present"): ("有{}", "可及{}", "{}明显", "触及{}", "可查及{}", "{}较前加重"),
    ("felt", "absent"): ("无{}", "未及{}", "{}不明显", "未触及{}", "未查及{}", "无明显{}"),
    ("sign", "present"): ("{}阳性", "{}(+)", "{}（＋）", "{}：阳性", "引出{}"),
    ("sign", "absent"): ("{}阴性", "{}(-)", "{}（－）", "{}：阴性", "未引出{}"),
    ("complained", "present"): ("有{}", "伴{}", "出现{}", "自诉{}", "{}明显", "伴有{}", "并有{}"),
    ("complained", "absent"): ("无{}", "否认{}", "不伴{}", "无明显{}", "未诉{}", "{}不明显", "未出现{}"),
    ("drug", "present"): ("目前口服{}", "长期使用{}至今", "规律应用{}", "现予{}治疗中", "每日使用{}"),
    ("drug", "absent"): ("未使用{}", "从未服用{}", "否认使用{}", "未予{}治疗", "拒用{}"),
}
_OVER: dict[Form, tuple[str, ...]] = {
    "seen": ("{时}前曾见{}，复查已消失", "{时}前检查曾示{}，近期复查正常", "{时}前曾有{}，已恢复"),
    "heard": ("{时}前曾闻及{}，后消失", "{时}前曾有{}，已恢复"),
    "felt": ("{时}前曾有{}，已消失", "{时}前曾及{}，治疗后恢复"),
    "sign": ("{时}前{}曾阳性，近期复查转阴", "{时}前曾查{}阳性，后转阴"),
    "complained": ("{时}前曾有{}，已缓解", "{时}前曾出现{}，未再发作", "{时}前曾因{}就诊，治愈"),
    "drug": ("{时}前曾服用{}，已停用", "曾使用{}{时}，现已停药", "{时}前停用{}"),
    "value": ("{时}前曾测{}，后复查均正常", "{时}前体检{}，治疗后复查正常", "{时}前{}，近期多次复查正常"),
}
_NAMES: dict[tuple[Section, str], tuple[str, ...]] = {
    ("present", "present"): (
        "门诊拟“{}”收住院",
        "以“{}”收入我科",
        "门诊考虑{}，为进一步治疗入院",
        "于我院门诊就诊，{}",
        "外院诊断{}，现转入我院继续治疗",
        "目前考虑{}",
    ),
    ("past", "present"): (
        "有{}病史{时}，目前仍在治疗",
        "患{}{时}，控制欠佳",
        "合并{}{时}，此次一并治疗",
        "{}病史{时}，现仍未愈",
    ),
    ("tests", "present"): ("诊断意见：{}", "检查结论：符合{}", "提示{}", "检查结果支持{}"),
    ("past", "absent"): (
        "否认{}病史",
        "否认{}等病史",
        "无{}病史",
        "否认既往{}",
        "平素体健，否认“{}”等慢性病史",
        "无{}等慢性疾病",
    ),
    ("present", "absent"): ("目前无{}依据", "外院疑诊{}，经检查已排除", "暂不考虑{}", "{}可排除", "未诊断{}"),
    ("tests", "absent"): ("检查结论：不符合{}", "除外{}", "不支持{}", "{}依据不足"),
    ("past", "over"): (
        "{时}前曾患{}，已治愈",
        "{时}前因“{}”住院，痊愈出院",
        "幼时患{}，未再发",
        "既往{}病史，{时}前已愈",
        "曾有{}病史，随访{时}无复发",
    ),
    ("present", "over"): ("{时}前曾因{}就诊，已治愈", "{时}前曾诊断{}，治疗后痊愈", "{时}前的{}已愈"),
}
_FAMILY = ("父亲患{}", "其母有{}病史", "家族中有{}患者", "祖父有{}病史", "母亲、姐姐均患{}", "父亲因{}去世")
_FAMILY_DRUGS = ("其母长期服用{}", "父亲目前口服{}", "家人规律应用{}")
_CONTACTS = ("近日家中有人患{}", "同事近期患{}", "病前接触{}患者", "同班同学患{}")

_REPORTED = ("外院查", "于当地医院查", "门诊查", "院外检查：", "来院前查")


class Writer:
    """Puts facts into words.

    Args:
        draw: Source of chance.
        knowledge: The tables.
    """

    def __init__(self, draw: Random, knowledge: Knowledge) -> None:
        self._draw, self._knowledge = draw, knowledge

    def sentences(self, section: Section, facts: Sequence[Fact]) -> list[str]:
        """Write the facts of one section: a clause for each site, in random order, without a full stop."""
        clauses: dict[tuple[object, ...], list[Fact]] = {}
        for fact in facts:
            if fact.section == section:
                clauses.setdefault(self._clause(fact), []).append(fact)
        written = [
            self._write(section, key, members[start : start + LONGEST_LIST])
            for key, members in clauses.items()
            for start in range(0, len(members), LONGEST_LIST)
        ]
        self._draw.shuffle(written)
        return written

    def span(self) -> str:
        """A length of time."""
        number = self._draw.choice(("1", "2", "3", "5", "8", "10", "半", "2+", "10余", "三", "20", "6"))
        return number + self._draw.choice(("年", "年", "年", "月" if number in "123568" else "年"))

    def _clause(self, fact: Fact) -> tuple[object, ...]:
        """What facts share that stand in one clause."""
        if fact.finding in self._knowledge.diagnoses:
            return ("name", fact.status, fact.subject)
        if fact.finding in self._knowledge.measures:
            measure = self._knowledge.measures[fact.finding]
            return ("value", fact.status, measure.site or fact.finding)
        finding = self._knowledge.findings[fact.finding]
        if fact.status == "over" or finding.form == "drug":
            return (finding.form, fact.status, fact.subject, fact.finding if fact.status == "over" else "")
        return (finding.form, finding.site)

    def _write(self, section: Section, key: tuple[object, ...], facts: list[Fact]) -> str:
        if key[0] == "name":
            return self._names(section, facts)
        if key[0] == "value":
            return self._values(section, facts)
        finding = self._knowledge.findings[facts[0].finding]
        if facts[0].subject == "family":
            return self._fill(self._draw.choice(_FAMILY_DRUGS), self._list(facts))
        if facts[0].status == "over":
            return self._fill(self._draw.choice(_OVER[finding.form]), self._list(facts))
        parts = [
            self._fill(self._draw.choice(_FRAMES[finding.form, status]), self._list(same))
            for status in ("present", "absent")
            if (same := [fact for fact in facts if fact.status == status])
        ]
        self._draw.shuffle(parts)
        return self._place(section, finding) + self._draw.choice(("，", "，", "；", "，但")).join(parts)

    def _place(self, section: Section, finding: Finding) -> str:
        """The site before its findings."""
        if not finding.site:
            return ""
        reported = self._draw.choice(_REPORTED) if section != finding.section else ""
        return f"{reported}{finding.site}{self._draw.choice(('', '', '：', '检查'))}"

    def _names(self, section: Section, facts: list[Fact]) -> str:
        names = self._joined([self._draw.choice(self._knowledge.diagnoses[fact.finding].aliases) for fact in facts])
        if facts[0].subject == "family":
            return self._fill(self._draw.choice(_FAMILY), names)
        if facts[0].subject == "contact":
            return self._fill(self._draw.choice(_CONTACTS), names)
        return self._fill(self._draw.choice(_NAMES[section, facts[0].status]), names)

    def _values(self, section: Section, facts: list[Fact]) -> str:
        measure = self._knowledge.measures[facts[0].finding]
        texts = []
        for fact in facts:
            measure = self._knowledge.measures[fact.finding]
            assert fact.value is not None
            digits = [f"{part:.{measure.decimals}f}" for part in fact.value]
            texts.append(self._draw.choice(measure.templates).format(*digits))
        joined = "，".join(texts)
        if facts[0].status == "over":
            return self._fill(self._draw.choice(_OVER["value"]), joined)
        has_site = measure.site and measure.site != "生命体征"
        return f"{measure.site}：{joined}" if has_site and section == measure.section else joined

    def _list(self, facts: list[Fact]) -> str:
        return self._joined([self._phrase(self._knowledge.findings[fact.finding]) for fact in facts])

    def _phrase(self, finding: Finding) -> str:
        phrase = self._draw.choice(finding.phrases)
        return phrase.replace("{侧}", self._draw.choice(_SIDES)).replace("{叶}", self._draw.choice(_LOBES))

    def _joined(self, items: list[str]) -> str:
        """List items with "、", the last one often with "及"."""
        self._draw.shuffle(items)
        if len(items) == 1:
            return items[0]
        return "、".join(items[:-1]) + self._draw.choice(("、", "及", "、", "以及", "和")) + items[-1]

    def _fill(self, frame: str, text: str) -> str:
        return frame.replace("{时}", self.span()).replace("{}", text)
