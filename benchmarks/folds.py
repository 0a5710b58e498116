"""cross_validate against the same folds in plain Keras: seconds, accuracy, planted label errors.

    python benchmarks/folds.py --data=DIR --weights=mobilenet_v2_1.0_224_no_top.h5

MobileNetV2 at 160 px, five folds, no exports, a new store of activations each time. Plain Keras
follows the transfer-learning guide: one training for each fold, on the same images, which are
decoded already and in memory. Each step runs the frozen backbone in inference mode.

  head-only     only the head is trained. cross_validate: all five folds and the final model; plain
                Keras: one fold, for as many epochs as in the guide (20);
  fine-tuned    the last 8% of the blocks are trained, too, for as many epochs on both sides.
                cross_validate: all five folds and the final model, without augmentation; plain
                Keras: five folds;
  label errors  5% of the labels are changed to another class, and cross_validate trains head-only
                models. The page says how many of the changed labels are in the first tenth of
                label_quality.csv.
"""

import argparse
import csv
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import image_sets
import numpy as np
import page
from image_sets import BATCH, SIZE, SUFFIXES, seeds, title

import tl_keras
from tl_keras.config import text as configs
from tl_keras.run.quiet import start_tensorflow

start_tensorflow()

import keras  # noqa: E402

from tl_keras.backbones import applications  # noqa: E402
from tl_keras.config.whole import RunConfig  # noqa: E402
from tl_keras.data.load import load  # noqa: E402
from tl_keras.data.prepared import Data, prepared  # noqa: E402
from tl_keras.data.splits import folds  # noqa: E402
from tl_keras.training.network import freeze  # noqa: E402
from tl_keras.training.network import model as models  # noqa: E402

FOLDS = 5
FLIPPED, LISTED = (
    0.05,
    0.1,
)  # Shares: of the labels that are changed, of the list that is looked at.
DEPTH, EPOCHS, GUIDE_EPOCHS = 0.92, 6, 20


def config_of(chosen: argparse.Namespace, cache: Path, **sections: dict) -> RunConfig:
    """Returns the config of cross_validate, whose images both sides read."""
    tree = {
        "data": {"path": str(chosen.data / chosen.data_set), "test": 0},
        "image": {"size": SIZE, "augment": []},
        "model": {"backbone": "MobileNetV2", "weights": str(chosen.weights)},
        "cross_validate": {"folds": FOLDS},
        "export": {"formats": []},
        "cache": {"path": str(cache)},
    }
    for name, values in sections.items():
        tree[name] = {**tree.get(name, {}), **values}
    return configs.from_tree(tree)


def ours(chosen: argparse.Namespace, **fit: float) -> tuple[float, float]:
    """Returns the seconds of the command, without TensorFlow's start, and the held-out accuracy."""
    with tempfile.TemporaryDirectory() as folder:
        config = config_of(chosen, Path(folder, "cache"), fit=fit)
        started = time.monotonic()
        run = tl_keras.cross_validate(config, Path(folder, "run"))
        return time.monotonic() - started, run.result["val"]["accuracy"]


def read(chosen: argparse.Namespace) -> tuple[Data, RunConfig, float]:
    """Returns the decoded images, their config, and the seconds that decoding took."""
    with tempfile.TemporaryDirectory() as folder:
        config = config_of(chosen, Path(folder))
        started = time.monotonic()
        data = prepared(load(config).pooled(), config, ("train",))
        return data, config, time.monotonic() - started


