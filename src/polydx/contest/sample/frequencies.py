"""How often each diagnosis, pair of diagnoses and number of diagnoses stands in the real contest.

Counted over the 11,089 labelled records of the Huawei Cloud Cup 2022; counts only, no record.
"""

from types import MappingProxyType

RECORDS = 11_089

OFFICIAL_COUNTS = MappingProxyType(
    {
        "贫血": 1003,
        "肺炎": 1696,
        "结肠炎": 347,
        "肺结核": 323,
        "子宫内膜炎": 110,
        "带状疱疹": 191,
        "支气管炎": 860,
        "糖尿病": 1661,
        "疱疹性咽峡炎": 52,
        "心肌炎": 169,
        "便秘": 228,
        "腰肌劳损": 19,
        "高血压": 2897,
        "前列腺增生": 544,
        "肺气肿": 485,
        "高脂血症": 1725,
        "口腔炎": 184,
        "急性咽炎": 191,
        "急性鼻窦炎": 68,
        "急性上呼吸道感染": 247,
        "脑卒中": 498,
        "腹泻": 433,
        "急性肾小球肾炎": 49,
        "眩晕综合征": 55,
        "结膜炎": 353,
        "急性鼻咽炎": 28,
        "腹痛": 271,
        "短暂性脑缺血发作": 119,
        "输卵管炎": 17,
        "骨折": 714,
        "先天性心脏病": 181,
        "关节炎": 1241,
        "腹股沟疝": 97,
        "椎动脉型颈椎病": 332,
        "痔": 1025,
        "胆囊炎": 799,
        "慢性肺源性心脏病": 202,
        "皮炎": 1156,
        "肛周脓肿": 155,
        "急性扁桃体炎": 206,
        "泌尿系结石": 178,
        "中耳炎": 168,
        "急性咽喉炎": 20,
        "阑尾炎": 249,
        "胆管结石": 124,
        "腰椎间盘突出": 623,
        "偏头痛": 81,
        "泌尿道感染": 596,
        "胃肠炎": 278,
        "冠状动脉粥样硬化性心脏病": 828,
        "肩周炎": 148,
        "鼻出血": 81,
    }
)
"""Records with each official label; the keys stand in the contest's order."""

UNOFFICIAL_COUNTS = MappingProxyType(
    {
        "女性盆腔炎": 9,
        "头部外伤": 7,
        "急性阴道炎": 7,
        "睾丸鞘膜积液": 2,
        "急性气管炎": 1,
        "宫颈炎性疾病": 1,
        "口腔粘膜溃疡": 1,
    }
)
"""Records with each label that occurs in the training table and not in the list of official ones."""

COUNTS = MappingProxyType({**OFFICIAL_COUNTS, **UNOFFICIAL_COUNTS})

UNOFFICIAL_ONLY = 4
"""Records with no official label."""

SIZES = MappingProxyType({1: 4276, 2: 3033, 3: 2068, 4: 1064, 5: 439, 6: 151, 7: 37, 8: 18, 9: 3})
"""Records with each number of labels."""

SMALLEST_PAIR = 50
"""Pairs below this count are left out of `PAIR_COUNTS`, but for a few rare and strong ones."""

