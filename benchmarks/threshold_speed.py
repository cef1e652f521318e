"""How long the exact thresholds of large problems take, and how much memory.

    python benchmarks/threshold_speed.py --threads 2

Scores are made up: uniform for rows without the label, higher for those with it. Each size runs in a process of its
own, whose peak memory holds the scores and the labels too. Beside the wall clock stands the processor's time, which a
busy machine leaves alone. The last line printed is JSON.
"""

import argparse
import json
import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_curve

from polydx.ensemble.cuts import best_cuts
from polydx.ensemble.thresholds import shrunk_thresholds

SIZES = ((1_000_000, 52), (100_000, 1_000))
PREVALENCE = 0.03
PRIOR = 20.0
CHUNK_ROWS = 50_000
PEER_LABELS = 3
GIBIBYTE_IN_KIBIBYTES = 1 << 20

Result = dict[str, int | float]


def make_problem(rows: int, labels: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Scores and targets `[rows, labels]`, made in parts, since the drawing is not what is measured."""
    draw = np.random.default_rng(0)
    scores, targets = np.empty((rows, labels), dtype=np.float32), np.empty((rows, labels), dtype=bool)
    for first in range(0, rows, CHUNK_ROWS):
        part = slice(first, min(first + CHUNK_ROWS, rows))
        shape = scores[part].shape
        targets[part] = draw.random(shape, dtype=np.float32) < PREVALENCE
        scores[part] = draw.random(shape, dtype=np.float32) ** np.where(targets[part], np.float32(0.3), np.float32(1))
    return scores, targets


def measure(rows: int, labels: int, threads: int) -> Result:
    """Time the search label by label, and the whole shrunk rule, which sorts all pairs together as well."""
    scores, targets = make_problem(rows, labels)
    result: Result = {"rows": rows, "labels": labels}
    started, worked = time.perf_counter(), time.process_time()
    cuts = best_cuts(scores, targets, threads=threads)
    result |= {"seconds": time.perf_counter() - started, "processor_seconds": time.process_time() - worked}
    result["peak_gib"] = peak_gib()
    started, worked = time.perf_counter(), time.process_time()
    shrunk_thresholds(scores, targets, PRIOR, threads=threads)
    result |= {"shrunk_seconds": time.perf_counter() - started}
    result |= {"shrunk_processor_seconds": time.process_time() - worked, "shrunk_peak_gib": peak_gib()}
    result["largest_f1_difference_to_scikit_learn"] = max(
        abs(cuts.f1[label] - best_of_scikit_learn(scores[:, label], targets[:, label])) for label in range(PEER_LABELS)
    )
    return result


def best_of_scikit_learn(scores: npt.NDArray[np.float32], targets: npt.NDArray[np.bool_]) -> float:
    """Highest F1 over every point of scikit-learn's precision-recall curve."""
    precision, recall, _ = precision_recall_curve(targets, scores)
    return float((2 * precision * recall / np.maximum(precision + recall, 1e-12)).max())


def peak_gib() -> float:
    """Peak memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / GIBIBYTE_IN_KIBIBYTES


def main() -> None:
    """Measure every size in a fresh process and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh, max_tasks_per_child=1) as pool:
        results = [pool.submit(measure, *size, arguments.threads).result() for size in SIZES]
    rounded = [{name: round(value, 4) for name, value in result.items()} for result in results]
    print(json.dumps({"threads": arguments.threads, "sizes": rounded}))


if __name__ == "__main__":
    main()
