"""A search of freeze depth and learning rate: tl_keras against KerasTuner as its guides write it.

    python benchmarks/search_speed.py --data=sign_digits --weights=mobilenet_v2_1.0_224_no_top.h5

DATA is a folder of class folders. Of each class 60 images train, 10 validate, the others test;
MobileNetV2 at 160 px, freeze in {0.5, 0.75, 0.9, 1.0}, learning rate 1e-5..1e-2 log, 12 trials of 6
epochs, batches of 32. For each seed, one after the other in processes of their own:

  ours   `tl_keras.search` on the points that its random tuner draws, without augmentation, as there
         is none in the guides; with an empty store, for the first seed then with what that left;
  plain  KerasTuner with the same points in the same order: in each trial a new model, on
         `image_dataset_from_directory`, with the whole backbone in each step;
  user   `tl_keras.finetune` with `search.trials` on the same space, all else by default: when its
         best validation accuracy comes up to that of all of plain's trials, its start included,
         and its test accuracy.

`bound` is the least that ours could take: one pass of the prefixes over the images, and the steps
of the suffixes on tensors in memory, as many as the trials make; both measured, before and after.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

SIZE, BATCH, EPOCHS, TRIALS = 160, 32, 6, 12
TRAIN, VAL = 60, 10  # images a class
SPACE = {
    "fit.freeze": [0.5, 0.75, 0.9, 1.0],
    "fit.learning_rate": {"min": 1e-5, "max": 1e-2, "scale": "log"},
}


def tree(data: Path, weights: Path, cache: Path) -> dict[str, Any]:
    """The config that all of ours share."""
    return {
        "data": {"path": str(data)},
        "image": {"size": SIZE},
        "model": {"backbone": "MobileNetV2", "weights": str(weights)},
        "fit": {"epochs": EPOCHS, "batch_size": BATCH},
        "search": {"trials": TRIALS, "space": SPACE},
        "cache": {"path": str(cache)},
    }


def ours(config: dict[str, Any], workdir: Path) -> dict[str, Any]:
    """A search in this process; its time, without TensorFlow's start, and the bound."""
    import tl_keras
    from tl_keras.config import text as configs
    from tl_keras.run.quiet import start_tensorflow

    start_tensorflow()
    start = age()
    config["image"]["augment"] = []
    config["search"]["tuner"] = "random"
    with tempfile.TemporaryDirectory() as other:
        apart = configs.from_tree({**config, "cache": {"path": other}})
        before = least(apart, Path(other, "run"))
        started = time.monotonic()
        run = tl_keras.search(config, workdir)
        seconds = time.monotonic() - started
        after = least(apart, Path(other, "run"))
    trials = run.result["search"]["trials"]
    tuned = [trial["depth"]["cut"] for trial in trials if trial["finetuned"] is not None]
    bounds = [
        found["prefix"] + sum(found["epoch"][cut] for cut in tuned) * EPOCHS
        for found in (before, after)
    ]
    return {
        "seconds": seconds,
        "start": start,
        "bounds": bounds,
        "prefix": [before["prefix"], after["prefix"]],
        "head_epoch": after["head_epoch"],
        "phases": run.result["seconds"],
        "search": sum(run.result["seconds"][name] for name in ("features", "head", "search")),
        "points": [[t["values"], t["depth"]["cut"]] for t in trials],
        "best": max(trial["accuracy"] for trial in trials),
    }


