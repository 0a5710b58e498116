"""Exported files: their numbers, their interface, and that a fault in one is caught and mended."""

import errno
import json
import os
import shutil
import subprocess
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

import tl_keras
from tl_keras import backbones, cli, export
from tl_keras import config as configs
from tl_keras import model as models
from tl_keras.approaches import stages
from tl_keras.config import ExportConfig
from tl_keras.data.batches import Inputs
from tl_keras.export import flatbuffer, litert, metadata, on_device, parity, quantise
from tl_keras.export.converted import convert
from tl_keras.report import figures
from tl_keras.run import opened

LITERT = ["float32", "float16", "dynamic", "int8"]
ABOUT = metadata.Description("shapes", "Tells shapes.", 32, ["a", "b", "c"], "2", "me", "MIT")


@pytest.fixture(scope="module")
def model(finished_run):
    return models.load(finished_run.workdir / "model.keras")


@pytest.fixture(scope="module")
def inputs(tree, tmp_path_factory) -> dict[str, Inputs]:
    with opened(configs.from_tree(tree), tmp_path_factory.mktemp("r") / "r", "finetune") as run:
        return stages.read(run).inputs


@pytest.fixture(scope="module")
def others(finished_run, tree, tmp_path_factory):
    """The run exported again: other formats, any batch, and a model that may abstain."""
    workdir = tmp_path_factory.mktemp("others") / "run"
    shutil.copytree(finished_run.workdir, workdir)
    formats = ["saved_model", "float32", "int8", "int16x8", "onnx"]
    asked = {"formats": formats, "batch": "dynamic", "abstain": 0.8, "author": "Ada"}
    return tl_keras.finetune({**tree, "export": asked}, workdir)


def interpreter(run, name: str) -> Interpreter:
    found = Interpreter(str(run.workdir / "export" / f"model_{name}.tflite"))
    found.allocate_tensors()
    return found


def kinds(run, name: str) -> dict[str, int]:
    return run.result["export"][name]["operators"]


@pytest.mark.parametrize("name", LITERT)
def test_takes_pixels_and_gives_probabilities(finished_run, name):
    found = interpreter(finished_run, name)
    image, probabilities = found.get_input_details()[0], found.get_output_details()[0]
    assert (image["name"], probabilities["name"]) == ("image", "probabilities")
    assert image["dtype"] == np.uint8
    assert list(image["shape"]) == [1, 32, 32, 3]
    assert list(probabilities["shape"]) == [1, 3]
    assert probabilities["dtype"] == (np.uint8 if name == "int8" else np.float32)
    assert found.get_signature_list() == {
        "serve": {"inputs": ["image"], "outputs": ["probabilities"]}
    }


@pytest.mark.parametrize("name", LITERT)
def test_no_operator_needs_flex(finished_run, name):
    assert kinds(finished_run, name)["CONV_2D"] > 10
    assert not [operator for operator in kinds(finished_run, name) if operator.startswith("Flex")]


def test_int8_is_integer_from_end_to_end(finished_run):
    content = (finished_run.workdir / "export" / "model_int8.tflite").read_bytes()
    graph = flatbuffer.read(content).subgraphs[0]
    types = {tensor.type for i in graph.operators for tensor in (graph.tensors[i.outputs[0]],)}
    assert types == {flatbuffer.schema.TensorType.INT8, flatbuffer.schema.TensorType.UINT8}
    assert finished_run.result["export"]["int8"]["float_operators"] == {}
    # The normalisation of pixels is the scale of the input, and no operator.
    assert not kinds(finished_run, "int8").keys() & {"CAST", "MUL", "ADD"}


def test_numbers_in_the_result_are_those_of_the_file(finished_run, model, inputs):
    for name, entry in finished_run.result["export"].items():
        path = finished_run.workdir / entry["path"]
        runner = parity.load_saved_model if name == "saved_model" else parity.load_litert
        found = runner(path)(inputs["test"])["probabilities"]
        reference = model.predict_on_batch(np.asarray(inputs["test"].array))
        right = (found.argmax(-1) == inputs["test"].labels).mean()
        assert entry["accuracy"] == pytest.approx(right)
        assert entry["interval"][0] <= entry["accuracy"] <= entry["interval"][1]
        assert entry["max_abs_diff"] == pytest.approx(np.abs(found - reference).max(), abs=1e-5)
        assert entry["bytes"] == parity.num_bytes(path)
        assert entry["val"]["n"] == len(inputs["val"])


