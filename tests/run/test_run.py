"""Claims on run/run.py and run/folder.py: files of a run, locks, and recovery after a kill."""

import os
import shutil
import subprocess
import sys
import time

import pytest
from handmade import exported, result, write_result
from handmade_search import lost, trial

from tl_keras.config import text as configs
from tl_keras.config.search import SearchConfig
from tl_keras.run import folder as runs
from tl_keras.run import marks
from tl_keras.run.budget import has_budget
from tl_keras.run.result.exports import Exported
from tl_keras.run.run import OVER, Run


def config(**sections):
    return configs.from_tree({"data": {"source": "digits"}, **sections})


OTHER = {"export": {"formats": ["int8"]}}


@pytest.fixture
def run(tmp_path) -> Run:
    """An unfinished run that has trained its head and is not locked."""
    with runs.opened(config(), tmp_path / "run", "finetune") as run:
        (run.checkpoint / "finetune.npy").touch()
        return run


def finish(run: Run, **parts) -> Run:
    with runs.opened(run.config, run.workdir, run.pipeline) as run:
        run.finish(result(pipeline=run.pipeline, **{"export": None, **parts}))
    return run


def files(*formats: str) -> dict[str, Exported]:
    return {name: exported(name) for name in formats}


def test_record_merges_dicts(run):
    run.add(data={"train": 1}, kept="head")
    run.add(data={"val": 2}, kept="mix", seconds={"head": 1.0})
    assert run.record == {
        "pipeline": "finetune",
        "data": {"train": 1, "val": 2},
        "kept": "mix",
        "seconds": {"head": 1.0},
    }


def test_record_outlives_the_process(run):
    run.add(kept="head")
    assert runs.load(run.workdir).record["kept"] == "head"


def test_timed_adds_up_and_ignores_failures(run):
    with run.timed("head"):
        time.sleep(0.02)
    first = run.record["seconds"]["head"]
    with pytest.raises(KeyboardInterrupt), run.timed("head"):
        raise KeyboardInterrupt
    assert run.record["seconds"]["head"] == first >= 0.02
    with run.timed("head"):
        time.sleep(0.02)
    with run.timed("data"):
        pass
    assert run.record["seconds"]["head"] >= first + 0.02
    assert set(run.record["seconds"]) == {"head", "data"}


def test_opened_saves_the_config_and_continues(run):
    run.add(kept="head")
    assert configs.load(run.workdir / "config.yaml") == run.config
    with runs.opened(config(), run.workdir, "finetune") as again:
        assert again.record["kept"] == "head"
        assert again.result is None


def test_finish_leaves_result_and_config_and_no_checkpoint(run):
    finish(run, device="a machine")
    assert run.result == result(device="a machine", export=None)
    left = {path.name for path in run.workdir.iterdir()}
    assert left - {".lock"} == {".tl_keras", "config.yaml", "result.json"}
    assert run.record == {}


def test_finished_is_none_until_the_result_is_there(run):
    assert runs.finished(config(), run.workdir, "finetune") is None
    finish(run)
    found = runs.finished(config(), run.workdir, "finetune")
    assert found.result == result(export=None)
    assert found.workdir == run.workdir


def test_finished_creates_no_folder(tmp_path):
    assert runs.finished(config(), tmp_path / "new" / "run", "finetune") is None
    assert not list(tmp_path.iterdir())


def test_finished_run_with_exports_is_not_done_when_some_are_added(run):
    finish(run, export=files("float32"))
    assert runs.finished(config(**OTHER), run.workdir, "finetune") is None
    tolerance = {"export": {"formats": ["float32"], "max_accuracy_drop": 0.1}}
    assert runs.finished(config(**tolerance), run.workdir, "finetune") is None


def test_finished_run_is_done_if_it_has_all_formats(run):
    finish(run, export=files(*config().export.formats))
    assert runs.finished(config(**OTHER), run.workdir, "finetune") is not None
    assert runs.finished(config(cache={"max_bytes": 0}), run.workdir, "finetune") is not None


def test_saved_config_names_all_exported_formats(run):
    finish(run, export=files("float32", "int8"))
    assert configs.load(run.workdir / "config.yaml").export.formats == ("float32", "int8")


def test_finished_run_without_exports_stays_done(tmp_path):
    with runs.opened(config(), tmp_path, "pretrain") as run:
        run.finish(result(pipeline="pretrain", export=None))
    assert runs.finished(config(**OTHER), tmp_path, "pretrain") is not None


