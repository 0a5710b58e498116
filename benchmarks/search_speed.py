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
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import image_sets
import numpy as np
import page
import psutil
from image_sets import seeds, title

SIZE, BATCH, EPOCHS, TRIALS = 160, 32, 6, 12
TRAIN, VAL = 60, 10  # images a class
SPACE = {
    "fit.freeze": [0.5, 0.75, 0.9, 1.0],
    "fit.learning_rate": {"min": 1e-5, "max": 1e-2, "scale": "log"},
}


def tree(data: Path, weights: Path, cache: Path) -> dict[str, Any]:
    """Returns the config of all runs of tl_keras."""
    return {
        "data": {"path": str(data)},
        "image": {"size": SIZE},
        "model": {"backbone": "MobileNetV2", "weights": str(weights)},
        "fit": {"epochs": EPOCHS, "batch_size": BATCH},
        "search": {"trials": TRIALS, "space": SPACE},
        "cache": {"path": str(cache)},
    }


def ours(config: dict[str, Any], workdir: Path) -> dict[str, Any]:
    """Searches; returns its time without TensorFlow's start, the lower bound, and its points."""
    import tl_keras
    from tl_keras.config import text as configs
    from tl_keras.run.quiet import start_tensorflow

    start_tensorflow()
    start = age()
    config["image"]["augment"] = []
    config["search"]["tuner"] = "random"
    with tempfile.TemporaryDirectory() as other:
        separate = configs.from_tree({**config, "cache": {"path": other}})
        before = lower_bound(separate, Path(other, "run"))
        started = time.monotonic()
        run = tl_keras.search(config, workdir)
        seconds = time.monotonic() - started
        after = lower_bound(separate, Path(other, "run"))
    trials = run.result["search"]["trials"]
    tuned = [trial["depth"]["cut"] for trial in trials if trial["finetuned"] is not None]
    bounds = [
        bound["prefix"] + sum(bound["epoch"][cut] for cut in tuned) * EPOCHS
        for bound in (before, after)
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


def lower_bound(config: Any, workdir: Path) -> dict[str, Any]:
    """Returns the seconds of a pass of the prefixes, and, for each cut, of an epoch's steps.

    The steps run on tensors in memory.
    """
    from tl_keras.data.batching import batches
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
    computed, how = prefixes(arch, half=False), parts.reading(config, data.dataset)
    started = time.monotonic()
    for split in data.inputs.values():
        for batch in batches.evaluation(split, 64):
            computed.run(batch)
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
    """Searches the given points with KerasTuner, as its guides do."""
    os.environ["KERAS_BACKEND"], os.environ["TF_CPP_MIN_LOG_LEVEL"] = "tensorflow", "3"
    import keras
    import keras_tuner

    sets = {
        split: keras.utils.image_dataset_from_directory(
            data / split, image_size=(SIZE, SIZE), batch_size=BATCH, seed=0, verbose=False
        )
        for split in ("train", "val", "test")
    }

    class GivenPoints(keras_tuner.oracles.RandomSearchOracle):
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

    class TimedSearch(keras_tuner.RandomSearch):
        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            best = max(t.score for t in self.oracle.trials.values() if t.score is not None)
            curve.append([age(), best])

    with tempfile.TemporaryDirectory() as folder:
        tuner = TimedSearch(
            build, objective="val_accuracy", max_trials=len(points), directory=folder
        )
        tuner.oracle.__class__ = GivenPoints
        epochs: list[float] = []

        class EpochClock(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
                self.started = time.monotonic()

            def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
                epochs.append(time.monotonic() - self.started)

        tuner.search(
            sets["train"],
            epochs=EPOCHS,
            validation_data=sets["val"],
            verbose=0,
            callbacks=[EpochClock()],
        )
        whole = age()
        test = tuner.get_best_models()[0].evaluate(sets["test"], verbose=0)[1]
    frozen = [i for i, (values, _) in enumerate(points) if values["fit.freeze"] == 1]
    last = [epochs[i * EPOCHS + EPOCHS - 1] for i in frozen]
    return {"seconds": whole, "curve": curve, "test": test, "frozen_epoch": last}


def finetuned(config: dict[str, Any], workdir: Path) -> dict[str, Any]:
    """Runs finetune with a search, by its defaults."""
    import tl_keras
    from tl_keras.run.quiet import start_tensorflow

    start_tensorflow()
    start = age()
    run = tl_keras.finetune(config, workdir)
    search = run.result["search"]
    curve = [[start + seconds, best] for seconds, best in search["curve"]]
    return {"curve": curve, "test": run.result["test"]["accuracy"], "search": search["seconds"]}


def age() -> float:
    """Returns the seconds since this process started."""
    return time.time() - psutil.Process().create_time()


def run_part(name: str, *arguments: Any) -> dict[str, Any]:
    """Runs a part of this script in a process of its own; returns what it printed as JSON."""
    command = [sys.executable, __file__, f"--part={name}", *map(str, arguments)]
    environment = {**os.environ, "TQDM_DISABLE": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{name} failed")
    return json.loads(done.stdout.splitlines()[-1])


def one_seed(seed: int, chosen: argparse.Namespace, folder: Path, warm: bool) -> dict[str, Any]:
    """Returns the figures of all sides with one seed."""
    data, weights, searches = folder / "data", chosen.weights, {}
    image_sets.write_splits(chosen.data / chosen.data_set, data, seed, TRAIN, VAL)
    for name in ("empty", "warm") if warm else ("empty",):
        workdir = folder / f"ours_{name}"
        searches[name] = run_part("ours", data, weights, folder / "cache", workdir, seed)
        page.progress(f"seed {seed}: search, {name} store: {searches[name]['seconds']:.1f} s")
    points = folder / "points.json"
    points.write_text(json.dumps(searches["empty"]["points"]))
    tuner = run_part("plain", data, weights, points)
    page.progress(f"seed {seed}: KerasTuner: {tuner['seconds']:.1f} s, test {tuner['test']:.4f}")
    finetune = run_part("finetuned", data, weights, folder / "cache_2", folder / "finetuned", seed)
    page.progress(f"seed {seed}: finetune: test {finetune['test']:.4f}")
    return {"seed": seed, "search": searches, "keras_tuner": tuner, "finetune": finetune}


def parser() -> argparse.ArgumentParser:
    flags = image_sets.parser_of_one(__doc__)
    flags.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    return flags


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    runs = []
    for seed in chosen.seeds:
        with tempfile.TemporaryDirectory() as folder:
            runs.append(one_seed(seed, chosen, Path(folder), seed == chosen.seeds[0]))
    settings = {"data_set": chosen.data_set, "image_size": SIZE, "trials": TRIALS}
    return {"settings": {**settings, "epochs": EPOCHS, "train": TRAIN, "val": VAL}, "runs": runs}


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


def _bound(search: dict[str, Any]) -> float:
    return sum(search["bounds"]) / len(search["bounds"])


def _speed_up(run: dict[str, Any]) -> float:
    """Returns the time of KerasTuner as a multiple of the search's, both with their start."""
    search = run["search"]["empty"]
    return run["keras_tuner"]["seconds"] / (search["start"] + search["seconds"])


def _times(runs: list[dict[str, Any]]) -> str:
    rows = []
    for run in runs:
        for store, search in run["search"].items():
            bound = _bound(search)
            rows.append(
                (
                    str(run["seed"]),
                    f"{run['keras_tuner']['seconds']:.0f} s",
                    f"{search['start'] + search['seconds']:.0f} s, {store} store",
                    f"{search['seconds'] / bound:.2f} times",
                    f"{search['search'] / bound:.2f} times",
                    _frozen_epoch(run) if store == "empty" else "",
                )
            )
    head = ("Seed", "KerasTuner", "`search`", "Against the lower bound", "The trials alone")
    return page.table((*head, "An epoch with all frozen"), rows)


def _frozen_epoch(run: dict[str, Any]) -> str:
    """Returns the time of an epoch with all layers frozen, as a share of KerasTuner's."""
    epochs = run["keras_tuner"]["frozen_epoch"]
    if not epochs:
        return "no such trial"
    return f"{run['search']['empty']['head_epoch'] / min(epochs):.2%} of KerasTuner's"


def _accuracies(runs: list[dict[str, Any]]) -> str:
    rows = []
    for run in runs:
        best = max(value for _, value in run["keras_tuner"]["curve"])
        curve, whole = run["finetune"]["curve"], run["keras_tuner"]["seconds"]
        reached = next((s / whole for s, value in curve if value > best - 1e-6), None)
        rows.append(
            (
                str(run["seed"]),
                f"{run['keras_tuner']['test']:.3f}",
                f"{run['finetune']['test']:.3f}",
                f"{best:.3f}",
                f"{curve[-1][1]:.3f}",
                "not reached" if reached is None else f"after {reached:.2f} of its time",
            )
        )
    head = ("Seed", "Test, KerasTuner", "Test, `finetune`", "Validation, KerasTuner")
    return page.table((*head, "Validation, `finetune`", "KerasTuner's best reached"), rows)


def results(figures: dict[str, Any]) -> str:
    runs = figures["runs"]
    ratios = [_speed_up(run) for run in runs]
    bounds = [run["search"]["empty"]["seconds"] / _bound(run["search"]["empty"]) for run in runs]
    tests = [
        float(np.mean([run[side]["test"] for run in runs])) for side in ("finetune", "keras_tuner")
    ]
    return "\n\n".join(
        [
            "## Time",
            "Times include the start of the process. The lower bound does not, and is compared "
            "with the time after the start.",
            _times(runs),
            "## Accuracy",
            "KerasTuner, and `finetune` with a search by its defaults (augmentation, Bayesian "
            "tuner) on the same space.",
            _accuracies(runs),
            "## Conclusion",
            "\n".join(
                [
                    f"- KerasTuner takes {page.span(ratios, '{:.1f}')} times as long as `search` "
                    "with an empty store.",
                    f"- `search` takes {page.span(bounds, '{:.2f}')} times the lower bound.",
                    f"- Mean test accuracy: `finetune` with a search {tests[0]:.3f}, KerasTuner "
                    f"{tests[1]:.3f}.",
                ]
            ),
        ]
    )


def headline(figures: dict[str, Any]) -> str:
    ratios = [_speed_up(run) for run in figures["runs"]]
    return f"KerasTuner takes {page.span(ratios, '{:.1f}')} times as long as `search`"


BENCHMARK = page.Benchmark(
    "search_speed", "Speed of a search", parser, measure, compared, results, headline
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
    print(json.dumps({"ours": ours, "finetuned": finetuned}[name](config, workdir)))


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].startswith("--part="):
        part(sys.argv[1].partition("=")[2], sys.argv[2:])
    else:
        page.main(BENCHMARK)
