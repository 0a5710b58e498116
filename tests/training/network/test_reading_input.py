"""Whole trainings and exports of backbones whose blocks read their own input."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from input_readers import (
    ENDS,
    architecture_of,
    config_of,
    examples,
    made,
    pictures,
    prepared,
    rows,
    tokens,
)
from small_nets import tf_decode

from tl_keras.backbones import from_file
from tl_keras.config.export import ExportConfig
from tl_keras.data import batches
from tl_keras.data.inputs import Inputs
from tl_keras.data.prepared import Data
from tl_keras.export import export, proof
from tl_keras.export.description import Description
from tl_keras.modalities.image.config import ImageConfig
from tl_keras.modalities.image.explain import feature_map, grad_cam
from tl_keras.run.run import Run
from tl_keras.training import activations, adapt, architecture, features, suffix
from tl_keras.training.activations import Worth, kept_cuts, starts_of
from tl_keras.training.network import model as models
from tl_keras.training.network.fold_batch_norm import FoldedConvolution, Inference
from tl_keras.training.passes import prefixes

CUTS = {rows: "add_0", tokens: "out_0", pictures: "both_0"}


def decided(keep):
    return lambda *_: Worth(keep, "the test says so")


def begun(tmp_path, build, keep, monkeypatch, **sections):
    """The architecture of a run whose activations are kept, or not."""
    for name in ("worth_keeping", "fitting"):
        monkeypatch.setattr(activations, name, decided(keep))
    sections = {**sections, "fit": {"freeze": CUTS[build], **sections.get("fit", {})}}
    run = Run(tmp_path / str(keep), config_of(tmp_path, **sections), "finetune")
    return architecture_of(run, build)


def tuned(arch) -> list[np.ndarray]:
    """The weights after fine-tuning."""
    adapt.head_then_suffix(arch.run, arch, choose=lambda standing: "finetuned")
    return arch.model.get_weights()


@pytest.mark.parametrize("build", CUTS)
def test_kept_activations_train_as_computed_ones(build, tmp_path, monkeypatch):
    """With the input beside them: timing or room decides which, and never the weights."""
    found = [tuned(begun(tmp_path, build, keep, monkeypatch)) for keep in (True, False)]
    before = made(build).get_weights()
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(found[0], before, strict=False))
    for kept, computed in zip(*found, strict=True):
        # float32 sums of batches of 8 and of 64 examples differ in their last bits.
        np.testing.assert_allclose(kept, computed, rtol=1e-3, atol=1e-4)


def test_the_input_is_handed_on_as_it_is_and_only_where_it_is_read(tmp_path, monkeypatch):
    arch = begun(tmp_path, tokens, True, monkeypatch)
    how = architecture.reading(arch.config, arch.data.dataset)
    states, ids = starts_of(arch, "out_0", "train", how, None)
    assert ids is arch.data.inputs["train"].array or ids.base is arch.data.inputs["train"].array
    assert (ids.dtype, states.shape[1:]) == (np.int32, (8, 12))
    assert not isinstance(starts_of(arch, "features", "train", how, None), tuple)
    assert not [name for name in arch.run.record["features"] if name.startswith("ids/")]
    labels = arch.data.inputs["train"].labels
    ((x, _, _), *_) = batches.of_activations((states, ids), labels, how, 0)
    assert [part.dtype for part in x] == [tf.float32, tf.int32]


def test_views_of_the_input_are_kept_beside_the_activations(tmp_path, monkeypatch):
    image = {"augment": [{"flip": "horizontal"}]}
    arch = begun(tmp_path, pictures, True, monkeypatch, image=image)
    how = architecture.reading(arch.config, arch.data.dataset)
    other = kept_cuts(arch, "train")
    assert other == ["both_0", "image"]
    _, images = starts_of(arch, "both_0", "train", how, 1, other)
    inputs = arch.data.inputs["train"]
    expected = np.concatenate(list(batches.view(inputs, 64, how, 1)))
    np.testing.assert_array_equal(images, expected)
    assert (images != inputs.array).any()
    assert arch.run.record["features"]["image/train"]["bytes"] == images.nbytes
    assert len(tuned(arch)) == len(arch.model.weights)


def test_folds_take_their_rows_of_both(tmp_path, monkeypatch):
    arch = begun(tmp_path, rows, True, monkeypatch)
    chosen = np.array([5, 3, 20])
    pool = arch.data
    part = {"train": pool.inputs["train"].part(chosen)}
    fold_arch = replace(arch, data=Data(pool.dataset, part, pool))
    how = architecture.reading(arch.config, pool.dataset)
    every, some = (starts_of(own, "add_0", "train", how, None) for own in (arch, fold_arch))
    for whole, few in zip(every, some, strict=True):
        np.testing.assert_array_equal(few, whole[chosen])


def test_room_and_time_count_the_input_too(tmp_path):
    backbone = made(tokens)
    inputs = examples(backbone, 16).array
    config = config_of(tmp_path).model
    found = features.prefixes(backbone, ["out_0"], inputs, config).cuts
    assert list(found) == ["ids", "out_0", "features"]
    assert found["ids"].dtype == "int32" and found["ids"].bytes == 8 * 4
    assert found["out_0"].input_bytes == 32 and found["features"].input_bytes == 0
    assert found["out_0"].bytes == 8 * 12 * np.dtype(found["out_0"].dtype).itemsize + 32
    assert "weights" not in found["ids"].key
    assert list(features.prefixes(backbone, [], inputs, config).cuts) == ["features"]


def test_half_precision_trains_from_a_cut_that_reads_the_input(tmp_path, monkeypatch):
    arch = begun(tmp_path, tokens, True, monkeypatch)
    twin = from_file.in_precision(arch.backbone, "mixed_bfloat16")
    trained = models.add_head(twin, arch.data.dataset.classes, 0.2)
    trained.set_weights(arch.model.get_weights())
    arch = replace(arch, trained=trained)
    before = arch.model.get_weights()
    found = adapt.head_then_suffix(arch.run, arch, choose=lambda standing: "finetuned")
    assert np.isfinite(found.probabilities).all()
    assert any((a != b).any() for a, b in zip(before, arch.model.get_weights(), strict=True))
    assert list(prefixes(arch, half=True).cuts) == ["ids", "out_0", "features"]


def test_a_step_folds_batch_norm_that_reads_the_input():
    model = models.add_head(made(pictures), ("a", "b", "c"), 0.2)
    _, above = suffix.halves(models.logits_of(model), "both_0")
    folded = [x.name for x in above.layers if isinstance(x, FoldedConvolution)]
    assert folded == ["norm_1", "norm_2"]
    inputs = examples(model, 5).array
    prefix, _ = suffix.halves(models.logits_of(model), "both_0")
    expected = models.logits_of(model)(inputs)
    both = Inputs(np.arange(5), (np.asarray(prefix(inputs)), inputs))
    found = features.outputs(Inference(above), both)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    (again,) = batches.evaluation(both, 8).as_numpy_iterator()
    np.testing.assert_array_equal(again[1], inputs)


def test_weights_are_mixed_and_the_temperature_is_folded(tmp_path, monkeypatch):
    arch = begun(tmp_path, tokens, True, monkeypatch)
    found = adapt.head_then_suffix(arch.run, arch, choose=lambda standing: "mix")
    val = arch.data.inputs["val"]
    given = features.outputs(Inference(arch.model), val)
    # What is kept of validation is in half precision.
    np.testing.assert_allclose(found.probabilities, given, atol=5e-3)
    file = tmp_path / "model.keras"
    arch.model.save(file)  # After halves of it were made.
    np.testing.assert_array_equal(features.outputs(Inference(models.load(file)), val), given)


def test_explanation_reads_the_input_behind_the_map():
    model = models.add_head(made(pictures), ("a", "b", "c"), 0.2)
    assert feature_map(model) == "both_2"
    images = examples(model, 3).array
    heat = grad_cam(model, images, np.eye(3))
    assert heat.shape == (3, 4, 4) and heat.any()
    assert grad_cam(models.add_head(made(rows), ("a", "b"), 0.2), images, np.eye(2)) is None
    assert feature_map(models.add_head(made(tokens), ("a", "b"), 0.2)) is None


@pytest.mark.parametrize("build", ENDS)
def test_exports_take_the_input_as_the_model_has_it(build, tmp_path):
    model = models.add_head(made(build), ("a", "b", "c"), 0.2)
    head = model.get_layer("logits")
    kernel = np.random.default_rng(0).normal(0, 2, head.kernel.shape)
    head.set_weights([kernel, np.zeros(3)])
    data = prepared(model)
    reference = {
        name: features.outputs(Inference(model), data.inputs[name]) for name in ("val", "test")
    }
    inputs = {
        name: replace(own, labels=reference.get(name, np.eye(3)[own.labels]).argmax(-1))
        for name, own in data.inputs.items()
    }
    subject = proof.Subject(model, inputs, reference)
    about = Description("toy", "Tells three classes.", ImageConfig(), ["a", "b", "c"], "1", "", "")
    asked = ExportConfig(formats=("saved_model", "float32", "int8"))
    if build is not pictures:
        asked = ExportConfig(formats=("float32", "int8"))
    with export.unfinished(tmp_path / "export") as folder:
        writing = proof.Writing(tf_decode, about, asked, None, folder)
        found = export.export(subject, writing)
    for name, entry in found.items():
        assert entry["status"] == proof.OK, (name, entry["status"])
    assert found["float32"]["max_abs_diff"] < 1e-4
    assert found["int8"]["agreement"] > 0.85