class Killed(BaseException):
    """Simulates a kill."""


def killed_in_finish(run: Run, monkeypatch, step: str):
    def kill(*_, **__):
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        with runs.opened(run.config, run.workdir, run.pipeline) as run:
            patched.setattr(step, kill)
            run.finish(result(export=files(*run.config.export.formats)))


def test_killed_before_the_result_is_not_done(run, monkeypatch):
    run.add(kept="head")
    killed_in_finish(run, monkeypatch, "tl_keras.run.run.write_json")
    assert runs.finished(config(), run.workdir, "finetune") is None
    assert run.record["kept"] == "head"


@pytest.mark.parametrize("step", ["write_text", "shutil.rmtree"])
def test_killed_after_the_result_is_done(run, monkeypatch, step):
    killed_in_finish(run, monkeypatch, f"tl_keras.run.run.{step}")
    assert run.checkpoint.exists()
    assert runs.finished(config(), run.workdir, "finetune") is not None
    assert not run.checkpoint.exists()


@pytest.mark.parametrize("step", ["write_json", "write_text"])
def test_killed_while_exports_are_made_again_is_not_done(run, monkeypatch, step):
    finish(run, export=files("int8"))
    other = {"export": {"formats": ["int8"], "max_accuracy_drop": 0.1}}
    more = Run(run.workdir, config(**other), "finetune")
    killed_in_finish(more, monkeypatch, f"tl_keras.run.run.{step}")
    assert runs.finished(config(**other), run.workdir, "finetune") is None


def test_finished_run_keeps_its_config_until_it_is_finished_again(run):
    finish(run, export=files("float32"))
    with runs.opened(config(**OTHER), run.workdir, "finetune"):
        assert configs.load(run.workdir / "config.yaml").export.formats == ("float32",)


def test_leftover_temporary_files_are_removed(run):
    (run.workdir / "export").mkdir()
    for folder in (run.workdir, run.checkpoint, run.workdir / "export"):
        (folder / ".tmp-x.record.json").touch()
        (folder / ".tmp-folder").mkdir()
        (folder / "other").touch()
    with runs.opened(config(), run.workdir, "finetune"):
        assert not list(run.workdir.rglob(".tmp-*"))
        assert len(list(run.workdir.rglob("other"))) == 3


def test_folder_of_a_run_killed_at_its_start_is_used(tmp_path):
    marks.put(tmp_path, "run")
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / ".lock").touch()
    (tmp_path / ".tmp-x.config.yaml").touch()
    with runs.opened(config(), tmp_path, "finetune") as run:
        assert run.record == {"pipeline": "finetune"}


@pytest.mark.parametrize("name", ["result.json", "checkpoint/record.json"])
@pytest.mark.parametrize("text", ["", '{"pipeline": ', "[]", "null", "\xff"])
def test_damaged_record_says_what_to_do(run, name, text):
    (run.workdir / name).write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=rf"{name}' is damaged; remove the file to continue"):
        runs.load(run.workdir)


def test_damaged_config_names_its_folder(run):
    (run.workdir / "config.yaml").write_text("fit: {epoch: 3}\ndata: {source: digits}")
    expected = "--workdir: the config of '.*run' cannot be used: fit.epoch: no such field"
    for call in (runs.load, lambda workdir: runs.finished(config(), workdir, "finetune")):
        with pytest.raises(ValueError, match=expected):
            call(run.workdir)


def refused(workdir, pipeline="finetune", **sections) -> str:
    """Returns the message of the error that both `finished` and `opened` raise."""
    messages = []
    with pytest.raises(ValueError) as caught:
        runs.finished(config(**sections), workdir, pipeline)
    messages.append(str(caught.value))
    with pytest.raises(ValueError) as caught, runs.opened(config(**sections), workdir, pipeline):
        pass
    assert [str(caught.value)] == messages
    return messages[0]


def test_refuses_a_file_and_below_a_file(tmp_path):
    (tmp_path / "file").touch()
    expected = f"--workdir: '{tmp_path}/file' is a file; expected a folder"
    assert refused(tmp_path / "file") == expected
    assert refused(tmp_path / "file" / "below" / "run") == expected


def test_refuses_a_folder_with_something_else(tmp_path):
    (tmp_path / "holiday.jpg").touch()
    assert refused(tmp_path) == (
        f"--workdir: '{tmp_path}' is not a run folder of tl_keras and is not empty (it contains "
        "'holiday.jpg'), so nothing in it is replaced or removed; choose a new folder"
    )


