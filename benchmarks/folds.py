"""cross_validate against the plain way: seconds, and planted label errors.

    python benchmarks/folds.py --data=DIR/sign_digits --weights=mobilenet_v2_1.0_224_no_top.h5

MobileNetV2 at 160 px, five folds, no exports, a new store of activations each time. The plain way
is Keras's transfer-learning guide, a run for each fold on the same images, decoded and in memory:
the frozen backbone runs in each step, in inference mode.

  head alone   ours: all five folds and the final model; the plain way: one fold, its head trained
               for as many epochs as it takes the guide (20);
  fine-tuned   the last tenth of the blocks is trained too, for as many epochs on both sides: ours
               all five folds and the final model, without augmentation; the plain way: five folds.
  label errors 5% of the labels are changed to another class; how many of them stand in the first
               tenth of label_quality.csv. Heads alone.
"""

import argparse
import csv
import random
import tempfile
import time
from pathlib import Path

import numpy as np
from accuracy import BATCH, SIZE, SUFFIXES

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

FOLDS, FLIPPED, LISTED = 5, 0.05, 0.1
DEPTH, EPOCHS, GUIDE_EPOCHS = 0.92, 6, 20


def config_of(chosen: argparse.Namespace, cache: Path, **sections: dict) -> RunConfig:
    """The config of ours, and of the images of both."""
    tree = {
        "data": {"path": str(chosen.data), "test": 0},
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
    """Seconds of the whole command, TensorFlow's start excepted, and the held-out accuracy."""
    with tempfile.TemporaryDirectory() as folder:
        config = config_of(chosen, Path(folder, "cache"), fit=fit)
        started = time.monotonic()
        run = tl_keras.cross_validate(config, Path(folder, "run"))
        return time.monotonic() - started, run.result["val"]["accuracy"]


def read(chosen: argparse.Namespace) -> tuple[Data, RunConfig, float]:
    """Images of all examples, their config, and the seconds that decoding takes."""
    with tempfile.TemporaryDirectory() as folder:
        config = config_of(chosen, Path(folder))
        started = time.monotonic()
        data = prepared(load(config).pooled(), config, ("train",))
        return data, config, time.monotonic() - started


def plain_fold(
    data: Data, config: RunConfig, held_out: np.ndarray, depth: float, epochs: int, rate: float
) -> tuple[float, float]:
    """Seconds of one fold as Keras's guide has it, and its accuracy."""
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
    """How many planted errors stand in the first tenth of the list, and how many there are."""
    files = [f for f in sorted(chosen.data.rglob("*")) if f.suffix.lower() in SUFFIXES]
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of class folders")
    parser.add_argument("--weights", type=Path, required=True, help="ImageNet weights, a .h5 file")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of label errors")
    chosen = parser.parse_args()
    data, config, decoding = read(chosen)
    dealt = folds(data.dataset.splits["train"], FOLDS, 0)
    print(f"{len(data.inputs['train'])} images, decoded in {decoding:.1f} s")
    own, accuracy = ours(chosen, freeze=1.0)
    plain, reached = plain_fold(data, config, dealt[0], 1.0, GUIDE_EPOCHS, 1e-3)
    plain += decoding
    print(
        f"head alone: ours {own:.1f} s for all ({accuracy:.3f}), plain {plain:.1f} s for one fold "
        f"({reached:.3f}): {own / plain:.2f} times",
        flush=True,
    )
    own, accuracy = ours(chosen, freeze=DEPTH, epochs=EPOCHS)
    every = [plain_fold(data, config, rows, DEPTH, EPOCHS, 3e-4) for rows in dealt]
    plain = sum(seconds for seconds, _ in every) + decoding
    reached = np.mean([right for _, right in every])
    print(
        f"fine-tuned: ours {own:.1f} s ({accuracy:.3f}), plain {plain:.1f} s for five folds "
        f"({reached:.3f}): {own / plain:.2f} times",
        flush=True,
    )
    for seed in chosen.seeds:
        found, planted = label_errors(chosen, seed)
        print(f"label errors, seed {seed}: {found} of {planted}, {found / planted:.0%}", flush=True)


if __name__ == "__main__":
    main()