def least(config: Any, workdir: Path) -> dict[str, Any]:
    """Seconds of a pass of the prefixes, and by depth of an epoch's steps on tensors in memory."""
    from tl_keras.data import batches
    from tl_keras.data.load import load
    from tl_keras.data.prepared import prepared
    from tl_keras.run.run import Run
    from tl_keras.training import architecture as parts
    from tl_keras.training import suffix
    from tl_keras.training.activations import activations
    from tl_keras.training.learner import Settings, learner
    from tl_keras.training.network import model as models
    from tl_keras.training.passes import prefixes

    data = prepared(load(config), config, parts.HEAD_SPLITS)
    backbone = models.pretrained(config.model, config.settings)
    run = Run(workdir, config, "benchmark")
    arch = parts.architecture(run, config, data, backbone, SPACE["fit.freeze"])
    found, how = prefixes(arch, half=False), parts.reading(config, data.dataset)
    started = time.monotonic()
    for split in data.inputs.values():
        for batch in batches.evaluation(split, 64):
            found.run(batch)
    prefix = time.monotonic() - started
    settings, labels, epoch = Settings(1e-4, 1e-4).tensor(), data.inputs["train"].labels, {}
    for cut in (*arch.cuts, arch.output):
        _, above = suffix.halves(models.logits_of(arch.trained), cut)
        step = learner(above, config.fit).step
        kept = activations(arch, [cut], "train", how, None)[cut]
        steps = list(batches.of_activations(kept, labels, how, 0))
        step(*steps[0], settings)
        started = time.monotonic()
        for _ in range(EPOCHS):
            for batch in steps:
                step(*batch, settings).numpy()
        epoch[cut] = (time.monotonic() - started) / EPOCHS
    return {"prefix": prefix, "epoch": epoch, "head_epoch": epoch[arch.output]}