def test_refuses_another_config_and_names_the_field(run):
    assert refused(run.workdir, fit={"epochs": 3}) == (
        f"--workdir: '{run.workdir}' was made with another config: fit.epochs: 'auto' in the "
        "workdir, 3 now; choose another folder, or use the values of the config in the workdir"
    )


def test_untrained_run_accepts_a_corrected_config(run):
    (run.checkpoint / "finetune.npy").unlink()
    run.add(seconds={"data": 1.0})
    (run.workdir / "data.json").touch()
    with runs.opened(config(fit={"epochs": 3}), run.workdir, "pretrain") as again:
        assert again.record == {"pipeline": "pretrain"}
        assert configs.load(run.workdir / "config.yaml").fit.epochs == 3
        assert not (run.workdir / "data.json").exists()


@pytest.mark.parametrize("done", [False, True])
def test_refuses_another_command(run, done):
    if done:
        finish(run)
    expected = f"--workdir: '{run.workdir}' was made by the command 'finetune', not by 'pretrain'"
    expected += "; continue with tl-keras finetune, or choose another folder"
    assert refused(run.workdir, "pretrain") == expected


def test_refuses_a_folder_that_another_process_uses(run):
    code = (
        "import sys; from filelock import FileLock\n"
        "with FileLock(sys.argv[1]): print('locked', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(run.workdir / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"locked\n"
        expected = f"--workdir: another process is using '{run.workdir}'; wait until it ends"
        assert refused(run.workdir) == expected
        other.kill()
    # The lock of a killed process is free.
    with runs.opened(config(), run.workdir, "finetune"):
        pass


def test_lock_is_free_after_a_failure(run):
    with pytest.raises(Killed), runs.opened(config(), run.workdir, "finetune"):
        raise Killed
    assert runs.finished(config(), run.workdir, "finetune") is None


def test_refuses_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def mkdir(*_, **__):
        raise PermissionError(13, "Permission denied")

    # chmod would not help: root can write everywhere.
    monkeypatch.setattr("pathlib.Path.mkdir", mkdir)
    with pytest.raises(ValueError, match="run' cannot be written: Permission denied"):
        with runs.opened(config(), tmp_path / "run", "finetune"):
            pass
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)
    with pytest.raises(ValueError, match=rf"^--workdir: '{tmp_path}' cannot be written$"):
        runs.finished(config(), tmp_path / "run", "finetune")


def test_finished_run_need_not_be_writable(run, monkeypatch):
    finish(run)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert runs.finished(config(), run.workdir, "finetune") is not None


def test_load_reads_any_run(run):
    found = runs.load(run.workdir)
    assert (found.config, found.pipeline, found.result) == (config(), "finetune", None)
    assert runs.load(finish(run, device="a machine").workdir).result.device == "a machine"
    write_result(run.workdir, pipeline="pretrain")
    assert runs.load(run.workdir).pipeline == "pretrain"


def test_load_refuses_a_folder_that_is_not_a_run(tmp_path):
    with pytest.raises(ValueError, match=r"is not a run folder: it has no config\.yaml"):
        runs.load(tmp_path)


def test_load_finished_tells_an_audit_from_an_unfinished_run(run):
    with pytest.raises(ValueError, match="is not finished; finish it first"):
        runs.load_finished(run.workdir)
    shutil.rmtree(run.checkpoint)
    run.find(rare=[])
    with pytest.raises(ValueError, match="holds an audit, which checks data and trains no model"):
        runs.load_finished(run.workdir)


def test_home_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with runs.opened(config(), "~/run", "finetune") as run:
        assert run.workdir == tmp_path / "run"
    assert runs.load("~/run").workdir == tmp_path / "run"


def test_numbers_that_json_lacks_raise(run):
    with pytest.raises(ValueError, match="JSON compliant"):
        run.add(loss=float("nan"))
    assert run.record == {"pipeline": "finetune"}


def test_instant_trials_do_not_lower_the_expected_duration():
    budget = SearchConfig(minutes=1)
    first = trial(0, 0.5, 5, seconds=90.0, passes=70.0)
    others = [
        lost(1, OVER, seconds=0.1),
        trial(2, 0.5, 5, seconds=0.1, left_out=True),
        trial(3, 1.0, 5, seconds=0.1),
    ]
    assert has_budget(budget, [first, *others], 35.0)
    assert not has_budget(budget, [first, *others], 45.0)
    assert has_budget(budget, others, 45.0)
