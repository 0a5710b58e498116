"""Test accuracy and time of tl_keras's defaults against two simpler ways, on the same splits.

    python benchmarks/accuracy.py --data=DIR --weights=mobilenet_v2_1.0_224_no_top.h5

DIR has one folder for each data set, with one folder of images for each class. Splits that a data
set already has are pooled. For each data set and seed, 50 images of each class are for training, 10
more for validation, and all others for testing. Three learners get the same images, one after the
other, with MobileNetV2 at 160 px:

  regression  a logistic regression on pooled features; its C is chosen on validation;
  guide       https://keras.io/guides/transfer_learning: 20 epochs with a frozen backbone at 1e-3,
              then 10 epochs of all layers at 1e-5; flip and rotation; batch norm in inference mode;
  finetune    tl_keras.finetune with its defaults; its time includes the exports.

For the seeds of --scratch, the same network also trains from random weights, with early stopping
and with trained batch norm. The page then says how long the training from random weights takes to
its best validation accuracy, and how long `finetune` takes to the same accuracy.
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
from image_sets import BATCH, SIZE, TRAIN, VAL, seeds, title
from paired import Outcome
from sklearn.linear_model import LogisticRegression

import tl_keras
from tl_keras.config import text as configs
from tl_keras.config.whole import RunConfig
from tl_keras.run.quiet import start_tensorflow

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

LEARNERS = ("regression", "guide", "finetune")
NAMES = {
    "regression": "a logistic regression on pooled features",
    "guide": "the Keras guide",
    "finetune": "`finetune`",
}
FROZEN_EPOCHS, FROZEN_RATE, WHOLE_EPOCHS, WHOLE_RATE = 20, 1e-3, 10, 1e-5  # The guide's.


def regression(data: Data, config: RunConfig) -> Outcome:
    """Trains a logistic regression on pooled features."""
    started = time.monotonic()
    backbone = models.pretrained(config.model, config.settings)
    infer = Inference(backbone)
    pooled = {split: features.outputs(infer, data.inputs[split]) for split in SPLITS}
    mean, deviation = pooled["train"].mean(0), pooled["train"].std(0) + 1e-3
    pooled = {split: (values - mean) / deviation for split, values in pooled.items()}
    labels = {split: data.inputs[split].labels for split in SPLITS}
    candidates = [
        LogisticRegression(C=strength, max_iter=1000).fit(pooled["train"], labels["train"])
        for strength in np.logspace(-6, 1, 15)
    ]
    best = min(candidates, key=lambda m: log_loss(m.predict_proba(pooled["val"]), labels["val"]))
    correct = best.predict(pooled["test"]) == labels["test"]
    return Outcome(test_files(data), correct, time.monotonic() - started)


def test_files(data: Data) -> list[str]:
    """Returns the names of the test images, in order."""
    return [example.file for example in data.dataset.splits["test"]]


def guide(data: Data, config: RunConfig, seed: int) -> Outcome:
    """Trains as the transfer-learning guide of keras.io does."""
    started = time.monotonic()
    keras.utils.set_random_seed(seed)
    backbone = models.pretrained(config.model, config.settings)
    image = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    x = keras.layers.RandomFlip("horizontal")(keras.ops.cast(image, "float32"))
    x = backbone(keras.layers.RandomRotation(0.1)(x))
    x = keras.layers.Dense(len(data.dataset.classes))(keras.layers.Dropout(0.2)(x))
    model = keras.Model(image, x)
    _fit(model, backbone, data, trainable=False, rate=FROZEN_RATE, epochs=FROZEN_EPOCHS)
    _fit(model, backbone, data, trainable=True, rate=WHOLE_RATE, epochs=WHOLE_EPOCHS)
    test = data.inputs["test"]
    correct = model.predict(test.array, BATCH, verbose=0).argmax(-1) == test.labels
    return Outcome(test_files(data), correct, time.monotonic() - started)


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


def finetune(config: RunConfig, workdir: Path) -> Outcome:
    """Runs tl_keras.finetune, from the audit of the images to the report."""
    started = time.monotonic()
    run = tl_keras.finetune(config, workdir)
    seconds = time.monotonic() - started
    phases = ", ".join(f"{name} {taken:.0f}" for name, taken in run.result["seconds"].items())
    model = run.result["model"]
    page.progress(f"    kept {model['kept']}, freeze {model['freeze']}; seconds: {phases}")
    return paired.of_run(workdir, seconds)


def against_scratch(config: RunConfig, finetuned: Path, workdir: Path) -> dict[str, float | None]:
    """Trains from random weights.

    Both times count from the first training step or feature; reading the images is left out.

    Returns:
      The best validation accuracy from random weights, the seconds to it, and the seconds of
      `finetune` to as much (None if it never gets there).
    """
    tree = configs.to_tree(config)
    tree["model"]["weights"] = "none"
    tree["export"]["formats"] = ["float32"]
    tl_keras.finetune(configs.from_tree(tree), workdir)
    scratch, pretrained = training_curve(workdir), training_curve(finetuned)
    best = max(accuracy for _, accuracy in scratch)
    slow, fast = (
        next((seconds for seconds, accuracy in curve if accuracy >= best), None)
        for curve in (scratch, pretrained)
    )
    return {"val_accuracy": best, "scratch_seconds": slow, "finetune_seconds": fast}


def parser() -> argparse.ArgumentParser:
    flags = image_sets.parser_of_several(__doc__)
    flags.add_argument("--backbone", default="MobileNetV2", choices=list(applications.BACKBONES))
    flags.add_argument(
        "--scratch", type=int, nargs="+", default=[], help="seeds that also train from scratch"
    )
    flags.add_argument("--set", nargs="+", default=[], help="section.field=value for finetune")
    return flags


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    settings = {
        "backbone": chosen.backbone,
        "image_size": SIZE,
        "train": TRAIN,
        "val": VAL,
        "seeds": chosen.seeds,
        "guide_epochs": [FROZEN_EPOCHS, WHOLE_EPOCHS],
    }
    return {"settings": settings, "data_sets": {n: one_set(n, chosen) for n in chosen.sets}}


def one_set(name: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """Returns the figures of all learners on one data set."""
    outcomes: dict[str, list[Outcome]] = {learner: [] for learner in LEARNERS}
    scratch = []
    for seed in chosen.seeds:
        with tempfile.TemporaryDirectory() as temporary:
            scratch += one_seed(name, seed, chosen, Path(temporary), outcomes)
    return {
        "test_images": len(outcomes["finetune"][0].files),
        "accuracy": {k: [o.accuracy for o in every] for k, every in outcomes.items()},
        "seconds": {k: [o.seconds for o in every] for k, every in outcomes.items()},
        "tallies": {
            other: paired.tally(outcomes["finetune"], outcomes[other]) for other in LEARNERS[:2]
        },
        "scratch": scratch,
    }


def one_seed(
    name: str,
    seed: int,
    chosen: argparse.Namespace,
    folder: Path,
    outcomes: dict[str, list[Outcome]],
) -> list[dict[str, float]]:
    """Adds the outcome of each learner; returns the comparison with random weights, if asked."""
    image_sets.write_splits(chosen.data / name, folder / "data", seed)
    fields = [f"model.backbone={chosen.backbone}", f"model.weights={chosen.weights}"]
    fields += [f"image.size={SIZE}", f"cache.path={folder / 'cache'}", f"seed={seed}"]
    fields.append(f"data.path={folder / 'data'}")
    config, changed = configs.load(None, fields), configs.load(None, [*fields, *chosen.set])
    data = prepared(load(config), config)  # All learners get images that tl_keras decoded.
    counts = ", ".join(f"{len(data.inputs[split])} {split}" for split in SPLITS)
    page.progress(f"{name}, seed {seed}: {counts}")
    for learner, train in {
        "regression": lambda: regression(data, config),
        "guide": lambda: guide(data, config, seed),
        "finetune": lambda: finetune(changed, folder / "finetune"),
    }.items():
        outcomes[learner].append(train())
        last = outcomes[learner][-1]
        page.progress(f"  {learner:10} {last.accuracy:.4f} in {last.seconds:.0f} s")
    if seed not in chosen.scratch:
        return []
    figures = against_scratch(changed, folder / "finetune", folder / "scratch")
    page.progress(f"  random weights: {figures}")
    return [{"seed": seed, **figures}]


def compared(figures: dict[str, Any]) -> str:
    settings = figures["settings"]
    frozen, whole = settings["guide_epochs"]
    return (
        f"Three ways to train {settings['backbone']} at {settings['image_size']} px on the same "
        f"images: {settings['train']} training and {settings['val']} validation images of each "
        f"class, {seeds(settings['seeds'])}; all other images test. The logistic regression "
        "works on pooled features. The "
        "[Keras guide](https://keras.io/guides/transfer_learning) trains "
        f"{frozen} epochs with a frozen backbone and {whole} epochs of all layers. `finetune` has "
        "its defaults."
    )


def results(figures: dict[str, Any]) -> str:
    sets = figures["data_sets"]
    parts = ["## Test accuracy", "Means over the seeds.", _accuracies(sets)]
    parts += [
        "## Differences",
        "Points of test accuracy, with the 95% interval, paired by image.",
        _differences(sets),
        "## Time",
        "Seconds for all seeds. The time of `finetune` includes its exported files, each tested on "
        "the test images.",
        _times(sets),
    ]
    rows = [(name, entry) for name, one in sets.items() for entry in one["scratch"]]
    if rows:
        parts += ["## Random weights", _scratch(rows)]
    return "\n\n".join([*parts, "## Conclusion", _conclusion(sets)])


def _accuracies(sets: dict[str, Any]) -> str:
    head = ("Data set", "Test images for each seed", "Logistic regression", "Keras guide")
    rows = []
    for name, one in sets.items():
        means = [f"{np.mean(one['accuracy'][learner]):.3f}" for learner in LEARNERS]
        rows.append((title(name), f"{one['test_images']:,}", *means))
    return page.table((*head, "`finetune`"), rows)


def _better(one: dict[str, Any]) -> str:
    """Returns which of the two simpler ways is more accurate on a data set."""
    return max(LEARNERS[:2], key=lambda learner: np.mean(one["accuracy"][learner]))


def against_better(sets: dict[str, Any]) -> paired.Difference:
    """Returns how far `finetune` is ahead of the better simpler way of each data set."""
    return paired.difference([one["tallies"][_better(one)] for one in sets.values()])


def _differences(sets: dict[str, Any]) -> str:
    rows = []
    for other, label in (("regression", "logistic regression"), ("guide", "Keras guide")):
        tallies = [one["tallies"][other] for one in sets.values()]
        cells = [paired.difference(tallies), *(paired.difference([one]) for one in tallies)]
        rows.append((f"`finetune` against the {label}", *map(str, cells)))
    cells = [against_better(sets), *(against_better({n: one}) for n, one in sets.items())]
    rows.append(("`finetune` against the better one", *map(str, cells)))
    return page.table(("", "Mean of the data sets", *map(title, sets)), rows)


def _times(sets: dict[str, Any]) -> str:
    rows = [
        (title(name), *(f"{sum(one['seconds'][learner]):.0f} s" for learner in LEARNERS))
        for name, one in sets.items()
    ]
    return page.table(("Data set", "Logistic regression", "Keras guide", "`finetune`"), rows)


def _scratch(rows: list[tuple[str, dict[str, float]]]) -> str:
    cells = [
        (
            title(name),
            str(entry["seed"]),
            f"{entry['val_accuracy']:.3f}",
            page.seconds(entry["scratch_seconds"]),
            page.seconds(entry["finetune_seconds"]),
        )
        for name, entry in rows
    ]
    head = ("Data set", "Seed", "Best validation accuracy from random weights", "Time to it")
    return page.table((*head, "Time of `finetune` to the same accuracy"), cells)


def _conclusion(sets: dict[str, Any]) -> str:
    lines = []
    for other in LEARNERS[:2]:
        found = paired.difference([one["tallies"][other] for one in sets.values()])
        lines.append(paired.verdict(found, "On average, `finetune`", NAMES[other]))
    for name, one in sets.items():
        found = paired.difference([one["tallies"][_better(one)]])
        way = NAMES[_better(one)]
        lines.append(paired.verdict(found, f"On {title(name)}, `finetune`", way))
    return "\n".join(f"- {line}" for line in lines)


def headline(figures: dict[str, Any]) -> str:
    found = against_better(figures["data_sets"])
    return f"`finetune`: {found.in_words} against the better of two simpler ways"


BENCHMARK = page.Benchmark(
    "accuracy",
    "Accuracy of the defaults",
    parser,
    measure,
    compared,
    results,
    headline,
)

if __name__ == "__main__":
    page.main(BENCHMARK)
