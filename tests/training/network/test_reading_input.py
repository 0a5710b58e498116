"""Whole trainings and exports of backbones in which every block also reads the model's input."""

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
from tl_keras.data.batching import batches
from tl_keras.data.batching.inputs import Inputs
from tl_keras.data.prepared import Data
from tl_keras.export import export, proof
from tl_keras.export.description import Description
from tl_keras.export.subject import Subject, Writing
from tl_keras.modalities.image.config import ImageConfig
from tl_keras.modalities.image.explain import feature_map, grad_cam
from tl_keras.run.run import Run
from tl_keras.training import activations, adapt, architecture, features, suffix
from tl_keras.training.activations import Decision, kept_cuts, stored_inputs
from tl_keras.training.network import model as models
from tl_keras.training.network.fold_batch_norm import FoldedConvolution, Inference
from tl_keras.training.network.prefixes import prefixes_of
from tl_keras.training.passes import prefixes

CUTS = {rows: "add_0", tokens: "out_0", pictures: "both_0"}


def always(keep):
    return lambda *_: Decision(keep, "the test says so")


def architecture_with(tmp_path, build, keep, monkeypatch, **sections):
    """Returns an architecture in whose run activations are stored, or not, as `keep` says."""
    for name in ("worth_keeping", "fits_in_cache"):
        monkeypatch.setattr(activations, name, always(keep))
    sections = {**sections, "fit": {"freeze": CUTS[build], **sections.get("fit", {})}}
    run = Run(tmp_path / str(keep), config_of(tmp_path, **sections), "finetune")
    return architecture_of(run, build)


def finetuned_weights(arch) -> list[np.ndarray]:
    """Fine-tunes and returns the model's weights."""
    adapt.head_then_suffix(arch.run, arch, choose=lambda by_name: "finetuned")
    return arch.model.get_weights()


@pytest.mark.parametrize("build", CUTS)
def test_stored_and_computed_activations_train_to_the_same_weights(build, tmp_path, monkeypatch):
    """Time and disk space decide whether to store; the decision must not change the weights."""
    weights = [
        finetuned_weights(architecture_with(tmp_path, build, keep, monkeypatch))
        for keep in (True, False)
    ]
    before = made(build).get_weights()
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(weights[0], before, strict=False))
    for kept, computed in zip(*weights, strict=True):
        # float32 sums of batches of 8 and of 64 examples differ in their last bits.
        np.testing.assert_allclose(kept, computed, rtol=1e-3, atol=1e-4)


def test_input_is_passed_unchanged_and_only_to_suffixes_that_read_it(tmp_path, monkeypatch):
    arch = architecture_with(tmp_path, tokens, True, monkeypatch)
    how = architecture.reading(arch.config, arch.data.dataset)
    states, ids = stored_inputs(arch, "out_0", "train", how, None)
    assert ids is arch.data.inputs["train"].array or ids.base is arch.data.inputs["train"].array
    assert (ids.dtype, states.shape[1:]) == (np.int32, (8, 12))
    assert not isinstance(stored_inputs(arch, "features", "train", how, None), tuple)
    assert not [name for name in arch.run.record["features"] if name.startswith("ids/")]
    labels = arch.data.inputs["train"].labels
    ((x, _, _), *_) = batches.of_activations((states, ids), labels, how, 0)
    assert [part.dtype for part in x] == [tf.float32, tf.int32]


def test_views_of_the_input_are_stored_beside_the_activations(tmp_path, monkeypatch):
    image = {"augment": [{"flip": "horizontal"}]}
    arch = architecture_with(tmp_path, pictures, True, monkeypatch, image=image)
    how = architecture.reading(arch.config, arch.data.dataset)
    other = kept_cuts(arch, "train")
    assert other == ["both_0", "image"]
    _, images = stored_inputs(arch, "both_0", "train", how, 1, other)
    inputs = arch.data.inputs["train"]
    expected = np.concatenate(list(batches.view(inputs, 64, how, 1)))
    np.testing.assert_array_equal(images, expected)
    assert (images != inputs.array).any()
    assert arch.run.record["features"]["image/train"]["bytes"] == images.nbytes
    assert len(finetuned_weights(arch)) == len(arch.model.weights)


