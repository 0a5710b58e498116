"""Parallel training end to end: teacher, labels, students in their own processes, what they merge
to; kills and failures of students and of the command."""

import csv
import json
import logging
import shutil
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from handmade import result, scores
from listed import assert_listed
from runs import FEW, answers, assert_same_weights, changed, rows, shoot

import tl_keras
from tl_keras import cli
from tl_keras.approaches import folds
from tl_keras.approaches.teaching import segments
from tl_keras.approaches.teaching.merging import choose
from tl_keras.approaches.teaching.students import train_students
from tl_keras.config import text as configs
from tl_keras.data import record
from tl_keras.jobs import local
from tl_keras.run import marks
from tl_keras.run.result.whole import to_json
from tl_keras.run.run import Run
from tl_keras.training.network import model as models


@pytest.fixture(scope="module")
def wanted(quick) -> dict:
    """A config that takes seconds: 8 labelled pictures per class; the teacher labels the rest."""
    return changed(
        quick,
        data={"examples_per_class": 8, "unlabelled": "rest"},
        fit={"choose_by": "accuracy", "epochs": 2},
        cross_validate={"folds": 2},
        export=FEW,
    )


@pytest.fixture(scope="module")
def taught(wanted, tmp_path_factory):
    """A finished run. Tests read it and do not change it."""
    return tl_keras.parallel(wanted, tmp_path_factory.mktemp("runs") / "taught")


