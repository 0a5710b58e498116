"""How much accuracy a chain of two runs, on two sets of images, gains over its last run alone.

    python benchmarks/chain.py --data=DIR --weights=mobilenet_v2_1.0_224_no_top.h5

DIR has one folder for each data set, with one folder of images for each class. Splits that a data
set already has are pooled. For each data set and seed, 30% of each class are for testing. Of the
others, 10 images of each class are a small set and 40 are a larger one. The two sets share no
image. Both orders are measured. MobileNetV2 at 160 px, `finetune` with its defaults, no exports:

  small                starts from ImageNet weights;
  larger               starts from ImageNet weights;
  small, then larger   starts from the model of `small`, and is compared with `larger`;
  larger, then small   starts from the model of `larger`, and is compared with `small`.
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

SMALL, LARGER = 10, 40  # images a class, a fifth of them validate
TEST = 0.3  # share of a class
STEPS = {  # By name: the set that it trains on, and the run that it starts from.
    "small": ("small", None),
    "larger": ("larger", None),
    "small, then larger": ("larger", "small"),
    "larger, then small": ("small", "larger"),
}
CHAINS = {"small, then larger": "larger", "larger, then small": "small"}


def write_sets(source: Path, folder: Path, seed: int) -> None:
    """Copies a data set into small/ and larger/, with the same test split in both."""
    for name, files in image_sets.shuffled(source, seed).items():
        tested = round(TEST * len(files))
        ends = np.cumsum(
            [tested, SMALL - SMALL // 5, SMALL // 5, LARGER - LARGER // 5, LARGER // 5]
        )
        test, *parts = np.split(files, ends)[:-1]
        places = [(size, split) for size in ("small", "larger") for split in ("train", "val")]
        for (size, split), part in zip(places, parts, strict=True):
            image_sets.copy(part, source, folder / size / split / name)
        for size in ("small", "larger"):
            image_sets.copy(test, source, folder / size / "test" / name)


def one_seed(name: str, seed: int, chosen: argparse.Namespace) -> dict[str, Outcome]:
    """Returns the outcome of each step on one data set with one seed."""
    outcomes = {}
    page.progress(f"{name}, seed {seed}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_sets(chosen.data / name, folder, seed)
        for step, (size, before) in STEPS.items():
            weights = chosen.weights if before is None else folder / f"run {before}"
            tree = {
                # BUSI has many images with two labels, which the audit counts as bad files.
                "data": {"path": str(folder / size), "max_bad_share": 0.5},
                "image": {"size": SIZE},
                "model": {"backbone": "MobileNetV2", "weights": str(weights)},
                "export": {"formats": []},
                "cache": {"path": str(folder / "cache")},
                "seed": seed,
            }
            started = time.monotonic()
            run = tl_keras.finetune(tree, folder / f"run {step}")
            outcomes[step] = paired.of_run(run.workdir, time.monotonic() - started)
            last, kept = outcomes[step], run.result["model"]["kept"]
            page.progress(f"  {step:20} {last.accuracy:.4f} in {last.seconds:.0f} s, kept {kept}")
    return outcomes


def parser() -> argparse.ArgumentParser:
    return image_sets.parser_of_several(__doc__)


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    sets = {}
    for name in chosen.sets:
        runs = [one_seed(name, seed, chosen) for seed in chosen.seeds]
        sets[name] = {
            "test_images": len(runs[0]["small"].files),
            "accuracy": {step: [run[step].accuracy for run in runs] for step in STEPS},
            "tallies": {
                chain: paired.tally([run[chain] for run in runs], [run[alone] for run in runs])
                for chain, alone in CHAINS.items()
            },
        }
    settings = {"image_size": SIZE, "small": SMALL, "larger": LARGER, "seeds": chosen.seeds}
    return {"settings": settings, "data_sets": sets}


def compared(figures: dict[str, Any]) -> str:
    settings = figures["settings"]
    return (
        f"Fine-tuning on {settings['small']} labelled images of each class and fine-tuning on "
        f"{settings['larger']} others: each alone, from ImageNet weights, and each as a second "
        f"run that starts from the other's model. MobileNetV2 at {settings['image_size']} px with "
        f"the defaults of `finetune`, {seeds(settings['seeds'])}. All are tested on the same "
        "images."
    )


def _cells(sets: dict[str, Any], chain: str) -> list[paired.Difference]:
    tallies = [one["tallies"][chain] for one in sets.values()]
    return [paired.difference(tallies), *(paired.difference([one]) for one in tallies)]


def results(figures: dict[str, Any]) -> str:
    sets = figures["data_sets"]
    rows = [
        (step, *(f"{np.mean(one['accuracy'][step]):.3f}" for one in sets.values()))
        for step in STEPS
    ]
    rows.append(
        ("*test images for each seed*", *(str(one["test_images"]) for one in sets.values()))
    )
    gains = [
        (f"`{chain}` against `{alone}`", *map(str, _cells(sets, chain)))
        for chain, alone in CHAINS.items()
    ]
    names = [title(name) for name in sets]
    lines = [
        paired.verdict(_cells(sets, chain)[0], f"On average, `{chain}`", f"`{alone}` alone")
        for chain, alone in CHAINS.items()
    ]
    return "\n\n".join(
        [
            "## Test accuracy",
            "Means over the seeds.",
            page.table(("Trained on", *names), rows),
            "## Differences",
            "Points of test accuracy, with the 95% interval, paired by image.",
            page.table(("", "Mean of the data sets", *names), gains),
            "## Conclusion",
            "\n".join(f"- {line}" for line in lines),
        ]
    )


def headline(figures: dict[str, Any]) -> str:
    found = _cells(figures["data_sets"], "larger, then small")[0]
    return f"`larger, then small`: {found.in_words} against `small` alone"


BENCHMARK = page.Benchmark(
    "chain", "Chains of two runs", parser, measure, compared, results, headline
)

if __name__ == "__main__":
    page.main(BENCHMARK)
