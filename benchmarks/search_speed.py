"""A search of freeze depth and learning rate: tl_keras against KerasTuner as its guides write it.

    python benchmarks/search_speed.py --data=sign_digits --weights=mobilenet_v2_1.0_224_no_top.h5

DATA is a folder of class folders. Of each class 60 images train, 10 validate, the others test;
MobileNetV2 at 160 px, freeze in {0.5, 0.75, 0.9, 1.0}, learning rate 1e-5..1e-2 log, 12 trials of 6
epochs, batches of 32. Side by side, one after the other in processes of their own:

  ours   `tl_keras.search` on the points that its random tuner draws, no augmentation as there is
         none in the guides; first with an empty store, then with what that left;
  plain  KerasTuner's RandomSearch with the same points in the same order: in each trial a new
         model, `image_dataset_from_directory`, the whole backbone in each step;
  user   `tl_keras.finetune` with `search.trials`, all else by default, on the same space: its best
         validation accuracy against time, and its test accuracy.

`bound` is the least that ours could take: one pass of the prefixes over the images, measured, and
the steps of the suffixes on tensors in memory, measured, as many as the trials make.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SIZE, BATCH, EPOCHS, TRIALS = 160, 32, 6, 12
TRAIN, VAL = 60, 10  # images a class
SPACE = {
    "fit.freeze": [0.5, 0.75, 0.9, 1.0],
    "fit.learning_rate": {"min": 1e-5, "max": 1e-2, "scale": "log"},
}
TIMED = 36  # Steps of each suffix, of which the mean is taken.


def tree(data: Path, weights: Path, cache: Path) -> dict[str, Any]:
    """The config that all of ours share."""
    return {
        "data": {"path": str(data), "image_size": SIZE},
        "model": {"backbone": "MobileNetV2", "weights": str(weights)},
        "fit": {"epochs": EPOCHS, "batch_size": BATCH},
        "search": {"trials": TRIALS, "space": SPACE},
        "cache": {"path": str(cache)},
    }


def ours(config: dict[str, Any], workdir: Path) -> dict[str, Any]:
    """A search in this process; its time, without TensorFlow's start, and the bound."""
    import tl_keras
    from tl_keras.quiet import start_tensorflow

    start_tensorflow()
    config["data"]["augment"] = []
    config["search"]["tuner"] = "random"
    started = time.monotonic()
    run = tl_keras.search(config, workdir)
    seconds = time.monotonic() - started
    return {"seconds": seconds, "result": run.result, "bound": bound(run)}


def bound(run: Any) -> dict[str, float]:
    """Seconds of one pass of the prefixes, and of the trials' steps on tensors in memory."""
    import numpy as np

    from tl_keras import model as models
    from tl_keras.approaches import architecture as parts
    from tl_keras.approaches import suffix
    from tl_keras.data import batches
    from tl_keras.data.load import load
    from tl_keras.learner import Settings

    config, data = run.config, None
    dataset = load(config.data, config.cache)
    data = parts.prepared(dataset, config, ("train", "val"))
    backbone = models.pretrained(config.model, SIZE)
    arch = parts.architecture(run, config, data, backbone, SPACE["fit.freeze"])
    found = parts.prefixes(arch, half=False)
    started = time.monotonic()
    for split in data.inputs.values():
        for batch in batches.evaluation(split, 64):
            found.run(batch)
    prefix = time.monotonic() - started
    steps, count = 0.0, batches.num_steps(len(data.inputs["train"]), BATCH)
    tuned = [t["depth"]["cut"] for t in run.result["search"]["trials"] if t["finetuned"]]
    settings = Settings(1e-4, 1e-4, 0.0).tensor()
    for cut in set(tuned):
        learner = suffix.suffix_of(arch, config, cut).learner
        learner.begin()
        x = np.zeros((BATCH, *found.cuts[cut].shape), np.float32) + 0.5
        import tensorflow as tf

        batch = tf.constant(x), tf.one_hot(np.arange(BATCH) % 10, 10), tf.ones(BATCH)
        learner.step(*batch, settings)
        started = time.monotonic()
        for _ in range(TIMED):
            learner.step(*batch, settings).numpy()
        steps += (time.monotonic() - started) / TIMED * count * EPOCHS * tuned.count(cut)
    return {"prefix": prefix, "steps": steps}


def run_part(name: str, *arguments: Any) -> dict[str, Any]:
    """What a part of this script prints as JSON, run in a process of its own."""
    command = [sys.executable, __file__, "--part", name, *map(str, arguments)]
    started = time.monotonic()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return {**json.loads(done.stdout.splitlines()[-1]), "whole": time.monotonic() - started}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--part")
    args, rest = parser.parse_known_args()
    if args.part == "ours":
        data, weights, cache, workdir = map(Path, rest)
        print(json.dumps(ours(tree(data, weights, cache), workdir)))


if __name__ == "__main__":
    main()
