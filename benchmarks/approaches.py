"""Every approach on the same splits: accuracy and time, each compared with finetune.

    python benchmarks/approaches.py --data=DIR --weights=mobilenet_v2_1.0_224_no_top.h5

DIR has one folder for each data set, with one folder of images for each class. Splits that a data
set already has are pooled. For each data set and seed, 30% of each class are for testing. 20 images
of each class are labelled: 17 for training and 3 for validation. The rest is unlabelled, in a
folder without classes. All approaches use MobileNetV2 at 160 px and the defaults, except as stated.
Each starts with an empty store of activations, and exports nothing:

  head            finetune with fit.freeze 1: only the head is trained, a logistic regression on
                  pooled features;
  finetune        with its defaults; the other approaches are compared with it;
  search          finetune at the depth and learning rate that a search of 8 trials chooses;
  full            finetune with fit.freeze 0: nothing is frozen;
  cross_validate  five folds of the labelled images, then a model trained on all of them;
  parallel        also uses the unlabelled images, in two segments (parts). Its first teacher is
                  cross-validated, and the teacher's accuracy is shown too.

For the seeds of --scratch, the same network also trains from random weights. The page says how soon
`finetune` reached the best validation accuracy of the training from random weights.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import image_sets
import numpy as np
import page
import paired
from image_sets import SIZE, seeds, title
from paired import Outcome

import tl_keras
from tl_keras.approaches.compare import training_curve
from tl_keras.run.run import Run

LABELLED, VAL, TEST = 20, 3, 0.3  # images a class; of them to validate; share of a class
TRIALS = 8
APPROACHES = {
    "head": ("finetune", {"fit": {"freeze": 1.0}}),
    "finetune": ("finetune", {}),
    "search": ("finetune", {"search": {"trials": TRIALS}}),
    "full": ("finetune", {"fit": {"freeze": 0.0}}),
    "cross_validate": ("cross_validate", {}),
    "parallel": ("parallel", {}),
    "scratch": ("finetune", {"model": {"backbone": "MobileNetV2", "weights": "none"}}),
}
NAMES = {
    "head": "head alone",
    "finetune": "`finetune`",
    "search": "`finetune` after a search",
    "full": "`finetune`, nothing frozen",
    "cross_validate": "`cross_validate`",
    "parallel": "`parallel`",
    "scratch": "random weights",
}


def write_splits(source: Path, folder: Path, seed: int) -> None:
    """Copies a data set into labelled/train, val and test, and into unlabelled/."""
    for name, files in image_sets.shuffled(source, seed).items():
        tested = round(TEST * len(files))
        ends = np.cumsum([tested, LABELLED - VAL, VAL])
        for split, part in zip(("test", "train", "val", ""), np.split(files, ends), strict=True):
            # Unlabelled images share one folder, so that no folder name gives their class away.
            place = folder / "labelled" / split / name if split else folder / "unlabelled"
            image_sets.copy(part, source, place)


def learn(folder: Path, approach: str, chosen: argparse.Namespace, seed: int) -> Run:
    """Returns the finished run of an approach."""
    command, sections = APPROACHES[approach]
    # BUSI has many images with two labels, which the audit counts as bad files.
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


def one_seed(name: str, seed: int, chosen: argparse.Namespace) -> tuple[dict, dict]:
    """Returns the outcome of each approach on one data set with one seed, and other figures."""
    outcomes: dict[str, Outcome] = {}
    others: dict[str, Any] = {"seed": seed}
    page.progress(f"{name}, seed {seed}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_splits(chosen.data / name, folder, seed)
        scratch = ["scratch"] if seed in chosen.scratch else []
        for approach in [*chosen.approaches, *scratch]:
            started = time.monotonic()
            run = learn(folder, approach, chosen, seed)
            outcomes[approach] = paired.of_run(run.workdir, time.monotonic() - started)
            if approach == "parallel":
                others["teacher_accuracy"] = run.result["teacher"]["accuracy"]
                others["merged"] = run.result["rounds"][-1]["merged"]
            last = outcomes[approach]
            page.progress(f"  {approach:15} {last.accuracy:.4f} in {last.seconds:.0f} s")
        if scratch and "finetune" in outcomes:
            others["seconds_to_scratch"] = time_to_scratch(folder)
    return outcomes, others


def time_to_scratch(folder: Path) -> list[float | None]:
    """Returns the seconds to the best validation accuracy of random weights.

    Of the training from random weights, and of `finetune` (None if it never gets there).
    """
    curves = [training_curve(folder / name) for name in ("scratch", "finetune")]
    best = max(accuracy for _, accuracy in curves[0])
    return [
        next((seconds for seconds, accuracy in curve if accuracy >= best), None) for curve in curves
    ]


def parser() -> argparse.ArgumentParser:
    flags = image_sets.parser_of_several(__doc__)
    every = [name for name in APPROACHES if name != "scratch"]
    flags.add_argument("--approaches", nargs="+", default=every, choices=every)
    flags.add_argument(
        "--scratch", type=int, nargs="+", default=[], help="seeds that also train from scratch"
    )
    return flags


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    settings = {"image_size": SIZE, "labelled": LABELLED, "val": VAL, "test": TEST}
    settings |= {"trials": TRIALS, "seeds": chosen.seeds, "approaches": chosen.approaches}
    return {"settings": settings, "data_sets": {n: one_set(n, chosen) for n in chosen.sets}}


def one_set(name: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """Returns the figures of all approaches on one data set."""
    runs, others = zip(*(one_seed(name, seed, chosen) for seed in chosen.seeds), strict=True)
    by_approach = {approach: [run[approach] for run in runs] for approach in chosen.approaches}
    base = by_approach.get("finetune")
    return {
        "test_images": len(runs[0][chosen.approaches[0]].files),
        "accuracy": {k: [one.accuracy for one in every] for k, every in by_approach.items()},
        "seconds": {k: [one.seconds for one in every] for k, every in by_approach.items()},
        "tallies": {
            approach: paired.tally(every, base)
            for approach, every in by_approach.items()
            if base and approach != "finetune"
        },
        "others": list(others),
    }


def compared(figures: dict[str, Any]) -> str:
    settings = figures["settings"]
    return (
        f"Training approaches with {settings['labelled']} labelled images of each class, "
        f"{settings['val']} of them for validation (MobileNetV2 at {settings['image_size']} px, "
        f"{seeds(settings['seeds'])}). {settings['test']:.0%} of each data set test; the "
        "rest has no labels, and only `parallel` uses it. "
        f"The search has {settings['trials']} trials; everything else has its default."
    )


def results(figures: dict[str, Any]) -> str:
    sets, approaches = figures["data_sets"], figures["settings"]["approaches"]
    rows, gains, lines = [], [], []
    for approach in approaches:
        means = [f"{np.mean(one['accuracy'][approach]):.3f}" for one in sets.values()]
        seconds = sum(sum(one["seconds"][approach]) for one in sets.values())
        rows.append((NAMES[approach], *means, f"{seconds:,.0f} s"))
        tallies = [one["tallies"].get(approach) for one in sets.values()]
        if None in tallies:
            continue
        every = paired.difference(tallies)
        cells = [every, *(paired.difference([one]) for one in tallies)]
        gains.append((NAMES[approach], *map(str, cells)))
        lines.append("- " + paired.verdict(every, f"On average, {NAMES[approach]}", "`finetune`"))
    names = [title(name) for name in sets]
    parts = [
        "## Test accuracy",
        "Means over the seeds; seconds of all runs together.",
        page.table(("Approach", *names, "Time"), rows),
        "## Against `finetune`",
        "Points of test accuracy, with the 95% interval, paired by image.",
        page.table(("Approach", "Mean of the data sets", *names), gains),
        _teachers(sets),
        _scratch(sets),
        "## Conclusion",
        "\n".join(lines),
    ]
    return "\n\n".join(part for part in parts if part)


def _teachers(sets: dict[str, Any]) -> str:
    """Returns a table of the teachers of `parallel` and its models, or nothing."""
    rows = [
        (
            title(name),
            str(others["seed"]),
            f"{others['teacher_accuracy']:.3f}",
            f"{accuracy:.3f}",
            others["merged"],
        )
        for name, one in sets.items()
        for others, accuracy in zip(
            one["others"], one["accuracy"].get("parallel", []), strict=False
        )
    ]
    head = ("Data set", "Seed", "First teacher", "`parallel`", "Students merged")
    return "## The teacher of `parallel`\n\n" + page.table(head, rows) if rows else ""


def _scratch(sets: dict[str, Any]) -> str:
    """Returns a table of the time to the accuracy of random weights, or nothing."""
    rows = [
        (title(name), str(others["seed"]), *map(page.seconds, others["seconds_to_scratch"]))
        for name, one in sets.items()
        for others in one["others"]
        if "seconds_to_scratch" in others
    ]
    head = ("Data set", "Seed", "Random weights to their best", "`finetune` to the same")
    return "## Random weights\n\n" + page.table(head, rows) if rows else ""


def headline(figures: dict[str, Any]) -> str:
    sets = figures["data_sets"].values()
    tallies = [one["tallies"].get("parallel") for one in sets]
    if None in tallies:
        return "accuracy by approach"
    return f"`parallel`: {paired.difference(tallies).in_words} against `finetune`"


BENCHMARK = page.Benchmark(
    "approaches", "Approaches with few labels", parser, measure, compared, results, headline
)

if __name__ == "__main__":
    page.main(BENCHMARK)