def labels_of(run) -> list[dict]:
    with (run.workdir / "round_0" / "labels.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_run_folder_holds_teacher_and_students(taught):
    names = {path.name for path in taught.workdir.iterdir()}
    assert {"teacher", "round_0", "model.keras", "export", "predictions.csv"} <= names
    assert "checkpoint" not in names
    inside = {path.name for path in (taught.workdir / "round_0").iterdir()}
    assert {"labels.csv", "segment_0", "segment_1", "segment_0.log", "model.keras"} <= inside
    held = {path.name for path in (taught.workdir / "round_0" / "segment_1").iterdir()}
    assert {"config.yaml", "metrics.jsonl", "model.keras", "result.json"} <= held
    assert not held & {"data.json", "export", "checkpoint"}
    assert_listed(taught)


def test_labels_are_of_examples_in_no_split(taught):
    data = json.loads((taught.workdir / "data.json").read_text())["splits"]
    known = {file for files in data.values() for file in files}
    found = [row["file"] for row in labels_of(taught)]
    assert not known & set(found) and len(known) + len(found) == 72
    assert Counter(row["segment"] for row in labels_of(taught)).keys() == {"0", "1"}


def test_students_train_on_human_labels_and_on_their_segment(taught):
    splits = json.loads((taught.workdir / "data.json").read_text())["splits"]
    for i, own in enumerate(taught.result["rounds"][0]["segments"]):
        for split in ("train", "val"):
            kept = [
                row
                for row in labels_of(taught)
                if (row["segment"], row["part"], row["kept"]) == (str(i), split, "1")
            ]
            assert own[split] == len(splits[split]) + len(kept)
        assert own["labelled"]["n"] == len(splits["val"])


def test_counts_of_right_labels_are_recorded_if_known(taught):
    told = taught.result["rounds"][0]["labels"]["classes"]
    right = Counter(
        row["label"]
        for row in labels_of(taught)
        if row["kept"] == "1" and row["file"].startswith(row["label"])
    )
    assert {name: entry["right"] for name, entry in told.items() if entry["kept"]} == {
        name: right[name] for name, entry in told.items() if entry["kept"]
    }


def test_teacher_is_measured_beside_the_model_on_test(taught):
    teacher, test = taught.result["teacher"], taught.result["test"]
    assert teacher["split"] == "test" and teacher["n"] == test["n"]
    difference = (teacher["won"] - teacher["lost"]) / teacher["n"]
    assert test["accuracy"] - teacher["accuracy"] == pytest.approx(difference)


def test_the_best_candidate_on_validation_is_merged(taught):
    told = taught.result["rounds"][0]
    assert set(told["candidates"]) == {"segment_0", "segment_1", "average", "ensemble", "teacher"}
    assert taught.result["model"]["kept"] == told["merged"]


def test_report_describes_the_round(taught):
    page = taught.report.read_text()
    assert "than its teacher" in page
    assert "Estimated share" in page


def test_finished_run_takes_more_exports(taught, wanted, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(taught.workdir, copy)
    asked = changed(wanted, export={"formats": ["float32", "float16"]})
    assert set(tl_keras.parallel(asked, copy).result["export"]) == {"float32", "float16"}
    digests = json.loads((copy / "data.json").read_text())["digests"]
    assert len(digests["unlabelled"]) == len(labels_of(taught))


def test_unlabelled_examples_must_not_measure_a_later_run(taught, wanted, tmp_path):
    later = changed(wanted, data={"split_seed": 5, "unlabelled": None, "examples_per_class": None})
    later = changed(later, model={"weights": str(taught.workdir)})
    with pytest.raises(ValueError, match=r"model.weights: .* was trained on \d+ images"):
        tl_keras.finetune(later, tmp_path / "later")


def test_teacher_that_is_kept_is_measured_on_held_out_examples(
    taught, wanted, tmp_path, monkeypatch
):
    from tl_keras.approaches.teaching import merging as merged

    workdir = tmp_path / "run"
    _with_teacher_of(taught, wanted, workdir)
    shutil.copytree(taught.workdir / "round_0", workdir / "round_0")
    for name in ("model.keras", "round.json"):
        (workdir / "round_0" / name).unlink()
    monkeypatch.setattr(merged, "choose", lambda *_: merged.TEACHER)
    run = tl_keras.parallel(changed(wanted, parallel={"rounds": 1}), workdir)
    held_out = folds.held_out(Run(workdir / "teacher", configs.from_tree(wanted), "teacher"))
    told = answers(workdir, "val")
    for file, probabilities in told.items():
        np.testing.assert_allclose(probabilities, held_out[file], atol=1e-6)
    assert run.result["export"]["float32"]["status"] == "ok"
    assert run.result["teacher"]["won"] == run.result["teacher"]["lost"] == 0


def test_a_run_killed_during_its_students_ends_as_an_unbroken_one(wanted, taught, tmp_path):
    workdir = tmp_path / "killed"
    _with_teacher_of(taught, wanted, workdir)  # To save time.
    shoot("parallel", wanted, workdir, workdir / "round_0" / "segment_0.log")
    assert not (workdir / "round_0" / "segment_1" / "result.json").exists()
    run = tl_keras.parallel(wanted, workdir)  # Waits for students of the killed run.
    assert (workdir / "predictions.csv").read_text() == (
        taught.workdir / "predictions.csv"
    ).read_text()
    assert_same_weights(run.workdir, taught.workdir)


def test_killed_student_is_started_again(wanted, taught, tmp_path, monkeypatch, caplog):
    begun = []
    start = local.start

    def start_and_kill(child, threads):
        process = start(child, threads)
        begun.append(segment_of(child))
        if len(begun) == 1:
            process.kill()
        return process

    monkeypatch.setattr(local, "start", start_and_kill)
    monkeypatch.setattr(logging.getLogger("absl"), "propagate", True)
    # The teacher and the other student are copied from another run, to save time.
    workdir = tmp_path / "run"
    _with_teacher_of(taught, wanted, workdir)
    shutil.copytree(taught.workdir / "round_0", workdir / "round_0")
    for name in ("model.keras", "round.json"):
        (workdir / "round_0" / name).unlink()
    shutil.rmtree(workdir / "round_0" / "segment_0")
    run = tl_keras.parallel(wanted, workdir)
    assert begun == [0, 0]
    assert "segment 0 failed: the process was killed by signal 9" in caplog.text
    assert_same_weights(run.workdir, taught.workdir)


def _with_teacher_of(run, tree, workdir):
    """Copies the teacher of a finished run into a new run folder."""
    marks.put(workdir, "run")
    for name in ("config.yaml", "data.json", "findings.json", "teacher"):
        source = run.workdir / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, workdir / name)
    (workdir / "config.yaml").write_text(configs.to_yaml(configs.from_tree(tree)))


# --- failures of students, simulated by small scripts


@pytest.fixture
def round_of_two(wanted, tmp_path):
    config = configs.from_tree(changed(wanted, parallel={"workers": 2, "retries": 1}))
    run = Run(tmp_path / "run", config, "parallel")
    folder = run.workdir / "round_0"
    folder.mkdir(parents=True)
    return run, folder


RESULT = to_json(result(pipeline="segment", labelled=scores(6), export=None))


def segment_of(child) -> int:
    return int(child.folder.name.removeprefix("segment_"))


def play(monkeypatch, script_of):
    """Replaces students by Python scripts, chosen by segment and attempt."""
    attempts = Counter()

    def start(child, threads):
        segment = segment_of(child)
        attempts[segment] += 1
        child.folder.mkdir(exist_ok=True)
        script = script_of(segment, attempts[segment]).format(
            file=str(child.folder / "result.json"), result=json.dumps(RESULT)
        )
        with child.log.open("w") as log:
            line = [sys.executable, "-c", script]
            return subprocess.Popen(line, stdout=log, stderr=subprocess.STDOUT)

    monkeypatch.setattr(local, "start", start)
    return attempts


WORKS = "open({file!r}, 'w').write({result!r})"
FULL = "import sys; print('tl-keras: /x: No space left on device'); sys.exit(2)"
BROKEN = "raise KeyError('fault')"


def test_failed_student_does_not_stop_the_others(round_of_two, monkeypatch):
    run, folder = round_of_two
    attempts = play(monkeypatch, lambda segment, _: FULL if segment == 0 else WORKS)
    with pytest.raises(ValueError, match=r"segment 0 of round 1 failed 2 times: /x: No space left"):
        train_students(run, folder, 0)
    assert attempts == {0: 2, 1: 1}
    assert local.is_done(folder / "segment_1") and not local.is_done(folder / "segment_0")
    attempts = play(
        monkeypatch, lambda *_: WORKS
    )  # The cause is fixed, and the same command continues.
    train_students(run, folder, 0)
    assert attempts == {0: 1} and local.is_done(folder / "segment_0")


def test_a_bug_is_not_reported_as_a_user_error(round_of_two, monkeypatch):
    run, folder = round_of_two
    play(monkeypatch, lambda *_: BROKEN)
    with pytest.raises(RuntimeError, match=r"KeyError: 'fault'.*segment_0.log"):
        train_students(run, folder, 0)


def test_a_student_that_is_killed_in_each_attempt_is_explained(round_of_two, monkeypatch):
    run, folder = round_of_two
    play(monkeypatch, lambda s, _: "import os; os.kill(os.getpid(), 9)" if s else WORKS)
    with pytest.raises(ValueError, match=r"killed by signal 9, maybe because memory ran out"):
        train_students(run, folder, 0)


def test_no_more_students_run_at_a_time_than_workers(wanted, tmp_path, monkeypatch):
    asked = changed(wanted, parallel={"segments": 5, "workers": 2})
    run = Run(tmp_path / "run", configs.from_tree(asked), "parallel")
    folder = run.workdir / "round_0"
    folder.mkdir(parents=True)
    most, running = [], []
    play(monkeypatch, lambda *_: f"import time; time.sleep(.3); {WORKS}")
    start = local.start

    def counted(*arguments):
        running.append(start(*arguments))
        most.append(sum(process.poll() is None for process in running))
        return running[-1]

    monkeypatch.setattr(local, "start", counted)
    train_students(run, folder, 0)
    assert max(most) == 2 and len(running) == 5


def test_without_workers_the_run_waits_for_students_elsewhere(wanted, tmp_path, monkeypatch):
    asked = changed(wanted, parallel={"workers": 0})
    run = Run(tmp_path / "run", configs.from_tree(asked), "parallel")
    folder = run.workdir / "round_0"
    script = "import sys, time, pathlib\n"
    script += "for name in sys.argv[1:]: time.sleep(.3); path = pathlib.Path(name); "
    script += "path.parent.mkdir(parents=True); path.write_text('{}')"
    files = [str(folder / f"segment_{i}" / "result.json") for i in range(2)]
    elsewhere = subprocess.Popen([sys.executable, "-c", script, *files])
    monkeypatch.setattr(local, "start", None)
    train_students(run, folder, 0)
    assert elsewhere.wait() == 0 and all(local.is_done(folder / f"segment_{i}") for i in range(2))


# --- choosing


def test_average_is_chosen_unless_validation_clearly_prefers_another(wanted):
    config = configs.from_tree(wanted)
    labels = np.arange(30) % 3
    sure = np.full((30, 3), 0.02)
    sure[np.arange(30), labels] = 0.96
    vague = np.full((30, 3), 0.2)
    vague[np.arange(30), labels] = 0.6
    data = type("Data", (), {"inputs": {"val": type("Inputs", (), {"labels": labels})}})
    near = 0.99 * sure + 0.01 / 3
    found = {"segment_0": near, "segment_1": vague, "average": near, "ensemble": sure}
    found["teacher"] = vague
    assert choose(config, found, data) == "average"
    assert choose(config, {**found, "average": vague}, data) in ("ensemble", "segment_0")
    worse = dict.fromkeys(found, vague) | {"teacher": sure}
    assert choose(config, worse, data) == "average"  # It is right as often.
    wrong = {name: np.roll(sure, 1, axis=1) for name in found} | {"teacher": sure}
    assert choose(config, wrong, data) == "teacher"
    for asked in ("ensemble", "average"):
        forced = configs.from_tree(changed(wanted, parallel={"merge": asked}))
        assert choose(forced, found, data) == asked
    forced = configs.from_tree(changed(wanted, parallel={"merge": "best"}))
    assert choose(forced, {**found, "segment_1": sure}, data) == "segment_1"


# --- mistakes


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"data": {"unlabelled": None}}, "data.unlabelled: expected a folder"),
        ({"data": {"unlabelled": "/nowhere/at/all"}}, "data.unlabelled: .* does not exist"),
        ({"data": {"examples_per_class": None}}, "data.unlabelled: 'rest' .* leaves out none"),
        (
            {"model": {"weights": "none"}, "fit": {"freeze": 0}},
            "model.weights: the command 'parallel' needs",
        ),
        ({"search": {"trials": 2}}, "search: the command 'parallel' does not search"),
    ],
)
def test_bad_configs_are_refused(wanted, tmp_path, sections, message):
    with pytest.raises(ValueError, match=message):
        tl_keras.parallel(changed(wanted, **sections), tmp_path / "refused")


