"""The memory that the benchmark of long inputs reports: the job's own."""

import os
import subprocess
import sys


def test_the_peak_is_the_jobs_own(benchmark_module, tmp_path):
    stream = benchmark_module("predict_stream")
    held = b"1" * 500_000_000
    ended = stream.predict(tmp_path / "student", tmp_path / "new.jsonl", tmp_path / "out.jsonl", ["--unknown"])
    assert ended.status == 2
    assert "--unknown" in ended.errors
    assert 0.01 < ended.memory_gb < len(held) / 1e9


def test_a_process_that_ended_holds_nothing(benchmark_module):
    stream = benchmark_module("predict_stream")
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert stream.peak_memory_gb(process.pid) is None
    assert stream.peak_memory_gb(os.getpid()) > 0.01