def test_folds_take_their_rows_of_activations_and_input(tmp_path, monkeypatch):
    arch = architecture_with(tmp_path, rows, True, monkeypatch)
    chosen = np.array([5, 3, 20])
    pool = arch.data
    part = {"train": pool.inputs["train"].part(chosen)}
    fold_arch = replace(arch, data=Data(pool.dataset, part, pool))
    how = architecture.reading(arch.config, pool.dataset)
    pooled, of_fold = (stored_inputs(a, "add_0", "train", how, None) for a in (arch, fold_arch))
    for all_rows, fold_rows in zip(pooled, of_fold, strict=True):
        np.testing.assert_array_equal(fold_rows, all_rows[chosen])


def test_stored_size_counts_the_input_too(tmp_path):
    backbone = made(tokens)
    inputs = examples(backbone, 16).array
    config = config_of(tmp_path).model
    cuts = prefixes_of(backbone, ["out_0"], inputs, config).cuts
    assert list(cuts) == ["ids", "out_0", "features"]
    assert cuts["ids"].dtype == "int32" and cuts["ids"].bytes == 8 * 4
    assert cuts["out_0"].input_bytes == 32 and cuts["features"].input_bytes == 0
    assert cuts["out_0"].bytes == 8 * 12 * np.dtype(cuts["out_0"].dtype).itemsize + 32
    assert "weights" not in cuts["ids"].key
    assert list(prefixes_of(backbone, [], inputs, config).cuts) == ["features"]


def test_half_precision_trains_from_a_cut_that_reads_the_input(tmp_path, monkeypatch):
    arch = architecture_with(tmp_path, tokens, True, monkeypatch)
    twin = from_file.in_precision(arch.backbone, "mixed_bfloat16")
    trained = models.add_head(twin, arch.data.dataset.classes, 0.2)
    trained.set_weights(arch.model.get_weights())
    arch = replace(arch, trained=trained)
    before = arch.model.get_weights()
    adapted = adapt.head_then_suffix(arch.run, arch, choose=lambda by_name: "finetuned")
    assert np.isfinite(adapted.probabilities).all()
    assert any((a != b).any() for a, b in zip(before, arch.model.get_weights(), strict=True))
    assert list(prefixes(arch, half=True).cuts) == ["ids", "out_0", "features"]


def test_suffix_that_reads_the_input_folds_batch_norm():
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


def test_mixed_candidate_has_its_temperature_folded_in(tmp_path, monkeypatch):
    arch = architecture_with(tmp_path, tokens, True, monkeypatch)
    adapted = adapt.head_then_suffix(arch.run, arch, choose=lambda by_name: "mix")
    val = arch.data.inputs["val"]
    answers = features.outputs(Inference(arch.model), val)
    # Stored activations of the validation set are float16.
    np.testing.assert_allclose(adapted.probabilities, answers, atol=5e-3)
    file = tmp_path / "model.keras"
    arch.model.save(file)  # The model has been split before.
    np.testing.assert_array_equal(features.outputs(Inference(models.load(file)), val), answers)


def test_heat_map_works_if_later_blocks_read_the_input():
    model = models.add_head(made(pictures), ("a", "b", "c"), 0.2)
    assert feature_map(model) == "both_2"
    images = examples(model, 3).array
    heat = grad_cam(model, images, np.eye(3))
    assert heat.shape == (3, 4, 4) and heat.any()
    assert grad_cam(models.add_head(made(rows), ("a", "b"), 0.2), images, np.eye(2)) is None
    assert feature_map(models.add_head(made(tokens), ("a", "b"), 0.2)) is None


@pytest.mark.parametrize("build", ENDS)
def test_exports_work_for_models_whose_blocks_read_the_input(build, tmp_path):
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
    subject = Subject(model, inputs, reference)
    text = "Recognises three classes."
    about = Description("toy", text, ImageConfig(), ["a", "b", "c"], "1", "", "")
    asked = ExportConfig(formats=("saved_model", "float32", "int8"))
    if build is not pictures:
        asked = ExportConfig(formats=("float32", "int8"))
    with export.unfinished(tmp_path / "export") as folder:
        writing = Writing(tf_decode, about, asked, None, folder)
        entries = export.export(subject, writing)
    for name, entry in entries.items():
        assert entry["status"] == proof.OK, (name, entry["status"])
    assert entries["float32"]["max_abs_diff"] < 1e-4
    assert entries["int8"]["agreement"] > 0.85
