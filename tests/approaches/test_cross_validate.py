"""Cross-validation end to end: folds, what they share, the final model, resuming."""

import csv
import json
import logging
import shutil
from collections import Counter

import keras
import numpy as np
import pytest
from listed import assert_listed
from runs import FEW, answers, assert_same_weights, changed, epochs_of, rows, shoot, weights_of
from shapes import draw

import tl_keras
from tl_keras import summary
from tl_keras.approaches import folds
from tl_keras.data.load import load
from tl_keras.data.prepared import prepared
from tl_keras.report.facts import fold_strengths
from tl_keras.tasks.classification import abstain
from tl_keras.training import activations, features
from tl_keras.training import head as heads
from tl_keras.training.activations import Decision
from tl_keras.training.network import combine
from tl_keras.training.network import model as models
from tl_keras.training.network.fold_batch_norm import Inference

FOLDS = {"folds": 3}

FIT = {"epochs": 2, "choose_by": "accuracy", "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def wanted(quick) -> dict:
    """The config of a cross-validation that takes seconds and can keep fine-tuned weights."""
    return changed(quick, fit=FIT, cross_validate=FOLDS, export=FEW)


@pytest.fixture(scope="module")
def dealt(wanted, tmp_path_factory):
    """A finished cross-validation. Tests read it and do not change it."""
    asked = changed(wanted, export={"formats": ["float32", "dynamic"]})
    return tl_keras.cross_validate(asked, tmp_path_factory.mktemp("runs") / "folds")


@pytest.fixture(scope="module")
def frozen(quick) -> dict:
    """The config of a cross-validation that only fits heads."""
    return changed(quick, fit={"freeze": 1.0}, cross_validate=FOLDS, export={"formats": []})


@pytest.fixture(scope="module")
def of_heads(frozen, tmp_path_factory):
    """A finished cross-validation that only fits heads. Tests read it and do not change it."""
    return tl_keras.cross_validate(frozen, tmp_path_factory.mktemp("runs") / "heads")


@pytest.fixture(scope="module")
def untested(frozen, tmp_path_factory):
    """A finished cross-validation without a test split, and the lines that it logged."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = logging.getLogger("absl")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    asked = changed(frozen, data={"test": 0}, export={"formats": ["float32", "dynamic"]})
    try:
        run = tl_keras.cross_validate(asked, tmp_path_factory.mktemp("runs") / "untested")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return run, lines


def test_log_has_no_score_of_examples_that_trained_the_model(untested):
    run, lines = untested
    n = len(rows(run.workdir / "fold_0"))
    for name, entry in run.result["export"].items():
        line = next(line for line in lines if line.startswith(f"export {name}: "))
        agreement = f"same answer as model.keras for {entry['agreement']:.1%} of {n} examples"
        assert line.endswith(f" MB, {agreement}, ok")


def test_log_calls_a_fold_by_the_name_of_its_folder(untested):
    lines = [line for line in untested[1] if line.startswith("fold_")]
    assert [line.split(":")[0] for line in lines] == [f"fold_{i}, {i + 1} of 3" for i in range(3)]


def test_each_fold_records_the_regularisation_that_it_chose(untested):
    run = untested[0]
    for record in run.result["folds"]:
        result = json.loads((run.workdir / record["fold"] / "result.json").read_text())
        assert record["regularisation"] == result["chosen"]["regularisation"]
    assert ">Regularisation</th>" in run.report.read_text()


def test_summary_warns_if_folds_chose_very_different_regularisation(untested, monkeypatch):
    warning = "The folds chose very different regularisation"
    assert not any(warning in line for line in summary.lines(untested[0]))
    monkeypatch.setattr(fold_strengths, "FAR_APART", 1)
    assert f"{'warning':13} {warning}" in "\n".join(summary.lines(untested[0]))


def test_the_threshold_to_abstain_has_the_calibration_of_the_final_model(
    untested, frozen, tmp_path
):
    first, _ = untested
    workdir = shutil.copytree(first.workdir, tmp_path / "again")
    export = {"formats": ["float32", "dynamic"], "abstain": 0.8}
    run = tl_keras.cross_validate(changed(frozen, data={"test": 0}, export=export), workdir)
    chosen, found = run.result["chosen"], rows(workdir)
    folds = [json.loads((workdir / f"fold_{i}" / "result.json").read_text()) for i in range(3)]
    mean = np.exp(np.mean([np.log(fold["chosen"]["temperature"]) for fold in folds]))
    assert chosen["temperature"] == pytest.approx(mean * chosen["correction"])
    classes = [name.removeprefix("p:") for name in found[0] if name.startswith("p:")]
    labels = np.array([classes.index(row["label"]) for row in found])
    before = np.array(list(answers(workdir, "val").values()))
    powered = np.maximum(before, 1e-7) ** (1 / chosen["correction"])
    held_out = powered / powered.sum(-1, keepdims=True)
    spec = json.loads((workdir / "export" / "device" / "spec.json").read_text())
    assert spec["abstain_threshold"] == pytest.approx(abstain.threshold(held_out, labels, 0.8))
    assert abs(spec["abstain_threshold"] - abstain.threshold(before, labels, 0.8)) > 1e-3
    measured = run.result["cross_validation"]["abstain"]
    assert measured["n"] == len(found) and measured["coverage"] > 0.6
    assert "abstain" not in first.result["cross_validation"]
    share = f"{100 * measured['answered']:.1f}% of {len(found)} held-out examples"
    assert f"the models of the folds answer on {share}" in "\n".join(summary.lines(run))
    page = run.report.read_text()
    assert "A model of a fold, calibrated like the final model, answers" in page
    # Without this output, the measures of the earlier files are no longer shown.
    plain = {"formats": ["float32", "dynamic"]}
    run = tl_keras.cross_validate(changed(frozen, data={"test": 0}, export=plain), workdir)
    assert not run.result["cross_validation"]["abstain"]


def test_exports_are_proved_on_the_held_out_examples_of_a_fold(dealt):
    judged = dealt.result["export"]["dynamic"]["val"]
    assert judged["on"] == "what a fold held out"
    assert judged["n"] == len(rows(dealt.workdir / "fold_0"))


def test_run_folder_holds_the_folds_without_data_models_or_exports(dealt):
    names = {path.name for path in dealt.workdir.iterdir()} - {".lock"}
    assert {"fold_0", "fold_1", "fold_2", "folds.csv", "model.keras", "export"} <= names
    assert "checkpoint" not in names
    for name in ("fold_0", "fold_1", "fold_2"):
        held = {path.name for path in (dealt.workdir / name).iterdir()}
        expected = {
            ".tl_keras",
            "config.yaml",
            "metrics.jsonl",
            "predictions.csv",
            "result.json",
            "tensorboard",
        }
        # Exports are proved on the first fold, because the final model has seen all examples.
        assert held == (expected | {"model.keras"} if name == "fold_0" else expected)
    assert_listed(dealt)


def test_every_training_example_is_held_out_once(dealt):
    held_out = Counter(row["file"] for i in range(3) for row in rows(dealt.workdir / f"fold_{i}"))
    data = json.loads((dealt.workdir / "data.json").read_text())["splits"]
    assert held_out == Counter(data["train"])
    assert not data["val"] and not set(data["test"]) & set(held_out)
    assert set(answers(dealt.workdir, "test")) == set(data["test"])


def test_validation_consists_of_held_out_examples(dealt):
    told = {
        f: p for i in range(3) for f, p in answers(dealt.workdir / f"fold_{i}", "held_out").items()
    }
    assert answers(dealt.workdir, "val") == told
    right = [
        row["label"] == row["prediction"] for row in rows(dealt.workdir) if row["split"] == "val"
    ]
    assert dealt.result["val"]["accuracy"] == pytest.approx(np.mean(right))
    accuracies = [fold["accuracy"] for fold in dealt.result["folds"]]
    summary = dealt.result["cross_validation"]["scores"]["accuracy"]
    assert summary["mean"] == pytest.approx(np.mean(accuracies))
    assert summary["deviation"] == pytest.approx(np.std(accuracies, ddof=1))


def test_fold_equals_an_ordinary_run(frozen, of_heads, pictures, tmp_path):
    """Only with a head: the views of an image depend on its position among all images."""
    run = of_heads
    fold = json.loads((run.workdir / "fold_1" / "result.json").read_text())
    held_out = answers(run.workdir / "fold_1", "held_out")
    train, val = _parts(run, 1)
    parts = {"train": train, "val": val, "test": list(held_out)}
    lines = [f"{pictures / f},{f.split('/')[0]},{s}" for s, fs in parts.items() for f in fs]
    shutil.copytree(pictures, tmp_path / "data")
    lines = [line.replace(str(pictures), ".") for line in lines]
    (tmp_path / "data" / "all.csv").write_text("\n".join(["path,label,split", *lines]))
    own = changed(frozen, data={"source": "csv", "path": str(tmp_path / "data" / "all.csv")})
    alone = tl_keras.finetune(own, tmp_path / "alone")
    assert alone.result["chosen"]["regularisation"] == fold["chosen"]["regularisation"]
    told = answers(alone.workdir, "test")
    assert told.keys() == held_out.keys()
    for file, probabilities in told.items():
        np.testing.assert_allclose(probabilities, held_out[file], atol=1e-4)


def _parts(run, fold: int) -> tuple[list[str], list[str]]:
    """Returns the train and val files of a fold, divided again."""
    from tl_keras.data.load import load
    from tl_keras.data.prepared import prepared

    dataset = load(run.config).pooled()
    found = folds.folds_of(run, prepared(dataset, run.config, ("train",)))[fold]
    splits = found.data.dataset.splits
    return [e.file for e in splits["train"]], [e.file for e in splits["val"]]


def test_kept_activations_do_not_change_a_fold(wanted, dealt, tmp_path, monkeypatch):
    told = []

    def never(*_) -> Decision:
        told.append(1)
        return Decision(False, "never")

    monkeypatch.setattr(activations, "worth_keeping", never)
    monkeypatch.setattr(activations, "fits_in_cache", never)
    run = tl_keras.cross_validate(wanted, tmp_path / "never")
    assert told
    assert [f["kept"] for f in run.result["folds"]] == [f["kept"] for f in dealt.result["folds"]]
    for name in ("val", "test"):
        found, expected = answers(run.workdir, name), answers(dealt.workdir, name)
        for file, probabilities in expected.items():
            np.testing.assert_allclose(found[file], probabilities, atol=2e-3)


def test_some_fold_is_fine_tuned(dealt):
    """Otherwise the tests above would not cover fine-tuning."""
    assert {fold["kept"] for fold in dealt.result["folds"]} != {"head"}


def test_a_run_killed_in_a_fold_ends_as_an_unbroken_one(wanted, dealt, tmp_path):
    workdir = tmp_path / "killed"
    shoot("cross_validate", wanted, workdir, workdir / "fold_1" / "checkpoint" / "finetune.npy")
    assert (workdir / "fold_0" / "result.json").exists()
    stamp = (workdir / "fold_0" / "result.json").stat().st_mtime_ns
    run = tl_keras.cross_validate(wanted, workdir)
    assert (workdir / "fold_0" / "result.json").stat().st_mtime_ns == stamp
    assert (workdir / "predictions.csv").read_text() == (
        dealt.workdir / "predictions.csv"
    ).read_text()
    assert_same_weights(run.workdir, dealt.workdir)


def test_final_model_is_trained_on_all_examples(of_heads):
    run = of_heads
    chosen = run.result["chosen"]
    tried = [
        {record["regularisation"]: record["val_loss"] for record in epochs_of(path)}
        for path in (run.workdir / f"fold_{i}" for i in range(3))
    ]
    common = set.intersection(*map(set, tried))
    losses = {strength: np.mean([fold[strength] for fold in tried]) for strength in common}
    assert chosen["regularisation"] == min(losses, key=losses.get)
    found = _head_of_all(run, chosen)
    kernel, bias = models.load(run.workdir / "model.keras").get_layer("logits").get_weights()
    np.testing.assert_allclose(kernel, found.layers[0][0] / chosen["temperature"], atol=2e-3)
    np.testing.assert_allclose(bias, found.layers[0][1] / chosen["temperature"], atol=2e-3)


def _head_of_all(run, chosen):
    data = prepared(load(run.config).pooled(), run.config, ("train",))
    backbone = models.pretrained(run.config.model, run.config.settings)
    found = features.outputs(Inference(backbone), data.inputs["train"])
    labels = data.inputs["train"].labels
    return heads.refit_head(found, labels, heads.Recipe(), chosen["regularisation"])


def test_ensemble_of_folds_loads_with_keras_alone_and_exports(wanted, tmp_path):
    asked = changed(wanted, data={"test": 0}, cross_validate={"final": "ensemble"})
    run = tl_keras.cross_validate(asked, tmp_path / "ensemble")
    model = keras.models.load_model(run.workdir / "model.keras")
    assert len([layer for layer in model.layers if layer.name.startswith("member_")]) == 3
    assert run.result["export"]["float32"]["status"] == "ok"
    assert run.result["model"]["kept"] == "ensemble"
    assert not list(run.workdir.glob("fold_*/model.keras"))
    # Measured on training images, so this accuracy means little.
    assert run.result["test"] is None and "accuracy" not in run.result["export"]["float32"]
    page = run.report.read_text()
    assert "held-out" in page and "too good" not in page and "Set a test split aside" not in page
    added = tl_keras.cross_validate(
        changed(asked, export={"formats": ["float32", "float16"]}), run.workdir
    )
    assert set(added.result["export"]) == {"float32", "float16"}
    assert not any("accuracy" in entry for entry in added.result["export"].values())
    assert added.result["export"]["float16"]["val"]["on"] == "its training images"
    assert "accuracy" not in added.result["shipped"]["device"]
    assert "Accuracy" not in (run.workdir / "export" / "device" / "README.md").read_text()


def test_average_of_folds_keeps_the_frozen_weights(wanted, tmp_path, monkeypatch):
    average = combine.average

    def save_first(members):
        for i, member in enumerate(members):
            member.save(tmp_path / f"{i}.keras")
        return average(members)

    monkeypatch.setattr(combine, "average", save_first)
    asked = changed(wanted, cross_validate={"final": "average"}, export={"formats": []})
    run = tl_keras.cross_validate(asked, tmp_path / "average")
    # The whole model of a fold answers its held-out examples, whichever activations were kept.
    kept = [fold["kept"] for fold in run.result["folds"]]
    assert set(kept) != {"head"}
    shown = _images(run)
    for i in range(len(kept)):
        told = answers(run.workdir / f"fold_{i}", "held_out")
        model = keras.models.load_model(tmp_path / f"{i}.keras")
        found = model.predict(np.stack([shown[file] for file in told]), verbose=0)
        np.testing.assert_allclose(found, list(told.values()), atol=2e-3)
    # Frozen weights are the same in all folds.
    backbone = models.pretrained(run.config.model, run.config.settings)
    averaged = models.load(run.workdir / "model.keras")
    first = next(layer for layer in backbone.layers if layer.weights)
    np.testing.assert_array_equal(
        averaged.get_layer(first.name).get_weights()[0], first.get_weights()[0]
    )
    assert run.result["model"]["kept"] == "average"


def _images(run) -> dict[str, np.ndarray]:
    data = prepared(load(run.config).pooled(), run.config, ("train",))
    files = [example.file for example in data.dataset.splits["train"]]
    return dict(zip(files, data.inputs["train"].array, strict=True))


def test_each_fold_has_its_own_search(frozen, tmp_path):
    space = {"image.size": [40, 48]}  # Not the config's 32.
    search = {"trials": 1, "tuner": "random", "space": space}
    asked = changed(frozen, search=search, cross_validate={"folds": 2})
    run = tl_keras.cross_validate(asked, tmp_path / "nested")
    for name in ("fold_0", "fold_1", "fold_all"):
        state = json.loads((run.workdir / name / "search" / "state.json").read_text())
        assert len(state["records"]) == 1
    assert all(fold["values"].keys() == space.keys() for fold in run.result["folds"])
    trials = {t["trial"]: t["values"] for t in run.result["search"]["trials"]}
    size = trials[run.result["search"]["best"]]["image.size"]
    assert models.load(run.workdir / "model.keras").input.shape[1] == size
    stamp = (run.workdir / "result.json").stat().st_mtime_ns
    assert tl_keras.cross_validate(asked, run.workdir).result == run.result
    assert (run.workdir / "result.json").stat().st_mtime_ns == stamp
    told = tl_keras.predict(run, [next(iter(answers_files(run)))])
    assert set(told[0]["probabilities"]) == {"cross", "disc", "square"}


def answers_files(run):
    root = json.loads((run.workdir / "data.json").read_text())["root"]
    return (f"{root}/{file}" for file in answers(run.workdir, "test"))


def test_from_scratch_stops_at_the_mean_epoch_of_the_folds(quick, tmp_path):
    asked = changed(
        quick,
        model={"weights": "none"},
        fit={"freeze": 0, "epochs": 2},
        cross_validate={"folds": 2},
        export={"formats": []},
    )
    run = tl_keras.cross_validate(asked, tmp_path / "scratch")
    best = [
        min(epochs_of(run.workdir / f"fold_{i}"), key=lambda e: e["val_loss"])["epoch"] + 1
        for i in range(2)
    ]
    assert run.result["chosen"]["epochs"] == round(np.mean(best))
    assert len(epochs_of(run.workdir)) == run.result["chosen"]["epochs"]


def test_repeats_divide_anew_and_score_the_first_division(frozen, of_heads, tmp_path):
    once = of_heads
    again = changed(frozen, cross_validate={"folds": 3, "repeats": 2})
    twice = tl_keras.cross_validate(again, tmp_path / "twice")
    assert len(twice.result["folds"]) == 6
    assert twice.result["val"]["accuracy"] == once.result["val"]["accuracy"]
    assert answers(twice.workdir, "val") == answers(once.workdir, "val")
    dealt = [answers(twice.workdir / f"fold_{i}", "held_out").keys() for i in (0, 3)]
    assert dealt[0] != dealt[1]


def test_planted_label_errors_come_first(tree, tmp_path):
    folder = draw(tmp_path / "pictures", 16, noise=10)
    planted = [("cross", 3), ("disc", 5), ("square", 8)]
    for name, i in planted:
        wrong = {"cross": "disc", "disc": "square", "square": "cross"}[name]
        (folder / name / f"{i}.png").rename(folder / wrong / f"was_{name}_{i}.png")
    asked = changed(
        tree,
        data={"path": str(folder), "test": 0},
        fit={"freeze": 0.0, "epochs": 8, "choose_by": "accuracy", "learning_rate": 3e-3},
        cross_validate={"folds": 4},
        export={"formats": []},
    )
    run = tl_keras.cross_validate(asked, tmp_path / "run")
    listed = [entry["file"] for entry in run.findings["suspects"]]
    first = listed[: 2 * len(planted)]
    assert sum("was_" in file for file in first) >= 2, listed
    with (run.workdir / "label_quality.csv").open(newline="") as stream:
        ranked = list(csv.DictReader(stream))
    assert {row["file"] for row in ranked} == set(folds.held_out(run))
    quality = [float(row["quality"]) for row in ranked]
    assert quality == sorted(quality)
    assert {row["file"] for row in ranked if row["suspect"] == "1"} == set(listed)
    assert sum("was_" in row["file"] for row in ranked[: 2 * len(planted)]) >= 2
    assert all(row["label"] != row["suggested"] for row in ranked)
    assert "label_quality.csv" in run.report.read_text()


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"cross_validate": {"folds": 30}}, "cross_validate.folds: class 'cross' has 18 in"),
        (
            {"data": {"source": "glyphs", "path": None}, "image": {"augment": []}},
            "data.source: glyphs",
        ),
        (
            {
                "model": {"weights": "none"},
                "fit": {"freeze": 0},
                "cross_validate": {"final": "average"},
            },
            "cross_validate.final: 'average' .* with model.weights='none'",
        ),
        (
            {"search": {"trials": 2}, "cross_validate": {"final": "ensemble"}},
            "cross_validate.final: 'ensemble' .* with a search, each fold chooses its own",
        ),
    ],
)
def test_bad_cross_validations_are_refused(wanted, tmp_path, sections, message):
    with pytest.raises(ValueError, match=message):
        tl_keras.cross_validate(changed(wanted, **sections), tmp_path / "refused")


def test_weights_that_saw_a_held_out_example_are_refused(wanted, quick_run, tmp_path):
    leaky = changed(wanted, model={"weights": str(quick_run.workdir)})
    with pytest.raises(ValueError, match=r"model.weights: .* was trained on \d+ images"):
        tl_keras.cross_validate(leaky, tmp_path / "leaky")


def test_another_number_of_folds_is_refused(wanted, dealt):
    with pytest.raises(ValueError, match="cross_validate.folds: 3 in the workdir, 4 now"):
        tl_keras.cross_validate(changed(wanted, cross_validate={"folds": 4}), dealt.workdir)


def test_report_describes_the_folds(dealt):
    page = dealt.report.read_text()
    mean = dealt.result["cross_validation"]["scores"]["accuracy"]["mean"]
    assert f"The mean accuracy over 3 folds is {100 * mean:.1f}%" in page
    assert "fold_2" in page
    assert weights_of(dealt.workdir)
