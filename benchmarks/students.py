"""Time to train the student models of parallel: two workers against one, one thread each.

    python benchmarks/students.py --data=DIR --weights=mobilenet_v2_1.0_224_no_top.h5

MobileNetV2 at 160 px, 20 labelled images of each class, the rest unlabelled, in four segments
(parts). The whole command runs once with each number of workers, with an empty store of activations
and the same seed, so the teacher model and its labels are the same. `result.json` has the time that
the training of the student models took.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import image_sets
import page
from image_sets import SIZE, title

import tl_keras
from tl_keras.approaches.teaching import students as teaching

LABELLED, SEGMENTS = 20, 4  # images a class; students
WORKERS = (1, 2)


def config_of(chosen: argparse.Namespace, cache: Path, workers: int) -> dict[str, Any]:
    """Returns the config of the run with a number of workers."""
    return {
        "data": {
            "path": str(chosen.data / chosen.data_set),
            "examples_per_class": LABELLED,
            "unlabelled": "rest",
            "test": 0.2,
        },
        "image": {"size": SIZE},
        "model": {"backbone": "MobileNetV2", "weights": str(chosen.weights)},
        "fit": {"epochs": chosen.epochs},
        "parallel": {"segments": SEGMENTS, "workers": workers},
        "export": {"formats": []},
        "cache": {"path": str(cache)},
    }


def student_seconds(chosen: argparse.Namespace, folder: Path, workers: int) -> float:
    """Returns the seconds of the student phase with a number of workers."""
    teaching.CORES = workers  # The cores that the workers share: one thread for each.
    run = tl_keras.parallel(config_of(chosen, folder / "cache", workers), folder / "run")
    page.progress(f"workers {workers}: {run.result['seconds']}")
    return run.result["seconds"]["students"]


def parser() -> argparse.ArgumentParser:
    flags = image_sets.parser_of_one(__doc__)
    flags.add_argument("--epochs", type=int, default=10)
    return flags


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    seconds = {}
    for workers in WORKERS:
        with tempfile.TemporaryDirectory() as folder:
            seconds[str(workers)] = student_seconds(chosen, Path(folder), workers)
    settings = {"data_set": chosen.data_set, "image_size": SIZE, "labelled": LABELLED}
    return {"settings": {**settings, "segments": SEGMENTS}, "seconds": seconds}


def compared(figures: dict[str, Any]) -> str:
    settings = figures["settings"]
    return (
        f"The phase of `parallel` that trains its {settings['segments']} students, with one worker "
        f"and with two, one thread for each worker. MobileNetV2 at {settings['image_size']} px on "
        f"{title(settings['data_set'])}, {settings['labelled']} labelled images of each class and "
        "the rest without labels."
    )


def _gain(figures: dict[str, Any]) -> float:
    return figures["seconds"]["1"] / figures["seconds"]["2"]


def results(figures: dict[str, Any]) -> str:
    rows = [(workers, f"{seconds:.0f} s") for workers, seconds in figures["seconds"].items()]
    return "\n\n".join(
        [
            page.table(("Workers", "Time of the student phase"), rows),
            "## Conclusion",
            f"Two workers are {_gain(figures):.2f} times as fast as one.",
        ]
    )


def headline(figures: dict[str, Any]) -> str:
    return f"Two workers train students {_gain(figures):.2f} times as fast as one"


BENCHMARK = page.Benchmark(
    "students", "Workers of parallel training", parser, measure, compared, results, headline
)

if __name__ == "__main__":
    page.main(BENCHMARK)