def plain_fold(
    data: Data, config: RunConfig, held_out: np.ndarray, depth: float, epochs: int, rate: float
) -> tuple[float, float]:
    """Returns the seconds and the accuracy of one fold, trained as in Keras's guide."""
    images, labels = data.inputs["train"].array, data.inputs["train"].labels
    rest = np.setdiff1d(np.arange(len(labels)), held_out)
    started = time.monotonic()
    keras.utils.set_random_seed(0)
    backbone = models.pretrained(config.model, config.settings)
    frozen = freeze.resolve(backbone, applications.block_pattern("MobileNetV2"), depth)
    names = [operation.name for operation in backbone.operations]
    for layer in backbone.layers:
        below = names.index(layer.name) <= names.index(frozen.cut)
        layer.trainable = not below and not isinstance(layer, keras.layers.BatchNormalization)
    x = keras.layers.Dropout(0.2)(backbone.output)
    model = keras.Model(backbone.input, keras.layers.Dense(len(data.dataset.classes))(x))
    model.compile(
        keras.optimizers.Adam(rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(images[rest], labels[rest], BATCH, epochs, verbose=0)
    answers = model.predict(images[held_out], BATCH, verbose=0).argmax(-1)
    return time.monotonic() - started, float(np.mean(answers == labels[held_out]))


def label_errors(chosen: argparse.Namespace, seed: int) -> tuple[int, int]:
    """Returns how many changed labels the first tenth of the list has, and how many in all."""
    folder = chosen.data / chosen.data_set
    files = [f for f in sorted(folder.rglob("*")) if f.suffix.lower() in SUFFIXES]
    generator = random.Random(seed)
    classes = sorted({file.parent.name for file in files})
    planted = set(generator.sample(range(len(files)), round(FLIPPED * len(files))))
    with tempfile.TemporaryDirectory() as folder:
        # Paths stay inside the folder of the CSV file.
        Path(folder, "images").mkdir()
        lines, wrong = [["path", "label"]], set()
        for i, file in enumerate(files):
            name = f"images/{i:05d}{file.suffix.lower()}"
            Path(folder, name).write_bytes(file.read_bytes())
            label = file.parent.name
            if i in planted:
                label = generator.choice([other for other in classes if other != label])
                wrong.add(name)
            lines.append([name, label])
        with Path(folder, "all.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows(lines)
        data = {"source": "csv", "path": str(Path(folder, "all.csv")), "max_bad_share": 0.5}
        config = config_of(chosen, Path(folder, "cache"), data=data, fit={"freeze": 1.0})
        run = tl_keras.cross_validate(config, Path(folder, "run"))
        with (run.workdir / "label_quality.csv").open(newline="", encoding="utf-8") as stream:
            listed = [row["file"] for row in csv.DictReader(stream)]
    return len(wrong & set(listed[: round(LISTED * len(listed))])), len(wrong & set(listed))


def parser() -> argparse.ArgumentParser:
    flags = image_sets.parser_of_one(__doc__)
    flags.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of label errors")
    return flags


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    data, config, decoding = read(chosen)
    held_out = folds(data.dataset.splits["train"], FOLDS, 0)
    page.progress(f"{len(data.inputs['train'])} images, decoded in {decoding:.1f} s")
    figures = {
        "head": [
            *ours(chosen, freeze=1.0),
            [plain_fold(data, config, held_out[0], 1.0, GUIDE_EPOCHS, 1e-3)],
        ],
    }
    page.progress(f"head alone: {figures['head']}")
    figures["fine_tuned"] = [
        *ours(chosen, freeze=DEPTH, epochs=EPOCHS),
        [plain_fold(data, config, rows, DEPTH, EPOCHS, 3e-4) for rows in held_out],
    ]
    page.progress(f"fine-tuned: {figures['fine_tuned']}")
    errors = [[seed, *label_errors(chosen, seed)] for seed in chosen.seeds]
    settings = {"data_set": chosen.data_set, "image_size": SIZE, "folds": FOLDS, "epochs": EPOCHS}
    settings |= {
        "freeze": DEPTH,
        "guide_epochs": GUIDE_EPOCHS,
        "flipped": FLIPPED,
        "listed": LISTED,
    }
    names = ("seconds", "accuracy", "keras_folds")
    return {
        "settings": {**settings, "images": len(data.inputs["train"])},
        "decoding_seconds": decoding,
        **{name: dict(zip(names, values, strict=True)) for name, values in figures.items()},
        "label_errors": [
            dict(zip(("seed", "in_first_part", "planted"), row, strict=True)) for row in errors
        ],
    }


def compared(figures: dict[str, Any]) -> str:
    settings = figures["settings"]
    return (
        f"`cross_validate` with {settings['folds']} folds and a final model of all examples, and "
        "the same folds in plain Keras as in its "
        "[transfer-learning guide](https://keras.io/guides/transfer_learning), on "
        f"{settings['images']:,} images ({title(settings['data_set'])}, MobileNetV2 at "
        f"{settings['image_size']} px). Keras reads images that are decoded already; decoding took "
        f"{figures['decoding_seconds']:.0f} s, which its times include once."
    )


def _keras(figures: dict[str, Any], way: str) -> tuple[float, float]:
    """Returns the seconds of plain Keras, with decoding, and the accuracy of its folds."""
    seconds, accuracies = zip(*figures[way]["keras_folds"], strict=True)
    return sum(seconds) + figures["decoding_seconds"], float(np.mean(accuracies))


def results(figures: dict[str, Any]) -> str:
    settings = figures["settings"]
    ways = {
        "head": f"head alone, {settings['guide_epochs']} epochs in Keras",
        "fine_tuned": f"last {1 - settings['freeze']:.0%} of the blocks, "
        f"{settings['epochs']} epochs",
    }
    rows, lines = [], []
    for way, name in ways.items():
        mine, count = figures[way], len(figures[way]["keras_folds"])
        seconds, accuracy = _keras(figures, way)
        folds_of_keras = "1 fold" if count == 1 else f"{count} folds"
        cells = (f"{mine['seconds']:.0f} s", f"{folds_of_keras}: {seconds:.0f} s")
        rows.append((name, *cells, f"{mine['accuracy']:.3f}", f"{accuracy:.3f}"))
        lines.append(
            f"- {name.partition(',')[0].capitalize()}: all folds and the final model take "
            f"{mine['seconds'] / seconds:.2f} times as long as {folds_of_keras} in plain Keras."
        )
    errors = figures["label_errors"]
    shares = [one["in_first_part"] / one["planted"] for one in errors]
    lines.append(
        f"- The first {settings['listed']:.0%} of `label_quality.csv` have "
        f"{page.span(shares, '{:.0%}')} of the changed labels."
    )
    head = ("Trained", "`cross_validate`", "Plain Keras", "Held-out accuracy", "Accuracy of Keras")
    counts = [(str(o["seed"]), str(o["planted"]), str(o["in_first_part"])) for o in errors]
    columns = ("Seed", "Changed labels", f"In the first {settings['listed']:.0%} of the list")
    return "\n\n".join(
        [
            "## Time and accuracy",
            page.table(head, rows),
            "## Changed labels",
            f"{settings['flipped']:.0%} of the labels were changed to another class. "
            f"`label_quality.csv` lists the most doubtful labels first ("
            f"{seeds([one['seed'] for one in errors])}, heads alone).",
            page.table(columns, counts),
            "## Conclusion",
            "\n".join(lines),
        ]
    )


def headline(figures: dict[str, Any]) -> str:
    mine, (plain, _) = figures["fine_tuned"], _keras(figures, "fine_tuned")
    return f"{mine['seconds']:.0f} s for folds and final model, {plain:.0f} s for folds in Keras"


BENCHMARK = page.Benchmark(
    "folds", "Cross-validation", parser, measure, compared, results, headline
)

if __name__ == "__main__":
    page.main(BENCHMARK)
