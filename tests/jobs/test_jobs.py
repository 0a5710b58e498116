"""Claims on jobs: in its own process, a job has the same result from its folder alone."""

import json
import shutil
from pathlib import Path

import pytest
from runs import FEW, assert_same_weights, changed, other_process

import tl_keras
from tl_keras import launch
from tl_keras.config import text as configs
from tl_keras.jobs import child, job, local
from tl_keras.run.files import write_json
from tl_keras.run.run import Run

SPACE = {"fit.freeze": [0.25, 0.5, 0.75], "fit.learning_rate": {"min": 1e-4, "max": 1e-2}}
TIMES = ("seconds", "passes", "saved")


@pytest.fixture
def copied(monkeypatch, tmp_path):
    """A function that copies the folders of jobs of a kind before they start.

    It returns a list of pairs, original folder and copy, which grows as jobs start.
    """

    def copy(kind: str) -> list[tuple[Path, Path]]:
        found, do = [], job.do

        def copy_and_do(run: Run, work):
            if run.pipeline == kind and tmp_path / "apart" not in run.workdir.parents:
                apart = tmp_path / "apart" / str(len(found))
                shutil.copytree(run.workdir, apart)
                found.append((run.workdir, apart))
            return do(run, work)

        monkeypatch.setattr(job, "do", copy_and_do)
        return found

    return copy


@pytest.fixture(scope="module")
def do_apart():
    """A function that runs the jobs of folders in one other process, since starting it is slow."""
    act = "launch.launch_job(given)"
    with other_process("from tl_keras import launch", act) as send:

        def do(*folders: Path) -> None:
            for folder in folders:
                send(str(folder))

        yield do


def without_times(value):
    """Returns a result without the parts that differ each time."""
    if isinstance(value, list):
        return [without_times(own) for own in value]
    if not isinstance(value, dict):
        return value
    return {name: without_times(own) for name, own in value.items() if name not in TIMES}


def result_of(folder: Path) -> dict:
    found = without_times(json.loads((folder / "result.json").read_text()))
    # Whether arrays came from the cache is not part of the result.
    found.pop("features", None)
    return found


def test_trial_is_the_same_in_another_process(quick, tmp_path, copied, do_apart):
    folders = copied("trial")
    search = {"trials": 3, "tuner": "random", "space": SPACE, "keep": 3}
    tl_keras.search(changed(quick, fit={"epochs": 2}, search=search), tmp_path / "run")
    # The last trial could use the objects in memory of the trials before it.
    here, apart = folders[2]
    do_apart(apart)
    assert result_of(apart) == result_of(here)
    assert result_of(here)["trial"]["finetuned"] is not None
    assert_same_weights(apart, here)
    assert {path.name for path in apart.iterdir()} == {path.name for path in here.iterdir()}


def test_fold_is_the_same_in_another_process(quick, tmp_path, copied, do_apart):
    folders = copied("fold")
    folds = {"folds": 2, "final": "average"}
    wanted = changed(quick, fit={"epochs": 2}, cross_validate=folds, export={"formats": []})
    run = tl_keras.cross_validate(wanted, tmp_path / "run")
    here, apart = folders[1]
    do_apart(apart)
    assert result_of(apart) == result_of(here)
    told = [folder / "predictions.csv" for folder in (apart, here)]
    assert told[0].read_text() == told[1].read_text()
    assert run.result["folds"][1]["accuracy"] == result_of(apart)["held_out"]["accuracy"]


