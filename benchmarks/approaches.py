"""Every approach on the same splits: accuracy and time, and parallel training against its teacher.

    python benchmarks/approaches.py --data=DIR --weights=mobilenet_v2_1.0_224_no_top.h5

DIR holds one folder of class folders a data set; given splits in them are pooled. For each data set
and seed 30% of each class are test, 20 of the others are labelled (17 train, 3 validate), and the
rest is unlabelled: a folder without classes. MobileNetV2 at 160 px, and defaults but for what is
said; the store of activations is empty for each, and nothing is exported:

  head            finetune with fit.freeze 1: a logistic regression on pooled features;
  finetune        with its defaults: the teacher that parallel is compared with;
  search          finetune at the depth and rate that a search of 8 trials picks;
  full            finetune with fit.freeze 0: nothing is frozen;
  cross_validate  five folds of what is labelled, then a model of all of it;
  parallel        with what is unlabelled, in two segments. Its own first teacher is cross-validated
                  and stands beside it.

At the end stands what each is ahead of finetune, with the 95% interval, paired by image and pooled
over data sets and seeds. For the seeds of --scratch a model from random weights is trained too, and
it is said how soon finetune was as good on validation as that ever became.
"""

import argparse
import csv
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from accuracy import SIZE, Outcome, drawn, gain, interval, parser_of

import tl_keras
from tl_keras.approaches.compare import training_curve
from tl_keras.run.run import Run

LABELLED, VAL, TEST = 20, 3, 0.3  # images a class; of them to validate; share of a class
APPROACHES = {
    "head": ("finetune", {"fit": {"freeze": 1.0}}),
    "finetune": ("finetune", {}),
    "search": ("finetune", {"search": {"trials": 8}}),
    "full": ("finetune", {"fit": {"freeze": 0.0}}),
    "cross_validate": ("cross_validate", {}),
    "parallel": ("parallel", {}),
    "scratch": ("finetune", {"model": {"backbone": "MobileNetV2", "weights": "none"}}),
}


def write_splits(source: Path, folder: Path, seed: int) -> None:
    """Copies a data set into labelled/train, val and test, and into unlabelled/."""
    for name, files in drawn(source, seed).items():
        tested = round(TEST * len(files))
        ends = np.cumsum([tested, LABELLED - VAL, VAL])
        for split, part in zip(("test", "train", "val", ""), np.split(files, ends), strict=True):
            # What is unlabelled side by side, so that no folder gives a class away.
            place = folder / "labelled" / split / name if split else folder / "unlabelled"
            place.mkdir(parents=True, exist_ok=True)
            for file in part:
                shutil.copyfile(file, place / "_".join(file.relative_to(source).parts))


def learn(folder: Path, approach: str, chosen: argparse.Namespace, seed: int) -> Run:
    """A finished run of an approach."""
    command, sections = APPROACHES[approach]
    # Of pictures that stand under two labels BUSI has many.
    data = {"path": str(folder / "labelled"), "max_bad_share": 0.5}
    if command == "parallel":
        data["unlabelled"] = str(folder / "unlabelled")
    tree = {
        "data": data,
        "image": {"size": SIZE},
        "model": {"backbone": "MobileNetV2", "weights": str(chosen.weights)},
        "export": {"formats": []},
        "cache": {"path": str(folder / f"cache_{approach}")},
        "seed": seed,
        **sections,
    }
    return getattr(tl_keras, command)(tree, folder / approach)


def outcome(run: Run, seconds: float) -> Outcome:
    """What a run got right of the test images."""
    with (run.workdir / "predictions.csv").open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "test"]
    right = np.array([row["prediction"] == row["label"] for row in rows])
    return Outcome([row["file"] for row in rows], right, seconds)


def one_seed(name: str, seed: int, chosen: argparse.Namespace) -> dict[str, Outcome]:
    """All approaches on one data set with one seed."""
    found = {}
    print(f"{name}, seed {seed}")
    with tempfile.TemporaryDirectory() as temporary:
        write_splits(chosen.data / name, Path(temporary), seed)
        scratch = ["scratch"] if seed in chosen.scratch else []
        for approach in [*chosen.approaches, *scratch]:
            started = time.monotonic()
            run = learn(Path(temporary), approach, chosen, seed)
            found[approach] = outcome(run, time.monotonic() - started)
            told = f"{found[approach].right.mean():.4f} in {found[approach].seconds:.0f} s"
            if approach == "parallel":
                teacher, last = run.result["teacher"], run.result["rounds"][-1]
                told += f"; its teacher {teacher['accuracy']:.4f}, merged: {last['merged']}"
            print(f"  {approach:15} {told}", flush=True)
        if scratch and "finetune" in found:
            slow, fast = time_to_scratch(Path(temporary))
            print(
                f"  as good as scratch after {fast:.1f} s, scratch {slow:.1f} s: {fast / slow:.2%}"
            )
    return found


def time_to_scratch(folder: Path) -> tuple[float, float]:
    """Seconds to scratch's best validation accuracy: of scratch, and of finetune to as much."""
    curves = [training_curve(folder / name) for name in ("scratch", "finetune")]
    best = max(right for _, right in curves[0])
    slow, fast = (next((s for s, right in curve if right >= best), np.inf) for curve in curves)
    return slow, fast


def print_table(outcomes: dict[str, list[dict[str, Outcome]]], approaches: list[str]) -> None:
    """Mean test accuracy by data set, seconds, and what is ahead of finetune by how much."""
    print(f"\n{'':15}" + "".join(f"{name:>12}" for name in outcomes) + f"{'seconds':>10}")
    for approach in approaches:
        own = {name: [found[approach] for found in every] for name, every in outcomes.items()}
        means = [np.mean([o.right.mean() for o in found]) for found in own.values()]
        seconds = sum(o.seconds for found in own.values() for o in found)
        print(f"{approach:15}" + "".join(f"{mean:12.4f}" for mean in means) + f"{seconds:10.0f}")
    for approach in approaches:
        if "finetune" in approaches and approach != "finetune":
            pairs = [
                gain([found[approach] for found in every], [found["finetune"] for found in every])
                for every in outcomes.values()
            ]
            mean, low, high = interval(pairs)
            print(
                f"{approach} - finetune: {100 * mean:+.2f} points (95% interval, paired by image, "
                f"{100 * low:+.2f} to {100 * high:+.2f})"
            )


def main() -> None:
    parser = parser_of(__doc__)
    every = [name for name in APPROACHES if name != "scratch"]
    parser.add_argument("--approaches", nargs="+", default=every, choices=every)
    parser.add_argument(
        "--scratch", type=int, nargs="+", default=[], help="seeds that also train from scratch"
    )
    chosen = parser.parse_args()
    outcomes = {
        name: [one_seed(name, seed, chosen) for seed in chosen.seeds] for name in chosen.sets
    }
    print_table(outcomes, chosen.approaches)


if __name__ == "__main__":
    main()