def test_formats_shrink_as_they_should(finished_run):
    size = {name: entry["bytes"] for name, entry in finished_run.result["export"].items()}
    assert size["float16"] < 0.55 * size["float32"]
    assert size["int8"] < 0.35 * size["float32"]
    assert size["dynamic"] < 0.35 * size["float32"]


def test_memory_is_that_of_activations(finished_run):
    taken = {k: e["arena_bytes"] for k, e in finished_run.result["export"].items() if k in LITERT}
    # The largest tensors of the embedded MobileNet at 32 px stand side by side at its second layer.
    assert 16 * 16 * (16 + 32) <= taken["int8"] < 0.4 * taken["float32"]
    # float16 unpacks its weights, whatever else it needs.
    weights = finished_run.result["export"]["float16"]["bytes"]
    assert taken["float16"] - taken["float32"] == pytest.approx(2 * weights, rel=0.1)


def test_weights_are_aligned(finished_run):
    content = (finished_run.workdir / "export" / "model_int8.tflite").read_bytes()
    found = flatbuffer.schema.Model.GetRootAsModel(content, 0)
    sizes = [found.Buffers(i).DataLength() for i in range(found.BuffersLength())]
    places = [
        found.Buffers(i)._tab.Vector(found.Buffers(i)._tab.Offset(4))
        for i, size in enumerate(sizes)
        if size
    ]
    assert max(sizes) > 10_000 and {place % flatbuffer.ALIGNMENT for place in places} == {0}


def test_encoded_files_are_prepared_as_in_training(finished_run, pictures):
    loaded = tf.saved_model.load(str(finished_run.workdir / "export" / "saved_model"))
    rows = [
        line.split(",") for line in (finished_run.workdir / "predictions.csv").read_text().split()
    ]
    for row in rows[1:4]:
        content = (pictures / row[0]).read_bytes()
        signature = loaded.signatures["serve_encoded"]
        found = signature(encoded=tf.constant([content]))["probabilities"].numpy()[0]
        np.testing.assert_allclose(found, [float(value) for value in row[5:]], atol=2e-6)


def test_labels_are_one_a_line(finished_run):
    text = (finished_run.workdir / "export" / "labels.txt").read_text()
    assert text == "cross\ndisc\nsquare\n"


@pytest.mark.parametrize("name", LITERT)
def test_labels_are_inside_the_file_too(finished_run, name):
    with zipfile.ZipFile(finished_run.workdir / "export" / f"model_{name}.tflite") as archive:
        assert archive.namelist() == ["labels.txt"]
        assert archive.read("labels.txt") == b"cross\ndisc\nsquare\n"


def test_the_same_model_gives_the_same_file(finished_run):
    content = (finished_run.workdir / "export" / "model_int8.tflite").read_bytes()
    twice = [metadata.add(content, ABOUT) for _ in range(2)]
    assert twice[0] == twice[1]
    # Metadata that are there already make way.
    names = [entry.name for entry in flatbuffer.read(twice[0]).metadata]
    assert names.count(metadata.NAME) == 1


def test_model_tflite_is_what_validation_chose(finished_run):
    shipped = finished_run.result["shipped"]
    made = finished_run.workdir / finished_run.result["export"][shipped["format"]]["path"]
    assert (finished_run.workdir / shipped["path"]).read_bytes() == made.read_bytes()


def test_any_batch_runs(others, inputs):
    images = np.asarray(inputs["test"].array[:5])
    for name in ("float32", "int8"):
        found = interpreter(others, name)
        assert list(found.get_input_details()[0]["shape_signature"]) == [-1, 32, 32, 3]
        found.resize_tensor_input(found.get_input_details()[0]["index"], images.shape)
        found.allocate_tensors()
        found.set_tensor(found.get_input_details()[0]["index"], images)
        found.invoke()
        answers = found.get_tensor(found.get_output_details()[0]["index"])
        one_by_one = parity.load_litert(others.workdir / "export" / f"model_{name}.tflite")
        alone = one_by_one(inputs["test"].part(np.arange(5)))["probabilities"]
        scale = found.get_output_details()[0]["quantization"][0] or 1
        np.testing.assert_allclose(answers * np.float32(scale), alone, atol=0.005)


