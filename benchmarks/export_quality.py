"""What exported files lose against Keras, on real photographs, and how small and fast they are.

    python benchmarks/export_quality.py --data=DIR \\
        --backbones MobileNetV2=mobilenet_v2.h5 MobileNet=mobilenet.h5 [--mediapipe=PYTHON]

DIR holds one folder of class folders a data set; given splits in them are pooled. For each data
set, backbone and seed 50 images a class train, 10 more validate, all others test; tl_keras.finetune
with its defaults at 160 px. Printed are, against Keras on the same test images:

- accuracy of each format, with the 95% interval of the difference, paired by image and pooled over
  seeds and backbones; bytes and latency (one thread) against the float32 file;
- accuracy from the files as a device reads them: by predict.py, and with --mediapipe, the Python of
  an environment that has mediapipe, by its ImageClassifier;
- the float32 file's latency against that of the bare Keras Applications model, converted by hand,
  both timed in turn;
- what the whole export took;
- with --hard, the first model of each backbone with channels of a depthwise layer scaled by 1,000
  and the next layer undoing it: what int8 lost before and after it was mended.
"""

import argparse
import csv
import subprocess
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from accuracy import SETS, SIZE, Outcome, gain, interval, write_splits

import tl_keras
from tl_keras.config import text as configs
from tl_keras.export import proof
from tl_keras.run.quiet import quiet, start_tensorflow
from tl_keras.run.run import Run

start_tensorflow()

import functools  # noqa: E402

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from tl_keras.config.export import ExportConfig  # noqa: E402
from tl_keras.data.inputs import Inputs  # noqa: E402
from tl_keras.data.load import load  # noqa: E402
from tl_keras.data.prepared import Data, prepared  # noqa: E402
from tl_keras.export import (  # noqa: E402
    export,
    parity,
)
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
        print(max(found, key=lambda own: own.score).category_name)
