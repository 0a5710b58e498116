"""Peak memory of a search of 5 trials against one of 50, each in a process of its own.

    python benchmarks/search_memory.py

On the embedded digits, with the embedded backbone. Searched are depth, and what a graph may hold as
a number or a shape.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from typing import Any

TRIALS = (5, 50)


def tree(trials: int, cache: str) -> dict[str, Any]:
    """The config of a search of so many trials."""
    space = {
        "fit.freeze": [0.25, 0.5, 0.75, 0.9],
        "fit.learning_rate": {"min": 1e-5, "max": 1e-2, "scale": "log"},
        "fit.batch_size": {"min": 16, "max": 48},
        "fit.clip_norm": {"min": 0.5, "max": 5.0},
        "fit.label_smoothing": {"min": 0.0, "max": 0.2},
        "model.dropout": {"min": 0.0, "max": 0.5},
    }
    return {
        "data": {"source": "digits", "examples_per_class": 30, "test": 0.7},
        "image": {"size": 64},
        "model": {"backbone": "MobileNet", "options": {"alpha": 0.5}, "weights": "glyphs"},
        "fit": {"epochs": 2},
        "search": {"trials": trials, "tuner": "random", "space": space},
        "cache": {"path": cache},
    }


def run(trials: int) -> None:
    """Searches, and prints the peak of this process in MB."""
    import tl_keras

    with tempfile.TemporaryDirectory() as folder:
        search = tl_keras.search(tree(trials, f"{folder}/cache"), f"{folder}/run").result["search"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3  # Linux counts in KiB.
    print(json.dumps([len(search["trials"]), search["seconds"], peak]))


def main() -> None:
    """Runs one search, or both in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.trials:
        run(args.trials)
        return
    peaks = []
    for trials in TRIALS:
        command = [sys.executable, __file__, f"--trials={trials}"]
        environment = {**os.environ, "TQDM_DISABLE": "1"}
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
        count, seconds, peak = json.loads(done.stdout.splitlines()[-1])
        peaks.append(peak)
        print(f"{count} trials: {seconds:.0f} s, peak {peak:.0f} MB", flush=True)
    print(f"{peaks[1] / peaks[0]:.2f} times")


if __name__ == "__main__":
    main()
