"""What a chain brings over its last step alone: small set then larger one, and the other way.

    python benchmarks/chain.py --data=DIR --weights=mobilenet_v2_1.0_224_no_top.h5

DIR holds one folder of class folders a data set; given splits in them are pooled. For each data set
and seed 30% of each class are test; of the others 10 a class are a small set and 40 a larger one,
without a common image. MobileNetV2 at 160 px, finetune with its defaults, nothing exported:

  small                from ImageNet weights
  larger               from ImageNet weights
  small, then larger   from what `small` came to: against `larger`
  larger, then small   from what `larger` came to: against `small`

Test accuracy of each, and the differences with their 95% intervals, paired by image and pooled over
data sets and seeds.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from accuracy import SIZE, Outcome, drawn, gain, interval, parser_of
from approaches import outcome

import tl_keras

SMALL, LARGER, TEST = 10, 40, 0.3  # images a class, a fifth of them to validate; share of a class
STEPS = {  # By name, the set that is trained on, and the run that it starts from.
    "small": ("small", None),
    "larger": ("larger", None),
    "small, then larger": ("larger", "small"),
    "larger, then small": ("small", "larger"),
}


def write_sets(source: Path, folder: Path, seed: int) -> None:
    """Copies a data set into small/ and larger/, with the same test split in both."""
    for name, files in drawn(source, seed).items():
        tested = round(TEST * len(files))
        ends = np.cumsum(
            [tested, SMALL - SMALL // 5, SMALL // 5, LARGER - LARGER // 5, LARGER // 5]
        )
        test, *parts = np.split(files, ends)[:-1]
        places = [(size, split) for size in ("small", "larger") for split in ("train", "val")]
        for (size, split), part in zip(places, parts, strict=True):
            _copy(part, source, folder / size / split / name)
        for size in ("small", "larger"):
            _copy(test, source, folder / size / "test" / name)


def _copy(files: np.ndarray, source: Path, place: Path) -> None:
    place.mkdir(parents=True)
    for file in files:
        shutil.copyfile(file, place / "_".join(file.relative_to(source).parts))


def one_seed(name: str, seed: int, chosen: argparse.Namespace) -> dict[str, Outcome]:
    """All steps on one data set with one seed."""
    found = {}
    print(f"{name}, seed {seed}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_sets(chosen.data / name, folder, seed)
        for step, (size, before) in STEPS.items():
            weights = chosen.weights if before is None else folder / f"run {before}"
            tree = {
                # Of pictures that stand under two labels BUSI has many.
                "data": {"path": str(folder / size), "max_bad_share": 0.5},
                "image": {"size": SIZE},
                "model": {"backbone": "MobileNetV2", "weights": str(weights)},
                "export": {"formats": []},
                "cache": {"path": str(folder / "cache")},
                "seed": seed,
            }
            started = time.monotonic()
            run = tl_keras.finetune(tree, folder / f"run {step}")
            found[step] = outcome(run, time.monotonic() - started)
            told = f"{found[step].right.mean():.4f} in {found[step].seconds:.0f} s"
            print(f"  {step:20} {told}, kept: {run.result['model']['kept']}", flush=True)
    return found


def main() -> None:
    chosen = parser_of(__doc__).parse_args()
    outcomes = [[one_seed(name, seed, chosen) for seed in chosen.seeds] for name in chosen.sets]
    for chain, alone in (("small, then larger", "larger"), ("larger, then small", "small")):
        pairs = [
            gain([found[chain] for found in every], [found[alone] for found in every])
            for every in outcomes
        ]
        mean, low, high = interval(pairs)
        print(
            f"{chain} - {alone}: {100 * mean:+.2f} points (95% interval, paired by image, "
            f"{100 * low:+.2f} to {100 * high:+.2f})"
        )


if __name__ == "__main__":
    main()
