"""Searches end to end: trials, resuming, budgets, limits, and the promoted model."""

import json
import logging
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from listed import assert_listed
from runs import FEW, Killed, assert_same_weights, changed, shoot

import tl_keras
from tl_keras.approaches import search as searching
from tl_keras.config import text as configs
from tl_keras.config.cache import CacheConfig
from tl_keras.config.export import ExportConfig
from tl_keras.data import run_data
from tl_keras.export import export
from tl_keras.search import loop, trials, tuner
from tl_keras.search import session as sessions
from tl_keras.tasks.classification import choice
from tl_keras.training import activations, adapt, evaluation, features
from tl_keras.training import fit as train
from tl_keras.training.network import model as models

SPACE = {
    "fit.freeze": [0.5, 0.75, 1.0],
    "fit.learning_rate": {"min": 1e-4, "max": 1e-2, "scale": "log"},
}

SEARCH = {"trials": 4, "tuner": "random", "space": SPACE, "keep": 2}


@pytest.fixture(scope="module")
def wanted(quick) -> dict:
    """The config of a search that takes seconds."""
    return changed(quick, fit={"epochs": 2}, search=SEARCH)


@pytest.fixture(scope="module")
def applications(tree) -> dict:
    """`wanted` with a backbone of Keras Applications, which has options and takes any size."""
    return changed(tree, fit={"epochs": 2}, search=SEARCH)


@pytest.fixture(scope="module")
def watched(wanted, tmp_path_factory):
    """A finished search and the lines that it logged. Tests read them and do not change them."""
    lines, handler = [], logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = logging.getLogger("absl")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel("INFO")
    try:
        run = tl_keras.search(wanted, tmp_path_factory.mktemp("runs") / "search")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return run, lines


@pytest.fixture(scope="module")
def found(watched):
    """A finished search. Tests read it and do not change it."""
    return watched[0]


def records(run) -> list[dict]:
    return run.result["search"]["trials"]


def chosen(run) -> list[tuple]:
    """Returns the parts that must be the same in a resumed search, so without seconds."""
    return [(r["trial"], r["values"], r["score"], r["kept"], r["wrong"]) for r in records(run)]


def test_search_leaves_its_trials_and_the_best_model(found):
    assert_listed(found)
    names = {path.name for path in found.workdir.iterdir()} - {".lock"}
    assert {"search", "model.keras", "result.json", "report.html", "config.yaml"} <= names
    assert not names & {"export", "checkpoint"}
    for record in records(found):
        folder = found.workdir / "search" / record["trial"]
        held = {path.name for path in folder.iterdir()} - {"model.keras"}
        assert held == {".tl_keras", "config.yaml", "metrics.jsonl", "tensorboard", "result.json"}
    best = found.workdir / "search" / found.result["search"]["best"]
    assert (best / "model.keras").read_bytes() == (found.workdir / "model.keras").read_bytes()


def test_test_split_is_not_touched(found):
    assert found.result["test"] is None
    assert {line.split(",")[1] for line in _lines(found.workdir / "predictions.csv")} == {"val"}


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines()[1:]


def test_best_trial_is_best_on_validation_and_freezes_most_among_equals(found):
    best = max(records(found), key=lambda r: (-r["log_loss"], r["depth"]["share"]))
    assert found.result["search"]["best"] == best["trial"]
    assert found.result["val"]["accuracy"] == pytest.approx(best["accuracy"])
    assert found.result["model"]["kept"] == best["kept"]


def test_only_the_best_models_are_kept(found):
    kept = {path.parent.name for path in (found.workdir / "search").glob("*/model.keras")}
    ranked = trials.ranked(records(found))
    assert kept == {record["trial"] for record in ranked[:2]}


def test_curve_rises_to_the_best(found):
    curve = found.result["search"]["curve"]
    assert [value for _, value in curve] == sorted({value for _, value in curve})
    assert [seconds for seconds, _ in curve] == sorted(seconds for seconds, _ in curve)
    assert curve[-1][1] == max(record["accuracy"] for record in records(found))


def test_first_trial_has_the_values_of_the_config(found):
    assert records(found)[0]["values"] == {"fit.freeze": 0.5, "fit.learning_rate": 1e-3}


