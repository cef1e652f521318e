"""Serve a package folder on loopback, send it records, and compare its labels with those of `polydx predict`.

    python benchmarks/serve_package.py [--model DIR --input FILE] [--requests 1000]

Without a model, a student of random weights and generated records stand in. The platform's base class and server are
stood in for by `tests/deploy/serving_platform`, one request at a time; latency is measured by the client.

The last line is JSON; the exit status is 1 unless all labels are the same.
"""

import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from polydx.deploy.package import package
from polydx.deploy.predict import Wanted, predict
from stand_in_student import Shape, new_parser, parse, start

SHAPE = Shape(layers=4, hidden_size=256, max_tokens=256, vocabulary_size=6000)
SERVER = Path(__file__).resolve().parents[1] / "tests" / "deploy" / "serving_platform" / "server.py"
BOUNDARY = "polydx-benchmark"
WARM_UP = 10
"""First requests that are not timed."""


def ask(connection: http.client.HTTPConnection, record: str) -> tuple[dict[str, list[str]], float]:
    """Upload one record; returns the answer and the seconds that it took.

    Raises:
        RuntimeError: The server refused it.
    """
    disposition = 'Content-Disposition: form-data; name="json_line"; filename="record.json"'
    body = f"--{BOUNDARY}\r\n{disposition}\r\n\r\n{record}\r\n--{BOUNDARY}--\r\n".encode()
    started = time.perf_counter()
    connection.request("POST", "/", body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    seconds = time.perf_counter() - started
    if response.status != http.HTTPStatus.OK:
        raise RuntimeError(answer["error"])
    return answer, seconds


def ask_all(folder: Path, lines: Sequence[str]) -> tuple[list[dict[str, list[str]]], list[float]]:
    """Start the server, ask it for every record over one connection, and stop it."""
    command = [sys.executable, str(SERVER), str(folder)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            connection = http.client.HTTPConnection("127.0.0.1", int(server.stdout.readline()), timeout=60)
            for line in lines[:WARM_UP]:
                ask(connection, line)
            answers, seconds = zip(*(ask(connection, line) for line in lines), strict=True)
        finally:
            server.kill()
    return list(answers), list(seconds)


def main() -> None:
    """Package, predict, serve, compare."""
    parser = new_parser(__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    options = parse(parser)

    with tempfile.TemporaryDirectory(prefix="serve_package_") as work:
        source = Path(work) / "new.jsonl"
        model, lines = start(options, SHAPE, options.requests, Path(work))
        source.write_text("\n".join(lines) + "\n", encoding="utf-8")
        predict(model, source, Path(work) / "labels.jsonl", Wanted("labels", explain=False, skip_bad=False))
        predicted = [json.loads(line) for line in (Path(work) / "labels.jsonl").read_text("utf-8").splitlines()]
        package(model, Path(work) / "package")
        answers, seconds = ask_all(Path(work) / "package", lines)

    same = sum(answer == {line["id"]: line["labels"]} for answer, line in zip(answers, predicted, strict=True))
    p50, p99 = np.percentile(np.array(seconds) * 1000, [50, 99])
    summary = {"requests": len(answers), "same_labels": same, "p50_ms": round(p50, 2), "p99_ms": round(p99, 2)}
    print(json.dumps(summary))
    sys.exit(0 if same == len(answers) else 1)


if __name__ == "__main__":
    main()