def test_int16x8_and_onnx_give_the_models_answers(others):
    made = others.result["export"]
    assert made["onnx"]["status"] == "ok" and made["onnx"]["max_abs_diff"] < 1e-4
    assert made["onnx"]["path"] == "export/model.onnx"
    assert made["int16x8"]["status"] == "ok" and made["int16x8"]["agreement"] >= 0.9
    found = interpreter(others, "int16x8")
    convolutions = [op for op in found._get_ops_details() if op["op_name"] == "CONV_2D"]
    types = {tensor["index"]: tensor["dtype"] for tensor in found.get_tensor_details()}
    assert {types[op["outputs"][0]] for op in convolutions} == {np.int16}


def test_every_format_abstains_alike(others, inputs):
    counts = set()
    for name in ("saved_model", "float32", "onnx"):
        measured = others.result["export"][name]["abstain"]
        counts.add(round(measured["answered"] * measured["n"]))
        assert measured["n"] == len(inputs["test"])
    assert len(counts) == 1 and 0 < counts.pop() < len(inputs["test"])
    near = others.result["export"]
    assert abs(near["int8"]["abstain"]["answered"] - near["float32"]["abstain"]["answered"]) < 0.2
    names = [output["name"] for output in interpreter(others, "int8").get_output_details()]
    assert names == ["probabilities", "abstain"]
    spec = json.loads((others.workdir / "export" / "device" / "spec.json").read_text())
    assert 0 < spec["abstain_threshold"] < 1
    assert "`abstain (any,) " in (others.workdir / "export" / "device" / "README.md").read_text()


def test_formats_of_before_stay(others, finished_run):
    assert others.result["export"]["float16"] == finished_run.result["export"]["float16"]
    assert (others.workdir / "export" / "model_float16.tflite").exists()


def test_too_few_validation_examples_to_abstain_are_said_at_once(tree, tmp_path):
    asked = {"formats": [], "abstain": 0.99}
    with pytest.raises(ValueError, match="export.abstain: 0.99 takes 99 validation examples"):
        tl_keras.finetune({**tree, "export": asked}, tmp_path / "run")
    assert not (tmp_path / "run" / "model.keras").exists()


# Faults


def net(scale: float = 1.0, special: bool = False, front: str = "tf") -> keras.Model:
    """A small network; a channel of its depthwise layer is `scale` times as large as it was, and
    the next layer undoes it: the same function, and hard to quantise. Or it is one with an operator
    that LiteRT lacks."""
    keras.utils.set_random_seed(3)
    image = x = keras.Input((32, 32, 3), dtype="uint8", name="image")
    x = backbones.normalise(x, "caffe" if front == "caffe" else "tf")
    x = keras.layers.ZeroPadding2D()(x) if front == "padded" else x
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="first")(x)
    x = keras.ops.arctan(x) if special else x
    x = keras.layers.DepthwiseConv2D(3, activation="relu", name="wide")(x)
    x = keras.layers.Conv2D(16, 1, activation="relu", name="next")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(3, name="logits")(x)
    model = keras.Model(image, keras.layers.Softmax(name="probabilities")(10 * x))
    wide, following = model.get_layer("wide"), model.get_layer("next")
    kernel, bias = wide.get_weights()
    kernel[..., 2, :] *= scale
    wide.set_weights([kernel, bias])
    kernel, bias = following.get_weights()
    kernel[..., 2, :] /= scale
    following.set_weights([kernel, bias])
    return model


def noise(count: int, seed: int) -> np.ndarray:
    """Images of coarse noise: they differ after pooling too."""
    generator = np.random.default_rng(seed)
    small = generator.integers(0, 256, (count, 4, 4, 3), np.uint8)
    return small.repeat(8, axis=1).repeat(8, axis=2)


