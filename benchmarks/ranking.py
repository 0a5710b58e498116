"""How well two scores that need no training predict the order of backbones after fine-tuning.

    python benchmarks/ranking.py --data=DIR \
      --backbones 'MobileNetV2 1.0 mobilenet_v2.h5' 'MobileNet 1.0 mobilenet.h5' ...

DIR has one folder for each data set, with one folder of images for each class. Splits that a data
set already has are pooled. For each data set and seed, 50 images of each class are for training, 10
more for validation, and all others for testing, at 160 px.

Each backbone is given as its name, alpha and weights (a file, `glyphs` or `none`). Its pooled
features of the training images get two scores: LogME (arXiv 2102.11005), and the accuracy of a
logistic regression on examples that it was not fitted to. Then the backbone is fine-tuned with the
defaults. A pair of backbones is in the right order if the backbone with the higher score also has
the higher test accuracy. A tie counts half.
"""

import argparse
import tempfile
from itertools import combinations
from pathlib import Path
from typing import Any

import image_sets
import numpy as np
import page
from image_sets import SIZE, TRAIN, VAL, listed, seeds, title
from scipy.stats import kendalltau

import tl_keras
from tl_keras.config import text as configs
from tl_keras.config.whole import RunConfig

SCORES = {"logme": "LogME", "left_out": "left-out regression"}


def config_of(folder: Path, backbone: str, seed: int) -> RunConfig:
    """Returns the config of a backbone that is given as `NAME ALPHA WEIGHTS`."""
    name, alpha, weights = backbone.split()
    return configs.from_tree(
        {
            "data": {"path": str(folder / "data")},
            "image": {"size": SIZE},
            "model": {"backbone": name, "options": {"alpha": float(alpha)}, "weights": weights},
            "export": {"formats": []},
            "cache": {"path": str(folder / "cache")},
            "seed": seed,
        }
    )


