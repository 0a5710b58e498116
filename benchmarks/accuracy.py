"""Test accuracy and time of tl_keras's defaults against the plain ways, on the same splits.

    python benchmarks/accuracy.py --data=DIR --weights=mobilenet_v2_1.0_224_no_top.h5

DIR holds one folder of class folders a data set; given splits in them are pooled. For each data set
and seed 50 images a class train, 10 more validate, all others test. Three learners get the same
images, one after the other, MobileNetV2 at 160 px:

  head   a logistic regression on pooled features, its C chosen on validation;
  guide  https://keras.io/guides/transfer_learning: frozen for 20 epochs at 1e-3, then all layers
         for 10 epochs at 1e-5, flip and rotation, batch norm in inference mode;
  ours   tl_keras.finetune with defaults, exports included in its time.

For the seeds of --scratch the default also trains from random weights, with early stopping and
batch norm that keeps up: how long it takes to its best validation accuracy, and how long `ours`
took to as much.
"""

import argparse
import csv
import random
import shutil
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

import tl_keras
from tl_keras.config import text as configs
from tl_keras.config.whole import RunConfig
from tl_keras.run.quiet import start_tensorflow
from tl_keras.run.run import Run

start_tensorflow()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from tl_keras.approaches.compare import training_curve  # noqa: E402
from tl_keras.backbones import applications  # noqa: E402
from tl_keras.data.examples import SPLITS  # noqa: E402
from tl_keras.data.load import load  # noqa: E402
from tl_keras.data.prepared import Data, prepared  # noqa: E402
from tl_keras.tasks.classification.losses import log_loss  # noqa: E402
from tl_keras.training import features  # noqa: E402
from tl_keras.training.network import model as models  # noqa: E402
from tl_keras.training.network.fold_batch_norm import Inference  # noqa: E402

SETS = ("ants_bees", "busi", "sign_digits")
SUFFIXES = {".jpg", ".jpeg", ".png"}
TRAIN, VAL = 50, 10  # images a class
SIZE, BATCH = 160, 32
RESAMPLES = 2000


@dataclass(frozen=True)
class Outcome:
    """What a learner came to.

    Attributes:
      files: of the test images.
      right: which of them it got right, `(test,) bool`.
      seconds: that it took.
    """

    files: list[str]
    right: np.ndarray
    seconds: float


def drawn(source: Path, seed: int) -> dict[str, list[Path]]:
    """By class, the images of a data set in an order drawn with a seed."""
    by_class = defaultdict(list)
    for file in sorted(source.rglob("*")):
        if file.suffix.lower() in SUFFIXES:
            by_class[file.parent.name].append(file)
    generator = random.Random(seed)
    for files in by_class.values():
        generator.shuffle(files)
    return by_class


def write_splits(source: Path, folder: Path, seed: int, train: int = TRAIN, val: int = VAL) -> None:
    """Copies a data set into train/, val/ and test/, so many a class drawn with a seed."""
    for name, files in drawn(source, seed).items():
        parts = files[:train], files[train : train + val], files[train + val :]
        for split, part in zip(SPLITS, parts, strict=True):
            (folder / split / name).mkdir(parents=True)
            for file in part:
                unique = "_".join(file.relative_to(source).parts)
                shutil.copyfile(file, folder / split / name / unique)


def read(config: RunConfig) -> Data:
    """The images as tl_keras audits, decodes and resizes them, for all learners."""
    return prepared(load(config), config)


def head(data: Data, config: RunConfig) -> Outcome:
    """Logistic regression on pooled features."""
    started = time.monotonic()
    backbone = models.pretrained(config.model, config.settings)
    infer = Inference(backbone)
    pooled = {split: features.outputs(infer, data.inputs[split]) for split in SPLITS}
    mean, deviation = pooled["train"].mean(0), pooled["train"].std(0) + 1e-3
    pooled = {split: (values - mean) / deviation for split, values in pooled.items()}
    labels = {split: data.inputs[split].labels for split in SPLITS}
    fitted = [
        LogisticRegression(C=strength, max_iter=1000).fit(pooled["train"], labels["train"])
        for strength in np.logspace(-6, 1, 15)
    ]
    best = min(fitted, key=lambda m: log_loss(m.predict_proba(pooled["val"]), labels["val"]))
    seconds = time.monotonic() - started  # Testing included, as in the others.
    return Outcome(test_files(data), best.predict(pooled["test"]) == labels["test"], seconds)