def test_trials_that_freeze_everything_are_not_repeated(found):
    whole = [record for record in records(found) if record["values"]["fit.freeze"] == 1]
    assert len(whole) <= 1 and len(records(found)) == 4


def test_same_command_again_returns_at_once(found, wanted, monkeypatch):
    monkeypatch.setattr(searching, "run", lambda *_: pytest.fail("it ran again"))
    assert tl_keras.search(wanted, found.workdir).result == found.result


def test_trial_can_be_repeated_by_hand(found, tmp_path):
    """Another command repeats the trial from the config in its folder, without shared objects."""
    record = next(r for r in records(found) if r["values"]["fit.freeze"] != 1)
    config = configs.load(found.workdir / "search" / record["trial"] / "config.yaml")
    assert not config.search.wanted
    alone = config.model_copy(update={"export": config.export.model_copy(update={"formats": ()})})
    run = tl_keras.finetune(alone, tmp_path / "run")
    assert run.result["model"]["kept"] == record["kept"]
    assert run.result["val"]["accuracy"] == pytest.approx(record["accuracy"])
    # Sums of batches of 8 and of 64 images differ in their last bits, and then in half precision.
    assert run.result["val"]["log_loss"] == pytest.approx(record["log_loss"], rel=5e-3)


def test_activations_are_computed_once_for_all_trials(wanted, tmp_path, monkeypatch):
    computed = []
    compute = features.compute

    def remember(found, names, shown, *others):
        kept = compute(found, names, shown, *others)
        computed.extend((shown.key["kind"], name) for name in kept if not kept[name].cached)
        return kept

    monkeypatch.setattr(features, "compute", remember)
    always = activations.Decision(True, "said so")
    monkeypatch.setattr(activations, "worth_keeping", lambda *_: always)
    cache, search = {"path": str(tmp_path / "cache")}, {"trials": 2}
    wanted = changed(wanted, cache=cache, search=search)
    run = tl_keras.search(wanted, tmp_path / "run")
    assert len(computed) == len(set(computed))
    # One pass for each view: two depths for two epochs, and the features of plain images.
    assert {kind for kind, name in computed if name == "relu_1"} >= {
        "train, view 1",
        "train, view 2",
    }
    assert run.result["features"]["relu_1/train"]["keep"]
    again = tl_keras.search(wanted, tmp_path / "again")
    assert len(computed) == len(set(computed)), "the second search reads what the first one left"
    assert chosen(again) == chosen(run)


@pytest.mark.parametrize("tuner", ["bayesian", "hyperband"])
def test_killed_search_ends_as_an_unbroken_one(wanted, tmp_path, monkeypatch, tuner):
    wanted = changed(wanted, search={"tuner": tuner, "trials": 5})
    unbroken = tl_keras.search(wanted, tmp_path / "unbroken")
    calls = []
    train_epoch = train._train_epoch

    def train_then_die(run, epoch, *others):
        calls.append(epoch)
        if len(calls) in (2, 5):
            raise Killed
        return train_epoch(run, epoch, *others)

    monkeypatch.setattr(train, "_train_epoch", train_then_die)
    for _ in range(2):
        with pytest.raises(Killed):
            tl_keras.search(wanted, tmp_path / "broken")
    broken = tl_keras.search(wanted, tmp_path / "broken")
    assert chosen(broken) == chosen(unbroken)
    assert_same_weights(broken.workdir, unbroken.workdir)


def test_search_that_was_killed_and_then_failed_continues(wanted, found, tmp_path, monkeypatch):
    workdir = tmp_path / "run"
    shoot("search", wanted, workdir, workdir / "search" / "trial_001" / "config.yaml")

    def fail(*_):
        raise RuntimeError("out of luck")

    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="out of luck"):
        patched.setattr(adapt, "fit_suffix", fail)
        tl_keras.search(wanted, workdir)
    assert chosen(tl_keras.search(wanted, workdir)) == chosen(found)