_PAIR_TABLE = """
高血压: 糖尿病 1011, 高脂血症 846, 关节炎 766, 冠状动脉粥样硬化性心脏病 485, 肺炎 423, 支气管炎 340
高血压: 脑卒中 328, 胆囊炎 326, 贫血 289, 前列腺增生 267, 泌尿道感染 265, 肺气肿 249, 腰椎间盘突出 243
高血压: 骨折 209, 痔 205, 椎动脉型颈椎病 114, 肺结核 86, 胃肠炎 81, 便秘 81, 急性上呼吸道感染 78, 结肠炎 65
高血压: 短暂性脑缺血发作 64, 带状疱疹 63, 肩周炎 59, 结膜炎 50
高脂血症: 糖尿病 635, 冠状动脉粥样硬化性心脏病 243, 腰椎间盘突出 218, 胆囊炎 189, 肺炎 188, 支气管炎 170
高脂血症: 关节炎 106, 骨折 103, 前列腺增生 85, 贫血 77, 泌尿道感染 60, 肺气肿 57, 短暂性脑缺血发作 54
高脂血症: 椎动脉型颈椎病 50
肺炎: 贫血 236, 腹泻 195, 糖尿病 194, 关节炎 181, 皮炎 172, 冠状动脉粥样硬化性心脏病 153, 结膜炎 148
肺炎: 肺气肿 130, 先天性心脏病 107, 脑卒中 101, 口腔炎 100, 前列腺增生 96, 骨折 90, 支气管炎 90, 泌尿道感染 77
肺炎: 胆囊炎 76, 心肌炎 74, 慢性肺源性心脏病 73
糖尿病: 关节炎 355, 冠状动脉粥样硬化性心脏病 225, 泌尿道感染 206, 胆囊炎 154, 贫血 150, 支气管炎 137
糖尿病: 腰椎间盘突出 113, 前列腺增生 106, 骨折 103, 脑卒中 99, 肺气肿 85, 痔 75, 椎动脉型颈椎病 55, 肩周炎 43
关节炎: 贫血 172, 支气管炎 164, 腰椎间盘突出 140, 胆囊炎 135, 肺气肿 125, 骨折 115, 前列腺增生 89
关节炎: 冠状动脉粥样硬化性心脏病 81, 肺结核 55
痔: 结肠炎 95, 前列腺增生 77, 胆囊炎 68, 贫血 65, 肛周脓肿 30
贫血: 胆囊炎 86, 骨折 85, 泌尿道感染 78, 支气管炎 73, 冠状动脉粥样硬化性心脏病 57, 肺气肿 56, 子宫内膜炎 31
贫血: 鼻出血 27
支气管炎: 肺气肿 295, 冠状动脉粥样硬化性心脏病 135, 前列腺增生 65, 脑卒中 58, 胆囊炎 55, 泌尿道感染 52
支气管炎: 慢性肺源性心脏病 51
冠状动脉粥样硬化性心脏病: 脑卒中 135, 前列腺增生 102, 肺气肿 77, 泌尿道感染 71, 胆囊炎 67, 腰椎间盘突出 58
冠状动脉粥样硬化性心脏病: 慢性肺源性心脏病 37, 短暂性脑缺血发作 23
胆囊炎: 前列腺增生 78, 泌尿道感染 68, 肺气肿 55, 胆管结石 49
骨折: 泌尿道感染 59, 肺气肿 52
腰椎间盘突出: 脑卒中 64, 肩周炎 27
泌尿道感染: 前列腺增生 66
前列腺增生: 脑卒中 71, 肺气肿 57, 便秘 31, 腹股沟疝 12
肺气肿: 慢性肺源性心脏病 50, 肺结核 38
脑卒中: 急性上呼吸道感染 49, 短暂性脑缺血发作 20
腹泻: 口腔炎 44, 先天性心脏病 23, 急性咽炎 21
胃肠炎: 腹痛 27
腹痛: 阑尾炎 34, 泌尿系结石 12
"""


def pair_counts() -> dict[frozenset[str], int]:
    """Records with both labels of each of the strongest pairs."""
    counts = {}
    for line in _PAIR_TABLE.strip().splitlines():
        first, others = line.split(": ")
        for other in others.split(", "):
            second, count = other.split()
            counts[frozenset((first, second))] = int(count)
    return counts


def lifts() -> dict[frozenset[str], float]:
    """How many times as often as by chance each pair of labels shares a record, for every pair.

    A pair that is not tabulated counts as half the smallest tabulated count, or as chance if that is less.
    """
    tabulated = pair_counts()
    names = list(COUNTS)
    lift = {}
    for index, first in enumerate(names):
        for second in names[index + 1 :]:
            pair = frozenset((first, second))
            chance = COUNTS[first] * COUNTS[second] / RECORDS
            lift[pair] = tabulated.get(pair, min(chance, SMALLEST_PAIR / 2)) / chance
    return lift
