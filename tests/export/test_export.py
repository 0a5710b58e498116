"""The exports of a run: their figures, their interface, and what a failed export leaves behind."""

import errno
import json
import os
import shutil
import zipfile
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from small_nets import ABOUT, run

import tl_keras
from tl_keras import cli
from tl_keras.config import text as configs
from tl_keras.config.export import ExportConfig
from tl_keras.data import run_data
from tl_keras.data.batching.inputs import Inputs
from tl_keras.export import parity
from tl_keras.export.formats import flatbuffer, litert, metadata, quantise
from tl_keras.export.formats.converted import convert
from tl_keras.modalities.image import bundle
from tl_keras.report.facts import figures
from tl_keras.run.folder import opened
from tl_keras.training.network import model as models

LITERT = ["float32", "float16", "dynamic", "int8"]


@pytest.fixture(scope="module")
def model(finished_run):
    return models.load(finished_run.workdir / "model.keras")


@pytest.fixture(scope="module")
def inputs(tree, tmp_path_factory) -> dict[str, Inputs]:
    with opened(configs.from_tree(tree), tmp_path_factory.mktemp("r") / "r", "finetune") as run:
        return run_data.read(run).inputs


@pytest.fixture(scope="module")
def exported_again(finished_run, tree, tmp_path_factory):
    """The run, exported again with other formats, any batch size, and an output to abstain."""
    workdir = tmp_path_factory.mktemp("exported_again") / "run"
    shutil.copytree(finished_run.workdir, workdir)
    formats = ["saved_model", "float32", "int8", "int16x8", "onnx"]
    config = {"formats": formats, "batch": "dynamic", "abstain": 0.8, "author": "Ada"}
    return tl_keras.finetune({**tree, "export": config}, workdir)


def interpreter(run, name: str) -> Interpreter:
    found = Interpreter(str(run.workdir / "export" / f"model_{name}.tflite"))
    found.allocate_tensors()
    return found


def operators_of(run, name: str) -> dict[str, int]:
    return run.result["export"][name]["operators"]


@pytest.mark.parametrize("name", LITERT)
def test_file_takes_pixels_and_returns_probabilities(finished_run, name):
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
    assert operators_of(finished_run, name)["CONV_2D"] > 10
    assert not [
        operator for operator in operators_of(finished_run, name) if operator.startswith("Flex")
    ]


def test_int8_is_integer_from_end_to_end(finished_run):
    content = (finished_run.workdir / "export" / "model_int8.tflite").read_bytes()
    graph = flatbuffer.read(content).subgraphs[0]
    types = {tensor.type for i in graph.operators for tensor in (graph.tensors[i.outputs[0]],)}
    assert types == {flatbuffer.schema.TensorType.INT8, flatbuffer.schema.TensorType.UINT8}
    assert finished_run.result["export"]["int8"]["float_operators"] == {}
    # The scale of the input takes the place of the operators that normalise pixels.
    assert not operators_of(finished_run, "int8").keys() & {"CAST", "MUL", "ADD"}


def test_result_has_the_measured_figures_of_each_file(finished_run, model, inputs):
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


def test_quantised_formats_are_smaller(finished_run):
    size = {name: entry["bytes"] for name, entry in finished_run.result["export"].items()}
    assert size["float16"] < 0.55 * size["float32"]
    assert size["int8"] < 0.35 * size["float32"]
    assert size["dynamic"] < 0.35 * size["float32"]


def test_arena_bytes_cover_activations_and_unpacked_weights(finished_run):
    taken = {k: e["arena_bytes"] for k, e in finished_run.result["export"].items() if k in LITERT}
    # The embedded MobileNet at 32 px needs most memory at its second layer.
    assert 16 * 16 * (16 + 32) <= taken["int8"] < 0.4 * taken["float32"]
    # A float16 file also needs memory for its unpacked weights.
    weights = finished_run.result["export"]["float16"]["bytes"]
    assert taken["float16"] - taken["float32"] == pytest.approx(2 * weights, rel=0.1)