def test_trials_are_added_to_a_finished_search_that_keeps_its_record(found, wanted, tmp_path):
    shutil.copytree(found.workdir, tmp_path / "run")
    more = tl_keras.search(changed(wanted, search={"trials": 6}), tmp_path / "run")
    assert len(records(more)) == 6
    assert chosen(more)[:4] == chosen(found)
    assert configs.load(more.workdir / "config.yaml").search.trials == 6
    before = found.result
    assert more.result["features"].keys() >= before["features"].keys()
    assert more.result["seconds"]["search"] > before["seconds"]["search"]
    assert more.result["search"]["seconds"] > before["search"]["seconds"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"search": {"space": {**SPACE, "fit.freeze": [0.5]}}},
            r"search\.space\.fit\.freeze: \[0\.5, 0\.75, 1\.0\] in the workdir, \[0\.5\] now",
        ),
        ({"search": {"tuner": "bayesian"}}, "search.tuner: 'random' in the workdir"),
        ({"fit": {"batch_size": 4}}, "fit.batch_size: 8 in the workdir, 4 now"),
        ({"data": {"split_seed": 4}}, "data.split_seed: 0 in the workdir, 4 now"),
    ],
)
def test_another_space_is_refused(found, wanted, other, message):
    with pytest.raises(ValueError, match=message):
        tl_keras.search(changed(wanted, **other), found.workdir)


def test_a_diverged_trial_is_recorded(wanted, tmp_path):
    space = {"fit.learning_rate": [1e-3, 1e38]}
    fit = {"optimizer": "sgd", "clip_norm": None}
    run = tl_keras.search(changed(wanted, fit=fit, search={"space": space}), tmp_path / "run")
    assert [r["status"] for r in records(run)] == [
        "done",
        "diverged",
    ]  # Then no other trial is left.
    assert "the loss became" in records(run)[1]["why"]
    assert run.result["search"]["best"] == "trial_000"
    assert (run.workdir / "search" / "trial_001" / "result.json").exists()


def test_search_in_which_all_trials_diverge_raises(wanted, tmp_path):
    fit = {"optimizer": "sgd", "clip_norm": None, "learning_rate": 1e38}
    space = {"fit.freeze": [0.5, 0.75]}
    with pytest.raises(ValueError, match="none of 2 trials succeeded, since all diverged"):
        tl_keras.search(changed(wanted, fit=fit, search={"space": space}), tmp_path / "run")


def test_minutes_are_a_budget(wanted, tmp_path):
    wanted = changed(wanted, search={"trials": 0, "minutes": 1e-6})
    run = tl_keras.search(wanted, tmp_path / "run")
    assert len(records(run)) == 1  # One trial always runs.
    more = tl_keras.search(changed(wanted, search={"minutes": 0.03}), tmp_path / "run")
    assert len(records(more)) >= 1 and more.result["search"]["seconds"] < 60


def test_finetune_continues_with_the_best_trial(wanted, found, tmp_path):
    run = tl_keras.finetune(changed(wanted, export=FEW), tmp_path / "run")
    assert chosen(run) == chosen(found)
    assert_same_weights(run.workdir, found.workdir)
    assert run.result["test"]["n"] == 18
    assert run.result["export"]["float32"]["status"] == "ok"
    assert run.result["pipeline"] == "finetune"


def test_finetune_in_the_folder_of_a_search_measures_and_exports(wanted, found, tmp_path):
    shutil.copytree(found.workdir, tmp_path / "run")
    run = tl_keras.finetune(changed(wanted, export=FEW), tmp_path / "run")
    assert run.result["test"]["n"] == 18 and "float32" in run.result["export"]
    assert run.result["search"]["best"] == found.result["search"]["best"]
    assert_same_weights(run.workdir, found.workdir)
    seconds = run.result["seconds"]
    assert seconds["search"] == found.result["seconds"]["search"]
    total = seconds.pop("total")
    assert total == pytest.approx(sum(seconds.values()), abs=0.01)
    with pytest.raises(ValueError, match="was made by the command 'finetune', not by 'search'"):
        tl_keras.search(wanted, tmp_path / "run")