def subject_of(model: keras.Model) -> export.Subject:
    """The model, and images whose labels are its own answers: it is right on all of them."""
    images = {split: noise(240, i) for i, split in enumerate(("train", "val", "test"))}
    reference = {name: model.predict(own, verbose=0) for name, own in images.items()}
    inputs = {name: Inputs(reference[name].argmax(-1), own) for name, own in images.items()}
    return export.Subject(model, inputs, {name: reference[name] for name in ("val", "test")})


def exported(subject: export.Subject, folder: Path, **config) -> dict:
    with export.unfinished(folder) as new:
        asked = ExportConfig(**config)
        writing = export.Writing(lambda image: image, ABOUT, asked, None, new)
        made = export.export(subject, writing)
        export.put_in_place(new, folder, made, [])
        return made


@pytest.fixture(scope="module")
def easy() -> export.Subject:
    return subject_of(net())


def test_a_model_that_is_hard_to_quantise_is_caught_and_mended(tmp_path):
    results = exported(subject_of(net(scale=1000)), tmp_path, formats=("float32", "int8"))
    entry = results["int8"]
    steps = entry["repair"]["steps"]
    assert steps[0]["kept"] == 0 and steps[0]["lost"] > 0.1
    assert entry["status"] == "ok" and entry["val"]["lost"] <= 0.01
    assert {"wide", "next"} & set(entry["repair"]["kept"])
    assert len(entry["repair"]["kept"]) < len(quantise_places(subject_of(net(1000))))
    assert entry["accuracy"] > 0.97  # on test, which decided nothing


def test_weights_that_float16_cannot_hold_stay_float(tmp_path):
    made = exported(subject_of(net(scale=1e8)), tmp_path, formats=("float32", "float16"))
    assert made["float16"]["status"] == "ok" and "wide" in made["float16"]["repair"]["kept"]
    json.dumps(made, allow_nan=False)