def test_weights_are_aligned_in_the_file(finished_run):
    content = (finished_run.workdir / "export" / "model_int8.tflite").read_bytes()
    found = flatbuffer.schema.Model.GetRootAsModel(content, 0)
    sizes = [found.Buffers(i).DataLength() for i in range(found.BuffersLength())]
    places = [
        found.Buffers(i)._tab.Vector(found.Buffers(i)._tab.Offset(4))
        for i, size in enumerate(sizes)
        if size
    ]
    assert max(sizes) > 10_000 and {place % flatbuffer.ALIGNMENT for place in places} == {0}


def test_serve_encoded_prepares_files_as_in_training(finished_run, pictures):
    loaded = tf.saved_model.load(str(finished_run.workdir / "export" / "saved_model"))
    rows = [
        line.split(",") for line in (finished_run.workdir / "predictions.csv").read_text().split()
    ]
    for row in rows[1:4]:
        content = (pictures / row[0]).read_bytes()
        signature = loaded.signatures["serve_encoded"]
        found = signature(encoded=tf.constant([content]))["probabilities"].numpy()[0]
        np.testing.assert_allclose(found, [float(value) for value in row[5:]], atol=2e-6)


def test_label_file_has_one_label_per_line(finished_run):
    text = (finished_run.workdir / "export" / "labels.txt").read_text()
    assert text == "cross\ndisc\nsquare\n"


@pytest.mark.parametrize("name", LITERT)
def test_litert_file_contains_its_labels(finished_run, name):
    with zipfile.ZipFile(finished_run.workdir / "export" / f"model_{name}.tflite") as archive:
        assert archive.namelist() == ["labels.txt"]
        assert archive.read("labels.txt") == b"cross\ndisc\nsquare\n"


def test_metadata_are_deterministic_and_replace_earlier_ones(finished_run):
    content = (finished_run.workdir / "export" / "model_int8.tflite").read_bytes()
    twice = [metadata.add(content, ABOUT) for _ in range(2)]
    assert twice[0] == twice[1]
    # Existing metadata are replaced.
    names = [entry.name for entry in flatbuffer.read(twice[0]).metadata]
    assert names.count(metadata.NAME) == 1


def test_model_tflite_is_the_chosen_file(finished_run):
    shipped = finished_run.result["shipped"]
    made = finished_run.workdir / finished_run.result["export"][shipped["format"]]["path"]
    assert (finished_run.workdir / shipped["path"]).read_bytes() == made.read_bytes()


def test_dynamic_batch_accepts_any_size(exported_again, inputs):
    images = np.asarray(inputs["test"].array[:5])
    for name in ("float32", "int8"):
        found = interpreter(exported_again, name)
        assert list(found.get_input_details()[0]["shape_signature"]) == [-1, 32, 32, 3]
        found.resize_tensor_input(found.get_input_details()[0]["index"], images.shape)
        found.allocate_tensors()
        found.set_tensor(found.get_input_details()[0]["index"], images)
        found.invoke()
        answers = found.get_tensor(found.get_output_details()[0]["index"])
        one_by_one = parity.load_litert(exported_again.workdir / "export" / f"model_{name}.tflite")
        alone = one_by_one(inputs["test"].part(np.arange(5)))["probabilities"]
        scale = found.get_output_details()[0]["quantization"][0] or 1
        np.testing.assert_allclose(answers * np.float32(scale), alone, atol=0.005)


def test_int16x8_and_onnx_agree_with_the_model(exported_again):
    made = exported_again.result["export"]
    assert made["onnx"]["status"] == "ok" and made["onnx"]["max_abs_diff"] < 1e-4
    assert made["onnx"]["path"] == "export/model.onnx"
    assert made["int16x8"]["status"] == "ok" and made["int16x8"]["agreement"] >= 0.9
    found = interpreter(exported_again, "int16x8")
    convolutions = [op for op in found._get_ops_details() if op["op_name"] == "CONV_2D"]
    types = {tensor["index"]: tensor["dtype"] for tensor in found.get_tensor_details()}
    assert {types[op["outputs"][0]] for op in convolutions} == {np.int16}


