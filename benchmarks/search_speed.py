"""A search of freeze depth and learning rate: tl_keras against KerasTuner as in its guides.

    python benchmarks/search_speed.py --data=DIR --weights=mobilenet_v2_1.0_224_no_top.h5

DIR has one folder for each data set, with one folder of images for each class. Of each class, 60
images are for training, 10 for validation and the others for testing. MobileNetV2 at 160 px, 12
trials of 6 epochs in batches of 32, freeze depth in {0.5, 0.75, 0.9, 1.0}, learning rate from 1e-5
to 1e-2 on a log scale. For each seed, these run one after the other, each in its own process:

  search      `tl_keras.search` on the points that its random tuner draws, without augmentation,
              because the guides have none; with an empty store of activations, and for the first
              seed also with the store that the first search filled;
  KerasTuner  the same points in the same order: each trial builds a new model, reads
              `image_dataset_from_directory`, and runs the whole backbone in each step;
  finetune    `tl_keras.finetune` with `search.trials` on the same space, all else by default. Two
              things are measured: its test accuracy; and how long it takes, start included, until
              its best validation accuracy is as high as the best of all trials of KerasTuner.

The lower bound is the shortest time that `search` could take: one pass of the frozen layers over
the images, and the trials' training steps of the layers above, on tensors in memory. It is measured
before and after the search.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import image_sets
import page
import search_sides as sides
from image_sets import seeds, title

SIZE, BATCH = 160, 32
TRAIN, VAL = 60, 10  # images a class


def tree(data: Path, weights: Path, cache: Path) -> dict[str, Any]:
    """Returns the config of all runs of tl_keras."""
    return {
        "data": {"path": str(data)},
        "image": {"size": SIZE},
        "model": {"backbone": "MobileNetV2", "weights": str(weights)},
        "fit": {"epochs": sides.EPOCHS, "batch_size": BATCH},
        "search": {"trials": sides.TRIALS, "space": sides.SPACE},
        "cache": {"path": str(cache)},
    }


def plain(data: Path, weights: Path, points: list) -> dict[str, Any]:
    """Searches the given points with KerasTuner, as its guides do."""
    os.environ["KERAS_BACKEND"], os.environ["TF_CPP_MIN_LOG_LEVEL"] = "tensorflow", "3"
    import keras

    sets = {
        split: keras.utils.image_dataset_from_directory(
            data / split, image_size=(SIZE, SIZE), batch_size=BATCH, seed=0, verbose=False
        )
        for split in ("train", "val", "test")
    }

    def build(hp: Any) -> keras.Model:
        cut, rate = sides.point(hp, points)
        base = keras.applications.MobileNetV2(
            include_top=False, weights=str(weights), input_shape=(SIZE, SIZE, 3), pooling="avg"
        )
        sides.freeze(base, cut)
        for layer in base.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
        image = keras.Input((SIZE, SIZE, 3))
        x = base(keras.applications.mobilenet_v2.preprocess_input(image), training=False)
        x = keras.layers.Dense(len(sets["train"].class_names), activation="softmax")(
            keras.layers.Dropout(0.2)(x)
        )
        model = keras.Model(image, x)
        loss = "sparse_categorical_crossentropy"
        model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
        return model

    return sides.tuned(build, sets, points)


def parser() -> argparse.ArgumentParser:
    flags = image_sets.parser_of_one(__doc__)
    flags.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    return flags


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    runs, source = [], chosen.data / chosen.data_set
    for seed in chosen.seeds:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            image_sets.write_splits(source, folder / "data", seed, TRAIN, VAL)
            files = [folder / "data", chosen.weights]
            warm = seed == chosen.seeds[0]
            runs.append(sides.run_all(__file__, seed, folder, files, files, warm))
    settings = {"data_set": chosen.data_set, "image_size": SIZE, "trials": sides.TRIALS}
    return {
        "settings": {**settings, "epochs": sides.EPOCHS, "train": TRAIN, "val": VAL},
        "runs": runs,
    }


def compared(figures: dict[str, Any]) -> str:
    settings, runs = figures["settings"], figures["runs"]
    return (
        f"A search of freeze depth and learning rate, {settings['trials']} trials of "
        f"{settings['epochs']} epochs: `tl_keras.search` and "
        "[KerasTuner](https://keras.io/keras_tuner) as its guides write it, on the same points, "
        f"with {settings['train']} training and {settings['val']} validation images of each class "
        f"({title(settings['data_set'])}, MobileNetV2 at {settings['image_size']} px, "
        f"{seeds([run['seed'] for run in runs])}). The lower bound is one pass of the frozen "
        "prefixes over the images, and the bare steps of the suffixes on tensors in memory."
    )


BENCHMARK = page.Benchmark(
    *("search_speed", "Speed of a search", parser, measure),
    *(compared, sides.results, sides.headline),
)


def part(name: str, arguments: list[str]) -> None:
    """Runs one side in this process, and prints its figures as JSON."""
    if name == "plain":
        data, weights, points = map(Path, arguments)
        print(json.dumps(plain(data, weights, json.loads(points.read_text()))))
        return
    *paths, seed = arguments
    data, weights, cache, workdir = map(Path, paths)
    config = {**tree(data, weights, cache), "seed": int(seed)}
    if name == "ours":
        config["image"]["augment"] = []  # KerasTuner's guides have none.
    print(json.dumps({"ours": sides.ours, "finetuned": sides.finetuned}[name](config, workdir)))


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].startswith("--part="):
        part(sys.argv[1].partition("=")[2], sys.argv[2:])
    else:
        page.main(BENCHMARK)
