"""How much accuracy the embedded backbone adds, on the test digits of tl-keras quickstart.

    python benchmarks/quickstart_gain.py

Four learners get the same labelled digits, one after the other: the quickstart itself, a logistic
regression on raw pixels, and the quickstart's network from random weights, once with the training
time of the quickstart and once with ten times as much. All choices are made on the validation set.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import page
from image_sets import seeds
from sklearn.linear_model import LogisticRegression

import tl_keras
from tl_keras.config import text as configs
from tl_keras.config.whole import RunConfig
from tl_keras.data.examples import SPLITS
from tl_keras.run.quiet import start_tensorflow
from tl_keras.run.run import Run

EMBEDDED = Path(tl_keras.__file__).parent / "embedded" / "quickstart.yaml"
FROM_SCRATCH = ["model.weights=none", "fit.freeze=auto", "fit.learning_rate=auto"]
LONGER = 10  # times the quickstart's training time
NAMES = {
    "quickstart": "quickstart",
    "pixels": "logistic regression on raw pixels",
    "scratch": "random weights, the same time",
    "longer": "random weights, {longer} times the time",
}


def training_seconds(run: Run) -> float:
    """Returns the seconds that a run spent on features, head and fine-tuning."""
    seconds = run.result["seconds"]
    return sum(seconds.get(phase, 0.0) for phase in ("features", "head", "finetune"))


def raw_pixels(config: RunConfig) -> float:
    """Returns the test accuracy of a logistic regression on pixels; validation chooses its C."""
    from tl_keras.data import load

    dataset = load.load(config)
    pixels, labels = {}, {}
    for split in SPLITS:
        images = dataset.raw[[example.index for example in dataset.splits[split]]]
        pixels[split] = images.reshape(len(images), -1) / 255.0
        labels[split] = dataset.labels(split)
    models = [
        LogisticRegression(C=strength, max_iter=300, tol=1e-3).fit(pixels["train"], labels["train"])
        for strength in (1e-5, 1e-4, 1e-3, 1e-2)
    ]
    best = max(models, key=lambda model: model.score(pixels["val"], labels["val"]))
    return float(best.score(pixels["test"], labels["test"]))


def from_scratch(seconds: float, folder: Path, seed: int) -> tuple[float, float]:
    """Returns test accuracy and seconds of a training from random weights of about `seconds`.

    A fair schedule ends in time, so a short run measures the seconds of an epoch first.
    """
    fields = [*FROM_SCRATCH, f"seed={seed}", f"data.split_seed={seed}"]
    run = tl_keras.pretrain(configs.load(EMBEDDED, [*fields, "fit.epochs=4"]), folder / "probe")
    ends = [
        json.loads(line)["seconds"]
        for line in (run.workdir / "metrics.jsonl").read_text().splitlines()
    ]
    epoch_seconds = (ends[-1] - ends[0]) / (len(ends) - 1)
    epochs = max(1, round((seconds - ends[0]) / epoch_seconds))
    planned = [*fields, f"fit.epochs={epochs}", f"fit.patience={epochs}"]
    run = tl_keras.pretrain(configs.load(EMBEDDED, planned), folder / "planned")
    return run.result["test"]["accuracy"], training_seconds(run)


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    return flags


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    start_tensorflow()
    return {"longer": LONGER, "runs": [one_seed(seed) for seed in chosen.seeds]}


def one_seed(seed: int) -> dict[str, Any]:
    """Returns accuracy and training seconds of each learner."""
    with tempfile.TemporaryDirectory() as temporary:
        config = configs.load(EMBEDDED, [f"seed={seed}", f"data.split_seed={seed}"])
        started = time.monotonic()
        run = tl_keras.finetune(config, Path(temporary, "quickstart"))
        seconds, whole = training_seconds(run), time.monotonic() - started
        learners = {
            "quickstart": (run.result["test"]["accuracy"], seconds),
            "pixels": (raw_pixels(config), None),
            "scratch": from_scratch(seconds, Path(temporary, "1"), seed),
            "longer": from_scratch(LONGER * seconds, Path(temporary, "10"), seed),
        }
    page.progress(f"seed {seed}, whole run {whole:.0f} s: {learners}")
    row = {"seed": seed, "test_images": run.result["test"]["n"], "whole_seconds": whole}
    return {**row, "learners": learners}


def compared(figures: dict[str, Any]) -> str:
    runs = figures["runs"]
    return (
        f"`tl-keras quickstart`, with {seeds([run['seed'] for run in runs])}, and three "
        "learners without its pretrained backbone, on the same labelled digits. Each is tested on "
        f"{runs[0]['test_images']:,} digits. Random weights get the training time of the "
        f"quickstart, and {figures['longer']} times as much."
    )


def _accuracies(figures: dict[str, Any], learner: str) -> list[float]:
    return [run["learners"][learner][0] for run in figures["runs"]]


def results(figures: dict[str, Any]) -> str:
    rows = []
    for learner, name in NAMES.items():
        seconds = [run["learners"][learner][1] for run in figures["runs"]]
        taken = "" if None in seconds else f"{np.mean(seconds):.0f} s"
        values = _accuracies(figures, learner)
        cells = (f"{np.mean(values):.3f}", page.span(values, "{:.3f}"), taken)
        rows.append((name.format(longer=figures["longer"]), *cells))
    head = ("Learner", "Test accuracy, mean", "By seed, lowest to highest", "Training time, mean")
    whole = np.mean([run["whole_seconds"] for run in figures["runs"]])
    quickstart = _accuracies(figures, "quickstart")
    lines = []
    for learner in ("pixels", "scratch", "longer"):
        gains = [
            100 * (a - b) for a, b in zip(quickstart, _accuracies(figures, learner), strict=True)
        ]
        name = NAMES[learner].format(longer=figures["longer"])
        lines.append(
            f"- Quickstart against {name}: {np.mean(gains):+.1f} points "
            f"({page.span(gains, '{:+.1f}')} by seed)."
        )
    return "\n\n".join(
        [
            page.table(head, rows),
            f"The whole quickstart, exports and report included, took {whole:.0f} s on average.",
            "## Conclusion",
            "\n".join(lines),
        ]
    )


def headline(figures: dict[str, Any]) -> str:
    ours, scratch = (np.mean(_accuracies(figures, name)) for name in ("quickstart", "scratch"))
    return f"Test accuracy {ours:.3f}; {scratch:.3f} from random weights in the same time"


BENCHMARK = page.Benchmark(
    "quickstart_gain", "The quickstart's backbone", parser, measure, compared, results, headline
)

if __name__ == "__main__":
    page.main(BENCHMARK)
