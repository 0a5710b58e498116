"""How much accuracy exported files lose on real photographs, and how small and fast they are.

    python benchmarks/export_quality.py --data=DIR \\
        --backbones MobileNetV2=mobilenet_v2.h5 MobileNet=mobilenet.h5 [--mediapipe=PYTHON]

DIR has one folder for each data set, with one folder of images for each class. Splits that a data
set already has are pooled. For each data set, backbone and seed, 50 images of each class are for
training, 10 more for validation, and all others for testing. tl_keras.finetune has its defaults, at
160 px. These are measured and compared with the Keras model on the same test images:

- the accuracy of each format, with the 95% interval of the difference, paired by image and pooled
  over seeds and backbones; bytes and latency (one thread) against the float32 file;
- the accuracy of the shipped file when export/device/predict.py runs it, and, with --mediapipe, of
  two files when MediaPipe's ImageClassifier runs them. PYTHON is the interpreter of an environment
  that has mediapipe;
- the latency of the float32 file against the bare Keras Applications model, converted by hand; the
  two take turns;
- the time of all exports of a run;
- with --hard, what int8 loses before and after the repair on a model that is hard to quantise: in
  the first model of each data set and backbone, the channels of a depthwise layer are scaled by
  1,000, and the next layer undoes the scaling.
"""

import argparse
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import image_sets
import numpy as np
import page
import paired
from image_sets import SIZE, TRAIN, VAL, listed, seeds, title
from paired import Outcome

import tl_keras
from tl_keras.config import text as configs
from tl_keras.export.subject import Subject, Writing
from tl_keras.run.quiet import quiet, start_tensorflow
from tl_keras.run.run import Run

start_tensorflow()

import functools  # noqa: E402

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from tl_keras.config.export import ExportConfig  # noqa: E402
from tl_keras.data.batching.inputs import Inputs  # noqa: E402
from tl_keras.data.load import load  # noqa: E402
from tl_keras.data.prepared import Data, prepared  # noqa: E402
from tl_keras.export import export, parity  # noqa: E402
from tl_keras.export.description import Description  # noqa: E402
from tl_keras.modalities.image import prepare  # noqa: E402
from tl_keras.modalities.image.device import predict  # noqa: E402
from tl_keras.training import features  # noqa: E402
from tl_keras.training.network import model as models  # noqa: E402
from tl_keras.training.network.fold_batch_norm import Inference  # noqa: E402

FORMATS = ("float32", "float16", "dynamic", "int8")
ROUNDS, RUNS = 10, 50  # of timings that alternate
HARD = {
    "MobileNetV2": ("block_5_depthwise", "block_5_project"),
    "MobileNet": ("conv_dw_5", "conv_pw_5"),
}
SCALE = 1000.0
HARD_TEST = 500  # test images of a hard model, at most
MEDIAPIPE = """
import sys
import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision
options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=sys.argv[1]))
with vision.ImageClassifier.create_from_options(options) as classifier:
    for line in sys.stdin:
        image = mp.Image.create_from_file(line.rstrip("\\n"))
        if image.image_format != mp.ImageFormat.SRGB:
            rgb = np.ascontiguousarray(image.numpy_view()[..., :3])
            image = mp.Image(image_format=mp.ImageFormat.SRGB, data=rgb)
        found = classifier.classify(image).classifications[0].categories
        print(max(found, key=lambda category: category.score).category_name)
"""


def trained(source: Path, backbone: str, weights: Path, seed: int, folder: Path) -> Run:
    """Returns a run of `finetune` with its defaults on one data set."""
    image_sets.write_splits(source, folder / "data", seed)
    fields = [f"model.backbone={backbone}", f"model.weights={weights}", f"seed={seed}"]
    fields += [f"image.size={SIZE}", f"cache.path={folder / 'cache'}"]
    return tl_keras.finetune(
        configs.load(None, [*fields, f"data.path={folder / 'data'}"]), folder / "run"
    )


