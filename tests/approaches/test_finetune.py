"""finetune end to end: the run folder, resuming after a kill, and errors."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from listed import assert_listed
from PIL import Image
from runs import FEW, Killed, assert_same_weights, changed, epochs_of, shoot, weights_of
from shapes import draw
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tl_keras
from tl_keras.approaches import finetune
from tl_keras.approaches import pretrain as pretraining
from tl_keras.config import text as configs
from tl_keras.config.model import ModelConfig
from tl_keras.data import record
from tl_keras.data.examples import Example
from tl_keras.export import step as exports
from tl_keras.modalities.image.config import ImageConfig
from tl_keras.run.result.whole import to_json
from tl_keras.tasks.classification import choice
from tl_keras.training import evaluation, head
from tl_keras.training import fit as train
from tl_keras.training.activations import Decision
from tl_keras.training.network import model as models


def test_run_folder_has_all_documented_files(finished_run):
    names = {path.name for path in finished_run.workdir.iterdir()} - {".lock"}
    assert names == {
        ".tl_keras",
        "config.yaml",
        "data.json",
        "findings.json",
        "metrics.jsonl",
        "tensorboard",
        "model.keras",
        "export",
        "predictions.csv",
        "pictures",
        "result.json",
        "report.html",
        "MODEL_CARD.md",
    }
    exported = {path.name for path in (finished_run.workdir / "export").iterdir()}
    files = {f"model_{name}.tflite" for name in ("float32", "float16", "dynamic", "int8")}
    assert exported == files | {"saved_model", "labels.txt", "model.tflite", "device"}
    assert_listed(finished_run)


def test_result_describes_the_run(finished_run):
    result = finished_run.result
    assert result["schema"] == 2
    assert result["pipeline"] == "finetune"
    assert to_json(result.data) == {
        "classes": 3,
        "train": 36,
        "val": 18,
        "test": 18,
        "quarantined": 0,
    }
    assert result["model"]["block"] == "conv_pw_6"
    assert result["model"]["cut"] == "conv_pw_6_relu"
    assert result["model"]["kept"] in ("head", "mix", "finetuned")
    assert set(result["seconds"]) == {
        *("total", "data", "features", "head", "finetune", "evaluate", "explain", "export"),
    }
    assert result["test"]["n"] == 18
    assert result["test"]["accuracy"] > 0.6  # By chance it would be a third.
    assert all(entry["status"] == "ok" for entry in result["export"].values())


def test_fine_tuning_is_skipped_if_it_could_not_be_chosen(tree, tmp_path):
    data = {"path": str(draw(tmp_path / "easy", 24, noise=5))}
    run = tl_keras.finetune(changed(tree, data=data, export=FEW), tmp_path / "run")
    (head,) = run.result["model"]["candidates"].values()
    assert 18 * head["log_loss"] < choice.MARGIN and head["views"] == 9
    assert run.result["model"]["kept"] == "head"
    reason = "fine-tuning is left out: on the 18 validation examples, not even a model without "
    assert run.result["model"]["fine_tuning"].startswith(reason)
    assert {line["stage"] for line in epochs_of(run.workdir)} == {"head"}
    assert reason in (run.workdir / "report.html").read_text()


def test_saved_config_makes_the_same_run(finished_run, tree):
    saved = configs.load(finished_run.workdir / "config.yaml")
    assert saved == configs.from_tree(tree)


def test_metrics_have_a_line_per_epoch(finished_run):
    lines = epochs_of(finished_run.workdir)
    tuned = [line for line in lines if line["stage"] == "finetune"]
    assert [line["epoch"] for line in tuned] == [0, 1, 2]
    assert all(np.isfinite(line["val_loss"]) for line in lines)


def test_tensorboard_shows_the_same_curves(finished_run):
    events = EventAccumulator(str(finished_run.workdir / "tensorboard"), {"tensors": 0})
    events.Reload()
    shown = {
        tag: {
            event.step: float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)
        }
        for tag in events.Tags()["tensors"]
    }
    written = {}
    for line in epochs_of(finished_run.workdir):
        stage, epoch = line.pop("stage"), line.pop("epoch")
        for name, value in line.items():
            written.setdefault(f"{stage}/{name}", {})[epoch] = pytest.approx(value, rel=1e-6)
    assert "finetune/val_loss" in shown and shown == written


def test_predictions_are_those_of_the_model(finished_run):
    text = (finished_run.workdir / "predictions.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    test = [row for row in rows if row["split"] == "test"]
    right = np.mean([row["label"] == row["prediction"] for row in test])
    assert right == pytest.approx(finished_run.result["test"]["accuracy"])
    for row in rows:
        total = sum(float(value) for name, value in row.items() if name.startswith("p:"))
        assert total == pytest.approx(1, abs=1e-5)


def test_a_run_never_ends_below_its_own_head(finished_run):
    model = finished_run.result["model"]
    scores = model["candidates"]
    assert scores[model["kept"]]["log_loss"] <= scores["head"]["log_loss"]


def test_candidates_are_compared_with_the_head_by_example(finished_run):
    candidates = finished_run.result["model"]["candidates"]
    for score in candidates.values():
        gained = (score["won"] - score["lost"]) / finished_run.result["val"]["n"]
        assert gained == pytest.approx(score["accuracy"] - candidates["head"]["accuracy"])
    assert candidates["head"]["won"] == candidates["head"]["lost"] == 0


def test_finished_run_returns_at_once(finished_run, tree, monkeypatch):
    monkeypatch.setattr(finetune, "run", lambda *_: pytest.fail("it ran again"))
    finished_run.report.unlink()  # As after a kill between the last two steps.
    again = tl_keras.finetune(tree, finished_run.workdir)
    assert again.result == finished_run.result
    assert again.report.exists()


def test_model_loads_without_this_package(finished_run):
    code = (
        "import sys, keras; sys.modules['tl_keras'] = None;"
        f"model = keras.models.load_model({str(finished_run.workdir / 'model.keras')!r});"
        "assert model.input.dtype == 'uint8'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.fixture(scope="module")
def quick_tree(quick) -> dict:
    """The config of `quick_run`."""
    return changed(quick, export=FEW)


def assert_same_epochs(one, other):
    """Asserts equal losses in each epoch, whichever weights are kept in the end."""
    lines = [
        [(line["stage"], line.get("loss"), line["val_loss"]) for line in epochs_of(workdir)]
        for workdir in (one, other)
    ]
    assert lines[0] == lines[1] and "finetune" in {stage for stage, *_ in lines[0]}


def test_a_run_killed_in_an_epoch_ends_as_an_unbroken_one(quick_run, quick_tree, tmp_path):
    workdir = tmp_path / "run"
    shoot("finetune", quick_tree, workdir, workdir / "checkpoint" / "finetune.npy")
    assert not (workdir / "model.keras").exists()
    tl_keras.finetune(quick_tree, workdir)
    assert_same_weights(workdir, quick_run.workdir)
    assert_same_epochs(workdir, quick_run.workdir)
    assert [line["epoch"] for line in epochs_of(workdir) if line["stage"] == "finetune"] == [
        0,
        1,
        2,
    ]


PHASES = [(record, "write"), (head, "fit_head"), (evaluation, "evaluate"), (exports, "exported")]


def test_a_run_killed_in_each_phase_ends_as_an_unbroken_one(
    quick_run, quick_tree, tmp_path, monkeypatch
):
    """One run that is killed several times, each time in a later phase."""

    def kill(*_):
        raise Killed

    for module, name in PHASES:
        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(module, name, kill)
            tl_keras.finetune(quick_tree, tmp_path / "run")
    run = tl_keras.finetune(quick_tree, tmp_path / "run")
    assert run.result is not None
    assert_same_weights(run.workdir, quick_run.workdir)
    assert_same_epochs(run.workdir, quick_run.workdir)


def test_a_model_without_a_result_is_trained_again(quick_run, quick_tree, tmp_path):
    """As if the user followed the advice to remove a damaged result.json."""
    shutil.copytree(quick_run.workdir, tmp_path / "run")
    file = tmp_path / "run" / "result.json"
    found = json.loads(file.read_text())
    del found["model"]
    file.write_text(json.dumps(found))
    with pytest.raises(ValueError, match="is damaged: model: missing; remove the file to"):
        tl_keras.finetune(quick_tree, tmp_path / "run")
    file.unlink()
    run = tl_keras.finetune(quick_tree, tmp_path / "run")
    assert run.result.model == quick_run.result.model and run.result.chosen is not None
    assert_same_weights(run.workdir, quick_run.workdir)


def test_added_format_keeps_the_model(finished_run, tree, tmp_path):
    shutil.copytree(finished_run.workdir, tmp_path / "run")
    before = (tmp_path / "run" / "model.keras").read_bytes()
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    del result["export"]["float32"]
    (tmp_path / "run" / "result.json").write_text(json.dumps(result))
    (tmp_path / "run" / "export" / "model_float32.tflite").unlink()
    run = tl_keras.finetune(changed(tree, export=FEW), tmp_path / "run")
    assert (run.workdir / "export" / "model_float32.tflite").exists()
    assert set(run.result["export"]) == set(finished_run.result["export"])
    assert run.result["test"] == finished_run.result["test"]
    assert (run.workdir / "model.keras").read_bytes() == before


def test_changed_data_are_refused(quick, pictures, tmp_path, monkeypatch):
    def kill(*_):
        raise Killed

    folder = tmp_path / "pictures"
    shutil.copytree(pictures, folder)
    tree = changed(quick, data={"path": str(folder)}, fit={"freeze": 1.0}, export=FEW)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(evaluation, "evaluate", kill)
        tl_keras.finetune(tree, tmp_path / "run")
    (folder / "cross" / "0.png").unlink()
    with pytest.raises(ValueError, match="have changed since the run in"):
        tl_keras.finetune(tree, tmp_path / "run")


def test_killed_fit_on_kept_activations_continues(quick, tmp_path, monkeypatch):
    """The decision to keep activations is recorded, and does not depend on a new measurement."""
    save = train.State.save

    def save_then_die(self, *arguments):
        save(self, *arguments)
        raise Killed

    tree = changed(quick, image={"augment": []}, fit={"epochs": 2}, export=FEW)
    tree["seed"] = 2**30 - 1  # The largest.
    monkeypatch.setattr(
        "tl_keras.training.activations.worth_keeping", lambda *_: Decision(True, "said so")
    )
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(train.State, "save", save_then_die)
        tl_keras.finetune(tree, tmp_path / "run")
    run = tl_keras.finetune(tree, tmp_path / "run")
    kept = run.result["features"]["relu_1/train"]
    assert (kept["keep"], kept["why"], kept["cached"]) == (True, "said so", True)
    assert [line["epoch"] for line in epochs_of(run.workdir) if line["stage"] == "finetune"] == [
        0,
        1,
    ]


@pytest.mark.parametrize("file", ["", "model.keras"])
def test_weights_that_saw_the_test_split_are_refused(finished_run, tree, tmp_path, file):
    tree = changed(
        tree,
        model={"weights": str(finished_run.workdir / file)},
        data={"split_seed": 1},
        export=FEW,
    )
    with pytest.raises(ValueError, match=r"model\.weights: .* was trained on \d+ images of val"):
        tl_keras.finetune(tree, tmp_path / "run")


def test_weights_of_another_backbone_are_named(finished_run):
    run = str(finished_run.workdir)
    for model, message in (
        (
            {"weights": run},
            "the run of these weights has the backbone MobileNet with model.options {'alpha': 0.5}",
        ),
        ({"weights": "glyphs"}, "'glyphs' fit only MobileNet .* received MobileNetV2 with {}"),
    ):
        with pytest.raises(ValueError, match=message):
            models.pretrained(ModelConfig(backbone="MobileNetV2", **model), ImageConfig(size=32))


def test_leak_check_ends_if_runs_name_each_other_as_weights(finished_run, tmp_path, monkeypatch):
    digests = json.loads((finished_run.workdir / "data.json").read_text())["digests"]
    examples = [Example("x.png", 0, digest) for digest in digests["val"]]
    dataset = SimpleNamespace(splits={"val": examples, "test": []}, whole=False, nouns=NOUNS)
    monkeypatch.chdir(tmp_path)
    for name, weights in {"imagenet": "imagenet", "a": "b", "b": "a"}.items():
        shutil.copytree(finished_run.workdir, name)
        config = configs.load(Path(name, "config.yaml"), [f"model.weights={weights}"])
        Path(name, "config.yaml").write_text(configs.to_yaml(config))
        record.refuse_leaks(dataset, ModelConfig(weights=name))
    trained = [Example("x.png", 0, digests["train"][0])]
    dataset = SimpleNamespace(splits={"val": trained, "test": []}, whole=False, nouns=NOUNS)
    record.refuse_leaks(
        dataset, ModelConfig(weights="imagenet")
    )  # `imagenet` is the keyword here, not the folder of that name.
    with pytest.raises(ValueError, match="model.weights: .* was trained on 1 image of val and"):
        record.refuse_leaks(dataset, ModelConfig(weights="a"))


def test_too_few_glyphs_for_a_head_are_refused(quick, tmp_path):
    data = {"source": "glyphs", "num_examples": 200}
    image = {"size": 32, "augment": []}
    few = {**quick, "data": {**data, "val": 0.02, "test": 0.0}, "image": image}
    with pytest.raises(ValueError, match=r"data.num_examples: expected images of all \d+ classes"):
        tl_keras.finetune(few, tmp_path / "run")


def test_a_run_starts_from_an_earlier_run(finished_run, tree, tmp_path):
    earlier = {"weights": str(finished_run.workdir)}
    tree = changed(tree, model=earlier, fit={"freeze": 1.0}, image={"augment": []})
    run = tl_keras.finetune(changed(tree, export={"formats": []}), tmp_path / "run")
    assert run.result["model"]["kept"] == "head"
    # All weights except the head: with all blocks frozen, the backbone stays as it was.
    for a, b in zip(
        weights_of(run.workdir)[:-2], weights_of(finished_run.workdir)[:-2], strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_kept_activations_give_the_same_weights_as_computed_ones(quick, tmp_path, monkeypatch):
    """Timing and disk space decide what is kept; weights and views must not depend on that."""
    shown = [{"flip": "horizontal"}, {"rotation": 0.1}, {"zoom": 0.2}, {"contrast": 0.3}]
    tree = changed(quick, image={"augment": shown}, export=FEW, fit={"choose_by": "accuracy"})
    with monkeypatch.context() as patch:
        patch.setattr(
            "tl_keras.training.activations.worth_keeping",
            lambda *_: Decision(True, "said so"),
        )
        kept = tl_keras.finetune(tree, tmp_path / "kept")
    no_room = changed(tree, cache={"max_bytes": 0})
    computed = tl_keras.finetune(no_room, tmp_path / "computed")
    cut = "relu_1"
    assert all(kept.result["features"][f"{cut}/{split}"]["keep"] for split in ("train", "val"))
    for split in ("train", "val"):
        assert "of cache.max_bytes" in computed.result["features"][f"{cut}/{split}"]["why"]
    # float32 sums of batches of 8 and of 64 images differ in their last bits.
    for name in ("loss", "val_loss"):
        first, second = (
            [line[name] for line in epochs_of(run.workdir) if line["stage"] == "finetune"]
            for run in (kept, computed)
        )
        np.testing.assert_allclose(first, second, rtol=1e-3)


# Drawing takes long for their large graphs, so only one of the runs below does it.
NOUNS = ("image", "images")
DRAWN = [{"rand_augment": {}}, {"erasing": 0.5}, {"mixup": 0.2}, {"cutmix": 1.0}]


@pytest.mark.parametrize(
    ("fit", "augment"),
    [
        ({"optimizer": "sgd", "ema": 0.9, "label_smoothing": 0.1, "clip_norm": None}, DRAWN),
        ({"optimizer": "adam", "mixed_precision": True, "freeze": 0.0}, DRAWN[2:]),
        ({"epochs": 0}, DRAWN),
    ],
)
def test_choices_of_fit_run(quick, tmp_path, fit, augment):
    tree = changed(
        quick,
        fit={"epochs": 1, **fit},
        export=FEW,
        data={"balance": "weights"},
        image={"augment": augment},
    )
    run = tl_keras.finetune(tree, tmp_path / "run")
    assert run.result["test"]["accuracy"] > 0.4
    assert run.result["export"]["float32"]["status"] == "ok"


def test_a_model_learns_from_scratch(quick, tmp_path):
    """The classes are colours, which a few hundred steps can learn without pretrained weights."""
    generator = np.random.default_rng(0)
    for channel, name in enumerate(("blue", "green", "red")):
        (tmp_path / "colours" / name).mkdir(parents=True)
        for i in range(24):
            pixels = generator.integers(0, 160, (32, 32, 3), np.uint8)
            pixels[..., channel] += 90
            Image.fromarray(pixels).save(tmp_path / "colours" / name / f"{i}.png")
    tree = changed(
        quick,
        model={"weights": "none"},
        fit={"epochs": 20, "freeze": "auto", "patience": 20, "learning_rate": 1e-2},
        data={"path": str(tmp_path / "colours")},
        image={"augment": []},
        export=FEW,
    )
    run = tl_keras.finetune(tree, tmp_path / "run")
    assert run.result["model"]["kept"] == "scratch"
    assert run.result["test"]["accuracy"] > 0.8


def test_pretrained_folder_and_file_start_a_run(quick, tmp_path):
    data = {"source": "glyphs", "num_examples": 200}
    image = {"size": 32, "augment": []}
    model = quick["model"]
    glyphs = {
        "data": {**data, "val": 0.02, "test": 0.02},
        "image": image,
        "model": {**model, "weights": "none"},
        "fit": {"epochs": 1, "batch_size": 32},
        "cache": quick["cache"],
    }
    pretrained = tl_keras.pretrain(glyphs, tmp_path / "pretrained")
    assert_listed(pretrained)
    assert "export" not in pretrained.result
    assert pretrained.report.exists()
    chained = {**quick, "model": {**model, "weights": str(pretrained.workdir)}}
    run = tl_keras.finetune(changed(chained, fit={"freeze": 1.0}, export=FEW), tmp_path / "run")
    weights = str(pretrained.workdir / "backbone.weights.h5")
    from_file = models.pretrained(ModelConfig(**model, weights=weights), ImageConfig(size=32))
    for a, b in zip(weights_of(run.workdir)[:-2], from_file.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_resumed_pretraining_equals_an_unbroken_one(quick, tmp_path, monkeypatch):
    config = changed(
        quick,
        model={"weights": "none"},
        fit={"freeze": "auto", "epochs": 3},
    )
    unbroken = tl_keras.pretrain(config, tmp_path / "unbroken")
    save = train.State.save

    def save_then_die(self, *arguments):
        save(self, *arguments)
        if len(self.history) == 2:
            raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(train.State, "save", save_then_die)
        tl_keras.pretrain(config, tmp_path / "broken")
    broken = tl_keras.pretrain(config, tmp_path / "broken")
    assert broken.pipeline == pretraining.__name__.split(".")[-1]
    assert_same_weights(unbroken.workdir, broken.workdir)


def test_odd_names_and_bad_files_are_listed_and_harmless(quick, tmp_path):
    folder = draw(tmp_path / "pictures", 12)
    odd = ["<script>alert(1)<", 'it\'s "quoted"', "größe 漢字", "$x^2$ & co"]
    for i, name in enumerate(odd):
        os.rename(folder / "cross" / f"{i}.png", folder / "cross" / f"{name}.png")
    os.rename(folder / "disc", folder / "<b>disc & $3$")
    (folder / "square" / "empty.jpg").touch()
    (folder / "square" / "text.png").write_text("not a picture")
    tree = changed(quick, data={"path": str(folder)}, fit={"epochs": 1}, export=FEW)
    run = tl_keras.finetune(tree, tmp_path / "run")
    data = json.loads((run.workdir / "data.json").read_text())
    reasons = {entry["file"]: entry["reason"] for entry in data["quarantined"]}
    assert reasons["square/empty.jpg"] == "empty file"
    assert reasons["square/text.png"].startswith("not an image")
    page = run.report.read_text()
    assert "<script>alert" not in page
    assert "<b>disc" not in page
    assert "square/empty.jpg" in page


def test_head_on_real_photographs(real_data, real_weights, tmp_path):
    """Logistic regression on pooled features with 50 images per class has an accuracy of .94."""
    tree = {
        "data": {"path": str(real_data / "ants_bees"), "test": 0.3},
        "model": {"weights": str(real_weights / "mobilenet_v2_1.0_224_no_top.h5")},
        "fit": {"freeze": 1.0},
        "export": {"formats": ["int8"]},
        "cache": {"path": str(tmp_path / "cache")},
    }
    run = tl_keras.finetune(tree, tmp_path / "run")
    assert run.result["test"]["accuracy"] >= 0.85  # Of 74 images, five are .07.
    assert run.result["export"]["int8"]["status"] == "ok"
