"""A faulty exported file is detected, and repaired if possible."""

import json
from dataclasses import replace
from typing import get_args

import keras
import numpy as np
import pytest
from handmade import verdict
from small_nets import converted, exported, net, noise, subject_of

from tl_keras.config.export import BYTES_PER_WEIGHT, EXACT, NOT_LITERT, Format
from tl_keras.export import proof
from tl_keras.export.formats import litert, quantise
from tl_keras.export.subject import Subject
from tl_keras.run.result.whole import to_json
from tl_keras.tasks.classification import exports


@pytest.fixture(scope="module")
def easy() -> Subject:
    return subject_of(net())


def test_model_that_is_hard_to_quantise_is_repaired(tmp_path):
    results = exported(subject_of(net(scale=1000)), tmp_path, formats=("float32", "int8"))
    entry = results["int8"]
    steps = entry["repair"]["steps"]
    assert steps[0]["kept"] == 0 and steps[0]["lost"] > 0.1
    assert entry["status"] == "ok" and entry["val"]["lost"] <= 0.01
    assert {"wide", "next"} & set(entry["repair"]["kept"])
    assert len(entry["repair"]["kept"]) < len(quantised_operators(subject_of(net(1000))))
    assert entry["accuracy"] > 0.97  # on test, which did not influence the repair


def test_repair_on_few_validation_examples_also_looks_at_training_examples(tmp_path):
    subject = subject_of(net(scale=1000))
    val = subject.inputs["val"].part(np.arange(8))
    few = {**subject.inputs, "val": val}
    reference = {**subject.reference, "val": subject.reference["val"][:8]}
    judged = replace(subject, inputs=few, reference=reference)
    entry = exported(judged, tmp_path, formats=("float32", "int8"))["int8"]
    assert entry.status == "ok" and entry.val.n == 8 and entry.val.also == 120
    # A repair by the eight examples alone accepts a file that is far from the model on others.
    assert entry.agreement > 0.97


def test_status_names_the_training_examples_on_which_answers_moved():
    moved = verdict(moved=0.2).model_copy(update={"also": 108})
    assert "on validation or on 108 training examples (mean" in exports.status(moved, 0.01)


def test_weights_that_overflow_float16_stay_float(tmp_path):
    made = exported(subject_of(net(scale=1e8)), tmp_path, formats=("float32", "float16"))
    assert made["float16"]["status"] == "ok" and "wide" in made["float16"]["repair"]["kept"]
    json.dumps(to_json(made), allow_nan=False)


def test_moved_probability_does_not_depend_on_the_number_of_classes():
    for classes in (2, 100):
        one, other = np.eye(classes)[[0]], np.eye(classes)[[1]]
        assert exports.moved(one, other) == 1
        assert exports.moved(one, (one + other) / 2) == 0.5


def test_arena_bytes_are_left_out_if_sizes_are_unknown_before_running(tmp_path):
    image = keras.Input((32, 32, 3), dtype="uint8")
    x = keras.layers.Conv2D(4, 3, strides=4)(keras.layers.Rescaling(0.01)(image))
    x = keras.layers.Dense(3)(keras.layers.Flatten()(x))
    subject = subject_of(keras.Model(image, keras.layers.Softmax(name="probabilities")(x)))
    made = exported(subject, tmp_path, formats=("float32", "int8"), batch="dynamic")
    assert {entry["arena_bytes"] for entry in made.values()} == {None}
    assert {entry["status"] for entry in made.values()} == {"ok"}
    made = exported(subject, tmp_path, formats=("float32",))
    assert made["float32"]["arena_bytes"] > 4 * 32 * 32 * 3


def quantised_operators(subject: Subject) -> list[int]:
    content = converted(subject.model)
    return quantise.candidates(quantise.calibrate(content, noise(4, 0)), "int8")


def test_model_that_is_easy_to_quantise_needs_no_repair(easy, tmp_path):
    results = exported(easy, tmp_path, formats=("dynamic", "int8"))
    for entry in results.values():
        assert "repair" not in entry and entry["status"] == "ok"