def outcomes_of(run: Run, data: Data, mediapipe: str | None) -> dict[str, Outcome]:
    """Returns the test answers of Keras, of each exported file, and of MediaPipe if asked."""
    reference = paired.of_run(run.workdir, 0.0)
    outcomes, labels = {"Keras": reference}, data.inputs["test"].labels
    for name in FORMATS:
        runner = parity.load_litert(run.workdir / run.result["export"][name]["path"])
        correct = runner(data.inputs["test"])["probabilities"].argmax(-1) == labels
        outcomes[name] = Outcome(reference.files, correct, 0.0)
    for name in ("float32", "int8") if mediapipe else ():
        file = run.workdir / run.result["export"][name]["path"]
        answers = by_mediapipe(mediapipe, file, [data.dataset.root / f for f in reference.files])
        names = np.array(data.dataset.classes)[labels]
        correct = np.array([a == b for a, b in zip(answers, names, strict=True)])
        outcomes[f"MediaPipe, {name}"] = Outcome(reference.files, correct, 0.0)
    return outcomes


def by_mediapipe(python: str, file: Path, images: list[Path]) -> list[str]:
    """Returns the class that MediaPipe's ImageClassifier names for each image."""
    paths = "".join(f"{path}\n" for path in images)
    command = [python, "-c", MEDIAPIPE, str(file)]
    done = subprocess.run(command, input=paths, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def bare_ratio(run: Run, data: Data) -> float:
    """Returns the latency of the float32 file as a multiple of the bare model's."""
    config = run.config.model
    classes = len(data.dataset.classes)
    make = getattr(keras.applications, config.backbone)
    bare = make(weights=None, classes=classes, input_shape=(SIZE, SIZE, 3))
    with tempfile.TemporaryDirectory() as temporary, quiet():
        bare.export(temporary, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(temporary)
        file = Path(temporary, "bare.tflite")
        file.write_bytes(converter.convert())
        ours = predict.load(run.workdir / run.result["export"]["float32"]["path"])
        theirs = predict.load(file)
    image = np.asarray(data.inputs["test"].array[:1])
    seconds: dict[str, list[float]] = {"ours": [], "bare": []}
    for _ in range(ROUNDS):
        for name, model, batch in (
            ("ours", ours, image),
            ("bare", theirs, image.astype("float32")),
        ):
            for _ in range(RUNS):
                started = time.perf_counter()
                model.set_tensor(model.get_input_details()[0]["index"], batch)
                model.invoke()
                seconds[name].append(time.perf_counter() - started)
    return float(np.median(seconds["ours"]) / np.median(seconds["bare"]))


def hardened(model: keras.Model, backbone: str) -> keras.Model:
    """Returns a model that computes the same and is hard to quantise.

    Every other channel of a depthwise layer is `SCALE` times as large, and the next layer undoes
    that. The ReLU6 between them loses its upper end, which would cut these channels off.
    """
    wide, following = HARD[backbone]

    def without_end(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if layer.name == f"{wide}_relu":
            config["max_value"] = None
        return type(layer).from_config(config)

    hard = keras.models.clone_model(model, clone_function=without_end)
    hard.set_weights(model.get_weights())
    # The batch norm after the layer is scaled, which the converter folds into the layer.
    norm = hard.get_layer(f"{wide}_BN" if backbone == "MobileNetV2" else f"{wide}_bn")
    gamma, beta, *others = norm.get_weights()
    factor = np.where(np.arange(len(gamma)) % 2, SCALE, 1.0).astype(np.float32)
    norm.set_weights([gamma * factor, beta * factor, *others])
    layer = hard.get_layer(following)
    kernel, *bias = layer.get_weights()
    layer.set_weights([kernel / factor[:, None], *bias])
    return hard


def repaired(run: Run, data: Data) -> dict[str, Any]:
    """Returns what int8 loses of a hard model before and after the repair, and the file's size."""
    model = hardened(models.load(run.workdir / "model.keras"), run.config.model.backbone)
    reference = {s: features.outputs(Inference(model), data.inputs[s]) for s in ("val", "test")}
    subject = Subject(model, data.inputs, reference)
    about = Description("hard", "hard", run.config.settings, data.dataset.classes, "1", None, None)
    with tempfile.TemporaryDirectory() as folder:
        config = ExportConfig(formats=("float32", "int8"))
        decode = functools.partial(prepare.served, settings=run.config.settings)
        writing = Writing(decode, about, config, None, Path(folder))
        made = export.export(subject, writing)
    entry, accuracy = made["int8"], made["float32"]["accuracy"]
    steps = entry.get("repair", {}).get("steps", [{"lost": entry["val"]["lost"]}])
    return {
        "lost_before": steps[0]["lost"],
        "lost_after": entry["val"]["lost"],
        "lost_on_test": accuracy - entry["accuracy"],
        "kept_float": entry.get("repair", {}).get("kept", []),
        "bytes": entry["bytes"] / made["float32"]["bytes"],
        "val_images": len(data.inputs["val"]),
        "status": entry["status"],
    }


def first_tests(data: Data, count: int) -> Data:
    """Returns the data with at most `count` test images."""
    inputs: Inputs = data.inputs["test"]
    part = inputs.part(np.arange(min(count, len(inputs))))
    return replace(data, inputs={**data.inputs, "test": part})


def one_run(
    source: Path, backbone: str, weights: Path, seed: int, chosen: argparse.Namespace
) -> tuple[dict[str, Outcome], dict[str, Any]]:
    """Returns the test answers of all files of a run, and its other figures."""
    with tempfile.TemporaryDirectory() as temporary:
        run = trained(source, backbone, weights, seed, Path(temporary))
        files, result = run.result["export"], run.result
        data = prepared(load(run.config), run.config)
        outcomes = outcomes_of(run, data, chosen.mediapipe)
        plain = files["float32"]
        row = {
            "data_set": source.name,
            "backbone": backbone,
            "seed": seed,
            "test_images": result["test"]["n"],
            "accuracy": {name: one.accuracy for name, one in outcomes.items()},
            "bytes": {n: files[n]["bytes"] / plain["bytes"] for n in FORMATS},
            "latency": {
                name: files[name]["latency_ms"]["median"] / plain["latency_ms"]["median"]
                for name in FORMATS
            },
            "bare_ratio": bare_ratio(run, data),
            "export_seconds": result["seconds"]["export"],
            "shipped": result["shipped"]["format"],
            "predict_accuracy": result["shipped"].get("device", {}).get("accuracy"),
            "failed": {k: v["status"] for k, v in files.items() if v["status"] != "ok"},
        }
        if chosen.hard and seed == chosen.seeds[0]:
            row["hard"] = repaired(run, first_tests(data, HARD_TEST))
        page.progress(f"{row}")
        return outcomes, row


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--data", type=Path, required=True, help="folder of data sets")
    flags.add_argument("--backbones", nargs="+", required=True, help="NAME=WEIGHTS.h5 ...")
    flags.add_argument("--mediapipe", help="Python of an environment that has mediapipe")
    flags.add_argument("--hard", action="store_true", help="also models that are hard to quantise")
    image_sets.add_sets(flags)
    return flags


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    rows, tallies = [], {}
    for name in chosen.sets:
        every = []
        for entry in chosen.backbones:
            backbone, _, weights = entry.partition("=")
            for seed in chosen.seeds:
                outcomes, row = one_run(chosen.data / name, backbone, Path(weights), seed, chosen)
                every.append(outcomes)
                rows.append(row)
        tallies[name] = {
            way: paired.tally([one[way] for one in every], [one["Keras"] for one in every])
            for way in every[0]
            if way != "Keras"
        }
    settings = {"image_size": SIZE, "train": TRAIN, "val": VAL, "seeds": chosen.seeds}
    settings |= {"scale": SCALE, "hard_test": HARD_TEST}
    return {"settings": settings, "tallies": tallies, "runs": rows}


def compared(figures: dict[str, Any]) -> str:
    settings, runs = figures["settings"], figures["runs"]
    backbones = listed(list(dict.fromkeys(row["backbone"] for row in runs)))
    return (
        f"The exported files of `finetune` against the Keras model that they were made from, on "
        f"the same test images. Fine-tuned with the defaults: {backbones} at "
        f"{settings['image_size']} px, {settings['train']} training and {settings['val']} "
        f"validation images of each class, {seeds(settings['seeds'])}."
    )


def _name(way: str) -> str:
    """Returns how a sentence names a format, or MediaPipe with a format."""
    reader, _, name = way.rpartition(", ")
    return f"{reader} with the `{name}` file" if reader else f"the `{name}` file"


def _pooled(figures: dict[str, Any], way: str) -> paired.Difference:
    return paired.difference([one[way] for one in figures["tallies"].values()])


def results(figures: dict[str, Any]) -> str:
    tallies, runs = figures["tallies"], figures["runs"]
    ways = list(next(iter(tallies.values())))
    rows = [
        (
            _name(way),
            str(_pooled(figures, way)),
            *(str(paired.difference([o[way]])) for o in tallies.values()),
        )
        for way in ways
    ]
    head = ("", "Mean of the data sets", *(title(name) for name in tallies))
    parts = [
        "## Test accuracy against Keras",
        "Points, with the 95% interval, paired by image and pooled over backbones and seeds. "
        "MediaPipe reads the image files and the exported file by itself.",
        page.table(head, rows),
        "## Size and latency against the `float32` file",
        f"Runs: {len(runs)}. Latencies are of one thread.",
        _sizes(runs),
        "## Other figures",
        _others(runs),
    ]
    if any("hard" in row for row in runs):
        parts += ["## Models that are hard to quantise", _hard(figures)]
    return "\n\n".join([*parts, "## Conclusion", _conclusion(figures)])


def _sizes(runs: list[dict[str, Any]]) -> str:
    rows = []
    for name in FORMATS[1:]:
        sizes = [row["bytes"][name] for row in runs]
        latencies = [row["latency"][name] for row in runs]
        cells = (f"{max(sizes):.1%}", f"{np.median(latencies):.0%}", f"{max(latencies):.0%}")
        rows.append((f"`{name}`", *cells))
    return page.table(("Format", "Bytes, at most", "Latency, median", "Latency, at most"), rows)


def _others(runs: list[dict[str, Any]]) -> str:
    ratios, seconds = [row["bare_ratio"] for row in runs], [row["export_seconds"] for row in runs]
    failed = [name for row in runs for name in row["failed"]]
    tests = [row["test_images"] for row in runs]
    gaps = [
        abs(row["predict_accuracy"] - row["accuracy"][row["shipped"]])
        for row in runs
        if row["predict_accuracy"] is not None and row["shipped"] in row["accuracy"]
    ]
    lines = [
        f"- Latency of the `float32` file against the bare Keras Applications model: "
        f"{np.median(ratios):.2f} times (median), {max(ratios):.2f} times at most.",
        f"- Time of all exports of a run, each tested on {page.span(tests, '{:,}')} images: "
        f"{page.span(seconds, '{:.0f}')} s.",
        f'- Exports that were not "ok": {len(failed)}.',
    ]
    if gaps:
        lines.append(
            f"- Accuracy of the shipped file by `predict.py`, where it was measured: at most "
            f"{100 * max(gaps):.2f} points from the accuracy of the same file here."
        )
    return "\n".join(lines)


def _hard(figures: dict[str, Any]) -> str:
    settings = figures["settings"]
    rows = []
    for row in figures["runs"]:
        if "hard" in row:
            one = row["hard"]
            cells = (
                f"{100 * one['lost_before']:.1f}",
                f"{100 * one['lost_after']:.1f}",
                f"{100 * one['lost_on_test']:.1f}",
                str(len(one["kept_float"])),
                f"{one['bytes']:.0%}",
            )
            rows.append((title(row["data_set"]), row["backbone"], *cells))
    head = ("Data set", "Backbone", "Lost before repair, validation", "After, validation")
    return (
        f"Every other channel of a depthwise layer is scaled by {settings['scale']:,.0f}, and the "
        "next layer undoes that. Points of accuracy that `int8` loses, on validation and on at "
        f"most {settings['hard_test']} test images, and its bytes against `float32`.\n\n"
        + page.table((*head, "After, test", "Layers kept float", "Bytes"), rows)
    )


def _conclusion(figures: dict[str, Any]) -> str:
    runs = figures["runs"]
    lines = [
        paired.verdict(_pooled(figures, way), f"On average, {_name(way)}", "Keras")
        for way in next(iter(figures["tallies"].values()))
    ]
    for name in FORMATS[1:]:
        size = max(row["bytes"][name] for row in runs)
        latency = np.median([row["latency"][name] for row in runs])
        lines.append(
            f"`{name}` has at most {size:.0%} of the bytes of `float32`, and {latency:.0%} of its "
            "latency (median)."
        )
    hard = [row["hard"] for row in runs if "hard" in row]
    if hard:
        lines.append(
            f"Of the models that are hard to quantise, `int8` loses at most "
            f"{100 * max(one['lost_before'] for one in hard):.1f} points on validation before the "
            f"repair and {100 * max(one['lost_after'] for one in hard):.1f} after."
        )
    return "\n".join(f"- {line}" for line in lines)


def headline(figures: dict[str, Any]) -> str:
    latency = np.median([row["latency"]["int8"] for row in figures["runs"]])
    return (
        f"`int8`: {_pooled(figures, 'int8')} points against Keras, {latency:.0%} of the latency of "
        "`float32`"
    )


BENCHMARK = page.Benchmark(
    "export_quality", "Exported files", parser, measure, compared, results, headline
)

if __name__ == "__main__":
    page.main(BENCHMARK)