def test_segment_needs_a_run_that_is_waiting(wanted, taught, tmp_path):
    config = configs.from_tree(wanted)
    with pytest.raises(ValueError, match="is not a run folder"):
        segments.prepared_student(config, tmp_path / "none", 0)
    with pytest.raises(ValueError, match="--segment: expected a segment from 0 to 1; received 2"):
        segments.prepared_student(config, taught.workdir, 2)
    other = configs.from_tree(changed(wanted, fit={"epochs": 5}))
    with pytest.raises(ValueError, match="fit.epochs: 2 in the workdir, 5 now"):
        segments.prepared_student(other, taught.workdir, 0)
    marks.put(tmp_path / "early", "run")
    (tmp_path / "early" / "config.yaml").write_text(configs.to_yaml(config))
    with pytest.raises(ValueError, match="has no labels by the teacher model yet"):
        segments.prepared_student(config, tmp_path / "early", 0)


def test_segment_that_is_done_is_left_alone(taught):
    file = taught.workdir / "round_0" / "segment_0" / "result.json"
    stamp = file.stat().st_mtime_ns
    config = f"--config={taught.workdir / 'config.yaml'}"
    assert cli.main(["parallel", "--segment=0", config, f"--workdir={taught.workdir}"]) == 0
    assert file.stat().st_mtime_ns == stamp


def test_predictions_are_those_of_the_merged_model(taught):
    assert models.load(taught.workdir / "model.keras").output.shape[-1] == 3
    assert {row["split"] for row in rows(taught.workdir)} == {"val", "test"}
    assert len(answers(taught.workdir, "test")) == taught.result["test"]["n"]


def test_unlabelled_images_that_change_during_a_run_are_noticed(taught):
    class Other:
        digest = "another content"

    with pytest.raises(ValueError, match="data.unlabelled: the images have changed since"):
        record.add_digests(taught, "unlabelled", [Other()])


def test_students_and_teacher_have_their_own_configs(taught):
    config = configs.load(taught.workdir / "round_0" / "segment_0" / "config.yaml")
    assert config.fit.choose_by == "accuracy"
    for folder in ("teacher", "round_0/segment_1"):
        result = Run(taught.workdir / folder, config, "").result
        assert result["schema"] == 2 and result["seconds"]["total"] > 0
        assert (taught.workdir / folder / "config.yaml").is_file()