@pytest.fixture(scope="module")
def students(quick, tmp_path_factory) -> Path:
    """A folder with a finished run of two students and, in `waiting`, the prepared student folders.

    Tests read these files and do not change them.
    """
    folder, start = tmp_path_factory.mktemp("students"), local.start

    def copy_and_start(one: local.Child, threads: int):
        shutil.copytree(one.folder, folder / "waiting" / one.folder.name)
        return start(one, threads)

    wanted = changed(
        quick,
        data={"examples_per_class": 8, "unlabelled": "rest"},
        fit={"choose_by": "accuracy", "epochs": 2},
        cross_validate={"folds": 2},
        parallel={"workers": 1},
        export={"formats": []},
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(local, "start", copy_and_start)
        tl_keras.parallel(wanted, folder / "run")
    return folder


def test_student_is_the_same_in_another_process(students, tmp_path, do_apart):
    here, apart = students / "run" / "round_0" / "segment_1", tmp_path / "apart"
    shutil.copytree(students / "waiting" / "segment_1", apart)
    do_apart(apart)
    assert result_of(apart) == result_of(here)
    assert_same_weights(apart, here)
    assert {path.name for path in apart.iterdir()} == {path.name for path in here.iterdir()}


def test_student_started_by_hand_is_the_same_in_a_moved_run(students, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(students / "run", moved)
    here = moved / "round_0" / "segment_0"
    shutil.rmtree(here)
    shutil.copytree(students / "waiting" / "segment_0", here)
    words = ["parallel", "--segment=0", f"--config={moved / 'config.yaml'}", f"--workdir={moved}"]
    with (tmp_path / "log").open("w") as log:
        assert child.start(words, log, {}).wait() == 0
    before = students / "run" / "round_0" / "segment_0"
    assert result_of(here) == result_of(before)
    assert_same_weights(here, before)


def test_student_of_changed_examples_is_refused(students, tmp_path):
    shutil.copytree(students / "waiting" / "segment_1", tmp_path / "apart")
    file = tmp_path / "apart" / "checkpoint" / "job.json"
    needs = json.loads(file.read_text())
    name, _, label = needs["taught"]["train"][0]
    needs["taught"]["train"][0] = [name, "another", label]
    write_json(file, needs)
    with pytest.raises(ValueError, match="has changed since the teacher labelled it"):
        launch.launch_job(tmp_path / "apart")


def test_approach_is_the_same_in_another_process(quick, tmp_path, copied, do_apart):
    folders = copied("finetune")
    wanted = changed(
        quick,
        fit={"epochs": 2},
        compare={"approaches": ["finetune"], "learning_curve": False},
        export=FEW,
    )
    tl_keras.compare(wanted, tmp_path / "run")
    here, apart = folders[0]
    do_apart(apart)
    assert result_of(apart)["val"] == result_of(here)["val"]
    assert result_of(apart)["model"] == result_of(here)["model"]
    assert_same_weights(apart, here)


def test_trial_of_a_fold_finds_its_examples(quick, tmp_path, copied, do_apart):
    folders = copied("trial")
    wanted = changed(
        quick,
        fit={"epochs": 1},
        search={"trials": 1, "tuner": "random", "space": {"fit.freeze": [0.5]}},
        cross_validate={"folds": 2},
        export={"formats": []},
    )
    tl_keras.cross_validate(wanted, tmp_path / "run")
    here, apart = folders[1]
    do_apart(apart)
    assert result_of(apart) == result_of(here)
    assert_same_weights(apart, here)


def test_a_folder_of_several_jobs_removes_the_result_of_the_last_one(tmp_path):
    config = configs.from_tree({"data": {"source": "digits"}})
    one = Run(tmp_path / "pass", config, "pass")
    job.prepare(one, number=1)
    one.finish(one.outcome())
    job.write_needs(one, number=2)
    assert one.result is None and job.needs(one)["number"] == 2


@pytest.fixture
def passes(monkeypatch, tmp_path) -> list[Path]:
    """Copies of the folders of passes before they started."""
    found, write = [], job.write_needs

    def write_and_copy(waiting: Run, **needs):
        write(waiting, **needs)
        if waiting.pipeline == "pass":
            found.append(tmp_path / "passes" / str(len(found)))
            shutil.copytree(waiting.workdir, found[-1])

    monkeypatch.setattr(job, "write_needs", write_and_copy)
    return found


def assert_same_arrays(do_apart, passes: list[Path], cache: Path, tmp_path: Path) -> None:
    """Asserts that repeated passes write the same files into an empty cache."""
    other = tmp_path / "other"
    for folder in passes:
        config = configs.load(folder / "config.yaml")
        moved = config.cache.model_copy(update={"path": str(other)})
        config = config.model_copy(update={"cache": moved})
        (folder / "config.yaml").write_text(configs.to_yaml(config))
    do_apart(*passes)
    here, there = (
        {file.name: file.read_bytes() for file in (folder / "arrays").glob("*.npy")}
        for folder in (cache, other)
    )
    assert here.keys() == there.keys() and here
    assert all(there[name] == content for name, content in here.items())


def test_pass_is_the_same_in_another_process(quick, tmp_path, passes, do_apart):
    space = {"image.size": [32, 40], "image.augment_strength": [0.0, 1.0], "fit.freeze": [0.5]}
    wanted = changed(
        quick,
        image={"augment": [{"rotation": 0.1}]},
        fit={"epochs": 2},
        search={"trials": 4, "tuner": "random", "space": space},
        cache={"path": str(tmp_path / "cache")},
    )
    run = tl_keras.search(wanted, tmp_path / "run")
    needs = [json.loads((own / "checkpoint" / "job.json").read_text()) for own in passes]
    assert {one["split"] for one in needs} == {"train", "val"}
    assert {one["view"] for one in needs} >= {None, 0, 1}
    assert_same_arrays(do_apart, passes, tmp_path / "cache", tmp_path)
    assert not list(run.workdir.rglob("pass*"))


def test_pass_of_all_folds_is_the_same_in_another_process(quick, tmp_path, passes, do_apart):
    wanted = changed(
        quick,
        fit={"epochs": 1, "mixed_precision": True},
        cross_validate={"folds": 2},
        export={"formats": []},
        cache={"path": str(tmp_path / "cache")},
    )
    tl_keras.cross_validate(wanted, tmp_path / "run")
    assert_same_arrays(do_apart, passes, tmp_path / "cache", tmp_path)


def test_pass_of_a_student_is_the_same_in_another_process(students, tmp_path, passes, do_apart):
    shutil.copytree(students / "waiting" / "segment_1", tmp_path / "apart")
    config = configs.load(tmp_path / "apart" / "config.yaml")
    cache = config.cache.model_copy(update={"path": str(tmp_path / "cache")})
    launch.launch_job(tmp_path / "apart", config=config.model_copy(update={"cache": cache}))
    assert_same_arrays(do_apart, passes, tmp_path / "cache", tmp_path)


def test_pass_of_changed_weights_is_refused(quick, tmp_path, passes):
    wanted = changed(quick, fit={"epochs": 1}, cache={"path": str(tmp_path / "cache")}, export=FEW)
    tl_keras.finetune(wanted, tmp_path / "run")
    file = passes[0] / "checkpoint" / "job.json"
    needs = json.loads(file.read_text())
    write_json(file, {**needs, "keys": ["another" for _ in needs["keys"]]})
    with pytest.raises(ValueError, match="the images or the weights have changed since this job"):
        launch.launch_job(passes[0])


def test_job_of_changed_or_missing_data_is_refused(quick, tmp_path, copied):
    folders = copied("trial")
    search = {"trials": 1, "tuner": "random", "space": SPACE}
    tl_keras.search(changed(quick, fit={"epochs": 1}, search=search), tmp_path / "run")
    here, apart = folders[0]
    assert launch.launch_job(here).result.trial is not None  # The job was finished before.
    with pytest.raises(ValueError, match="is not the folder of a job: it has no checkpoint/"):
        launch.launch_job(tmp_path)
    file = apart / "checkpoint" / "job.json"
    needs = json.loads(file.read_text())
    write_json(file, {**needs, "fingerprint": "another"})
    with pytest.raises(ValueError, match="the images have changed since this job was prepared"):
        launch.launch_job(apart)
    began = dict.fromkeys(needs["began"], "another")
    write_json(file, {**needs, "began": began})
    with pytest.raises(ValueError, match=r"model\..* has changed since the run in .* began"):
        launch.launch_job(apart)
