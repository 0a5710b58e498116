"""Exported files: their numbers, their interface, and that a fault in one is caught."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from tl_keras import backbones, export, features
from tl_keras import config as configs
from tl_keras import model as models
from tl_keras.approaches import stages
from tl_keras.config import ExportConfig
from tl_keras.data.batches import Inputs
from tl_keras.export import litert, parity
from tl_keras.fold import Inference
from tl_keras.report import figures
from tl_keras.run import opened


@pytest.fixture(scope="module")
def model(finished_run):
    return models.load(finished_run.workdir / "model.keras")


@pytest.fixture(scope="module")
def inputs(tree, tmp_path_factory) -> dict[str, Inputs]:
    with opened(configs.from_tree(tree), tmp_path_factory.mktemp("r") / "r", "finetune") as run:
        return stages.read(run).inputs


def interpreter(finished_run, name: str) -> Interpreter:
    file = finished_run.workdir / "export" / f"model_{name}.tflite"
    found = Interpreter(str(file))
    found.allocate_tensors()
    return found


@pytest.mark.parametrize("name", ["float32", "float16", "dynamic", "int8"])
def test_takes_pixels_and_gives_probabilities(finished_run, name):
    found = interpreter(finished_run, name)
    image, probabilities = found.get_input_details()[0], found.get_output_details()[0]
    assert image["dtype"] == np.uint8
    assert list(image["shape"]) == [1, 32, 32, 3]
    assert list(probabilities["shape"]) == [1, 3]
    assert probabilities["dtype"] == (np.uint8 if name == "int8" else np.float32)
    assert found.get_signature_list() == {
        "serve": {"inputs": ["image"], "outputs": ["probabilities"]}
    }


@pytest.mark.parametrize("name", ["float32", "float16", "dynamic", "int8"])
def test_no_operator_needs_flex(finished_run, name):
    names = {op["op_name"] for op in interpreter(finished_run, name)._get_ops_details()}
    assert not {operator for operator in names if operator.startswith("Flex")}


def test_int8_computes_in_integers(finished_run):
    found = interpreter(finished_run, "int8")
    convolutions = [
        op for op in found._get_ops_details() if op["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D")
    ]
    dtypes = {t["index"]: t["dtype"] for t in found.get_tensor_details()}
    assert len(convolutions) > 20
    assert {dtypes[op["outputs"][0]] for op in convolutions} == {np.int8}


def test_numbers_in_the_result_are_those_of_the_file(finished_run, model, inputs):
    for name, entry in finished_run.result["export"].items():
        path = finished_run.workdir / entry["path"]
        runner = parity.load_saved_model if name == "saved_model" else parity.load_litert
        found = runner(path)(inputs["test"])
        reference = model.predict_on_batch(np.asarray(inputs["test"].array))
        right = (found.argmax(-1) == inputs["test"].labels).mean()
        assert entry["accuracy"] == pytest.approx(right)
        assert entry["max_abs_diff"] == pytest.approx(np.abs(found - reference).max(), abs=1e-5)
        assert entry["bytes"] == parity.num_bytes(path)


def test_formats_shrink_as_they_should(finished_run):
    size = {name: entry["bytes"] for name, entry in finished_run.result["export"].items()}
    assert size["float16"] < 0.55 * size["float32"]
    assert size["int8"] < 0.35 * size["float32"]
    assert size["dynamic"] < 0.35 * size["float32"]


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


def test_wrong_file_is_caught(model, inputs, tmp_path, monkeypatch):
    """A planted fault: the exported model is another than the one that was measured."""
    convert = litert.convert

    def convert_spoiled(folder, name, examples):
        spoiled = tmp_path / "spoiled"
        if not spoiled.exists():
            backbone = backbones.build("MobileNet", {"alpha": 0.5}, 32)
            twin = models.add_head(backbone, ("cross", "disc", "square"), 0.0)
            twin.set_weights([w[..., ::-1] if w.ndim == 2 else w for w in model.get_weights()])
            export.saved_model.write_single(twin, spoiled)
        return convert(spoiled, name, examples)

    monkeypatch.setattr(litert, "convert", convert_spoiled)
    config = ExportConfig(formats=("float32", "dynamic"))
    reference = {
        split: features.outputs(Inference(model), inputs[split]) for split in ("val", "test")
    }
    results = export.export(
        model, inputs, reference, lambda image: image, config, tmp_path / "export"
    )
    assert "over export.max_difference" in results["float32"]["status"]
    assert "over export.max_accuracy_drop" in results["dynamic"]["status"]


def test_the_report_says_how_often_a_file_was_timed():
    assert figures.TIMED == parity.TIMED_RUNS


def test_accuracy_is_judged_by_its_paired_interval():
    labels = np.arange(400) % 2
    right = np.eye(2)[labels]
    worse, slightly = right.copy(), right.copy()
    worse[:40] = 1 - worse[:40]
    slightly[:5] = 1 - slightly[:5]
    assert "loses 0.100" in parity.status_of_accuracy(worse, right, labels, 0.01)
    assert parity.status_of_accuracy(slightly, right, labels, 0.01) == "ok"
    assert parity.status_of_accuracy(right, worse, labels, 0.01) == "ok"


@pytest.mark.parametrize("kept", [True, False])
def test_calibration_takes_classes_in_turn(kept):
    labels = np.array([0] * 50 + [1] * 5 + [2] * 5)
    images = np.arange(60, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    table = tf.constant(images)
    read = None if kept else lambda indices: indices.map(lambda i: table[i])
    found = litert.calibration_examples(Inputs(labels, images if kept else None, read), 12)
    counts = np.bincount(labels[found[:, 0, 0, 0]])
    assert list(counts) == [4, 4, 4]