def test_files(data: Data) -> list[str]:
    """Of the test images, in order."""
    return [example.file for example in data.dataset.splits["test"]]


def guide(data: Data, config: RunConfig, seed: int) -> Outcome:
    """The transfer-learning guide of keras.io."""
    started = time.monotonic()
    keras.utils.set_random_seed(seed)
    backbone = models.pretrained(config.model, config.settings)
    image = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    x = keras.layers.RandomFlip("horizontal")(keras.ops.cast(image, "float32"))
    x = backbone(keras.layers.RandomRotation(0.1)(x))
    x = keras.layers.Dense(len(data.dataset.classes))(keras.layers.Dropout(0.2)(x))
    model = keras.Model(image, x)
    _fit(model, backbone, data, trainable=False, rate=1e-3, epochs=20)
    _fit(model, backbone, data, trainable=True, rate=1e-5, epochs=10)
    test = data.inputs["test"]
    right = model.predict(test.array, BATCH, verbose=0).argmax(-1) == test.labels
    return Outcome(test_files(data), right, time.monotonic() - started)


def _fit(
    model: keras.Model,
    backbone: keras.Model,
    data: Data,
    trainable: bool,
    rate: float,
    epochs: int,
) -> None:
    backbone.trainable = trainable
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False  # Else `fit` would train it, keras#20285.
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    splits = {
        split: tf.data.Dataset.from_tensor_slices((data.inputs[split].array, labels))
        for split in ("train", "val")
        for labels in [data.inputs[split].labels]
    }
    train = splits["train"].shuffle(len(data.inputs["train"])).batch(BATCH).prefetch(2)
    val = splits["val"].batch(BATCH).prefetch(2)
    model.fit(train, validation_data=val, epochs=epochs, verbose=0)


