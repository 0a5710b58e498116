"""The student phase of parallel training: two workers against one, one thread each.

    python benchmarks/students.py --data=DIR/sign_digits --weights=mobilenet_v2_1.0_224_no_top.h5

MobileNetV2 at 160 px, 20 labelled images a class, the rest unlabelled, four segments. Both sides
begin with the same teacher, its labels and an empty store of activations; processes are started
for each student, as the command does it. Seconds of the phase, once each.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from accuracy import SIZE

import tl_keras
from tl_keras.approaches.teaching import students as teaching
from tl_keras.config import text as configs
from tl_keras.config.whole import RunConfig
from tl_keras.run.files import write_text
from tl_keras.run.run import Run


def config_of(chosen: argparse.Namespace, cache: Path, workers: int) -> RunConfig:
    """The run's config."""
    return configs.from_tree(
        {
            "data": {
                "path": str(chosen.data),
                "examples_per_class": 20,
                "unlabelled": "rest",
                "test": 0.2,
            },
            "image": {"size": SIZE},
            "model": {"backbone": "MobileNetV2", "weights": str(chosen.weights)},
            "fit": {"epochs": chosen.epochs},
            "parallel": {"segments": 4, "workers": workers},
            "export": {"formats": []},
            "cache": {"path": str(cache)},
        }
    )


def students(chosen: argparse.Namespace, finished: Path, folder: Path, workers: int) -> float:
    """Seconds of the phase, with the labels of a finished run."""
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("segment_*"))
    (folder / "result.json").unlink()
    config = config_of(chosen, folder.with_name(f"cache_{workers}"), workers)
    write_text(folder / "config.yaml", configs.to_yaml(config))
    (folder / "checkpoint").mkdir()
    teaching.CORES = workers  # One thread each.
    started = time.monotonic()
    teaching.train_students(Run(folder, config, "parallel"), folder / "round_0", 0)
    return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of class folders")
    parser.add_argument("--weights", type=Path, required=True, help="ImageNet weights, a .h5 file")
    parser.add_argument("--epochs", type=int, default=10)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run = tl_keras.parallel(config_of(chosen, folder / "cache", 2), folder / "first")
        seconds = {n: students(chosen, run.workdir, folder / f"by_{n}", n) for n in (1, 2)}
    print(
        f"one worker {seconds[1]:.1f} s, two workers {seconds[2]:.1f} s: "
        f"{seconds[1] / seconds[2]:.2f} times as fast"
    )


if __name__ == "__main__":
    main()