def plain(data: Path, weights: Path, points: list) -> dict[str, Any]:
    """KerasTuner as its guides write it, on given points."""
    os.environ["KERAS_BACKEND"], os.environ["TF_CPP_MIN_LOG_LEVEL"] = "tensorflow", "3"
    import keras
    import keras_tuner

    sets = {
        split: keras.utils.image_dataset_from_directory(
            data / split, image_size=(SIZE, SIZE), batch_size=BATCH, seed=0, verbose=False
        )
        for split in ("train", "val", "test")
    }

    class Listed(keras_tuner.oracles.RandomSearchOracle):
        def populate_space(self, trial_id: str) -> dict:
            return {"status": "RUNNING", "values": dict(points[int(trial_id)][0])}

    def build(hp: Any) -> keras.Model:
        share = hp.Choice("fit.freeze", SPACE["fit.freeze"])
        rate = hp.Float("fit.learning_rate", 1e-5, 1e-2, sampling="log")
        cut = next(cut for values, cut in points if values["fit.freeze"] == share)
        base = keras.applications.MobileNetV2(
            include_top=False, weights=str(weights), input_shape=(SIZE, SIZE, 3), pooling="avg"
        )
        names = [layer.name for layer in base.layers]
        frozen = names.index(cut) if cut in names else len(names)
        for i, layer in enumerate(base.layers):
            norm = isinstance(layer, keras.layers.BatchNormalization)
            layer.trainable = i > frozen and not norm
        image = keras.Input((SIZE, SIZE, 3))
        x = base(keras.applications.mobilenet_v2.preprocess_input(image), training=False)
        x = keras.layers.Dense(len(sets["train"].class_names), activation="softmax")(
            keras.layers.Dropout(0.2)(x)
        )
        model = keras.Model(image, x)
        loss = "sparse_categorical_crossentropy"
        model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
        return model

    curve: list[list[float]] = []

    class Timed(keras_tuner.RandomSearch):
        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            best = max(t.score for t in self.oracle.trials.values() if t.score is not None)
            curve.append([age(), best])

    with tempfile.TemporaryDirectory() as folder:
        tuner = Timed(build, objective="val_accuracy", max_trials=len(points), directory=folder)
        tuner.oracle.__class__ = Listed
        epochs: list[float] = []

        class Clock(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
                self.started = time.monotonic()

            def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
                epochs.append(time.monotonic() - self.started)

        tuner.search(
            sets["train"],
            epochs=EPOCHS,
            validation_data=sets["val"],
            verbose=0,
            callbacks=[Clock()],
        )
        whole = age()
        test = tuner.get_best_models()[0].evaluate(sets["test"], verbose=0)[1]
    frozen = [i for i, (values, _) in enumerate(points) if values["fit.freeze"] == 1]
    last = [epochs[i * EPOCHS + EPOCHS - 1] for i in frozen]
    return {"seconds": whole, "curve": curve, "test": test, "frozen_epoch": last}


def user(config: dict[str, Any], workdir: Path) -> dict[str, Any]:
    """The main job with a search, by its defaults."""
    import tl_keras
    from tl_keras.run.quiet import start_tensorflow

    start_tensorflow()
    began = age()
    run = tl_keras.finetune(config, workdir)
    found = run.result["search"]
    curve = [[began + seconds, best] for seconds, best in found["curve"]]
    return {"curve": curve, "test": run.result["test"]["accuracy"], "search": found["seconds"]}


def age() -> float:
    """Seconds since this process began."""
    return time.time() - psutil.Process().create_time()


def run_part(name: str, *arguments: Any) -> dict[str, Any]:
    """What a part of this script prints as JSON, run in a process of its own."""
    command = [sys.executable, __file__, f"--part={name}", "--", *map(str, arguments)]
    environment = {**os.environ, "TQDM_DISABLE": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{name} failed")
    return json.loads(done.stdout.splitlines()[-1])


def compare(source: Path, weights: Path, seed: int, folder: Path, warm: bool) -> dict[str, float]:
    """All of one seed, told as it comes; its figures."""
    from accuracy import write_splits

    data = folder / "data"
    write_splits(source, data, seed, TRAIN, VAL)
    for name in ("empty", "warm") if warm else ("empty",):
        found = run_part("ours", data, weights, folder / "cache", folder / f"ours_{name}", seed)
        bound = sum(found["bounds"]) / 2
        print(
            f"seed {seed}: ours, {name} store: {found['seconds']:.1f} s, of which the search "
            f"{found['search']:.1f} s; bound {bound:.1f} s ({found['bounds'][0]:.1f} before, "
            f"{found['bounds'][1]:.1f} after): {found['seconds'] / bound:.2f} times, search alone "
            f"{found['search'] / bound:.2f}; phases {found['phases']}; best {found['best']:.3f}",
            flush=True,
        )
        if name == "empty":
            first = found
    points = folder / "points.json"
    points.write_text(json.dumps(first["points"]))
    theirs = run_part("plain", data, weights, points)
    best = max(value for _, value in theirs["curve"])
    print(
        f"seed {seed}: plain: {theirs['seconds']:.1f} s, best validation accuracy {best:.3f}, test "
        f"{theirs['test']:.4f}; ours takes "
        f"1/{theirs['seconds'] / (first['start'] + first['seconds']):.1f} of it, starts included",
        flush=True,
    )
    if theirs["frozen_epoch"]:
        epoch = min(theirs["frozen_epoch"])
        print(
            f"seed {seed}: an epoch with all frozen: plain {epoch:.2f} s, ours "
            f"{first['head_epoch']:.4f} s: {100 * first['head_epoch'] / epoch:.2f}%",
            flush=True,
        )
    mine = run_part("user", data, weights, folder / "cache_user", folder / "user", seed)
    reached = next((s for s, value in mine["curve"] if value > best - 1e-6), float("inf"))
    print(
        f"seed {seed}: user: {best:.3f} after {reached:.1f} s, "
        f"{reached / theirs['seconds']:.3f} of plain's time; best "
        f"{mine['curve'][-1][1]:.3f}, search {mine['search']:.1f} s, test "
        f"{mine['test']:.4f}",
        flush=True,
    )
    return {"reached": reached / theirs["seconds"], "gain": mine["test"] - theirs["test"]}


def main() -> None:
    """Runs one part, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part == "plain":
        data, weights, points = map(Path, args.rest)
        print(json.dumps(plain(data, weights, json.loads(points.read_text()))))
    elif args.part:
        *paths, seed = args.rest
        data, weights, cache, workdir = map(Path, paths)
        config = {**tree(data, weights, cache), "seed": int(seed)}
        print(json.dumps({"ours": ours, "user": user}[args.part](config, workdir)))
    else:
        found = []
        for seed in args.seeds:
            with tempfile.TemporaryDirectory() as folder:
                found.append(
                    compare(args.data, args.weights, seed, Path(folder), seed == args.seeds[0])
                )
        for name in ("reached", "gain"):
            print(f"mean {name}: {sum(f[name] for f in found) / len(found):.4f}")


if __name__ == "__main__":
    main()