def one_seed(name: str, seed: int, chosen: argparse.Namespace) -> dict[str, Any]:
    """Returns both scores and the fine-tuned test accuracy of each backbone."""
    from tl_keras.data.load import load
    from tl_keras.data.prepared import prepared
    from tl_keras.tasks.classification import transfer
    from tl_keras.training.features import outputs
    from tl_keras.training.network import model as models
    from tl_keras.training.network.fold_batch_norm import Inference

    rows = []
    page.progress(f"{name}, seed {seed}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        image_sets.write_splits(chosen.data / name, folder / "data", seed)
        for i, backbone in enumerate(chosen.backbones):
            config = config_of(folder, backbone, seed)
            inputs = prepared(load(config), config).inputs["train"]
            pooled = outputs(Inference(models.pretrained(config.model, config.settings)), inputs)
            row = {
                "logme": transfer.logme(pooled, inputs.labels),
                "left_out": transfer.left_out_accuracy(pooled, inputs.labels),
            }
            run = tl_keras.finetune(config, folder / f"run_{i}")
            row["accuracy"] = run.result["test"]["accuracy"]
            rows.append({key: float(value) for key, value in row.items()})
            page.progress(f"  {backbone.split()[:2]}: {rows[-1]}")
    return {"data_set": name, "seed": seed, "backbones": rows}


def agreement(scores: np.ndarray, accuracies: np.ndarray) -> float:
    """Returns the share of pairs in the same order; a tie counts half."""
    signs = [
        np.sign(scores[i] - scores[j]) * np.sign(accuracies[i] - accuracies[j])
        for i, j in combinations(range(len(scores)), 2)
    ]
    return float(np.mean([(1 + sign) / 2 for sign in signs]))


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--data", type=Path, required=True, help="folder of data sets")
    flags.add_argument("--backbones", nargs="+", required=True, help="'NAME ALPHA WEIGHTS' each")
    image_sets.add_sets(flags)
    return flags


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    from tl_keras.run.quiet import start_tensorflow

    start_tensorflow()
    names = []
    for backbone in chosen.backbones:
        name, alpha, weights = backbone.split()
        names.append(f"{name}, alpha {alpha}" + (f", {weights}" if weights == "glyphs" else ""))
    return {
        "settings": {"image_size": SIZE, "train": TRAIN, "val": VAL},
        "backbones": names,
        "runs": [one_seed(name, seed, chosen) for name in chosen.sets for seed in chosen.seeds],
    }


def compared(figures: dict[str, Any]) -> str:
    settings, runs = figures["settings"], figures["runs"]
    sets = listed(list(dict.fromkeys(title(run["data_set"]) for run in runs)))
    return (
        f"The order of {len(figures['backbones'])} backbones by a score that needs no training, "
        f"and their order by test accuracy after fine-tuning with the defaults, on {sets} ("
        f"{seeds(sorted({run['seed'] for run in runs}))}; {settings['train']} training "
        f"and {settings['val']} validation images of each class, {settings['image_size']} px). "
        "`LogME` is [arXiv 2102.11005](https://arxiv.org/abs/2102.11005). `left-out regression` is "
        "the accuracy of a logistic regression on examples that it was not fitted to."
    )


def _columns(run: dict[str, Any]) -> dict[str, np.ndarray]:
    rows = run["backbones"]
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def _summary(figures: dict[str, Any], score: str) -> tuple[float, float, float]:
    """Returns the share of agreeing pairs, Kendall's tau, and how often the first is the best."""
    tables = [_columns(run) for run in figures["runs"]]
    same = np.mean([agreement(one[score], one["accuracy"]) for one in tables])
    tau = np.mean([kendalltau(one[score], one["accuracy"]).statistic for one in tables])
    best = np.mean(
        [one["accuracy"][one[score].argmax()] == one["accuracy"].max() for one in tables]
    )
    return float(same), float(tau), float(best)


def results(figures: dict[str, Any]) -> str:
    rows, detail = [], []
    for key, name in SCORES.items():
        same, tau, best = _summary(figures, key)
        shares = [agreement(one[key], one["accuracy"]) for one in map(_columns, figures["runs"])]
        cells = (f"{same:.0%}", page.span(shares, "{:.0%}"), f"{tau:.2f}", f"{best:.0%}")
        rows.append((name, *cells))
    for run in figures["runs"]:
        for name, row in zip(figures["backbones"], run["backbones"], strict=True):
            cells = (f"{row['logme']:.3f}", f"{row['left_out']:.3f}", f"{row['accuracy']:.3f}")
            detail.append((title(run["data_set"]), str(run["seed"]), name, *cells))
    head = ("Score", "Pairs in the same order", "Lowest to highest of a run", "Kendall's tau")
    columns = ("Data set", "Seed", "Backbone", *SCORES.values(), "Fine-tuned test accuracy")
    return "\n\n".join(
        [
            "## Agreement",
            "Means over data sets and seeds.",
            page.table((*head, "First by score is the best"), rows),
            "## Scores and accuracies",
            page.table(columns, detail),
            "## Conclusion",
            _conclusion(figures),
        ]
    )


def _conclusion(figures: dict[str, Any]) -> str:
    pairs = len(list(combinations(figures["backbones"], 2))) * len(figures["runs"])
    lines = []
    for key, name in SCORES.items():
        same = _summary(figures, key)[0]
        lines.append(
            f"- By {name}, {same:.0%} of {pairs} pairs are in the order of their accuracy."
        )
    lines.append("- An order by chance would have half of the pairs right.")
    return "\n".join(lines)


def headline(figures: dict[str, Any]) -> str:
    shares = [f"{name} {_summary(figures, key)[0]:.0%}" for key, name in SCORES.items()]
    return f"Pairs of backbones in the right order: {', '.join(shares)}"


BENCHMARK = page.Benchmark(
    "ranking", "Ranking backbones without training", parser, measure, compared, results, headline
)

if __name__ == "__main__":
    page.main(BENCHMARK)
