import os
import subprocess
import sys
from pathlib import Path

import pytest

from polydx.provenance import closure, code_hash, code_without_words

STAGES = sorted((Path(__file__).parents[1] / "src" / "polydx" / "stages").glob("s[1-9]_*.py"))
SOURCE = '''
"""A module."""
import math


class Circle:
    """A shape."""

    radius: float
    """Its size."""

    def area(self) -> float:
        """Return the area."""
        return math.pi * self.radius**2
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A module."""', ""),
        ('"""A shape."""', '"""A round shape."""'),
        ('    """Its size."""\n', ""),
        ('"""Return the area."""', "# It needs no words."),
        ("return math.pi * self.radius**2", "return (\n            math.pi * self.radius ** 2  # as ever\n        )"),
        ("\n\n\n", "\n"),
    ],
)
def test_words_and_layout_are_no_code(old: str, new: str) -> None:
    assert old in SOURCE
    assert code_without_words(SOURCE.replace(old, new)) == code_without_words(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("radius**2", "radius**3"),
        ("radius: float", "radius: int"),
        ("import math", "import cmath as math"),
        ("class Circle:", "class Circle(object):"),
        ("return math.pi", 'return "text" and math.pi'),
    ],
)
def test_everything_else_is(old: str, new: str) -> None:
    assert old in SOURCE
    assert code_without_words(SOURCE.replace(old, new)) != code_without_words(SOURCE)


def test_a_function_of_words_alone_is_code_too() -> None:
    assert code_without_words('def f():\n    """Do nothing."""\n') != code_without_words("")


def test_the_closure_follows_imports_inside_functions_but_not_other_stages() -> None:
    found = closure("polydx.stages.s5_finetune")
    assert {"polydx.stages.s5_finetune", "polydx.train.loop", "polydx.model.linear", "polydx.artifacts"} <= found
    assert "polydx.stages.s8_stack" not in found
    assert "polydx.cli" not in found
    in_functions = closure("polydx.cli")
    assert {"polydx.engine", "polydx.stages.s8_stack", "polydx.contest.sample.generate"} <= in_functions


def test_no_stage_depends_on_what_reads_answers_or_on_another_stage() -> None:
    assert len(STAGES) == 9
    modules = {f"polydx.stages.{path.stem}" for path in STAGES}
    for module in modules:
        found = closure(module)
        assert len(found) > 5
        assert not found & {"polydx.score", "polydx.contest.truth"}
        assert found & modules == {module}
    assert "polydx.contest.truth" in closure("polydx.score")


def test_hashes_tell_stages_apart_and_are_the_same_in_every_process() -> None:
    hashes = [code_hash(f"polydx.stages.{path.stem}") for path in STAGES]
    assert len(set(hashes)) == 9
    assert all(len(text) == 16 and int(text, 16) >= 0 for text in hashes)
    program = "from polydx.provenance import code_hash; print(code_hash('polydx.stages.s5_finetune'))"
    for seed in ("0", "1"):
        output = subprocess.check_output(
            [sys.executable, "-c", program], env=os.environ | {"PYTHONHASHSEED": seed}, text=True
        )
        assert output.strip() == code_hash("polydx.stages.s5_finetune")
