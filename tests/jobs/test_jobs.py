"""Claims on jobs: from its folder alone a job comes to the same in a process of its own."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from runs import FEW, assert_same_weights, changed

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
    """A function that has jobs of a kind copied before they start; a list of both folders."""

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


# Does the jobs of the folders that it is told, one a line, and says of each what came of it.
OTHER = """
import json, sys, traceback
from tl_keras import launch
for line in sys.stdin:
    try:
        launch.launch_job(json.loads(line))
        fault = None
    except Exception:
        fault = traceback.format_exc()
    print("fault:", json.dumps(fault), flush=True)
"""


@pytest.fixture(scope="module")
def do_apart():
    """A function that does the jobs of folders in another process, the same one each time: what
    takes longest is that it starts."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", OTHER], **pipes, text=True) as process:

        def do(*folders: Path) -> None:
            for folder in folders:
                print(json.dumps(str(folder)), file=process.stdin, flush=True)
                told = next((line for line in process.stdout if line.startswith("fault: ")), None)
                assert told == "fault: null\n", told

        yield do
        process.stdin.close()


def without_times(value):
    """A result without what differs each time."""
    if isinstance(value, list):
        return [without_times(own) for own in value]
    if not isinstance(value, dict):
        return value
    return {name: without_times(own) for name, own in value.items() if name not in TIMES}


def result_of(folder: Path) -> dict:
    found = without_times(json.loads((folder / "result.json").read_text()))
    # Which arrays were read, and from where, is no result.
    found.pop("features", None)
    return found


def test_trial_is_the_same_in_a_process_of_its_own(quick, tmp_path, copied, do_apart):
    folders = copied("trial")
    search = {"trials": 3, "tuner": "random", "space": SPACE, "keep": 3}
    tl_keras.search(changed(quick, fit={"epochs": 2}, search=search), tmp_path / "run")
    # The last one: it found in memory what those before it had left.
    here, apart = folders[2]
    do_apart(apart)
    assert result_of(apart) == result_of(here)
    assert result_of(here)["trial"]["finetuned"] is not None
    assert_same_weights(apart, here)
    assert {path.name for path in apart.iterdir()} == {path.name for path in here.iterdir()}


def test_fold_is_the_same_in_a_process_of_its_own(quick, tmp_path, copied, do_apart):
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
    """A folder with a finished run of two students, and in `waiting` copies of the folders of both
    from before they started. Tests read them and do not change them."""
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


def test_student_is_the_same_in_a_process_of_its_own(students, tmp_path, do_apart):
    here, apart = students / "run" / "round_0" / "segment_1", tmp_path / "apart"
    shutil.copytree(students / "waiting" / "segment_1", apart)
    do_apart(apart)
    assert result_of(apart) == result_of(here)
    assert_same_weights(apart, here)
    assert {path.name for path in apart.iterdir()} == {path.name for path in here.iterdir()}


def test_student_by_hand_is_the_same_in_a_run_that_was_moved(students, tmp_path):
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


def test_student_of_other_examples_is_refused(students, tmp_path):
    shutil.copytree(students / "waiting" / "segment_1", tmp_path / "apart")
    file = tmp_path / "apart" / "checkpoint" / "job.json"
    needs = json.loads(file.read_text())
    name, _, label = needs["taught"]["train"][0]
    needs["taught"]["train"][0] = [name, "another", label]
    write_json(file, needs)
    with pytest.raises(ValueError, match="is not what the teacher labelled"):
        launch.launch_job(tmp_path / "apart")


def test_approach_is_the_same_in_a_process_of_its_own(quick, tmp_path, copied, do_apart):
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


def test_a_folder_of_several_jobs_forgets_the_one_before(tmp_path):
    config = configs.from_tree({"data": {"source": "digits"}})
    one = Run(tmp_path / "pass", config, "pass")
    job.prepare(one, number=1)
    one.finish(one.outcome())
    job.write_needs(one, number=2)
    assert one.result is None and job.needs(one)["number"] == 2


@pytest.fixture
def passes(monkeypatch, tmp_path) -> list[Path]:
    """Folders of passes as they were before they started."""
    found, write = [], job.write_needs

    def write_and_copy(waiting: Run, **needs):
        write(waiting, **needs)
        if waiting.pipeline == "pass":
            found.append(tmp_path / "passes" / str(len(found)))
            shutil.copytree(waiting.workdir, found[-1])

    monkeypatch.setattr(job, "write_needs", write_and_copy)
    return found


def assert_same_arrays(do_apart, passes: list[Path], cache: Path, tmp_path: Path) -> None:
    """Passes that are done again leave the same files in an empty store."""
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


def test_pass_is_the_same_in_a_process_of_its_own(quick, tmp_path, passes, do_apart):
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


def test_pass_of_all_folds_is_the_same_in_a_process_of_its_own(quick, tmp_path, passes, do_apart):
    wanted = changed(
        quick,
        fit={"epochs": 1, "mixed_precision": True},
        cross_validate={"folds": 2},
        export={"formats": []},
        cache={"path": str(tmp_path / "cache")},
    )
    tl_keras.cross_validate(wanted, tmp_path / "run")
    assert_same_arrays(do_apart, passes, tmp_path / "cache", tmp_path)


def test_pass_of_a_student_is_the_same_in_a_process_of_its_own(
    students, tmp_path, passes, do_apart
):
    shutil.copytree(students / "waiting" / "segment_1", tmp_path / "apart")
    config = configs.load(tmp_path / "apart" / "config.yaml")
    cache = config.cache.model_copy(update={"path": str(tmp_path / "cache")})
    launch.launch_job(tmp_path / "apart", config=config.model_copy(update={"cache": cache}))
    assert_same_arrays(do_apart, passes, tmp_path / "cache", tmp_path)


def test_pass_of_other_weights_is_refused(quick, tmp_path, passes):
    wanted = changed(quick, fit={"epochs": 1}, cache={"path": str(tmp_path / "cache")}, export=FEW)
    tl_keras.finetune(wanted, tmp_path / "run")
    file = passes[0] / "checkpoint" / "job.json"
    needs = json.loads(file.read_text())
    write_json(file, {**needs, "keys": ["another" for _ in needs["keys"]]})
    with pytest.raises(ValueError, match="the images or the weights have changed since this job"):
        launch.launch_job(passes[0])


def test_job_of_other_data_or_of_none_is_refused(quick, tmp_path, copied):
    folders = copied("trial")
    search = {"trials": 1, "tuner": "random", "space": SPACE}
    tl_keras.search(changed(quick, fit={"epochs": 1}, search=search), tmp_path / "run")
    here, apart = folders[0]
    assert launch.launch_job(here).result.trial is not None  # It was done.
    with pytest.raises(ValueError, match="is not the folder of a job: it has no job.json"):
        launch.launch_job(tmp_path)
    file = apart / "checkpoint" / "job.json"
    needs = json.loads(file.read_text())
    write_json(file, {**needs, "fingerprint": "another"})
    with pytest.raises(ValueError, match="the images have changed since this job was prepared"):
        launch.launch_job(apart)
    began = {name: "another" for name in needs["began"]}
    write_json(file, {**needs, "began": began})
    with pytest.raises(ValueError, match=r"model\..* has changed since the run in .* began"):
        launch.launch_job(apart)
