"""Peak memory of a search of 5 trials and of a search of 50, each in its own process.

    python benchmarks/search_memory.py

Both searches use the embedded digits and the embedded backbone. They vary the freeze depth and five
hyperparameters that change numbers or shapes in the graph, such as the batch size.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from typing import Any

import page

TRIALS = (5, 50)


def tree(trials: int, cache: str) -> dict[str, Any]:
    """Returns the config of a search of `trials` trials."""
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
    """Searches, and prints the peak memory of this process in MB as JSON."""
    import tl_keras

    with tempfile.TemporaryDirectory() as folder:
        search = tl_keras.search(tree(trials, f"{folder}/cache"), f"{folder}/run").result["search"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3  # Linux counts in KiB.
    print(json.dumps([len(search["trials"]), search["seconds"], peak]))


def parser() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(description=__doc__.splitlines()[0])


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    searches = []
    for trials in TRIALS:
        command = [sys.executable, __file__, f"--trials={trials}"]
        environment = {**os.environ, "TQDM_DISABLE": "1"}
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
        count, seconds, peak = json.loads(done.stdout.splitlines()[-1])
        searches.append({"trials": count, "seconds": seconds, "peak_mb": peak})
        page.progress(f"{count} trials: {seconds:.0f} s, peak {peak:.0f} MB")
    return {"space": sorted(tree(0, "")["search"]["space"]), "searches": searches}


def compared(figures: dict[str, Any]) -> str:
    few, many = figures["searches"]
    fields = ", ".join(f"`{name}`" for name in figures["space"])
    return (
        f"Peak memory of a process that searches {few['trials']} trials, and of another one that "
        f"searches {many['trials']}, on the embedded digits with the embedded backbone. Searched "
        f"are {fields}."
    )


def results(figures: dict[str, Any]) -> str:
    rows = [
        (str(one["trials"]), f"{one['peak_mb']:,.0f} MB", f"{one['seconds']:.0f} s")
        for one in figures["searches"]
    ]
    few, many = figures["searches"]
    return "\n\n".join(
        [
            page.table(("Trials", "Peak memory", "Time of the search"), rows),
            "## Conclusion",
            f"{many['trials'] / few['trials']:.0f} times as many trials take "
            f"{many['peak_mb'] / few['peak_mb']:.2f} times the memory.",
        ]
    )


def headline(figures: dict[str, Any]) -> str:
    few, many = figures["searches"]
    return (
        f"{many['trials']} trials take {many['peak_mb'] / few['peak_mb']:.2f} times the memory of "
        f"{few['trials']}"
    )


BENCHMARK = page.Benchmark(
    "search_memory", "Memory of a search", parser, measure, compared, results, headline
)

if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].startswith("--trials="):
        run(int(sys.argv[1].partition("=")[2]))
    else:
        page.main(BENCHMARK)
