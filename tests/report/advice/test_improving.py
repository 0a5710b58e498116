"""Tests of the advice that makes a model better: each rule applies to the runs it is meant for."""

import json
import shlex

import pytest
from handmade import Outline, candidate, change, counted, report, rewrite

from tl_keras.backbones import table
from tl_keras.config import text as configs
from tl_keras.config.command_line import command_line
from tl_keras.modalities import MODALITIES, part
from tl_keras.report.advice import rules
from tl_keras.report.read import read
from tl_keras.run.result.training import Chosen, Counts, ModelRecord

NAMES = ["cat", "dog"]
SIZES = {"n": 91, "width": [200, 256, 300], "height": [200, 240, 300]}


@pytest.fixture
def small(workdir):
    """Returns a run with 91 examples that is right on 16 of 26 and kept the head alone."""
    candidates = {
        "head": candidate(accuracy=0.31),
        "finetuned": candidate(accuracy=0.62, gain=2.9, won=8, lost=0),
    }
    rewrite(
        workdir,
        data=Counts(classes=2, train=52, val=13, test=26),
        model=ModelRecord(
            backbone="MobileNetV2", weights="imagenet", kept="head", candidates=candidates
        ),
        val=counted([[3, 4], [2, 4]], NAMES, log_loss=0.6, interval=[0.3, 0.8]),
        test=counted([[8, 5], [5, 8]], NAMES, interval=[0.42, 0.78]),
    )
    config = configs.from_tree({"data": {"path": "/my data/photos"}, "fit": {"batch_size": 16}})
    (workdir / "config.yaml").write_text(configs.to_yaml(config))
    (workdir / "findings.json").write_text(json.dumps({"sizes": SIZES}))
    return workdir


def line(workdir, start: str):
    """Returns the advice with this start; None if there is none."""
    matching = [a for a in rules.what_to_do(read(workdir)) if a.do.startswith(start)]
    assert len(matching) < 2
    return matching[0] if matching else None


def test_few_examples_are_measured_by_cross_validation(small):
    advice = line(small, "Measure on all 91 pictures: cross-validate.")
    assert advice.why.startswith("A score on 26 test examples says little.")
    assert advice.command == (
        "tl-keras cross_validate '--data=/my data/photos' --workdir=runs/photos_folds "
        "--set fit.batch_size=16 --set data.test=0"
    )
    assert not line(small, "Measure on more")
    assert advice.command in Outline(report(small)).words


@pytest.mark.parametrize(
    "changed",
    [
        {"data": Counts(classes=2, train=230, val=35, test=35)},  # not few
        {"pipeline": "cross_validate"},
        {"pipeline": "parallel"},
    ],
)
def test_other_runs_are_not_sent_to_cross_validation(small, changed):
    rewrite(small, **changed)
    assert not line(small, "Measure on all")


def test_a_class_that_is_too_small_for_folds_is_not_sent_to_cross_validation(small):
    change(small, "findings.json", rare=[{"class": "cat", "n": 4, "why": "few"}])
    assert not line(small, "Measure on all")


def test_a_model_that_is_often_wrong_needs_more_labels(small):
    advice = line(small, "Label more pictures: only 91 are labelled.")
    assert advice.why == (
        "The model was trained on 52 pictures. Of its answers to 26 test examples, 61.5% are right."
    )
    rewrite(small, pipeline="cross_validate", data=Counts(train=91), test=None)
    assert (
        "about 1,070 pictures in all narrow its 95% interval to ±3 points."
        in line(small, "Label more").why
    )
    assert not line(small, "Measure on more")
    # A test split is answered by the final model, not by the models of the folds.
    rewrite(small, test=counted([[8, 5], [5, 8]], NAMES, interval=[0.42, 0.78]))
    assert line(small, "Label more").why.endswith(
        "Of its answers to 26 test examples, 61.5% are right."
    )
    assert line(small, "Measure on more examples: about 1,020 in all.")
    rewrite(small, test=counted([[11, 2], [2, 11]], NAMES))
    assert not line(small, "Label more") and not line(small, "Try larger")
    rewrite(small, test=counted([[8, 5], [5, 8]], NAMES), data=Counts(train=500))
    assert not line(small, "Label more") and line(small, "Try larger")


def test_experiments_are_given_as_command_lines(small):
    larger = line(small, "Try larger pictures.")
    assert larger.why.startswith(
        "The median size of the images is 256 × 240 pixels, but the model sees 160 × 160."
    )
    assert larger.command.startswith("tl-keras finetune '--data=/my data/photos' --workdir=runs/")
    assert larger.command.endswith("_224 --set fit.batch_size=16 --set image.size=224")
    other = line(small, "Compare backbones")
    assert "learning curve" in other.why and "learning curve as hints" in other.why
    assert "--set 'compare.backbones=[{backbone: EfficientNetV2B0}]'" in other.command
    assert "weights: PATH" not in other.why
    change(small, "findings.json", sizes={**SIZES, "height": [100, 200, 300]})
    assert not line(small, "Try larger")