"""


def trained(source: Path, backbone: str, weights: Path, seed: int, folder: Path) -> Run:
    """The defaults on one data set."""
    write_splits(source, folder / "data", seed)
    fields = [f"model.backbone={backbone}", f"model.weights={weights}", f"seed={seed}"]
    fields += [f"image.size={SIZE}", f"cache.path={folder / 'cache'}"]
    return tl_keras.finetune(
        configs.load(None, [*fields, f"data.path={folder / 'data'}"]), folder / "run"
    )


def outcomes(run: Run, data: Data, mediapipe: str | None) -> dict[str, Outcome]:
    """Which test images Keras, each file, and each device's way get right."""
    with (run.workdir / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    files, labels = [row["file"] for row in rows], data.inputs["test"].labels
    right = {"Keras": np.array([row["prediction"] == row["label"] for row in rows])}
    for name in FORMATS:
        runner = parity.load_litert(run.workdir / run.result["export"][name]["path"])
        right[name] = runner(data.inputs["test"])["probabilities"].argmax(-1) == labels
    if mediapipe:
        given = "".join(f"{data.dataset.root / name}\n" for name in files)
        for name in ("float32", "int8"):
            line = [
                mediapipe,
                "-c",
                MEDIAPIPE,
                str(run.workdir / run.result["export"][name]["path"]),
            ]
            said = subprocess.run(line, input=given, capture_output=True, text=True, check=True)
            found = said.stdout.splitlines()
            right[f"MediaPipe, {name}"] = np.array(
                [answer == row["label"] for answer, row in zip(found, rows, strict=True)]
            )
    return {name: Outcome(files, own, 0.0) for name, own in right.items()}


def bare_ratio(run: Run, data: Data) -> float:
    """How many times the bare model's latency the float32 file's is."""
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
        for name, own, given in (("ours", ours, image), ("bare", theirs, image.astype("float32"))):
            for _ in range(RUNS):
                started = time.perf_counter()
                own.set_tensor(own.get_input_details()[0]["index"], given)
                own.invoke()
                seconds[name].append(time.perf_counter() - started)
    return float(np.median(seconds["ours"]) / np.median(seconds["bare"]))


def hardened(model: keras.Model, backbone: str) -> keras.Model:
    """The model with every other channel of a depthwise layer `SCALE` times as large, and the next
    layer undoing it. The ReLU6 between them has no upper end here: it would cut them off."""
    wide, following = HARD[backbone]

    def without_end(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if layer.name == f"{wide}_relu":
            config["max_value"] = None
        return type(layer).from_config(config)

    found = keras.models.clone_model(model, clone_function=without_end)
    found.set_weights(model.get_weights())
    # Scaled behind its batch norm, which the converter folds into the layer.
    norm = found.get_layer(f"{wide}_BN" if backbone == "MobileNetV2" else f"{wide}_bn")
    gamma, beta, *others = norm.get_weights()
    factor = np.where(np.arange(len(gamma)) % 2, SCALE, 1.0).astype(np.float32)
    norm.set_weights([gamma * factor, beta * factor, *others])
    layer = found.get_layer(following)
    kernel, *bias = layer.get_weights()
    layer.set_weights([kernel / factor[:, None], *bias])
    return found


def mend(run: Run, data: Data) -> None:
    """Prints what int8 loses of a hard model, before and after."""
    model = hardened(models.load(run.workdir / "model.keras"), run.config.model.backbone)
    reference = {s: features.outputs(Inference(model), data.inputs[s]) for s in ("val", "test")}
    subject = proof.Subject(model, data.inputs, reference)
    about = Description("hard", "hard", run.config.settings, data.dataset.classes, "1", None, None)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        asked = ExportConfig(formats=("float32", "int8"))
        decode = functools.partial(prepare.served, settings=run.config.settings)
        writing = proof.Writing(decode, about, asked, None, Path(folder))
        made = export.export(subject, writing)
    entry, right = made["int8"], made["float32"]["accuracy"]
    steps = entry.get("repair", {}).get("steps", [{"lost": entry["val"]["lost"]}])
    print(
        f"  hard: int8 lost {100 * steps[0]['lost']:.1f} points on validation; with "
        f"{', '.join(entry.get('repair', {}).get('kept', [])) or 'nothing'} float "
        f"{100 * entry['val']['lost']:.1f}, on test {100 * (right - entry['accuracy']):+.1f}; "
        f"{entry['bytes'] / made['float32']['bytes']:.0%} of float32's bytes; {entry['status']}; "
        f"{time.monotonic() - started:.0f} s",
        flush=True,
    )


def first(data: Data, count: int) -> Data:
    """With so many test images at most."""
    inputs: Inputs = data.inputs["test"]
    some = inputs.part(np.arange(min(count, len(inputs))))
    return replace(data, inputs={**data.inputs, "test": some})


def one(source: Path, backbone: str, weights: Path, seed: int, chosen: argparse.Namespace) -> tuple:
    """Outcomes of a run, and its figures by format."""
    with tempfile.TemporaryDirectory() as temporary:
        run = trained(source, backbone, weights, seed, Path(temporary))
        made, result = run.result["export"], run.result
        data = prepared(load(run.config), run.config)
        found = outcomes(run, data, chosen.mediapipe)
        plain = made["float32"]
        figures = {
            name: (
                entry["bytes"] / plain["bytes"],
                entry["latency_ms"]["median"] / plain["latency_ms"]["median"],
            )
            for name, entry in made.items()
            if name in FORMATS
        }
        ratio = bare_ratio(run, data)
        told = ", ".join(f"{name} {own.right.mean():.4f}" for name, own in found.items())
        device = result["shipped"].get("device", {}).get("accuracy", float("nan"))
        missed = {k: v["status"] for k, v in made.items() if v["status"] != "ok"}
        print(
            f"{source.name}, {backbone}, seed {seed}: {told}; shipped "
            f"{result['shipped']['format']}, by predict.py {device:.4f}; float32 takes "
            f"{ratio:.3f} times the bare model; exports of {result['test']['n']} test images took "
            f"{result['seconds']['export']:.0f} s; missed {missed}",
            flush=True,
        )
        if chosen.hard and seed == chosen.seeds[0]:
            mend(run, first(data, 500))
        return found, figures, ratio


def table(found: dict[str, list[dict[str, Outcome]]], figures: list[dict]) -> None:
    """Prints what each format, and each way, is behind Keras."""
    names = [name for name in next(iter(found.values()))[0] if name != "Keras"]
    print(f"\n{'against Keras, points':24}{'all':>26}" + "".join(f"{name:>26}" for name in found))
    for name in names:
        gains = {
            source: gain([own[name] for own in runs], [own["Keras"] for own in runs])
            for source, runs in found.items()
        }
        every = [interval(list(gains.values())), *(interval([own]) for own in gains.values())]
        cells = (
            f"{100 * m:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})" for m, low, high in every
        )
        print(f"{name:24}" + "".join(f"{cell:>26}" for cell in cells))
    print(f"\n{'of float32':24}{'bytes, most':>14}{'latency, median':>18}{'most':>8}")
    for name in FORMATS[1:]:
        sizes, latencies = np.array([own[name] for own in figures]).T
        print(
            f"{name:24}{sizes.max():14.1%}{np.median(latencies):18.1%}{latencies.max():8.1%}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets")
    parser.add_argument("--backbones", nargs="+", required=True, help="NAME=WEIGHTS.h5 ...")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--mediapipe", help="Python of an environment that has mediapipe")
    parser.add_argument("--hard", action="store_true", help="also models that are hard to quantise")
    chosen = parser.parse_args()
    found, figures, ratios = defaultdict(list), [], []
    for name in chosen.sets:
        for entry in chosen.backbones:
            backbone, _, weights = entry.partition("=")
            for seed in chosen.seeds:
                outcome, own, ratio = one(chosen.data / name, backbone, Path(weights), seed, chosen)
                found[name].append(outcome)
                figures.append(own)
                ratios.append(ratio)
    table(found, figures)
    print(
        f"\nfloat32 against the bare model: median {np.median(ratios):.3f}, most {max(ratios):.3f}"
    )


if __name__ == "__main__":
    main()
