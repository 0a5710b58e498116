"""The sides of a benchmark of searches, and its tables: tl_keras, KerasTuner, the lower bound.

benchmarks/search_speed.py searches on images, benchmarks/text_search.py on texts.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import page
import psutil

EPOCHS, TRIALS = 6, 12
SPACE = {
    "fit.freeze": [0.5, 0.75, 0.9, 1.0],
    "fit.learning_rate": {"min": 1e-5, "max": 1e-2, "scale": "log"},
}


def ours(config: dict[str, Any], workdir: Path) -> dict[str, Any]:
    """Searches with the random tuner, and measures the lower bound before and after.

    Returns:
      The seconds without TensorFlow's start, those of the start, the lower bounds, and the points.
    """
    import tl_keras
    from tl_keras.config import text as configs
    from tl_keras.run.quiet import start_tensorflow

    start_tensorflow()
    start = age()
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
    from tl_keras.training.activations import stored_inputs
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
        for _, batch in batches.read_chunks(split, 64):
            computed.run(batch)
    prefix = time.monotonic() - started
    settings, labels, epoch = Settings(1e-4, 1e-4).tensor(), data.inputs["train"].labels, {}
    for cut in (*arch.cuts, arch.output):
        _, above = suffix.halves(models.logits_of(arch.trained), cut)
        step = learner(above, config.fit).step
        kept = stored_inputs(arch, cut, "train", how, None)
        steps = list(batches.of_activations(kept, labels, how, 0))
        for batch in steps:  # Batches of another shape may be compiled anew.
            step(*batch, settings)
        started = time.monotonic()
        for _ in range(EPOCHS):
            for batch in steps:
                step(*batch, settings).numpy()
        epoch[cut] = (time.monotonic() - started) / EPOCHS
    return {"prefix": prefix, "epoch": epoch, "head_epoch": epoch[arch.output]}


def tuned(build: Callable[[Any], Any], sets: dict[str, Any], points: list) -> dict[str, Any]:
    """Searches the given points with KerasTuner, as its guides do.

    Args:
      build: takes KerasTuner's hyperparameters; returns a compiled model.
      sets: the batches of train, val and test.
      points: of each trial, the values of SPACE and the name of the last frozen layer.
    """
    import keras
    import keras_tuner

    class GivenPoints(keras_tuner.oracles.RandomSearchOracle):
        def populate_space(self, trial_id: str) -> dict:
            return {"status": "RUNNING", "values": dict(points[int(trial_id)][0])}

    curve: list[list[float]] = []

    class TimedSearch(keras_tuner.RandomSearch):
        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            best = max(t.score for t in self.oracle.trials.values() if t.score is not None)
            curve.append([age(), best])

    epochs: list[float] = []

    class EpochClock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            self.started = time.monotonic()

        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            epochs.append(time.monotonic() - self.started)

    with tempfile.TemporaryDirectory() as folder:
        tuner = TimedSearch(
            build, objective="val_accuracy", max_trials=len(points), directory=folder
        )
        tuner.oracle.__class__ = GivenPoints
        clock = [EpochClock()]
        val = sets["val"]
        tuner.search(sets["train"], epochs=EPOCHS, validation_data=val, verbose=0, callbacks=clock)
        whole = age()
        test = tuner.get_best_models()[0].evaluate(sets["test"], verbose=0)[1]
    frozen = [i for i, (values, _) in enumerate(points) if values["fit.freeze"] == 1]
    last = [epochs[i * EPOCHS + EPOCHS - 1] for i in frozen]
    return {"seconds": whole, "curve": curve, "test": test, "frozen_epoch": last}


def point(hp: Any, points: list) -> tuple[str, float]:
    """Returns a trial's last frozen layer and its learning rate, from KerasTuner's values."""
    share = hp.Choice("fit.freeze", SPACE["fit.freeze"])
    rate = hp.Float("fit.learning_rate", 1e-5, 1e-2, sampling="log")
    return next(cut for values, cut in points if values["fit.freeze"] == share), rate


def freeze(backbone: Any, cut: str) -> None:
    """Freezes the layers of a model up to `cut`, or all if it has no such layer."""
    names = [layer.name for layer in backbone.layers]
    frozen = names.index(cut) if cut in names else len(names)
    for i, layer in enumerate(backbone.layers):
        layer.trainable = i > frozen


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


def run_part(script: str, name: str, *arguments: Any) -> dict[str, Any]:
    """Runs a part of a script in a process of its own; returns what it printed as JSON."""
    command = [sys.executable, script, f"--part={name}", *map(str, arguments)]
    environment = {**os.environ, "TQDM_DISABLE": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{name} failed")
    return json.loads(done.stdout.splitlines()[-1])


def run_all(
    script: str, seed: int, folder: Path, own: list[Any], others: list[Any], warm: bool
) -> dict[str, Any]:
    """Runs all sides with one seed, each in a process of its own; returns their figures.

    Args:
      script: the script whose parts are `ours`, `finetuned` and `plain`.
      folder: a folder for the runs.
      own: first arguments of `ours` and `finetuned`; the store of activations, the run folder and
        the seed follow.
      others: first arguments of `plain`; the file with the points follows.
      warm: whether `ours` runs a second time, with the activations that the first run stored.
    """
    searches = {}
    for name in ("empty", "warm") if warm else ("empty",):
        workdir = folder / f"ours_{name}"
        searches[name] = run_part(script, "ours", *own, folder / "cache", workdir, seed)
        page.progress(f"seed {seed}: search, {name} store: {searches[name]['seconds']:.1f} s")
    points = folder / "points.json"
    points.write_text(json.dumps(searches["empty"]["points"]))
    tuner = run_part(script, "plain", *others, points)
    page.progress(f"seed {seed}: KerasTuner: {tuner['seconds']:.1f} s, test {tuner['test']:.4f}")
    last = (folder / "cache_2", folder / "finetuned", seed)
    finetune = run_part(script, "finetuned", *own, *last)
    page.progress(f"seed {seed}: finetune: test {finetune['test']:.4f}")
    return {"seed": seed, "search": searches, "keras_tuner": tuner, "finetune": finetune}


def _bound(search: dict[str, Any]) -> float:
    return sum(search["bounds"]) / len(search["bounds"])


def _speed_up(run: dict[str, Any]) -> float:
    """Returns the time of KerasTuner as a multiple of the search's, both with their start."""
    return run["keras_tuner"]["seconds"] / seconds_of(run["search"]["empty"])


def seconds_of(search: dict[str, Any]) -> float:
    """Returns the seconds of a search with its start."""
    return search["start"] + search["seconds"]


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
