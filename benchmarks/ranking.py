"""How well the scores of compare, before anything is trained, predict the fine-tuned order.

    python benchmarks/ranking.py --data=DIR \
      --backbones 'MobileNetV2 1.0 mobilenet_v2.h5' 'MobileNet 1.0 mobilenet.h5' ...

DIR holds one folder of class folders a data set; given splits in them are pooled. For each data set
and seed 50 images a class train, 10 more validate, all others test; 160 px. Each backbone (name,
alpha, weights: a file, glyphs or none) is scored on its pooled features of the training images by
LogME (arXiv 2102.11005) and by a logistic regression on examples that are left out, then fine-tuned
with defaults. Pairs of backbones in the same order by score as by test accuracy, ties half, and
Kendall's tau, means over data sets and seeds.
"""

import argparse
import tempfile
from itertools import combinations
from pathlib import Path

import numpy as np
from accuracy import SETS, SIZE, read, write_splits
from scipy.stats import kendalltau

import tl_keras
from tl_keras.config import text as configs
from tl_keras.config.whole import RunConfig
from tl_keras.tasks.classification import transfer
from tl_keras.training.features import outputs
from tl_keras.training.network import model as models
from tl_keras.training.network.fold_batch_norm import Inference

SCORES = ("logme", "left out")


def config_of(folder: Path, backbone: str, seed: int) -> RunConfig:
    """A run of a backbone, as `NAME ALPHA WEIGHTS` has it."""
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


def one_seed(name: str, seed: int, chosen: argparse.Namespace) -> list[tuple[float, float, float]]:
    """Of each backbone both scores and the fine-tuned test accuracy."""
    found = []
    print(f"{name}, seed {seed}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_splits(chosen.data / name, folder / "data", seed)
        for i, backbone in enumerate(chosen.backbones):
            config = config_of(folder, backbone, seed)
            inputs = read(config).inputs["train"]
            pooled = outputs(Inference(models.pretrained(config.model, config.settings)), inputs)
            scores = [
                transfer.logme(pooled, inputs.labels),
                transfer.left_out_accuracy(pooled, inputs.labels),
            ]
            run = tl_keras.finetune(config, folder / f"run_{i}")
            found.append((*scores, run.result["test"]["accuracy"]))
            told = ", ".join(f"{n} {s:.3f}" for n, s in zip(SCORES, scores, strict=True))
            print(f"  {backbone:60.60} {told}, fine-tuned {found[-1][-1]:.4f}", flush=True)
    return found


def agreement(scores: np.ndarray, accuracies: np.ndarray) -> float:
    """Share of pairs in the same order, ties half."""
    signs = [
        np.sign(scores[i] - scores[j]) * np.sign(accuracies[i] - accuracies[j])
        for i, j in combinations(range(len(scores)), 2)
    ]
    return float(np.mean([(1 + sign) / 2 for sign in signs]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets")
    parser.add_argument("--backbones", nargs="+", required=True, help="'NAME ALPHA WEIGHTS' each")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    chosen = parser.parse_args()
    tables = [
        np.array(one_seed(name, seed, chosen)) for name in chosen.sets for seed in chosen.seeds
    ]
    for i, name in enumerate(SCORES):
        same = np.mean([agreement(table[:, i], table[:, -1]) for table in tables])
        tau = np.mean([kendalltau(table[:, i], table[:, -1]).statistic for table in tables])
        first = np.mean([table[table[:, i].argmax(), -1] == table[:, -1].max() for table in tables])
        print(
            f"{name}: {same:.0%} of the pairs in order, Kendall's tau {tau:.2f}, its first is the "
            f"best in {first:.0%} of {len(tables)}"
        )


if __name__ == "__main__":
    main()
