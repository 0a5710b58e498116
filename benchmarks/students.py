"""Time of the student phase of parallel training: two workers against one, one thread each.

    python benchmarks/students.py --data=DIR --weights=mobilenet_v2_1.0_224_no_top.h5

MobileNetV2 at 160 px, 20 labelled images of each class, the rest unlabelled, four segments. Both
sides start with the same teacher, the same labels and an empty store of activations. Each student
runs in a process of its own, as in the command. The phase is timed once on each side.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import image_sets
import page
from image_sets import SIZE, title

import tl_keras
from tl_keras.approaches.teaching import students as teaching
from tl_keras.config import text as configs
from tl_keras.config.whole import RunConfig
from tl_keras.run.files import write_text
from tl_keras.run.run import Run

LABELLED, SEGMENTS = 20, 4  # images a class; students
WORKERS = (1, 2)


def config_of(chosen: argparse.Namespace, cache: Path, workers: int) -> RunConfig:
    """Returns the config of the run."""
    return configs.from_tree(
        {
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
    )


def students(chosen: argparse.Namespace, finished: Path, folder: Path, workers: int) -> float:
    """Returns the seconds of the student phase, with the labels of a finished run."""
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("segment_*"))
    (folder / "result.json").unlink()
    config = config_of(chosen, folder.with_name(f"cache_{workers}"), workers)
    write_text(folder / "config.yaml", configs.to_yaml(config))
    (folder / "checkpoint").mkdir()
    teaching.CORES = workers  # One thread for each worker.
    started = time.monotonic()
    teaching.train_students(Run(folder, config, "parallel"), folder / "round_0", 0)
    return time.monotonic() - started


def parser() -> argparse.ArgumentParser:
    flags = image_sets.parser_of_one(__doc__)
    flags.add_argument("--epochs", type=int, default=10)
    return flags


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run = tl_keras.parallel(config_of(chosen, folder / "cache", 2), folder / "first")
        seconds = {str(n): students(chosen, run.workdir, folder / f"by_{n}", n) for n in WORKERS}
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