def test_missing_model_of_the_best_trial_is_trained_again(wanted, found, tmp_path):
    shutil.copytree(found.workdir, tmp_path / "run")
    best = tmp_path / "run" / "search" / found.result["search"]["best"]
    (best / "model.keras").unlink()
    (tmp_path / "run" / "model.keras").unlink()
    (tmp_path / "run" / "result.json").unlink()
    run = tl_keras.search(wanted, tmp_path / "run")
    assert_same_weights(run.workdir, found.workdir)


ARCHITECTURES = {"image.size": [32, 48], "fit.freeze": [0.75, 1.0]}


def test_architectures_are_measured_once_and_limits_are_kept(wanted, tmp_path, monkeypatch):
    measured = []

    def measure(model, inputs, name, task):
        measured.append(model.input.shape[1])
        return {"bytes": 1e6, "latency_ms": 0.1 if model.input.shape[1] == 32 else 0.2}

    monkeypatch.setattr(export, "size_and_latency", measure)
    objective = "accuracy subject to latency_ms <= 0.15"
    search = {"space": ARCHITECTURES, "objective": objective}
    run = tl_keras.search(changed(wanted, search=search), tmp_path / "run")
    assert sorted(measured) == [32, 48]
    status = {r["values"]["image.size"]: r["status"] for r in records(run)}
    assert status == {32: "done", 48: "over the limit"}
    assert [r["status"] for r in records(run)].count(
        "over the limit"
    ) == 1  # It is not tried again.
    best = next(r for r in records(run) if r["trial"] == run.result["search"]["best"])
    assert best["values"]["image.size"] == 32
    assert run.result["val"]["accuracy"] == pytest.approx(best["accuracy"])
    assert keras.models.load_model(run.workdir / "model.keras").input.shape[1] == 32


def test_impossible_limit_names_the_nearest_value(wanted, tmp_path):
    search = {"objective": "accuracy subject to bytes <= 10", "space": {"fit.freeze": [1.0]}}
    with pytest.raises(ValueError, match=r"none of 1 trials is within .*the nearest to .*quick"):
        tl_keras.search(changed(wanted, search=search), tmp_path / "run")