def test_file_that_cannot_be_repaired_is_rejected(easy, tmp_path, monkeypatch):
    """Planted fault: the quantised files come from another model than the measured one."""
    twin = keras.models.clone_model(easy.model)
    twin.set_weights([w[..., ::-1] for w in easy.model.get_weights()])
    other = quantise.calibrate(converted(twin), noise(4, 0))
    original = quantise.quantise
    monkeypatch.setattr(quantise, "quantise", lambda _, *how: original(other, *how))
    good = tmp_path / "model_int8.tflite"
    good.write_bytes(b"from an earlier export")
    results = exported(easy, tmp_path, formats=("int8",))
    assert "more than export.max_accuracy_drop, 0.01" in results["int8"]["status"]
    assert results["int8"]["path"].endswith("/model_int8.rejected.tflite")
    assert (tmp_path / "model_int8.rejected.tflite").exists() and not good.exists()
    monkeypatch.undo()
    exported(easy, tmp_path, formats=("int8",))
    assert good.exists() and not (tmp_path / "model_int8.rejected.tflite").exists()


def test_float_file_with_wrong_answers_is_rejected(easy, tmp_path, monkeypatch):
    twin = net()
    twin.get_layer("logits").set_weights([1.1 * w for w in twin.get_layer("logits").get_weights()])
    content = converted(twin)
    monkeypatch.setattr(litert, "convert", lambda *_: content)
    results = exported(easy, tmp_path, formats=("float32",))
    assert "over export.max_difference 0.001" in results["float32"]["status"]
    assert (tmp_path / "model_float32.rejected.tflite").exists()


def test_onnx_file_with_wrong_answers_is_rejected(easy, tmp_path, monkeypatch):
    right = proof.OTHERS["onnx"]

    def load(path):
        run = right.load(path)
        return lambda inputs: {name: 0.9 * values for name, values in run(inputs).items()}

    monkeypatch.setitem(proof.OTHERS, "onnx", replace(right, load=load))
    results = exported(easy, tmp_path, formats=("onnx",))
    assert "over export.max_difference 0.001" in results["onnx"]["status"]
    assert (tmp_path / "model.rejected.onnx").exists()


def test_file_without_the_signatures_outputs_is_a_clear_fault(easy, tmp_path, monkeypatch):
    other = replace(proof.OTHERS["saved_model"], load=lambda _: lambda _: {"output_0": 0})
    monkeypatch.setitem(proof.OTHERS, "saved_model", other)
    with pytest.raises(RuntimeError, match="outputs output_0; expected an output 'probabilities'"):
        exported(easy, tmp_path, formats=("saved_model",))


def test_each_format_has_the_facts_that_others_need():
    assert set(proof.OTHERS) == set(NOT_LITERT)
    assert set(quantise.RECIPES) | {"float16"} == set(get_args(Format)) - set(EXACT)
    assert set(BYTES_PER_WEIGHT) == set(get_args(Format))


def test_message_names_an_operator_that_litert_lacks(tmp_path):
    subject = subject_of(net(special=True))
    with pytest.raises(ValueError, match="export.allow_flex: LiteRT has no operator.* Atan"):
        exported(subject, tmp_path, formats=("float32",))
    assert not any(tmp_path.iterdir())


def test_file_with_flex_operators_is_written_but_not_proved(tmp_path):
    subject = subject_of(net(special=True))
    results = exported(subject, tmp_path, formats=("float32",), allow_flex=True)
    assert results["float32"]["operators"]["FlexAtan"] == 1
    assert results["float32"]["status"] == "not measured: the installed LiteRT cannot run FlexAtan"
    assert (tmp_path / "model_float32.rejected.tflite").exists()
    with pytest.raises(ValueError, match=r"int8 cannot be made: .*its operators FlexAtan; exp"):
        exported(subject, tmp_path, formats=("float32", "int8"), allow_flex=True)


def test_a_loss_is_judged_by_its_paired_interval():
    labels = np.arange(400) % 2
    right = np.eye(2)[labels]
    worse, slightly = right.copy(), right.copy()
    worse[:40] = 1 - worse[:40]
    slightly[:5] = 1 - slightly[:5]
    loss = exports.lost(worse, right, labels, "validation")
    assert loss["lost"] == pytest.approx(0.1) and loss["interval"][0] > 0.01
    assert exports.lost(slightly, right, labels, "validation")["interval"][0] <= 0.01
    assert exports.lost(right, worse, labels, "validation")["lost"] == pytest.approx(-0.1)