def test_all_formats_abstain_on_the_same_examples(exported_again, inputs):
    counts = set()
    for name in ("saved_model", "float32", "onnx"):
        measured = exported_again.result["export"][name]["abstain"]
        counts.add(round(measured["answered"] * measured["n"]))
        assert measured["n"] == len(inputs["test"])
    assert len(counts) == 1 and 0 < counts.pop() < len(inputs["test"])
    near = exported_again.result["export"]
    assert abs(near["int8"]["abstain"]["answered"] - near["float32"]["abstain"]["answered"]) < 0.2
    names = [output["name"] for output in interpreter(exported_again, "int8").get_output_details()]
    assert names == ["probabilities", "abstain"]
    spec = json.loads((exported_again.workdir / "export" / "device" / "spec.json").read_text())
    assert 0 < spec["abstain_threshold"] < 1
    assert (
        "`abstain (any,) "
        in (exported_again.workdir / "export" / "device" / "README.md").read_text()
    )


def test_earlier_exports_stay(exported_again, finished_run):
    assert exported_again.result["export"]["float16"] == finished_run.result["export"]["float16"]
    assert (exported_again.workdir / "export" / "model_float16.tflite").exists()


def test_too_few_validation_examples_to_abstain_are_reported_before_training(tree, tmp_path):
    config = {"formats": [], "abstain": 0.99}
    with pytest.raises(ValueError, match="export.abstain: a level of 0.99 needs at least 99"):
        tl_keras.finetune({**tree, "export": config}, tmp_path / "run")
    assert not (tmp_path / "run" / "model.keras").exists()


def test_corrected_biases_reduce_the_error(model, inputs):
    images = litert.calibration_examples(inputs["train"], 30)
    calibrated = convert(model, images, ExportConfig(formats=("int8",)), None).calibrated
    plain = replace(calibrated, corrections={name: {} for name in quantise.CORRECTED})
    reference = model.predict_on_batch(np.asarray(inputs["test"].array))
    for name in ("dynamic", "int8"):
        answers = [run(quantise.quantise(c, name), inputs["test"]) for c in (calibrated, plain)]
        corrected, uncorrected = (np.abs(own - reference).mean() for own in answers)
        assert corrected < uncorrected, name


@pytest.mark.parametrize("where", [metadata, bundle])
def test_full_disk_leaves_earlier_exports_unchanged(
    finished_run, tmp_path, monkeypatch, capsys, where
):
    workdir = tmp_path / "run"
    shutil.copytree(finished_run.workdir, workdir)
    before = {p: p.read_bytes() for p in (workdir / "export").rglob("*") if p.is_file()}

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a file")

    monkeypatch.setattr(where, "add" if where is metadata else "write", full)
    line = ["export", f"--workdir={workdir}", "--set", "export.formats=[float32]"]
    assert cli.main(line) == 2
    assert "No space left on device" in capsys.readouterr().err
    after = {p: p.read_bytes() for p in (workdir / "export").rglob("*") if p.is_file()}
    assert after == before


def test_shipped_file_stays_if_no_litert_file_is_made(finished_run, tree, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(finished_run.workdir, workdir)
    again = tl_keras.finetune(
        {**tree, "export": {"formats": ["saved_model"], "abstain": 0.8}}, workdir
    )
    assert again.result["shipped"] == finished_run.result["shipped"]
    spec = json.loads((workdir / "export" / "device" / "spec.json").read_text())
    assert spec["abstain_threshold"] is None  # The shipped file has no output `abstain`.


def test_exit_status_is_3_if_no_file_is_within_the_limits(finished_run, tmp_path, capsys):
    workdir = tmp_path / "run"
    shutil.copytree(finished_run.workdir, workdir)
    line = ["export", f"--workdir={workdir}", "--set", "export.formats=[int8]"]
    assert cli.main([*line, "--set", "export.max_bytes=1000"]) == 3
    said = capsys.readouterr()
    reason = "export.max_bytes is 1,000, but the smallest file, int8, has "
    assert f"model.tflite: {reason}" in said.err
    assert f"removed model.tflite and device/ of an earlier export, because {reason}" in said.err
    assert f"to ship       nothing: {reason}" in said.out
    # Only the new formats are listed.
    assert "exported 1 format\n  int8" in said.out and "float16" not in said.out
    assert not (workdir / "export" / "model.tflite").exists()
    assert not (workdir / "export" / "device").exists()


@pytest.mark.parametrize("spoil", ["missing", "truncated", "lambda"])
def test_message_names_a_model_file_that_cannot_be_read(finished_run, tmp_path, capsys, spoil):
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


def test_report_states_the_real_number_of_timed_runs():
    assert figures.TIMED == parity.TIMED_RUNS