def test_layers_without_a_bias_are_corrected_and_can_be_kept():
    image = keras.Input((32, 32, 3), dtype="uint8")
    x = keras.layers.Conv2D(8, 3, strides=2, use_bias=False)(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
    model = keras.Model(image, keras.layers.Dense(3, use_bias=False, activation="softmax")(x))
    calibrated = quantise.calibrate(converted(model), noise(20, 0))
    assert len(quantise.candidates(calibrated, "dynamic")) == 2
    assert len(calibrated.corrections["dynamic"]) == 2
    images = Inputs(np.zeros(50, int), noise(50, 1))
    reference = model.predict(images.array, verbose=0)
    assert parity.moved(run(quantise.quantise(calibrated, "int8"), images), reference) < 0.01


def test_a_bound_behind_the_normalisation_is_not_lost():
    image = keras.Input((32, 32, 3), dtype="uint8")
    x = keras.layers.ReLU()(keras.layers.Rescaling(1 / 127.5, -1)(image))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax")(x))
    calibrated = quantise.calibrate(converted(model), noise(20, 0))
    images = Inputs(np.zeros(50, int), noise(50, 1))
    reference = model.predict(images.array, verbose=0)
    assert parity.moved(run(quantise.quantise(calibrated, "int8"), images), reference) < 0.01


@pytest.mark.parametrize("front", ["tf", "padded", "caffe"])
def test_int8_with_all_kept_is_as_near_as_float(front):
    """What the pixels' scale is off by is made up for, whoever reads them."""
    model = net(front=front)
    # Kernels that add up: half a step of each pixel would show.
    first = model.get_layer("first")
    first.set_weights([np.abs(first.get_weights()[0]), first.get_weights()[1]])
    calibrated = quantise.calibrate(converted(model), noise(20, 0))
    images = Inputs(np.zeros(50, int), noise(50, 1))
    reference = model.predict(images.array, verbose=0)
    every = quantise.candidates(calibrated, "int8")
    for kept, bound in ((every, 0.002), ((), 0.02)):
        found = run(quantise.quantise(calibrated, "int8", kept), images)
        assert parity.moved(found, reference) < bound, len(kept)
    assert parity.float_operators(quantise.quantise(calibrated, "int8")) == {}


def test_what_is_moved_does_not_depend_on_the_number_of_classes():
    for classes in (2, 100):
        one, other = np.eye(classes)[[0]], np.eye(classes)[[1]]
        assert parity.moved(one, other) == 1
        assert parity.moved(one, (one + other) / 2) == 0.5


def test_memory_that_is_known_only_as_it_runs_is_left_out(tmp_path):
    image = keras.Input((32, 32, 3), dtype="uint8")
    x = keras.layers.Conv2D(4, 3, strides=4)(keras.layers.Rescaling(0.01)(image))
    x = keras.layers.Dense(3)(keras.layers.Flatten()(x))
    subject = subject_of(keras.Model(image, keras.layers.Softmax()(x)))
    made = exported(subject, tmp_path, formats=("float32", "int8"), batch="dynamic")
    assert {entry["arena_bytes"] for entry in made.values()} == {None}
    assert {entry["status"] for entry in made.values()} == {"ok"}
    made = exported(subject, tmp_path, formats=("float32",))
    assert made["float32"]["arena_bytes"] > 4 * 32 * 32 * 3


def quantise_places(subject: export.Subject) -> list[int]:
    content = converted(subject.model)
    return quantise.candidates(quantise.calibrate(content, noise(4, 0)), "int8")


def converted(model: keras.Model) -> bytes:
    own = convert(model, noise(2, 0), ExportConfig(formats=("float32",)), None)
    return own.content


def test_an_easy_model_needs_no_mending(easy, tmp_path):
    results = exported(easy, tmp_path, formats=("dynamic", "int8"))
    for entry in results.values():
        assert "repair" not in entry and entry["status"] == "ok"


def test_what_cannot_be_mended_is_rejected(easy, tmp_path, monkeypatch):
    """A planted fault: the quantised files are of another model than the one that was measured."""
    twin = keras.models.clone_model(easy.model)
    twin.set_weights([w[..., ::-1] for w in easy.model.get_weights()])
    other = quantise.calibrate(converted(twin), noise(4, 0))
    original = quantise.quantise
    monkeypatch.setattr(quantise, "quantise", lambda _, *how: original(other, *how))
    good = tmp_path / "model_int8.tflite"
    good.write_bytes(b"of an earlier export")
    results = exported(easy, tmp_path, formats=("int8",))
    assert "over export.max_accuracy_drop 0.01" in results["int8"]["status"]
    assert results["int8"]["path"].endswith("/model_int8.rejected.tflite")
    assert (tmp_path / "model_int8.rejected.tflite").exists() and not good.exists()
    monkeypatch.undo()
    exported(easy, tmp_path, formats=("int8",))
    assert good.exists() and not (tmp_path / "model_int8.rejected.tflite").exists()


def test_a_float_file_with_other_numbers_is_rejected(easy, tmp_path, monkeypatch):
    twin = net()
    twin.get_layer("logits").set_weights([1.1 * w for w in twin.get_layer("logits").get_weights()])
    content = converted(twin)
    monkeypatch.setattr(litert, "convert", lambda *_: content)
    results = exported(easy, tmp_path, formats=("float32",))
    assert "over export.max_difference 0.001" in results["float32"]["status"]
    assert (tmp_path / "model_float32.rejected.tflite").exists()


def test_a_channel_of_no_weights_keeps_its_bias():
    """Its scale is next to nothing, in steps of which the bias would not fit 32 bits."""
    model = net()
    kernel, bias = model.get_layer("next").get_weights()
    kernel[..., :8] *= 1e-9
    bias[:8] = 0.5
    model.get_layer("next").set_weights([kernel, bias])
    calibrated = quantise.calibrate(converted(model), noise(50, 0))
    images = Inputs(np.zeros(50, int), noise(50, 1))
    reference = model.predict(images.array, verbose=0)
    for name in ("int8", "int16x8"):
        found = run(quantise.quantise(calibrated, name), images)
        assert np.abs(found - reference).mean() < 0.01, name


def run(content: bytes, inputs: Inputs) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.tflite")
        file.write_bytes(metadata.add(content, ABOUT))
        return parity.load_litert(file)(inputs)["probabilities"]


def test_corrected_biases_bring_the_file_nearer(model, inputs):
    images = litert.calibration_examples(inputs["train"], 30)
    own = convert(model, images, ExportConfig(formats=("int8",)), None)
    plain = replace(own.calibrated, corrections={name: {} for name in quantise.CORRECTED})
    reference = model.predict_on_batch(np.asarray(inputs["test"].array))
    for name in ("dynamic", "int8"):
        found = [run(quantise.quantise(c, name), inputs["test"]) for c in (own.calibrated, plain)]
        with_them, without = (np.abs(probabilities - reference).mean() for probabilities in found)
        assert with_them < without, name


def test_an_operator_that_litert_lacks_is_named(tmp_path):
    subject = subject_of(net(special=True))
    with pytest.raises(ValueError, match="export.allow_flex: LiteRT has no operator.* Atan"):
        exported(subject, tmp_path, formats=("float32",))
    assert not any(tmp_path.iterdir())


def test_it_is_written_where_flex_is_allowed_and_not_called_proved(tmp_path):
    subject = subject_of(net(special=True))
    results = exported(subject, tmp_path, formats=("float32",), allow_flex=True)
    assert results["float32"]["operators"]["FlexAtan"] == 1
    assert results["float32"]["status"] == "not proved: no LiteRT here runs FlexAtan"
    assert (tmp_path / "model_float32.rejected.tflite").exists()
    with pytest.raises(ValueError, match=r"int8 cannot be made of .*\(FlexAtan\)"):
        exported(subject, tmp_path, formats=("float32", "int8"), allow_flex=True)


@pytest.mark.parametrize("where", [metadata, on_device])
def test_a_disk_that_fills_leaves_the_exports_of_before(
    finished_run, tmp_path, monkeypatch, capsys, where
):
    workdir = tmp_path / "run"
    shutil.copytree(finished_run.workdir, workdir)
    before = {p: p.read_bytes() for p in (workdir / "export").rglob("*") if p.is_file()}

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a file")

    monkeypatch.setattr(where, "add" if where is metadata else "write", full)
    line = ["export", f"--workdir={workdir}", "--set", "export.formats=[float32, int8]"]
    assert cli.main(line) == 2
    assert "No space left on device" in capsys.readouterr().err
    after = {p: p.read_bytes() for p in (workdir / "export").rglob("*") if p.is_file()}
    assert after == before


def test_what_was_shipped_stays_where_no_file_for_devices_is_made(finished_run, tree, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(finished_run.workdir, workdir)
    again = tl_keras.finetune(
        {**tree, "export": {"formats": ["saved_model"], "abstain": 0.8}}, workdir
    )
    assert again.result["shipped"] == finished_run.result["shipped"]
    spec = json.loads((workdir / "export" / "device" / "spec.json").read_text())
    assert spec["abstain_threshold"] is None  # The file that is shipped has no such output.


def test_no_file_within_the_limits_ends_in_3(finished_run, tmp_path, capsys):
    workdir = tmp_path / "run"
    shutil.copytree(finished_run.workdir, workdir)
    line = ["export", f"--workdir={workdir}", "--set", "export.formats=[int8]"]
    assert cli.main([*line, "--set", "export.max_bytes=1000"]) == 3
    assert "model.tflite: no file holds export.max_bytes 1,000" in capsys.readouterr().err
    assert not (workdir / "export" / "model.tflite").exists()
    assert not (workdir / "export" / "device").exists()


@pytest.mark.parametrize("spoil", ["missing", "truncated", "lambda"])
def test_a_model_that_cannot_be_read_is_said(finished_run, tmp_path, capsys, spoil):
    workdir = tmp_path / "run"
    shutil.copytree(finished_run.workdir, workdir)
    file = workdir / "model.keras"
    if spoil == "missing":
        file.unlink()
    elif spoil == "truncated":
        file.write_bytes(file.read_bytes()[:5000])
    else:
        image = keras.Input((32, 32, 3), dtype="uint8")
        keras.Model(image, keras.layers.Lambda(lambda x: x)(image)).save(file)
    before = (workdir / "export" / "model_int8.tflite").read_bytes()
    assert cli.main(["export", f"--workdir={workdir}", "--set", "export.formats=[int8]"]) == 2
    assert "model.keras" in capsys.readouterr().err
    assert (workdir / "export" / "model_int8.tflite").read_bytes() == before


def test_the_report_says_how_often_a_file_was_timed():
    assert figures.TIMED == parity.TIMED_RUNS


def test_a_loss_is_judged_by_its_paired_interval():
    labels = np.arange(400) % 2
    right = np.eye(2)[labels]
    worse, slightly = right.copy(), right.copy()
    worse[:40] = 1 - worse[:40]
    slightly[:5] = 1 - slightly[:5]
    found = parity.lost(worse, right, labels)
    assert found["lost"] == pytest.approx(0.1) and found["interval"][0] > 0.01
    assert parity.lost(slightly, right, labels)["interval"][0] <= 0.01
    assert parity.lost(right, worse, labels)["lost"] == pytest.approx(-0.1)


@pytest.mark.parametrize("kept", [True, False])
def test_calibration_takes_classes_in_turn(kept):
    labels = np.array([0] * 50 + [1] * 5 + [2] * 5)
    images = np.arange(60, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    table = tf.constant(images)
    read = None if kept else lambda indices: indices.map(lambda i: table[i])
    found = litert.calibration_examples(Inputs(labels, images if kept else None, read), 12)
    counts = np.bincount(labels[found[:, 0, 0, 0]])
    assert list(counts) == [4, 4, 4]


# Readers that are not ours


@pytest.fixture(scope="module")
def device_python() -> str:
    """Of an environment without TensorFlow, see tests/device_requirements.txt."""
    if not os.environ.get("TL_KERAS_TEST_DEVICE_PYTHON"):
        pytest.skip("TL_KERAS_TEST_DEVICE_PYTHON is not set: no environment of a device here")
    return os.environ["TL_KERAS_TEST_DEVICE_PYTHON"]


def answers(*line: str) -> str:
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONWARNINGS")}
    done = subprocess.run(line, capture_output=True, text=True, env=clean)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_device_needs_no_tensorflow(device_python, finished_run, pictures):
    script = "import importlib.util as u, sys; sys.exit(u.find_spec('tensorflow') is not None)"
    answers(device_python, "-c", script)
    folder = finished_run.workdir / "export" / "device"
    files = sorted(str(file) for file in pictures.rglob("*.png"))[::10]
    said = answers(device_python, str(folder / "predict.py"), *files).splitlines()
    here = {row["file"]: row for row in tl_keras.predict(finished_run, files)}
    for row in map(json.loads, said):
        ours = list(here[row["file"]]["probabilities"].values())
        assert np.abs(np.array(list(row["probabilities"].values())) - ours).max() < 0.15
    checked = answers(device_python, str(folder / "check.py"))
    assert checked.count(" ok ") == 6 and "6 of 6 checked, 0 differ" in checked


MEDIAPIPE = """
import json, sys
import mediapipe as mp
from mediapipe.tasks.python import BaseOptions, vision
options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=sys.argv[1]))
with vision.ImageClassifier.create_from_options(options) as classifier:
    for file in sys.argv[2:]:
        found = classifier.classify(mp.Image.create_from_file(file)).classifications[0]
        print(json.dumps({own.category_name: own.score for own in found.categories}))
"""


@pytest.mark.parametrize("name", LITERT)
def test_mediapipe_reads_the_labels_and_gives_the_probabilities(device_python, finished_run, name):
    """On pixels of the model's size, where it has nothing to resize."""
    script = "import importlib.util as u, sys; sys.exit(u.find_spec('mediapipe') is None)"
    if subprocess.run([device_python, "-c", script]).returncode:
        pytest.skip("mediapipe could not be installed in the environment of a device")
    folder = finished_run.workdir / "export"
    files = [str(folder / "device" / "golden" / f"{i}.png") for i in range(3)]
    file = folder / f"model_{name}.tflite"
    runner = parity.load_litert(file)
    pixels = np.stack([np.asarray(Image.open(image)) for image in files])
    expected = runner(Inputs(np.zeros(3, int), pixels))["probabilities"]
    said = answers(device_python, "-c", MEDIAPIPE, str(file), *files).splitlines()
    for row, own in zip(map(json.loads, said), expected, strict=True):
        found = [row[label] for label in ("cross", "disc", "square")]
        np.testing.assert_allclose(found, own, atol=2e-3)