def test_a_head_that_cannot_be_beaten_ends_the_search_after_one_trial(
    wanted, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(choice, "can_lose", lambda *_: False)
    space = {**SPACE, "fit.freeze": [0.5, 0.75]}
    run = tl_keras.search(changed(wanted, search={"space": space}), tmp_path / "run")
    assert [(r["kept"], r["left_out"]) for r in records(run)] == [("head", True)]
    assert "no other depths and learning rates are tried" in caplog.text
    more = changed(wanted, search={"space": space, "trials": 6})
    assert len(records(tl_keras.search(more, tmp_path / "run"))) == 1


def test_nothing_over_a_limit_is_trained_from_scratch(wanted, tmp_path, monkeypatch):
    monkeypatch.setattr(adapt, "from_scratch", lambda *_: pytest.fail("trained"))
    space = {"fit.learning_rate": [1e-3, 1e-2]}
    search = {"objective": "accuracy subject to bytes <= 10", "space": space}
    fields = {"model": {"weights": "none"}, "fit": {"freeze": "auto"}, "search": search}
    with pytest.raises(ValueError, match="none of 1 trials is within"):
        tl_keras.search(changed(wanted, **fields), tmp_path / "run")


def test_a_continued_search_refuses_other_weights(wanted, tmp_path):
    file, config = tmp_path / "a.weights.h5", configs.from_tree(wanted)
    backbone = models.pretrained(config.model, config.settings)
    backbone.save_weights(file)
    space = {"image.size": [32, 48], "fit.freeze": [0.75, 1.0]}
    search = {"space": space, "trials": 1}
    asked = changed(wanted, model={"weights": str(file)}, search=search)
    run = tl_keras.search(asked, tmp_path / "run")
    layer = next(layer for layer in backbone.layers if layer.name == "conv_0")
    layer.set_weights([2 * weight for weight in layer.get_weights()])
    backbone.save_weights(file)
    (label,) = run.result["backbones"]
    assert label.endswith("a.weights.h5, 32 px, stretch")
    with pytest.raises(ValueError, match="a.weights.h5' has changed since the run in .* began"):
        tl_keras.search(changed(asked, search={"trials": 4}), tmp_path / "run")


def test_best_trial_of_another_size_is_measured_and_exported_at_its_size(wanted, tmp_path):
    space = {"image.size": [48], "image.resize": ["pad"], "fit.freeze": [1.0]}
    run = tl_keras.finetune(
        changed(wanted, search={"space": space, "trials": 1}, export=FEW), tmp_path / "run"
    )
    assert keras.models.load_model(run.workdir / "model.keras").input.shape[1] == 48
    (record,) = records(run)
    assert run.result["val"]["log_loss"] == pytest.approx(record["log_loss"], rel=1e-3)
    assert run.result["export"]["float32"]["status"] == "ok"
    files = [
        Path(wanted["data"]["path"], line.split(",")[0])
        for line in _lines(run.workdir / "predictions.csv")
    ]
    rows = tl_keras.predict(run, files[:5])
    expected = [line.split(",")[3] for line in _lines(run.workdir / "predictions.csv")[:5]]
    assert [row["prediction"] for row in rows] == expected


def test_activations_do_not_depend_on_training(wanted, tmp_path):
    """A pass for all depths runs in the middle of a training that is frozen at one of them."""
    cache = {"path": str(tmp_path / "cache")}
    space = {"fit.freeze": [0.25, 0.75], "fit.learning_rate": [1e-2]}
    wanted = changed(wanted, cache=cache, fit={"epochs": 3}, search={"space": space})
    run = tl_keras.search(wanted, tmp_path / "run")
    deeper = [r for r in records(run) if r["values"]["fit.freeze"] == 0.75]
    config = configs.load(run.workdir / "search" / deeper[0]["trial"] / "config.yaml")
    apart = config.model_copy(update={"cache": CacheConfig(path=str(tmp_path / "apart"))})
    alone = tl_keras.finetune(
        apart.model_copy(update={"export": ExportConfig(formats=())}), tmp_path / "alone"
    )
    lines = (run.workdir / "search" / deeper[0]["trial"] / "metrics.jsonl").read_text()
    shared, own = (
        [json.loads(line)["loss"] for line in text.splitlines() if "finetune" in line]
        for text in (lines, (alone.workdir / "metrics.jsonl").read_text())
    )
    np.testing.assert_allclose(shared, own, rtol=5e-3)


def test_keeping_is_decided_by_the_trial_with_the_most_views(wanted, tmp_path, monkeypatch):
    asked, decide = [], activations.worth_keeping

    def note(cut, images, *others):
        asked.append(images)
        return decide(cut, images, *others)

    monkeypatch.setattr(activations, "worth_keeping", note)
    space = {"fit.freeze": [0.75], "fit.epochs": [1, 3], "image.augment": [[], [{"zoom": 0.1}]]}
    search = {"space": space, "trials": 1}
    wanted = changed(wanted, fit={"epochs": 1}, image={"augment": []}, search=search)
    run = tl_keras.search(wanted, tmp_path / "run")
    assert records(run)[0]["values"]["fit.epochs"] == 1
    assert asked == [3 * run.result["data"]["train"]]


def test_arrays_that_are_opened_again_are_counted_once(wanted, tmp_path, monkeypatch):
    monkeypatch.setattr(sessions, "MAX_ARCHITECTURES", 1)
    balances = ["none", "weights", "oversample"]
    space = {"image.size": [32, 48], "fit.freeze": [1.0], "data.balance": balances}
    search = {"space": space, "trials": 6}
    asked = changed(wanted, image={"augment": []}, search=search)
    run = tl_keras.search({**asked, "seed": 2}, tmp_path / "run")  # One after the other.
    sizes = [record["values"]["image.size"] for record in records(run)]
    assert sum(a != b for a, b in zip(sizes, sizes[1:], strict=False)) > 1, "none was opened again"
    outputs = {
        name: entry["bytes"]
        for name, entry in run.result["features"].items()
        if name.endswith("features/val")
    }
    assert len(outputs) == 2 and set(outputs.values()) == {run.result["data"]["val"] * 32 * 4}


def test_hyperband_refuses_a_space_that_is_too_small(wanted, tmp_path):
    search = {"tuner": "hyperband", "space": {"fit.freeze": [0.5, 0.75, 1.0]}}
    with pytest.raises(ValueError, match="hyperband's first round needs more combinations"):
        tl_keras.search(changed(wanted, fit={"epochs": 9}, search=search), tmp_path / "run")


def test_a_short_hyperband_search_gives_a_warning(wanted, tmp_path, caplog):
    fields = {"fit": {"epochs": 9}, "search": {"tuner": "hyperband", "trials": 1}}
    tl_keras.search(changed(wanted, **fields), tmp_path / "run")
    assert "search.trials: hyperband begins with short trainings" in caplog.text


def test_weights_that_fit_only_one_backbone_are_refused_before_any_trial(applications, tmp_path):
    config = configs.from_tree(applications)
    file = tmp_path / "a.weights.h5"
    models.pretrained(config.model, config.settings).save_weights(file)
    space = {"model.options.alpha": [0.5, 0.25], "fit.freeze": [1.0]}
    applications = changed(applications, model={"weights": str(file)}, search={"space": space})
    with pytest.raises(ValueError, match="search.space: with model.options.alpha 0.25: model.weig"):
        tl_keras.search(applications, tmp_path / "run")
    assert not (tmp_path / "run" / "search").exists()


def test_tuner_gets_the_scores_of_fine_tuned_weights(wanted, tmp_path, monkeypatch):
    """If every trial keeps the head, their scores are equal and tell the tuner nothing."""
    told, tell = [], tuner.tell

    def note(oracle, trial, score):
        told.append(score)
        tell(oracle, trial, score)

    monkeypatch.setattr(tuner, "tell", note)
    monkeypatch.setattr(choice, "choose", lambda *_: "head")
    monkeypatch.setattr(choice, "can_lose", lambda *_: True)
    space = {**SPACE, "fit.freeze": [0.5, 0.75]}
    run = tl_keras.search(changed(wanted, search={"space": space, "trials": 3}), tmp_path / "run")
    assert len({r["score"] for r in records(run)}) == 1
    assert told == [max(r["score"], r["tuned_score"]) for r in records(run)]
    assert max(told) > records(run)[0]["score"]


def test_architectures_with_the_same_name_are_distinguished(wanted, tmp_path):
    config = configs.from_tree(wanted)
    backbone = models.pretrained(config.model, config.settings)
    entries = []
    for folder in ("first", "second"):
        file = tmp_path / folder / "run" / "a.weights.h5"
        file.parent.mkdir(parents=True)
        backbone.save_weights(file)
        entries.append({"weights": str(file)})
    search = {"space": {"model": entries, "fit.freeze": [1.0]}, "trials": 4}
    run = tl_keras.search(changed(wanted, search=search), tmp_path / "run")
    labels = [record["label"] for record in records(run)]
    assert len(labels) == 2 and sum(" (2), " in label for label in labels) == 1


def test_kill_after_the_last_added_trial_leaves_no_old_result(found, wanted, tmp_path, monkeypatch):
    def kill(*_):
        raise Killed

    shutil.copytree(found.workdir, tmp_path / "run")
    wanted = changed(wanted, search={"trials": 5})
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(loop, "promoted", kill)
        tl_keras.search(wanted, tmp_path / "run")
    with pytest.raises(ValueError, match="the search in .* is not finished"):
        tl_keras.finetune(changed(wanted, search={"trials": 0}), tmp_path / "run")
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(evaluation, "evaluate", kill)
        tl_keras.search(wanted, tmp_path / "run")
    assert len(records(tl_keras.search(wanted, tmp_path / "run"))) == 5


def test_divergence_in_the_last_step_is_recorded(wanted, tmp_path):
    """With one step per epoch, the loss before the last step was still a number."""
    space = {"fit.learning_rate": [1e-3, 1e38]}
    fit = {"optimizer": "sgd", "clip_norm": None, "batch_size": 36, "epochs": 1, "warmup": 0.0}
    run = tl_keras.search(changed(wanted, fit=fit, search={"space": space}), tmp_path / "run")
    assert [r["status"] for r in records(run)] == ["done", "diverged"]


def test_depth_can_be_a_range(applications, tmp_path):
    """A range of the blocks of a Keras Applications backbone, with the default augmentation."""
    space = {"fit.freeze": {"min": 0.3, "max": 0.96}}
    search = {"space": space, "trials": 2}
    run = tl_keras.search(changed(applications, search=search), tmp_path / "run")
    assert len({record["depth"]["share"] for record in records(run)}) == 2


def test_finetune_continues_a_search_from_scratch(wanted, tmp_path):
    search = {"space": {"fit.learning_rate": [1e-3]}, "trials": 1}
    wanted = changed(wanted, model={"weights": "none"}, fit={"freeze": "auto"}, search=search)
    before = tl_keras.search(wanted, tmp_path / "run").result["seconds"]["search"]
    run = tl_keras.finetune(changed(wanted, export=FEW), tmp_path / "run")
    assert run.result["test"]["n"] == 18 and run.result["seconds"]["search"] == before


def test_finetune_in_the_folder_of_a_killed_search_is_refused(wanted, tmp_path, monkeypatch):
    def kill(*_):
        raise Killed

    wanted = changed(wanted, search={"trials": 1})
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(loop, "promoted", kill)
        tl_keras.search(wanted, tmp_path / "run")
    with pytest.raises(ValueError, match="the search in .* is not finished; finish it with"):
        tl_keras.finetune(changed(wanted, search={"trials": 0}), tmp_path / "run")


def test_every_kind_of_field_can_be_searched(wanted, tmp_path):
    space = {
        "fit.freeze": ["relu_1", 1],
        "fit.weight_decay": {"min": 1e-6, "max": 1e-1, "scale": "log"},
        "fit.label_smoothing": [0.0, 0.1],
        "fit.batch_size": {"min": 4, "max": 12},
        "model.dropout": {"min": 0.0, "max": 0.5},
        "model.head_width": [None, 8],
        "image.augment_strength": [0.0, 1.0],
        "image.augment": [[{"flip": "horizontal"}], [{"zoom": 0.2}]],
    }
    search = {"space": space, "trials": 3}
    run = tl_keras.search(changed(wanted, search=search), tmp_path / "run")
    assert len(records(run)) == 3
    for record in records(run):
        config = configs.load(run.workdir / "search" / record["trial"] / "config.yaml")
        tree = configs.to_tree(config)
        for name, value in record["values"].items():
            section, _, field = name.partition(".")
            assert tree[section][field] == value


def test_blocks_means_every_block_boundary(wanted, tmp_path):
    search = {"space": {"fit.freeze": "blocks"}, "trials": 1}
    run = tl_keras.search(changed(wanted, search=search), tmp_path / "run")
    kept = [name for name in run.result["features"] if name.endswith("/val")]
    # Three blocks and the features. The input is not a depth, and the fourth block ends in the
    # features.
    assert len(kept) == 4


def test_search_from_scratch(wanted, tmp_path):
    search = {"space": {"fit.learning_rate": [1e-3, 1e-2]}, "trials": 2}
    model = {"weights": "none"}
    run = tl_keras.search(
        changed(wanted, model=model, fit={"freeze": "auto"}, search=search), tmp_path / "run"
    )
    assert [r["kept"] for r in records(run)] == ["scratch", "scratch"]


def test_bad_layer_in_the_space_is_found_before_the_data_are_read(wanted, tmp_path, monkeypatch):
    monkeypatch.setattr(run_data, "read", lambda *_: pytest.fail("too late"))
    search = {"space": {"fit.freeze": [0.5, "conv_pw_99"]}}
    with pytest.raises(ValueError, match="'conv_pw_99' is not a cut point"):
        tl_keras.search(changed(wanted, search=search), tmp_path / "run")


def test_trials_log_only_a_table(watched):
    run, lines = watched
    assert not any(line.startswith("finetune ") for line in lines)
    table = [line for line in lines if line.split()[:1] in (["000"], ["001"], ["002"], ["003"])]
    assert len(table) == len(records(run))
    assert table[0].split()[1] == "0.5"
    state = json.loads((run.workdir / "search" / "state.json").read_text())
    assert np.isclose(state["seconds"], run.result["search"]["seconds"])
