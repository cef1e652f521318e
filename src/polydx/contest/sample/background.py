"""What records say beside the facts: openings, routine sentences, routine values. None of it decides a diagnosis."""

from collections.abc import Mapping
from random import Random
from types import MappingProxyType

from polydx.contest.sample.facts import ADULT_YEARS, Group, Patient, Section

ROUTINE: Mapping[Section, tuple[str, ...]] = MappingProxyType(
    {
        "present": (
            "病程中精神、饮食、睡眠尚可",
            "大小便无特殊，体重无明显变化",
            "为求进一步诊治来我院就诊",
            "自发病以来，神志清，精神稍差，食纳一般",
            "曾在当地卫生院就诊，具体用药不详",
            "病后未予正规诊治",
            "起病以来胃纳、睡眠欠佳，大便如常",
            "经门诊初步检查后收入院",
            "家属诉近日饮食减少，夜间睡眠不安",
            "发病后曾自行休息观察，症状无明显变化",
            "当地输液治疗3天，具体药物及剂量不详",
            "病情变化与季节无明显关系",
        ),
        "past": (
            "无手术及输血史",
            "无药物及食物过敏史",
            "预防接种随当地进行",
            "按时预防接种，生长发育同同龄人",
            "平素体质一般",
            "无疫区居住史，无毒物接触史",
            "无烟酒接触史",
            "曾行拔牙术，恢复好",
            "青霉素皮试阴性",
            "系统回顾无特殊",
            "长期居住本地，居住条件一般",
        ),
        "exam": (
            "神志清楚，精神尚可，查体合作",
            "发育正常，营养中等，步入病房",
            "浅表淋巴结无肿大",
            "颈软，气管居中，甲状腺无肿大",
            "心律齐，各瓣膜区听诊无特殊",
            "腹平软，肝脾肋下未及",
            "脊柱生理弯曲存在，四肢肌力正常",
            "生理反射存在",
            "双侧瞳孔等大等圆，对光反射灵敏",
            "口唇无发绀，呼吸平稳",
            "肠鸣音正常，移动性浊音阴性",
            "自动体位，表情自然，对答切题",
            "毛发分布正常，指甲无畸形",
            "外生殖器无畸形，余无特殊",
        ),
        "tests": (
            "肝功能、肾功能大致正常",
            "凝血四项正常范围",
            "传染病四项阴性",
            "粪常规无异常",
            "电解质大致正常",
            "余检查待回报",
            "甲状腺功能正常",
            "肿瘤标志物无升高",
            "心电图报告：窦性心律",
            "血气分析大致正常",
        ),
    }
)
"""Sentences that any record may hold."""

_ANALYTES: tuple[tuple[str, float, float, int, str], ...] = (
    ("白细胞", 3.9, 15.6, 1, "×10^9/L"),
    ("中性粒细胞百分比", 42, 88, 1, "%"),
    ("淋巴细胞百分比", 12, 48, 1, "％"),
    ("血小板", 110, 380, 0, "×10⁹/L"),
    ("红细胞", 3.6, 5.6, 2, "×10^12/L"),
    ("C反应蛋白", 0.5, 62, 1, "mg/L"),
    ("血沉", 4, 58, 0, "mm/h"),
    ("谷丙转氨酶", 9, 62, 0, "U/L"),
    ("谷草转氨酶", 11, 58, 0, "U/L"),
    ("总胆红素", 5, 26, 1, "μmol/L"),
    ("白蛋白", 33, 49, 1, "g/L"),
    ("尿素", 2.9, 8.8, 1, "mmol/L"),
    ("肌酐", 42, 118, 0, "μmol/L"),
    ("尿酸", 180, 468, 0, "μmol/L"),
    ("钾", 3.3, 5.3, 2, "mmol/L"),
    ("钠", 133, 147, 0, "mmol/L"),
    ("氯", 96, 109, 0, "mmol／L"),
    ("钙", 2.0, 2.6, 2, "mmol/L"),
    ("D-二聚体", 0.1, 1.3, 2, "mg/L"),
    ("降钙素原", 0.02, 0.9, 2, "ng/ml"),
    ("乳酸脱氢酶", 120, 290, 0, "U/L"),
    ("同型半胱氨酸", 6, 19, 1, "μmol/L"),
)

_ONSETS = (
    "{人}于{时}前无明显诱因出现{诉}",
    "{时}前{人}受凉后出现{诉}",
    "{人}{时}前开始出现{诉}",
    "入院前{时}，{人}出现{诉}",
    "{人}反复{诉}{时}，近日加重",
    "{人}因{诉}{时}就诊",
)
_CHIEF = ("{诉}{时}", "反复{诉}{时}", "{诉}{时}，加重1天", "{诉}{时}余", "发现{诉}{时}", "间断{诉}{时}")


def span(draw: Random) -> str:
    """How long the complaint has lasted."""
    return draw.choice(
        (
            "1天",
            "2天",
            "3天",
            "5天",
            "1周",
            "10天",
            "半月",
            "1月",
            "2月",
            "3月",
            "半年",
            "1年",
            "三天",
            "2+年",
            "12小时",
        )
    )


def chief_complaint(draw: Random, complaint: str, lasted: str) -> str:
    """The chief complaint with its duration."""
    return draw.choice(_CHIEF).replace("{诉}", complaint).replace("{时}", lasted)


def onset(draw: Random, complaint: str, lasted: str, patient: Patient) -> str:
    """The first sentence of the history of present illness."""
    person = "患儿" if patient.age_years < ADULT_YEARS else "患者"
    return draw.choice(_ONSETS).replace("{人}", person).replace("{诉}", complaint).replace("{时}", lasted)


def course(draw: Random, group: Group) -> str:
    """One sentence on how it went on."""
    return draw.choice(group.courses)


def vital_signs(draw: Random) -> str:
    """Pulse and breathing."""
    return f"P {draw.randint(62, 118)}次/分，R {draw.randint(16, 32)}次/分"


def routine_values(draw: Random) -> str:
    """A few routine laboratory values."""
    chosen = draw.sample(_ANALYTES, draw.randint(2, 5))
    values = "，".join(f"{name}{draw.uniform(low, high):.{digits}f}{unit}" for name, low, high, digits, unit in chosen)
    return draw.choice(("", f"{draw.randint(1, 12)}月{draw.randint(1, 28)}日复查")) + values