def ours(config: RunConfig, workdir: Path) -> Outcome:
    """tl_keras with defaults: the whole command, from audit to report."""
    started = time.monotonic()
    run = tl_keras.finetune(config, workdir)
    seconds = time.monotonic() - started
    with (workdir / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    _print_kept(run)
    right = np.array([row["prediction"] == row["label"] for row in rows])
    return Outcome([row["file"] for row in rows], right, seconds)


def _print_kept(run: Run) -> None:
    phases = ", ".join(f"{name} {seconds:.0f}" for name, seconds in run.result["seconds"].items())
    model = run.result["model"]
    print(f"    kept {model['kept']}, frozen {model['freeze']}; seconds: {phases}", flush=True)


def against_scratch(config: RunConfig, ours: Path, workdir: Path) -> tuple[float, float, float]:
    """Scratch's best validation accuracy, its seconds to there, ours to as much.

    Both count from the first training step or feature on; reading the images is left out.
    """
    tree = configs.to_tree(config)
    tree["model"]["weights"] = "none"
    tree["export"]["formats"] = ["float32"]
    tl_keras.finetune(configs.from_tree(tree), workdir)
    scratch, pretrained = training_curve(workdir), training_curve(ours)
    best = max(accuracy for _, accuracy in scratch)
    taken = [next((s for s, a in curve if a >= best), np.inf) for curve in (scratch, pretrained)]
    return best, *taken


def interval(gains: list[dict[str, tuple[int, int]]]) -> tuple[float, float, float]:
    """Mean over data sets of a paired difference of accuracies, and its 95% interval.

    A test image may come up with several seeds: images are resampled, not their occurrences.

    Args:
      gains: by data set, file to (times right more often than the other, times tested).
    """
    generator, means = np.random.default_rng(0), []
    for by_file in gains:
        won, tested = np.array(list(by_file.values())).T
        drawn = generator.multinomial(len(won), np.full(len(won), 1 / len(won)), RESAMPLES)
        means.append([won.sum() / tested.sum(), *(drawn @ won / (drawn @ tested))])
    found, *resampled = np.mean(means, axis=0)
    return found, *np.percentile(resampled, (2.5, 97.5))


def gain(mine: list[Outcome], plain: list[Outcome]) -> dict[str, tuple[int, int]]:
    """By file, how much more often ours was right than the other, and how often it was tested."""
    by_file: dict[str, tuple[int, int]] = {}
    for a, b in zip(mine, plain, strict=True):
        for file, ours_right, plain_right in zip(a.files, a.right, b.right, strict=True):
            won, tested = by_file.get(file, (0, 0))
            by_file[file] = won + int(ours_right) - int(plain_right), tested + 1
    return by_file


def parser_of(description: str) -> argparse.ArgumentParser:
    """The flags that benchmarks on several data sets share."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets")
    parser.add_argument("--weights", type=Path, required=True, help="ImageNet weights, a .h5 file")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    return parser


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--backbone", default="MobileNetV2", choices=list(applications.BACKBONES))
    parser.add_argument(
        "--scratch", type=int, nargs="+", default=[], help="seeds that also train from scratch"
    )
    parser.add_argument("--set", nargs="+", default=[], help="section.field=value for ours")
    chosen = parser.parse_args()
    outcomes: dict[str, dict[str, list[Outcome]]] = {}
    for name in chosen.sets:
        outcomes[name] = defaultdict(list)
        for seed in chosen.seeds:
            with tempfile.TemporaryDirectory() as temporary:
                one_seed(name, seed, chosen, Path(temporary), outcomes[name])
    print_table(outcomes)


def one_seed(
    name: str,
    seed: int,
    chosen: argparse.Namespace,
    folder: Path,
    outcomes: dict[str, list[Outcome]],
) -> None:
    """All learners on one data set with one seed."""
    write_splits(chosen.data / name, folder / "data", seed)
    fields = [f"model.backbone={chosen.backbone}", f"model.weights={chosen.weights}"]
    fields += [f"image.size={SIZE}", f"cache.path={folder / 'cache'}", f"seed={seed}"]
    fields.append(f"data.path={folder / 'data'}")
    config, own = configs.load(None, fields), configs.load(None, [*fields, *chosen.set])
    data = read(config)
    print(f"{name}, seed {seed}: {', '.join(f'{len(data.inputs[s])} {s}' for s in SPLITS)}")
    for learner, outcome in {
        "head": head(data, config),
        "guide": guide(data, config, seed),
        "ours": ours(own, folder / "ours"),
    }.items():
        outcomes[learner].append(outcome)
        print(f"  {learner:6} {outcome.right.mean():.4f} in {outcome.seconds:.0f} s", flush=True)
    if seed in chosen.scratch:
        best, slow, fast = against_scratch(own, folder / "ours", folder / "scratch")
        print(
            f"  scratch reaches validation accuracy {best:.3f} after {slow:.0f} s, ours after "
            f"{fast:.1f} s: {1 - fast / slow:.1%} less",
            flush=True,
        )


def print_table(outcomes: dict[str, dict[str, list[Outcome]]]) -> None:
    """Mean test accuracy by data set, differences with intervals, seconds."""
    print(f"\n{'':14}{'head':>8}{'guide':>8}{'ours':>8}{'to better':>11}")
    gains = []
    for name, learners in outcomes.items():
        means = {k: np.mean([o.right.mean() for o in found]) for k, found in learners.items()}
        gains.append(means["ours"] - max(means["head"], means["guide"]))
        cells = "".join(f"{value:8.4f}" for value in means.values())
        print(f"{name:14}{cells}{100 * gains[-1]:+10.1f}")
    print(f"mean of the data sets, against the better of each: {100 * np.mean(gains):+.1f} points")
    for other in ("head", "guide"):
        mean, low, high = interval([gain(x["ours"], x[other]) for x in outcomes.values()])
        print(
            f"ours - {other}: {100 * mean:+.2f} points (95% interval, paired by image, "
            f"{100 * low:+.2f} to {100 * high:+.2f})"
        )
    for learner in ("head", "guide", "ours"):
        seconds = sum(o.seconds for learners in outcomes.values() for o in learners[learner])
        print(f"{learner:6} {seconds:.0f} s in all")


if __name__ == "__main__":
    main()