def test_a_head_like_guessing_is_doubted(small):
    assert not line(small, "Doubt this model")  # Its log loss is better than that of guessing.
    val = counted([[3, 4], [3, 3]], NAMES, log_loss=0.7, interval=[0.2, 0.7])
    rewrite(
        small, val=val, chosen=Chosen(kept="head", regularisation=316.2, temperature=1.0, epochs=30)
    )
    advice = line(small, "Doubt this model: on validation it is no better than guessing.")
    assert advice.why.startswith(
        "The model is right on 46.2% of 13 validation examples; always answering “cat” would be "
        "right on 53.8%. The model's log loss is 0.700, no better than 0.690, the log loss of"
    )
    assert "Regularisation 316 was chosen for the head on the validation set" in advice.why
    rewrite(small, pipeline="cross_validate")
    assert not line(small, "Doubt this model")


def test_fine_tuning_that_looks_better_is_not_ruled_out(small):
    advice = line(small, "Do not rule out fine-tuning.")
    assert "62.0% of 13 validation examples, the head-only model on 31.0%" in advice.why
    assert advice.why.endswith("To find out, cross-validate, or raise data.val.")
    candidates = {"head": candidate(accuracy=0.62), "finetuned": candidate(accuracy=0.31)}
    rewrite(small, model=ModelRecord(kept="head", candidates=candidates))
    assert not line(small, "Do not rule out")
    candidates["finetuned"] = candidate(accuracy=0.7, gain=2.9)
    rewrite(small, model=ModelRecord(kept="finetuned", candidates=candidates))
    assert not line(small, "Do not rule out")


@pytest.mark.parametrize(
    "tree",
    [
        {"data": {"path": "/a b/p.csv", "source": "csv"}, "image": {"augment": [], "size": 96}},
        {"data": {"source": "digits"}, "image": {"size": 32}, "fit": {"learning_rate": 1e-5}},
        {"data": {"path": "/x", "val": 0.2}, "model": {"weights": "/w/it's: a.h5"}},
        {"data": {"path": "/x"}, "model": {"weights": "none"}, "fit": {"freeze": 0}},
    ],
)
def test_a_command_line_repeats_the_config(tree):
    config = configs.from_tree(tree)
    words = shlex.split(command_line("finetune", configs.to_tree(config)))
    assert words[:2] == ["tl-keras", "finetune"]
    overrides = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    (path,) = [w.removeprefix("--data=") for w in words if w.startswith("--data=")] or [None]
    if path:
        source = "csv" if path.endswith(".csv") else "folder"
        overrides += [f"data.source={source}", f"data.path={path}"]
    assert configs.load(None, overrides) == config


@pytest.mark.parametrize(
    ("backbone", "kind", "other"),
    [
        ("MiniLM-L6", None, "StaticEmbedding"),
        ("StaticEmbedding", None, "MiniLM-L6"),
        ("my.minilm", "bert", "StaticEmbedding"),  # It may be MiniLM-L6 itself.
        ("my.table", "model2vec", "MiniLM-L6"),
        ("/moved/away", None, "StaticEmbedding"),
    ],
)
def test_a_backbone_of_texts_is_compared_with_another_kind(small, tmp_path, backbone, kind, other):
    if kind:
        (tmp_path / backbone).mkdir()
        (tmp_path / backbone / "config.json").write_text(json.dumps({"model_type": kind}))
        backbone = str(tmp_path / backbone)
    rewrite(small, model=ModelRecord(backbone=backbone, weights="own"))
    data = {"path": "/x/reviews.csv", "modality": "text", "source": "csv"}
    config = configs.from_tree({"data": data, "model": {"backbone": "StaticEmbedding"}})
    (small / "config.yaml").write_text(configs.to_yaml(config))
    advice = line(small, "Compare backbones")
    assert f"--set 'compare.backbones=[{{backbone: {other}}}]'" in advice.command
    assert ("Without an internet connection" in advice.why) == (other == "MiniLM-L6")


@pytest.mark.parametrize(("share", "repeated"), [(0.25, True), (0.15, False), (0, False)])
def test_a_comparison_has_the_test_examples_of_the_run(small, share, repeated):
    config = configs.from_tree({"data": {"path": "/photos", "test": share}})
    (small / "config.yaml").write_text(configs.to_yaml(config))
    command = line(small, "Compare backbones").command
    assert ("--set data.test=" in command) == repeated
    assert (f"--set data.test={share}" in command) == repeated


@pytest.mark.parametrize("modality", MODALITIES)
def test_advised_backbones_take_examples_of_the_modality(modality):
    names = part(modality, "show").BACKBONES
    assert len(names) == 2
    assert {table.module_of(name).MODALITY for name in names} == {modality}
