import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from polydx.model.reading import Reading, load_reading, save_reading


def test_a_reading_comes_back_from_its_file(tmp_path: Path) -> None:
    reading = Reading("chunks", 4096, 0.5, 128, ("sex", "lengths"))
    save_reading(reading, tmp_path)
    assert load_reading(tmp_path) == reading


def test_the_key_follows_what_the_mode_looks_at_and_nothing_else() -> None:
    cut, head_tail, chunks = (Reading(mode, 64) for mode in ("cut", "head_tail", "chunks"))
    different = [
        cut,
        head_tail,
        chunks,
        replace(cut, max_tokens=65),
        replace(cut, side=("age",)),
        replace(cut, side=("age", "sex")),
        replace(head_tail, head_share=0.5),
        replace(chunks, chunk_tokens=32),
    ]
    assert len({reading.key for reading in different}) == len(different)
    assert replace(cut, head_share=0.5, chunk_tokens=32).key == cut.key
    assert replace(head_tail, chunk_tokens=32).key == head_tail.key
    assert replace(chunks, head_share=0.5).key == chunks.key


def test_planning_needs_no_torch() -> None:
    program = "import sys, polydx.plan; print('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "False"
